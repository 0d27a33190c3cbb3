// facts prints all that a process has from its surroundings, a line or a file a
// fact, for golden lists. It is a static program without a runtime of its own,
// so that what it prints is what it was given.

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <linux/keyctl.h>

static void copy(const char *title, const char *path)
{
	char text[1 << 16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, all = 0;
	printf("== %s\n", title);
	if (fd < 0) {
		printf("%s\n", strerror(errno));
		return;
	}
	while (all < (ssize_t)sizeof text && (n = read(fd, text + all, sizeof text - all)) > 0)
		all += n;
	close(fd);
	for (ssize_t i = 0; i < all; i++)
		putchar(text[i] ? text[i] : '\n');
	if (all > 0 && text[all - 1] != '\n' && text[all - 1] != 0)
		putchar('\n');
}

// is_visible tells whether the file system of a descriptor is mounted where this
// process can see it.
static int is_visible(int fd)
{
	char path[64], line[8192], number[32];
	int id = -1, found = 0;
	FILE *f;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	if ((f = fopen(path, "re")) != NULL) {
		while (fgets(line, sizeof line, f))
			sscanf(line, "mnt_id: %d", &id);
		fclose(f);
	}
	snprintf(number, sizeof number, "%d ", id);
	if ((f = fopen("/proc/self/mountinfo", "re")) != NULL) {
		while (fgets(line, sizeof line, f))
			found |= strncmp(line, number, strlen(number)) == 0;
		fclose(f);
	}
	return found;
}

static char *descriptors[256];

// Found before anything is opened here, and printed later.
static void find_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	int n = 0;
	while (dir && (e = readdir(dir)) && n < 256) {
		char target[4096], line[5000];
		ssize_t size;
		if (e->d_name[0] == '.' || atoi(e->d_name) == dirfd(dir))
			continue;
		size = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
		target[size < 0 ? 0 : size] = 0;
		snprintf(line, sizeof line, "%s -> %s%s mode %o flags %o", e->d_name, target,
			 target[0] != '/' || is_visible(atoi(e->d_name)) ? "" : " OF ANOTHER MOUNT",
			 (unsigned)fcntl(atoi(e->d_name), F_GETFL) & O_ACCMODE, (unsigned)fcntl(atoi(e->d_name), F_GETFD));
		descriptors[n++] = strdup(line);
	}
	closedir(dir);
}

static void dispositions(void)
{
	printf("== signals\n");
	for (int sig = 1; sig < 65; sig++) {
		struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } old = {0};
		if (syscall(SYS_rt_sigaction, sig, NULL, &old, 8) == 0 && (old.handler || old.flags || old.mask))
			printf("%d: %s\n", sig, old.handler == (void *)SIG_IGN ? "ignored" : "handled");
	}
}

static void scheduling(void)
{
	cpu_set_t cpus;
	int policy = 0;
	printf("== scheduling\n");
	printf("policy %d nice %d io %ld\n", sched_getscheduler(0), getpriority(PRIO_PROCESS, 0), syscall(SYS_ioprio_get, 1, 0));
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof cpus, &cpus);
	printf("cpus %d of %ld\n", CPU_COUNT(&cpus), sysconf(_SC_NPROCESSORS_ONLN));
	syscall(SYS_get_mempolicy, &policy, NULL, 0, NULL, 0);
	printf("memory policy %d\n", policy);
}

static void properties(void)
{
	int value = -1;
	printf("== prctl\n");
	prctl(PR_GET_PDEATHSIG, &value);
	printf("parent death signal %d\n", value);
	prctl(PR_GET_CHILD_SUBREAPER, &value);
	printf("subreaper %d\n", value);
	printf("dumpable %d\n", prctl(PR_GET_DUMPABLE));
	printf("keep capabilities %d\n", prctl(PR_GET_KEEPCAPS));
	printf("secure bits %d\n", prctl(PR_GET_SECUREBITS));
	printf("timer slack %d\n", prctl(PR_GET_TIMERSLACK));
	printf("huge pages disabled %d\n", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	printf("machine check %d\n", prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
	printf("io flusher %d\n", prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0));
	printf("personality %lx\n", (long)personality(0xffffffff));
}

static void keyring(void)
{
	char text[512] = "";
	long id = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
	printf("== keyring\n");
	if (id < 0 || syscall(SYS_keyctl, KEYCTL_DESCRIBE, id, text, sizeof text) < 0)
		printf("session: %s\n", strerror(errno));
	else
		printf("session: %s\n", text);
	id = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "hostile", 0);
	printf("the caller's key: %s\n", id < 0 ? "not found" : "FOUND");
}

static void namespaces(void)
{
	static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"};
	printf("== ns\n");
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		char path[64], target[64] = "";
		snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
		if (readlink(path, target, sizeof target - 1) < 0)
			snprintf(target, sizeof target, "%s", strerror(errno));
		printf("%s\n", target);
	}
}

int main(int argc, char **argv)
{
	static const char *const files[] = {
		"status", "mountinfo", "environ", "limits", "cgroup", "oom_score_adj", "loginuid",
		"sessionid", "coredump_filter", "timens_offsets", "uid_map", "gid_map", "setgroups",
	};
	char cwd[4096] = "none", root[4096] = "", path[64];
	find_descriptors();
	// A probe or a hook has nobody who reads what it says.
	if (argc > 2 && strcmp(argv[1], "into") == 0 && freopen(argv[2], "w", stdout) == NULL)
		return 1;
	setvbuf(stdout, NULL, _IOFBF, 1 << 20);
	printf("== begin\n== fd\n");
	for (int i = 0; descriptors[i]; i++)
		printf("%s\n", descriptors[i]);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "/proc/self/%s", files[i]);
		copy(files[i], path);
	}
	dispositions();
	scheduling();
	properties();
	keyring();
	namespaces();
	printf("== process\n");
	printf("session leader %d group leader %d\n", getsid(0) == getpid(), getpgrp() == getpid());
	printf("terminal %s\n", open("/dev/tty", O_RDWR | O_CLOEXEC) >= 0 ? "yes" : strerror(errno));
	if (readlink("/proc/self/root", root, sizeof root - 1) < 0)
		snprintf(root, sizeof root, "%s", strerror(errno));
	printf("cwd %s root %s\n", getcwd(cwd, sizeof cwd) ? cwd : strerror(errno), root);
	printf("== end\n");
	fflush(stdout);
	// With an argument it stays, as a container's program does.
	if (argc > 1 && strcmp(argv[1], "stay") == 0)
		for (;;)
			pause();
	return 0;
}
