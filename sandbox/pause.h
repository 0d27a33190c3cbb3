// What the files of pause share.

#ifndef PAUSE_H
#define PAUSE_H

// Each step of the set-up that fails has an exit code of its own; the names are
// in sandbox.go.
enum {
	EXIT_USAGE = 10,
	EXIT_CGROUP,
	EXIT_HOST_NAMESPACE,
	EXIT_UNSHARE,
	EXIT_PROPAGATION,
	EXIT_SIGNALS,
	EXIT_SOCKET,
	EXIT_FORK,
	EXIT_MEMORY,
	EXIT_HOSTNAME,
	EXIT_MONITOR_NAMESPACE,
	EXIT_MONITOR_EXEC,
	EXIT_USERS,
	EXIT_USERS_MAP,
	EXIT_USERS_NAMESPACES,
};

struct ns_kind {
	const char *name; // below /proc/PID/ns
	int flag;
};

// ns_kinds are the namespaces that pause has for the containers, and monitors leave.
extern const struct ns_kind ns_kinds[3];

int make_user_namespace(const char *root, int flags);

#endif
