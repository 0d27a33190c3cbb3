package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"podrun/thread"
)

// Users is the user namespace of a pod that has one of its own (hostUsers: false).
type Users struct {
	Namespace string // where it can be joined
	First     int    // the machine's id that is root there
	Count     int
}

// useUsers puts the container into the pod's user namespace. The files of its
// binds show the ids that they have on the machine, as the container's: what root
// of the container owns belongs to root on the disk (kubelet, which asks for
// id-mapped mounts).
func (s *Spec) useUsers(config *configs.Config) {
	if s.Users == nil {
		return
	}
	config.Namespaces = append(config.Namespaces, configs.Namespace{Type: configs.NEWUSER, Path: s.Users.Namespace})
	ids := []configs.IDMap{{ContainerID: 0, HostID: int64(s.Users.First), Size: int64(s.Users.Count)}}
	config.UIDMappings, config.GIDMappings = ids, ids
	unmapped := map[string]bool{"/dev/shm": true} // a tmpfs that was made with the pod's ids
	for _, b := range s.Binds {
		unmapped[b.Destination] = b.Unmapped
	}
	for _, m := range config.Mounts {
		if m.IsBind() && !unmapped[m.Destination] {
			m.IDMapping = &configs.MountIDMapping{UserNSPath: s.Users.Namespace}
		}
	}
}

// checkUsers refuses a user who is not in the pod's user namespace.
func (s *Spec) checkUsers(id Identity) error {
	if s.Users == nil {
		return nil
	}
	for _, n := range append([]int{id.UID, id.GID}, id.Groups...) {
		if n >= s.Users.Count {
			return &ConfigError{fmt.Sprintf("user or group %d is beyond the %d ids of a pod with hostUsers: false", n, s.Users.Count)}
		}
	}
	return nil
}

// ownStreams gives the pipes to root of the container's user namespace, who hands
// them on to the container's user: a program may open /dev/stdout anew.
func (c *Container) ownStreams(s Streams) error {
	config := c.lc.Config()
	root, err := config.HostRootUID()
	if err != nil || root == 0 {
		return err
	}
	var errs []error
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f == nil {
			continue
		}
		if info, err := f.Stat(); err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0 {
			errs = append(errs, f.Chown(root, root))
		}
	}
	return errors.Join(errs...)
}

// whereRootIs calls f, which starts a process of the container, where the path of
// its root file system exists: libcontainer starts it there, before it enters the
// container. Outside of the pod's mount namespace that of a pod with users of its
// own does not.
func (c *Container) whereRootIs(f func() error) error {
	rootfs := c.lc.Config().Rootfs
	if _, err := os.Stat(rootfs); err == nil {
		return f()
	}
	return thread.Run(func() error {
		if err := standIn(rootfs); err != nil {
			return fmt.Errorf("make a place for the root file system: %w", err)
		}
		return f()
	})
}

// standIn makes an empty directory of that path in a mount namespace of the
// calling thread's own.
func standIn(path string) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return &os.PathError{Op: "make private", Path: "/", Err: err}
	}
	there := filepath.Dir(path)
	for there != "/" {
		if info, err := os.Stat(there); err == nil && info.IsDir() {
			break
		}
		there = filepath.Dir(there)
	}
	if there == "/" {
		return &os.PathError{Op: "find", Path: path, Err: os.ErrNotExist}
	}
	if err := unix.Mount("podrun", there, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m,mode=755"); err != nil {
		return &os.PathError{Op: "mount tmpfs", Path: there, Err: err}
	}
	return os.MkdirAll(path, 0o755)
}
