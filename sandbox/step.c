// See step.h, and package step for the files.

#ifdef PODRUN_STEPS

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "step.h"

enum { MAX_CHANGES = 64, MAX_ORDER = 4096 };

static const char *dir, *role;
static int base = AT_FDCWD; // of dir, where that is relative
static struct {
	const char *change;
	int count;
} counts[MAX_CHANGES];

void step_begin(const char *as)
{
	dir = getenv("PODRUN_STEPS");
	role = as;
}

void step_stay(void)
{
	if (!dir)
		return;
	base = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	dir = ".";
}

static int *count_of(const char *change)
{
	int i = 0;
	while (i < MAX_CHANGES - 1 && counts[i].change && strcmp(counts[i].change, change) != 0)
		i++;
	counts[i].change = change;
	return &counts[i].count;
}

// replace writes what is left of the order, and puts it in the order's place.
static void replace(const char *mine, const char *order, const char *rest, size_t size)
{
	int fd = openat(base, mine, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0 || write(fd, rest, size) != (ssize_t)size || renameat(base, mine, base, order) != 0)
		abort();
	close(fd);
}

// claim tells whether this process is to end here, and takes the order away.
static int claim(const char *line, size_t size)
{
	char order[PATH_MAX], mine[PATH_MAX + 16], text[MAX_ORDER];
	ssize_t n;
	int fd;
	snprintf(order, sizeof order, "%s/kill", dir);
	fd = openat(base, order, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text);
	close(fd);
	if (n < (ssize_t)size || memcmp(text, line, size) != 0)
		return 0;
	snprintf(mine, sizeof mine, "%s.%d", order, getpid());
	if (renameat(base, order, base, mine) != 0)
		return 0; // another was faster
	if (n > (ssize_t)size)
		replace(mine, order, text + size, n - size);
	return 1;
}

static void pass(const char *change, int count, const char *when)
{
	char path[PATH_MAX], line[256];
	int fd, size;
	if (!dir)
		return;
	snprintf(path, sizeof path, "%s/trace", dir);
	size = snprintf(line, sizeof line, "%s/%s/%d/%s\n", role, change, count, when);
	fd = openat(base, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == ENOENT || errno == EACCES))
		return; // the test is over, or this process is nobody by now
	if (fd < 0 || write(fd, line, size) != size)
		abort();
	close(fd);
	if (!claim(line, size))
		return;
	kill(getpid(), SIGKILL);
	_exit(128 + SIGKILL); // the first process of a PID namespace cannot kill itself
}

const char *step_before(const char *change)
{
	pass(change, ++*count_of(change), "before");
	return change;
}

void step_after(const char **change)
{
	pass(*change, *count_of(*change), "after");
}

#endif
