// The user namespace of a pod with hostUsers: false, as pause makes it.

#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pause.h"
#include "step.h"

enum { USERS = 65536 }; // ids of a user namespace, from 0 on

static void write_map(pid_t pid, const char *name, const char *root)
{
	CHANGE("map ids");
	char path[48], map[64];
	int fd, n;
	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	n = snprintf(map, sizeof map, "0 %s %d\n", root, USERS);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, map, n) != n)
		_exit(EXIT_USERS_MAP);
	close(fd);
}

static void make_users(void)
{
	CHANGE("make user namespace");
	if (unshare(CLONE_NEWUSER) != 0)
		_exit(EXIT_USERS);
}

// hold_users is a child of make_user_namespace. It makes the user namespace, and
// when that has its ids, the others inside it: made the other way round, mounting
// sysfs and mqueue, the hostname and lo would all be refused with EPERM.
static void hold_users(int line, int flags)
{
	char turn = 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	make_users();
	if (write(line, &turn, 1) != 1 || read(line, &turn, 1) != 1)
		_exit(EXIT_USERS_MAP);
	// Root of the new namespace, not of the machine, shall own them (/dev/mqueue).
	if (setgroups(0, NULL) != 0 || setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0)
		_exit(EXIT_USERS_MAP);
	prctl(PR_SET_PDEATHSIG, SIGKILL); // which the change of user took back
	if (unshare(flags) != 0)
		_exit(EXIT_USERS_NAMESPACES);
	if (write(line, &turn, 1) != 1)
		_exit(EXIT_USERS_NAMESPACES);
	for (;;)
		pause();
}

// await_turn ends this process like the child, where that has failed.
static void await_turn(int line, pid_t pid)
{
	char turn;
	int status;
	if (read(line, &turn, 1) == 1)
		return;
	_exit(waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_USERS);
}

// take_turn lets the child make the other namespaces.
static void take_turn(int line, pid_t pid)
{
	CHANGE("make namespaces of the users");
	char turn = 0;
	if (write(line, &turn, 1) != 1)
		_exit(EXIT_USERS_MAP);
	await_turn(line, pid);
}

// make_user_namespace lets a child make the namespaces of flags inside a user
// namespace, joins them, and returns a descriptor of the user namespace. pause
// itself stays in the machine's: nobody who has left it comes back, and monitors
// have to be there.
int make_user_namespace(const char *root, int flags)
{
	char path[48];
	int line[2], users, fd;
	pid_t pid;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) != 0)
		_exit(EXIT_SOCKET);
	pid = fork();
	if (pid < 0)
		_exit(EXIT_FORK);
	if (pid == 0) {
		close(line[0]);
		hold_users(line[1], flags);
	}
	close(line[1]);
	await_turn(line[0], pid);
	write_map(pid, "uid_map", root);
	write_map(pid, "gid_map", root);
	take_turn(line[0], pid);
	snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
	users = open(path, O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		if (!(flags & ns_kinds[i].flag))
			continue;
		CHANGE("join namespace");
		snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, ns_kinds[i].name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || setns(fd, ns_kinds[i].flag) != 0)
			_exit(EXIT_USERS_NAMESPACES);
		close(fd);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(line[0]);
	return users;
}
