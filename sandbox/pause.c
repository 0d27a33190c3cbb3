// Pause holds a pod together. It is entered before the Go runtime starts, so
// that it costs some 100 kB: it owns the pod's namespaces, is the parent of
// last resort of every container (PR_SET_CHILD_SUBREAPER), keeps descriptors
// that must outlive a monitor, and starts the monitor anew when it dies.
//
// It is started by Start (sandbox.go) with
//
//	_PODRUN_PAUSE=FLAGS        clone flags of the namespaces to make, hexadecimal
//	_PODRUN_HOSTNAME=NAME      the pod's hostname, where it differs from the machine's
//	_PODRUN_USERS=ID           the machine's id that is root in a user namespace of the pod's own
//	argv: TITLE [CGROUP.PROCS]... -- MONITOR-ARGV...
//	fd 0, 1: /dev/null         fd 2: the monitor's log
//	fd 3: the pod's lock       fd 4: the listening control socket
//	fd 5: with _PODRUN_USERS, what reserves the ids
//
// and talks to the monitor over a SOCK_SEQPACKET pair, one reply a request,
// in the form of struct request and struct reply (see also client.go).
//
// It never logs. Each step of the set-up that fails has an exit code of its
// own (pause.h).

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pause.h"
#include "shed.h"
#include "step.h"

// Milliseconds until a monitor is started again that died young.
enum {
	FIRST_DELAY = 10,
	KILLED_DELAY = 20,   // at most, where somebody killed it
	FAILED_DELAY = 5000, // at most, where it ended by itself: it would do so again
	RETRY_DELAY = 1000,  // without memory or processes for one
	YOUNG = 1000,
};

enum { LOCK_FD = 3, CONTROL_FD = 4, USERS_FD = 5, FIRST_FREE_FD = 6 };

// What a monitor finds open (client.go): its line to pause, and what it needs
// even if pause dies before the line is used.
enum { MONITOR_FD = 3, MONITOR_LOCK_FD, MONITOR_CONTROL_FD, MONITOR_MOUNTS_FD, MONITOR_FREE_FD };


// ---- what is kept -----------------------------------------------------------

enum { NAME_SIZE = 128, MAX_EXITS = 4096 };

struct kept {
	char name[NAME_SIZE];
	int fd;
};

// One child that pause reaped. A pid alone may have been used again.
struct exited {
	uint64_t start; // clock ticks since boot, field 22 of /proc/PID/stat
	int64_t time;   // nanoseconds since boot: nobody can set that clock
	int32_t pid;
	int32_t code;   // CLD_EXITED, CLD_KILLED or CLD_DUMPED
	int32_t status; // exit code or signal
	int32_t unused;
};

static struct kept *kept;
static size_t kept_count, kept_room;
static struct exited exits[MAX_EXITS];
static size_t exit_count;

// ---- the monitor's requests -------------------------------------------------

enum { OP_KEEP = 1, OP_TAKE, OP_DROP, OP_LIST, OP_EXITS, OP_FORGET, OP_QUIT, OP_HOLD };

struct request {
	uint32_t op;
	int32_t pid;    // OP_FORGET
	uint64_t start; // OP_FORGET
	char name[NAME_SIZE];
};

struct reply {
	int32_t error; // errno, or 0
	uint32_t size; // bytes of names or of struct exited that follow
};

static struct {
	int flags;
	char **cgroups;  // until "--"
	char **monitor;  // argv
	char *hostname;  // or NULL
	char *users;     // or NULL
	int host_ns[3];  // net, uts and ipc to give back to the monitor, or -1
	pid_t pid;
	int socket;
	int64_t started; // milliseconds since boot
	int64_t due;     // of the next start, where there is no monitor
	int64_t delay;
} self;

const struct ns_kind ns_kinds[3] = {
	{"net", CLONE_NEWNET}, {"uts", CLONE_NEWUTS}, {"ipc", CLONE_NEWIPC},
};

static void join_cgroups(void)
{
	for (char **path = self.cgroups; strcmp(*path, "--") != 0; path++) {
		CHANGE("join cgroup");
		int fd = open(*path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) != 1)
			_exit(EXIT_CGROUP);
		close(fd);
	}
}

static int keep(const char *name, int fd);

static void make_namespaces(int flags)
{
	CHANGE("make namespaces");
	if (unshare(flags) != 0)
		_exit(EXIT_UNSHARE);
	if (self.hostname && sethostname(self.hostname, strlen(self.hostname)) != 0)
		_exit(EXIT_HOSTNAME);
	// Slave: what the host mounts later reaches the pod, never the reverse.
	if (mount("", "/", "", MS_REC | MS_SLAVE, NULL) != 0)
		_exit(EXIT_PROPAGATION);
}

