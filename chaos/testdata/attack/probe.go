package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is one system call that a container of no special rights must not get.
type call struct {
	name string
	do   func() error
}

func raw(number uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		_, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno != 0 {
			return errno
		}
		return nil
	}
}

// kept holds what only numbers refer to.
var kept []any

func ptr[T any](v *T) uintptr {
	kept = append(kept, v)
	return uintptr(unsafe.Pointer(v))
}

func text(s string) uintptr {
	b := append([]byte(s), 0)
	return ptr(&b[0])
}

// forked is for calls that make a process: a child of this runtime must not live.
func forked(number uintptr, args ...uintptr) func() error {
	return func() error {
		runtime.LockOSThread()
		var a [6]uintptr
		copy(a[:], args)
		pid, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno != 0 {
			return errno
		}
		if pid == 0 {
			unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
		}
		unix.Wait4(int(pid), nil, 0, nil)
		return nil
	}
}

// cloneArgs are those of clone3(2): the flags are first, the signal at the end is fifth.
type cloneArgs [11]uint64

var attributes [256]byte

func calls() []call {
	self, _ := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	handle := struct {
		bytes, kind uint32
		data        [8]byte
	}{bytes: 8, kind: 1, data: [8]byte{2}} // inode 2: the root of an ext4, as "shocker" found the host's
	user := cloneArgs{0: unix.CLONE_NEWUSER, 4: uint64(unix.SIGCHLD)}
	mounts := cloneArgs{0: unix.CLONE_NEWNS, 4: uint64(unix.SIGCHLD)}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	all := [2]unix.CapUserData{{Effective: ^uint32(0), Permitted: ^uint32(0), Inheritable: ^uint32(0)}, {Effective: ^uint32(0), Permitted: ^uint32(0)}}
	zero := unix.Timespec{Sec: 1}
	zerov := unix.Timeval{Sec: 1}
	return []call{
		{"unshare-user", raw(unix.SYS_UNSHARE, unix.CLONE_NEWUSER)},
		{"unshare-mounts", raw(unix.SYS_UNSHARE, unix.CLONE_NEWNS)},
		{"unshare-cgroup", raw(unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)},
		{"clone-user", forked(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD))},
		{"clone-mounts", forked(unix.SYS_CLONE, unix.CLONE_NEWNS|uintptr(unix.SIGCHLD))},
		{"clone3-user", forked(unix.SYS_CLONE3, ptr(&user), unsafe.Sizeof(user))},
		{"clone3-mounts", forked(unix.SYS_CLONE3, ptr(&mounts), unsafe.Sizeof(mounts))},
		{"setns-own-mounts", setns("/proc/1/ns/mnt", unix.CLONE_NEWNS)},
		{"setns-own-net", setns("/proc/1/ns/net", unix.CLONE_NEWNET)},
		{"mount", raw(unix.SYS_MOUNT, text("none"), text("/tmp"), text("tmpfs"), 0, 0)},
		{"mount-remount-proc", raw(unix.SYS_MOUNT, text("none"), text("/proc/sys"), 0, unix.MS_REMOUNT|unix.MS_BIND, 0)},
		{"mount-cgroup", raw(unix.SYS_MOUNT, text("none"), text("/tmp"), text("cgroup"), 0, text("rdma"))},
		{"umount-masked", raw(unix.SYS_UMOUNT2, text("/proc/kcore"), unix.MNT_DETACH)},
		{"pivot_root", raw(unix.SYS_PIVOT_ROOT, text("/tmp"), text("/tmp"))},
		{"open_tree", raw(unix.SYS_OPEN_TREE, uintptr(self), text(""), unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE)},
		{"fsopen", raw(unix.SYS_FSOPEN, text("tmpfs"), 0)},
		{"move_mount", raw(unix.SYS_MOVE_MOUNT, uintptr(self), text(""), uintptr(self), text("tmp"), unix.MOVE_MOUNT_F_EMPTY_PATH)},
		{"mount_setattr", raw(unix.SYS_MOUNT_SETATTR, uintptr(self), text(""), unix.AT_EMPTY_PATH, ptr(&attributes), 32)},
		{"open_by_handle_at", raw(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(self), ptr(&handle), 0)},
		{"bpf", raw(unix.SYS_BPF, 5, ptr(&attributes), 120)},
		{"perf_event_open", raw(unix.SYS_PERF_EVENT_OPEN, ptr(&attributes), 0, ^uintptr(0), ^uintptr(0), 0)},
		{"userfaultfd", raw(unix.SYS_USERFAULTFD, 0)},
		{"io_uring_setup", raw(unix.SYS_IO_URING_SETUP, 8, ptr(&attributes))},
		{"add_key", raw(unix.SYS_ADD_KEY, text("user"), text("escape"), text("x"), 1, ^uintptr(2))},
		{"request_key", raw(unix.SYS_REQUEST_KEY, text("user"), text("escape"), 0, 0)},
		{"keyctl", raw(unix.SYS_KEYCTL, 0, ^uintptr(2), 0)},
		{"keyctl-user-session", raw(unix.SYS_KEYCTL, 0, ^uintptr(4), 1)},
		{"init_module", raw(unix.SYS_INIT_MODULE, ptr(&attributes), 256, text(""))},
		{"finit_module", raw(unix.SYS_FINIT_MODULE, uintptr(self), text(""), 0)},
		{"delete_module", raw(unix.SYS_DELETE_MODULE, text("absent"), 0)},
		{"kexec_load", raw(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0)},
		{"kexec_file_load", raw(unix.SYS_KEXEC_FILE_LOAD, uintptr(self), uintptr(self), 1, text(""), 0)},
		{"iopl", raw(unix.SYS_IOPL, 3)},
		{"ioperm", raw(unix.SYS_IOPERM, 0x70, 1, 1)},
		{"reboot", raw(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_CAD_OFF, 0)},
		{"swapoff", raw(unix.SYS_SWAPOFF, text("/tmp"))},
		{"acct", raw(unix.SYS_ACCT, 0)},
		{"quotactl", raw(unix.SYS_QUOTACTL, 0x800001<<8, 0, 0, 0)},
		{"syslog", raw(unix.SYS_SYSLOG, 3, ptr(&attributes), 256)},
		{"sethostname", raw(unix.SYS_SETHOSTNAME, text("owned"), 5)},
		{"clock_settime", raw(unix.SYS_CLOCK_SETTIME, 0, ptr(&zero))},
		{"settimeofday", raw(unix.SYS_SETTIMEOFDAY, ptr(&zerov), 0)},
		{"fanotify_init", raw(unix.SYS_FANOTIFY_INIT, 0, 0)},
		{"vhangup", raw(unix.SYS_VHANGUP)},
		{"lookup_dcookie", raw(unix.SYS_LOOKUP_DCOOKIE, 0, ptr(&attributes), 256)},
		{"capset-all", raw(unix.SYS_CAPSET, ptr(&header), ptr(&all[0]))},
		{"ambient-sys-admin", raw(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, 21, 0, 0)},
		{"oom-score", func() error { return os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0) }},
		{"negative-nice", raw(unix.SYS_SETPRIORITY, 0, 0, uintptr(^uint(18)))},
		{"af-vsock", socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{"netlink-audit", func() error { return audit() }},
	}
}

