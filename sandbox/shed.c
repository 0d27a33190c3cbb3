// Shed leaves behind what a process has of its caller and what no container may
// have: a shell, a CI job or a service manager may have limited itself, ignore
// signals, or run at a low priority. It is called by pause, and so holds for the
// monitors, and by libcontainer's init, before that program does anything: by it
// every process of a container begins, of a monitor as of `podrun exec`.
//
// What the kernel does not let a process undo stays: no_new_privs, a seccomp
// filter, a bounding set, and a hard limit without CAP_SYS_RESOURCE.

#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shed.h"

// The values of a container under containerd with systemd's defaults, and the
// kernel's own for the rest (include/asm-generic/resource.h).
static const struct {
	int what;
	struct rlimit value;
} limits[] = {
	{RLIMIT_CPU, {RLIM_INFINITY, RLIM_INFINITY}},
	{RLIMIT_FSIZE, {RLIM_INFINITY, RLIM_INFINITY}},
	{RLIMIT_DATA, {RLIM_INFINITY, RLIM_INFINITY}},
	{RLIMIT_STACK, {8 << 20, RLIM_INFINITY}},
	{RLIMIT_CORE, {RLIM_INFINITY, RLIM_INFINITY}},
	{RLIMIT_RSS, {RLIM_INFINITY, RLIM_INFINITY}},
	{RLIMIT_NPROC, {RLIM_INFINITY, RLIM_INFINITY}}, // the pids controller counts
	{RLIMIT_NOFILE, {1 << 20, 1 << 20}},
	{RLIMIT_MEMLOCK, {8 << 20, 8 << 20}},
	{RLIMIT_AS, {RLIM_INFINITY, RLIM_INFINITY}},
	{RLIMIT_LOCKS, {RLIM_INFINITY, RLIM_INFINITY}},
	{RLIMIT_MSGQUEUE, {819200, 819200}},
	{RLIMIT_NICE, {0, 0}},
	{RLIMIT_RTPRIO, {0, 0}},
	{RLIMIT_RTTIME, {RLIM_INFINITY, RLIM_INFINITY}},
};

static void set_limit(int what, struct rlimit wanted)
{
	struct rlimit have;
	if (setrlimit(what, &wanted) == 0 || getrlimit(what, &have) != 0)
		return;
	// The right to exceed the hard limit is missing, or fs.nr_open is lower.
	if (wanted.rlim_max > have.rlim_max)
		wanted.rlim_max = have.rlim_max;
	if (wanted.rlim_cur > wanted.rlim_max)
		wanted.rlim_cur = wanted.rlim_max;
	setrlimit(what, &wanted);
}

static void shed_limits(void)
{
	struct rlimit signals;
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
		set_limit(limits[i].what, limits[i].value);
	// The kernel makes this one of the machine's memory: the first process has it.
	if (prlimit(1, RLIMIT_SIGPENDING, NULL, &signals) == 0)
		set_limit(RLIMIT_SIGPENDING, signals);
}

static void shed_signals(void)
{
	// The kernel's own structure, all of it 0: SIG_DFL. The C library would leave
	// out the two signals that it keeps for its threads.
	static const unsigned long deflt[4];
	sigset_t none;
	for (int sig = 1; sig < NSIG; sig++)
		syscall(SYS_rt_sigaction, sig, deflt, NULL, NSIG / 8);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

enum { IOPRIO_SELF = 1, MEMORY_DEFAULT = 0, KERNEL_SLACK = 50000, MAX_CPUS = 8192 };

static void shed_scheduling(void)
{
	static unsigned long cpus[MAX_CPUS / (8 * sizeof(unsigned long))];
	struct sched_param none = {0};
	for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++)
		cpus[i] = ~0UL;
	sched_setscheduler(0, SCHED_OTHER, &none);
	setpriority(PRIO_PROCESS, 0, 0);
	syscall(SYS_ioprio_set, IOPRIO_SELF, 0, 0);
	// The kernel takes those that the machine and the cgroup have.
	syscall(SYS_sched_setaffinity, 0, sizeof cpus, cpus);
	syscall(SYS_set_mempolicy, MEMORY_DEFAULT, NULL, 0);
	prctl(PR_SET_TIMERSLACK, KERNEL_SLACK);
}

// put writes to a file of /proc/self, where there is one and it is allowed.
static void put(const char *path, const char *text, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, size) < 0) {
		// It stays as it is.
	}
	close(fd);
}

static void shed_properties(void)
{
	umask(022);
	personality(PER_LINUX);
	prctl(PR_SET_SECUREBITS, 0);
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0);
	prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
	put("/proc/self/coredump_filter", "0x33", 4);
	put("/proc/self/loginuid", "4294967295", 10); // nobody has logged in
}

void shed(void)
{
	shed_limits();
	shed_signals();
	shed_scheduling();
	shed_properties();
}

// Before libcontainer's own constructor (nsenter), whose processes fork and join
// the container's namespaces from there.
__attribute__((constructor(101))) static void podrun_shed(void)
{
	if (getenv("_LIBCONTAINER_INITPIPE"))
		shed();
}