static void enter_namespaces(void)
{
	int flags = self.flags;
	for (int i = 0; i < 3; i++) {
		char path[32];
		snprintf(path, sizeof path, "/proc/self/ns/%s", ns_kinds[i].name);
		self.host_ns[i] = -1;
		if (!(self.flags & ns_kinds[i].flag))
			continue;
		self.host_ns[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (self.host_ns[i] < 0)
			_exit(EXIT_HOST_NAMESPACE);
	}
	// The machine's mounts as they are now: a monitor returns to them to make a
	// new sandbox.
	if (keep("mounts", open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC)))
		_exit(EXIT_HOST_NAMESPACE);
	if (self.users) {
		if (keep("users", make_user_namespace(self.users, flags & ~CLONE_NEWNS)) ||
		    keep("users-reserved", fcntl(USERS_FD, F_DUPFD_CLOEXEC, FIRST_FREE_FD)))
			_exit(EXIT_MEMORY);
		flags = CLONE_NEWNS;
		close(USERS_FD);
	}
	make_namespaces(flags);
}

static struct kept *find(const char *name);

static int64_t since_boot(void) // in nanoseconds
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

// pass makes what the monitor finds open. Everything of pause is close-on-exec;
// the copies are not.
static void pass(int socket)
{
	static const char *const names[] = {"lock", "control", "mounts"}; // from MONITOR_LOCK_FD on
	int high[MONITOR_FREE_FD - MONITOR_FD];
	high[0] = socket;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		high[i + 1] = find(names[i]) ? find(names[i])->fd : -1;
	// First out of the way: one may have the number that another is to get.
	for (size_t i = 0; i < sizeof high / sizeof *high; i++)
		high[i] = fcntl(high[i], F_DUPFD_CLOEXEC, MONITOR_FREE_FD);
	for (size_t i = 0; i < sizeof high / sizeof *high; i++)
		if (high[i] < 0 || dup2(high[i], MONITOR_FD + i) < 0)
			_exit(EXIT_SOCKET);
}

