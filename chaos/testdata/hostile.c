// hostile UMASK CGROUP.PROCS... -- COMMAND [ARG...] runs a command with all in
// its surroundings that a caller of podrun may have and a container must not get.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/keyctl.h>

static void must(const char *what, long result)
{
	if (result >= 0)
		return;
	fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
	exit(99);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	must(path, fd);
	must(path, write(fd, text, strlen(text)));
	close(fd);
}

// The descriptors are of all kinds that have been ways out of a container.
static void open_much(void)
{
	must("open /", open("/", O_RDONLY | O_DIRECTORY));
	must("open the place of /", open("/", O_PATH));
	must("open a secret", open("/etc/shadow", O_RDWR));
	must("open a memory", open("/proc/self/mem", O_RDWR));
	must("open the namespace", open("/proc/self/ns/mnt", O_RDONLY));
	must("eventfd", eventfd(1, 0));
	must("socket", socket(AF_INET, SOCK_STREAM, 0));
	must("dup2", dup2(3, 77));
	must("dup2", dup2(4, 1023));
}

// limit leaves the hard limit alone where podrun could not raise it again.
static void limit(int what, rlim_t soft, rlim_t hard)
{
	struct rlimit have, l = {soft, hard};
	int can = prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) == 1;
	must("getrlimit", getrlimit(what, &have));
	if (!can)
		l.rlim_max = have.rlim_max;
	if (l.rlim_cur <= l.rlim_max)
		must("setrlimit", setrlimit(what, &l));
}

// As low as podrun itself can stand.
static void limit_all(void)
{
	limit(RLIMIT_CPU, 3000, 3600);
	limit(RLIMIT_FSIZE, 1L << 30, 1L << 31);
	limit(RLIMIT_DATA, 1L << 36, 1L << 37);
	limit(RLIMIT_STACK, 4 << 20, 16 << 20);
	limit(RLIMIT_CORE, 0, 4096);
	limit(RLIMIT_RSS, 1L << 36, 1L << 37);
	limit(RLIMIT_NPROC, 7001, 7002);
	limit(RLIMIT_NOFILE, 1111, 2222);
	limit(RLIMIT_MEMLOCK, 4096, 8192);
	limit(RLIMIT_AS, 1L << 40, 1L << 41);
	limit(RLIMIT_LOCKS, 17, 18);
	limit(RLIMIT_SIGPENDING, 901, 902);
	limit(RLIMIT_MSGQUEUE, 1001, 1002);
	limit(RLIMIT_NICE, 39, 40);
	limit(RLIMIT_RTPRIO, 98, 99);
	limit(RLIMIT_RTTIME, 10000000, 20000000);
}

static void raise_ambient(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	must("capget", syscall(SYS_capget, &head, data));
	data[0].inheritable = data[0].permitted;
	data[1].inheritable = data[1].permitted;
	must("capset", syscall(SYS_capset, &head, data));
	for (int cap = 0; cap <= 40; cap++)
		if (data[cap / 32].permitted & (1u << cap % 32))
			must("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0));
}

static void be_scheduled_oddly(void)
{
	struct sched_param none = {0};
	unsigned long node = 1;
	cpu_set_t one;
	must("sched_setscheduler", sched_setscheduler(0, SCHED_BATCH, &none));
	must("nice", setpriority(PRIO_PROCESS, 0, 7));
	must("ioprio_set", syscall(SYS_ioprio_set, 1, 0, 3 << 13));
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	must("sched_setaffinity", sched_setaffinity(0, sizeof one, &one));
	syscall(SYS_set_mempolicy, 1, &node, 8); // not every kernel has NUMA
}

static void change_properties(void)
{
	must("timer slack", prctl(PR_SET_TIMERSLACK, 1234567));
	must("dumpable", prctl(PR_SET_DUMPABLE, 0));
	must("huge pages", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	must("machine check", prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); // with CAP_SYS_RESOURCE
	must("secure bits", prctl(PR_SET_SECUREBITS, 1 << 2)); // no fix-up by setuid
	must("subreaper", prctl(PR_SET_CHILD_SUBREAPER, 1));
	must("personality", personality(ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT));
	put("/proc/self/coredump_filter", "0x7f");
	put("/proc/self/oom_score_adj", "555");
	int fd = open("/proc/self/loginuid", O_WRONLY | O_CLOEXEC); // a kernel without audit has none
	if (fd >= 0 && write(fd, "4242", 4) < 0)
		errno = 0;
	close(fd);
}

static void take_keys(void)
{
	must("session keyring", syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "hostile"));
	must("add_key", syscall(SYS_add_key, "user", "hostile", "secret", 6, KEY_SPEC_SESSION_KEYRING));
}

// Mounts that only the caller sees.
static void mount_much(void)
{
	must("unshare", unshare(CLONE_NEWNS));
	must("mount", mount("", "/", "", MS_REC | MS_PRIVATE, NULL));
	must("mount", mount("hostile", "/opt", "tmpfs", 0, NULL));
	must("mount", mount("hostile", "/home", "tmpfs", MS_RDONLY, NULL));
}

static void ignore_signals(void)
{
	sigset_t all;
	unsigned long ignore[4] = {(unsigned long)SIG_IGN}; // the kernel's own structure: all signals, the C library's too
	for (int sig = 1; sig < 65; sig++)
		syscall(SYS_rt_sigaction, sig, ignore, NULL, 8);
	sigfillset(&all);
	must("sigprocmask", sigprocmask(SIG_SETMASK, &all, NULL));
}

// take_terminal makes the terminal the controlling one.
static void take_terminal(int master)
{
	int number, unlocked = 0, slave;
	char path[32];
	must("unlockpt", ioctl(master, TIOCSPTLCK, &unlocked));
	must("ptsname", ioctl(master, TIOCGPTN, &number));
	snprintf(path, sizeof path, "/dev/pts/%d", number);
	must("setsid", setsid());
	slave = open(path, O_RDWR);
	must("open the terminal", slave);
	must("take the terminal", ioctl(slave, TIOCSCTTY, 0));
}

int main(int argc, char **argv)
{
	int status = 0, master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	must("open /dev/ptmx", master);
	pid_t child = fork();
	must("fork", child);
	if (child > 0) {
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
	}
	if (argc < 4)
		return 97;
	umask(strtol(argv[1], NULL, 8));
	for (argv += 2; *argv && strcmp(*argv, "--") != 0; argv++)
		put(*argv, "0");
	mount_much();
	take_terminal(master);
	must("chdir", chdir("/usr"));
	be_scheduled_oddly();
	limit_all();
	open_much();
	take_keys();
	change_properties();
	raise_ambient();
	setenv("SECRET_OF_THE_CALLER", "hostile", 1);
	setenv("LD_PRELOAD", "/nonexistent/hostile.so", 1);
	setenv("TERM", "hostile", 1);
	ignore_signals();
	execvp(argv[1], argv + 1);
	must("execute the command", -1);
}