func setns(path string, kind int) func() error {
	return func() error {
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Setns(fd, kind)
	}
}

func socket(family, kind, protocol int) func() error {
	return func() error {
		fd, err := unix.Socket(family, kind, protocol)
		unix.Close(fd)
		return err
	}
}

// audit asks the kernel to switch auditing off, which CAP_AUDIT_WRITE does not allow.
func audit() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	message := make([]byte, 16+44)
	message[0], message[4], message[6] = byte(len(message)), 0xe9, 5 // AUDIT_SET, request and answer
	message[5] = 3
	message[16], message[20] = 1, 0 // status mask: enabled; enabled: 0
	if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 256)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < 20 {
		return err
	}
	if code := *(*int32)(unsafe.Pointer(&answer[16])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// probe tries all calls, or those that are named.
func probe(names []string) error {
	for _, c := range calls() {
		if len(names) > 0 && !slices.Contains(names, c.name) {
			continue
		}
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and the thread ends with what it may have become
			done <- c.do()
		}()
		fmt.Println(c.name, result(<-done))
	}
	return nil
}

// writeFiles writes to what should be read-only, or hidden behind the null device.
func writeFiles(paths []string) error {
	null, err := os.Stat("/dev/null")
	if err != nil {
		return err
	}
	for _, path := range paths {
		if s, err := os.Stat(path); err == nil && os.SameFile(s, null) {
			fmt.Println(path, "EHIDDEN")
			continue
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString("1\n")
			f.Close()
		}
		fmt.Println(path, result(err))
	}
	return nil
}

// devices makes a node of every device number that /proc/partitions and the usual
// list name, and opens it.
func devices([]string) error {
	type device struct {
		name         string
		kind         uint32
		major, minor uint32
	}
	list := []device{
		{"mem", unix.S_IFCHR, 1, 1}, {"kmem", unix.S_IFCHR, 1, 2}, {"port", unix.S_IFCHR, 1, 4}, {"kmsg", unix.S_IFCHR, 1, 11},
		{"tty0", unix.S_IFCHR, 4, 0}, {"tty1", unix.S_IFCHR, 4, 1}, {"ttyS0", unix.S_IFCHR, 4, 64}, {"console", unix.S_IFCHR, 5, 1},
		{"loop-control", unix.S_IFCHR, 10, 237}, {"fuse", unix.S_IFCHR, 10, 229}, {"kvm", unix.S_IFCHR, 10, 232},
		{"tun", unix.S_IFCHR, 10, 200}, {"mapper", unix.S_IFCHR, 10, 236}, {"vhost-net", unix.S_IFCHR, 10, 238},
		{"loop0", unix.S_IFBLK, 7, 0},
	}
	partitions, _ := os.ReadFile("/proc/partitions")
	for line := range strings.Lines(string(partitions)) {
		var major, minor, blocks uint32
		var name string
		if n, _ := fmt.Sscan(line, &major, &minor, &blocks, &name); n == 4 {
			list = append(list, device{name, unix.S_IFBLK, major, minor})
		}
	}
	for _, d := range list {
		path := "/tmp/device-" + d.name
		if err := unix.Mknod(path, d.kind|0o600, int(unix.Mkdev(d.major, d.minor))); err != nil {
			fmt.Println(d.name, result(err))
			continue
		}
		err := error(nil)
		for _, mode := range []int{unix.O_RDONLY, unix.O_RDWR} {
			var fd int
			if fd, err = unix.Open(path, mode|unix.O_NONBLOCK|unix.O_NOCTTY, 0); err == nil {
				unix.Close(fd)
				break
			}
		}
		fmt.Println(d.name, result(err))
		os.Remove(path)
	}
	return nil
}
