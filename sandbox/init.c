// Init is the first process of a PID namespace that the containers of a pod
// share (shareProcessNamespace). It reaps what they orphan, and nothing else: the
// kernel ends everything in the namespace with it.
//
// It is started by StartInit (init.go) with
//
//	_PODRUN_INIT=1             2 for a pod with a user namespace of its own
//	argv: TITLE
//	fd 3: a pidfd of pause    fd 4: a socket to the monitor    fd 5: the user namespace
//
// from a sealed copy of the program, because containers can see /proc/1/exe. It
// makes the namespace, forks the first process as a child of the monitor
// (CLONE_PARENT), writes its pid to the socket and ends. The first process goes on
// when a byte comes from the socket: the monitor has given it to pause by then. A
// monitor that dies before closes the socket, and the process ends.
//
// Containers of root can look at it, and those with CAP_SYS_PTRACE may do
// anything to it. So it has nothing that they have not: an empty root, the pod's
// namespaces, no capabilities, and a user that nobody else is.

#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

enum {
	INIT_EXIT_USAGE = 10,
	INIT_EXIT_JOIN,
	INIT_EXIT_UNSHARE,
	INIT_EXIT_ROOT,
	INIT_EXIT_FORK,
	INIT_EXIT_USER,
	INIT_EXIT_TELL,
};

enum { PAUSE_FD = 3, TELL_FD = 4, OWN_USERS_FD = 5 };

enum { INIT_USER = 65535 }; // that of Kubernetes' pause image

// leave_root makes an empty directory that nobody can write to the root.
static void leave_root(void)
{
	// /proc is a directory on every machine; the old root is below the new one
	// after pivot_root(2) with the same directory for both.
	if (mount("", "/", "", MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("podrun", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=555") != 0 ||
	    chdir("/proc") != 0 ||
	    syscall(SYS_pivot_root, ".", ".") != 0 ||
	    umount2(".", MNT_DETACH) != 0 ||
	    chdir("/") != 0 ||
	    mount("", "/", "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
		_exit(INIT_EXIT_ROOT);
}

// become_nobody gives up all rights.
static void become_nobody(void)
{
	if (setgroups(0, NULL) != 0 ||
	    setresgid(INIT_USER, INIT_USER, INIT_USER) != 0 ||
	    setresuid(INIT_USER, INIT_USER, INIT_USER) != 0 || // and with it all capabilities
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_DUMPABLE, 0) != 0)
		_exit(INIT_EXIT_USER);
}

static void reap_for_ever(void)
{
	sigset_t all;
	sigfillset(&all);
	for (;;) {
		int sig;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		sigwait(&all, &sig); // a signal from inside the namespace has no effect
	}
}

// leave_machine is the last that can be seen to happen: after it there is no
// file to tell it in.
static void leave_machine(void)
{
	CHANGE("leave machine");
	leave_root();
	become_nobody();
}

// first_process is number 1 of the namespace.
static void first_process(void)
{
	char go;
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_DFL);
	setsid();
	leave_machine();
	if (read(TELL_FD, &go, 1) != 1)
		_exit(INIT_EXIT_TELL);
	syscall(SYS_close_range, 0, ~0U, 0);
	reap_for_ever();
}

// join_users becomes root of the pod's user namespace.
static void join_users(void)
{
	if (setns(OWN_USERS_FD, CLONE_NEWUSER) != 0 ||
	    setgroups(0, NULL) != 0 || setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0)
		_exit(INIT_EXIT_JOIN);
}

static long fork_first(void)
{
	CHANGE("make PID namespace");
	long pid = syscall(SYS_clone, CLONE_NEWPID | CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		first_process();
	return pid;
}

static int tell(int32_t pid)
{
	CHANGE("tell of init");
	return write(TELL_FD, &pid, sizeof pid) == sizeof pid;
}

static void init_main(int own_users)
{
	long pid;
	syscall(SYS_close_range, (own_users ? OWN_USERS_FD : TELL_FD) + 1, ~0U, 0);
	step_stay();
	umask(022);
	prctl(PR_SET_NAME, "pause");
	if (setns(PAUSE_FD, CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0)
		_exit(INIT_EXIT_JOIN);
	if (own_users)
		join_users();
	if (unshare(CLONE_NEWNS) != 0)
		_exit(INIT_EXIT_UNSHARE);
	pid = fork_first();
	if (pid < 0)
		_exit(INIT_EXIT_FORK);
	_exit(tell(pid) ? 0 : INIT_EXIT_TELL);
}

__attribute__((constructor)) static void podrun_init(int argc, char **argv)
{
	char *kind = getenv("_PODRUN_INIT");
	if (!kind)
		return;
	if (argc != 1)
		_exit(INIT_EXIT_USAGE);
	step_begin("init");
	(void)argv;
	init_main(strcmp(kind, "2") == 0);
}