// run_monitor is the child's side of start_monitor.
static void run_monitor(int socket)
{
	sigset_t none;
	for (int i = 0; i < 3; i++)
		if (self.host_ns[i] >= 0 && setns(self.host_ns[i], ns_kinds[i].flag) != 0)
			_exit(EXIT_MONITOR_NAMESPACE);
	pass(socket);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	// PauseDied; until the monitor listens it must not end it.
	signal(SIGUSR1, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv("/proc/self/exe", self.monitor);
	_exit(EXIT_MONITOR_EXEC);
}

// start_monitor returns 0, or the exit code of the step that failed.
static int start_monitor(void)
{
	CHANGE("start monitor");
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return EXIT_SOCKET;
	self.started = since_boot() / 1000000;
	pid_t pid = fork();
	if (pid == 0)
		run_monitor(pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return EXIT_FORK;
	}
	self.pid = pid;
	self.socket = pair[0];
	return 0;
}

// monitor_died plans the next start: at once after a monitor that has lived for
// a while, else with a delay that doubles. Who kills monitors one after the other
// must not keep the pod without one for long; one that ends by itself would keep
// a processor busy.
static void monitor_died(const siginfo_t *info)
{
	int64_t now = since_boot() / 1000000;
	int64_t most = info->si_code == CLD_KILLED && info->si_status == SIGKILL ? KILLED_DELAY : FAILED_DELAY;
	if (now - self.started >= YOUNG)
		self.delay = 0;
	else
		self.delay = self.delay ? 2 * self.delay : FIRST_DELAY;
	if (self.delay > most)
		self.delay = most;
	self.due = now + self.delay;
	close(self.socket);
	self.socket = -1;
	self.pid = 0;
}

// ---- reaping ----------------------------------------------------------------

static uint64_t start_time(pid_t pid)
{
	char path[32], text[1024], *p;
	unsigned long long start = 0;
	ssize_t n;
	int fd;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	// The name, field 2, may hold blanks and parentheses; field 3 follows the last ')'.
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		sscanf(p, " %llu", &start);
	return start;
}

static void record_exit(const siginfo_t *info)
{
	if (exit_count == MAX_EXITS) // the oldest is what nobody asks for any more
		memmove(exits, exits + 1, --exit_count * sizeof exits[0]);
	exits[exit_count++] = (struct exited){
		.start = start_time(info->si_pid),
		.time = since_boot(),
		.pid = info->si_pid,
		.code = info->si_code,
		.status = info->si_status,
	};
}

static void reap(void)
{
	for (;;) {
		siginfo_t info = {0};
		// WNOWAIT: the start time can be read only while the zombie is there.
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
			return;
		CHANGE("reap");
		if (info.si_pid != self.pid)
			record_exit(&info);
		waitid(P_PID, info.si_pid, &info, WEXITED | WNOHANG);
		if (info.si_pid == self.pid)
			monitor_died(&info);
	}
}

// ---- serving the monitor ----------------------------------------------------

static struct kept *find(const char *name)
{
	for (size_t i = 0; i < kept_count; i++)
		if (strcmp(kept[i].name, name) == 0)
			return &kept[i];
	return NULL;
}

static int keep(const char *name, int fd)
{
	CHANGE("keep");
	struct kept *k = find(name);
	if (fd < 0)
		return EBADF;
	if (k) {
		close(k->fd);
		k->fd = fd;
		return 0;
	}
	if (kept_count == kept_room) {
		size_t room = kept_room ? 2 * kept_room : 16;
		struct kept *more = realloc(kept, room * sizeof *kept);
		if (!more) {
			close(fd);
			return ENOMEM;
		}
		kept = more;
		kept_room = room;
	}
	snprintf(kept[kept_count].name, NAME_SIZE, "%s", name);
	kept[kept_count++].fd = fd;
	return 0;
}

// hold opens a FIFO for reading and keeps that: whoever waits to write to it goes
// on, and needs no other reader. fd is a descriptor of it that was opened as a path.
static int hold(const char *name, int fd)
{
	CHANGE("hold");
	char path[64];
	int reader, failed = 0;
	if (fd < 0)
		return EBADF;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (reader < 0)
		failed = errno;
	close(fd);
	return failed ? failed : keep(name, reader);
}

static int drop(const char *name)
{
	CHANGE("drop");
	struct kept *k = find(name);
	if (!k)
		return ENOENT;
	close(k->fd);
	*k = kept[--kept_count];
	return 0;
}

static int forget(pid_t pid, uint64_t start)
{
	CHANGE("forget");
	for (size_t i = 0; i < exit_count; i++)
		if (exits[i].pid == pid && exits[i].start == start) {
			memmove(exits + i, exits + i + 1, (--exit_count - i) * sizeof exits[0]);
			return 0;
		}
	return ENOENT;
}

// answer sends one reply, with an extra part or a descriptor where there is one.
static void answer(int error, const void *extra, size_t size, int fd)
{
	struct reply head = {.error = error, .size = size};
	struct iovec parts[2] = {{&head, sizeof head}, {(void *)extra, size}};
	union { struct cmsghdr align; char room[CMSG_SPACE(sizeof(int))]; } control = {0};
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = size ? 2 : 1};
	if (fd >= 0) {
		struct cmsghdr *c;
		msg.msg_control = &control;
		msg.msg_controllen = sizeof control.room;
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	sendmsg(self.socket, &msg, MSG_NOSIGNAL); // a monitor that is gone asks again
}

static void answer_names(void)
{
	size_t size = 0, room = kept_count * NAME_SIZE;
	char *names = malloc(room + 1);
	if (!names) {
		answer(ENOMEM, NULL, 0, -1);
		return;
	}
	for (size_t i = 0; i < kept_count; i++) {
		size_t n = strlen(kept[i].name) + 1;
		memcpy(names + size, kept[i].name, n);
		size += n;
	}
	answer(0, names, size, -1);
	free(names);
}

// receive returns the descriptor that came along, or -1.
static int receive(struct request *r, ssize_t *size)
{
	union { struct cmsghdr align; char room[CMSG_SPACE(sizeof(int))]; } control = {0};
	struct iovec part = {r, sizeof *r};
	struct msghdr msg = {
		.msg_iov = &part, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control.room,
	};
	struct cmsghdr *c;
	int fd = -1;
	*size = recvmsg(self.socket, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (*size <= 0)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

static void quit(void)
{
	CHANGE("end");
	answer(0, NULL, 0, -1);
}

static void serve(void)
{
	struct request r;
	struct kept *k;
	ssize_t size;
	int fd = receive(&r, &size);
	if (size != sizeof r) {
		if (fd >= 0)
			close(fd);
		if (size == 0) { // hung up; its death is told by SIGCHLD
			close(self.socket);
			self.socket = -1;
		} else if (size > 0) {
			answer(EINVAL, NULL, 0, -1);
		}
		return;
	}
	r.name[NAME_SIZE - 1] = 0;
	if (r.op == OP_KEEP) {
		answer(keep(r.name, fd), NULL, 0, -1);
		return;
	}
	if (r.op == OP_HOLD) {
		answer(hold(r.name, fd), NULL, 0, -1);
		return;
	}
	if (fd >= 0)
		close(fd);
	switch (r.op) {
	case OP_TAKE:
		k = find(r.name);
		answer(k ? 0 : ENOENT, NULL, 0, k ? k->fd : -1);
		break;
	case OP_DROP:
		answer(drop(r.name), NULL, 0, -1);
		break;
	case OP_LIST:
		answer_names();
		break;
	case OP_EXITS:
		answer(0, exits, exit_count * sizeof exits[0], -1);
		break;
	case OP_FORGET:
		answer(forget(r.pid, r.start), NULL, 0, -1);
		break;
	case OP_QUIT:
		quit();
		_exit(0);
	default:
		answer(EINVAL, NULL, 0, -1);
	}
}

// ---- set-up and loop --------------------------------------------------------

static int block_signals(void)
{
	sigset_t all, child;
	sigfillset(&all);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &all, NULL) != 0)
		_exit(EXIT_SIGNALS);
	signal(SIGCHLD, SIG_DFL); // ignored, it would reap for us and lose the codes
	return signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
}

// detach leaves what belongs to the caller; the session was left by Start.
static void detach(void)
{
	CHANGE("leave the caller");
	int fd;
	shed();
	if (chdir("/") != 0)
		_exit(EXIT_USAGE);
	prctl(PR_SET_NAME, "podrun-pause");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	syscall(SYS_close_range, self.users ? FIRST_FREE_FD : USERS_FD, ~0U, 0);
	if (fcntl(LOCK_FD, F_SETFD, FD_CLOEXEC) != 0 || fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC) != 0)
		_exit(EXIT_USAGE);
	// The kubelet's value for its sandboxes; without CAP_SYS_RESOURCE it stays as it is.
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, "-998", 4) < 0)
			errno = 0;
		close(fd);
	}
}

static void pause_main(void)
{
	int signals, failed;
	detach();
	signals = block_signals();
	if (signals < 0)
		_exit(EXIT_SIGNALS);
	enter_namespaces();
	if (keep("lock", fcntl(LOCK_FD, F_DUPFD_CLOEXEC, FIRST_FREE_FD)) ||
	    keep("control", fcntl(CONTROL_FD, F_DUPFD_CLOEXEC, FIRST_FREE_FD)))
		_exit(EXIT_MEMORY);
	close(LOCK_FD);
	close(CONTROL_FD);
	failed = start_monitor();
	if (failed)
		_exit(failed);
	// On cgroup v1 this waits some 12 ms for RCU. The monitor is on its way
	// meanwhile and joins by itself (JoinLeaf).
	join_cgroups();
	for (;;) {
		struct pollfd fds[2] = {{signals, POLLIN, 0}, {self.socket, POLLIN, 0}};
		struct signalfd_siginfo drained;
		int64_t left = self.due - since_boot() / 1000000;
		poll(fds, 2, self.pid ? -1 : left > 0 ? (int)left : 0);
		while (read(signals, &drained, sizeof drained) > 0)
			;
		if (self.socket >= 0 && fds[1].revents)
			serve();
		reap();
		// A machine without memory or processes must not cost the pod its pause.
		if (self.pid == 0 && since_boot() / 1000000 >= self.due && start_monitor() != 0)
			self.due = since_boot() / 1000000 + RETRY_DELAY;
	}
}

// keep_title leaves only the title of the argument area, for ps(1), and returns
// a copy of all arguments.
static char **keep_title(int argc, char **argv)
{
	char **copy = calloc(argc + 1, sizeof *copy);
	if (!copy)
		_exit(EXIT_MEMORY);
	for (int i = 0; i < argc; i++) {
		copy[i] = strdup(argv[i]);
		if (!copy[i])
			_exit(EXIT_MEMORY);
		if (i > 0)
			memset(argv[i], 0, strlen(argv[i]));
	}
	return copy;
}

__attribute__((constructor)) static void podrun_pause(int argc, char **argv)
{
	char *flags = getenv("_PODRUN_PAUSE");
	if (!flags)
		return;
	step_begin("pause");
	self.flags = strtol(flags, NULL, 16);
	self.hostname = getenv("_PODRUN_HOSTNAME");
	self.users = getenv("_PODRUN_USERS");
	unsetenv("_PODRUN_PAUSE");
	unsetenv("_PODRUN_HOSTNAME");
	unsetenv("_PODRUN_USERS");
	if (argc < 3)
		_exit(EXIT_USAGE);
	argv = keep_title(argc, argv);
	self.cgroups = self.monitor = argv + 1;
	while (*self.monitor && strcmp(*self.monitor, "--") != 0)
		self.monitor++;
	if (!*self.monitor || !*++self.monitor)
		_exit(EXIT_USAGE);
	pause_main();
}
