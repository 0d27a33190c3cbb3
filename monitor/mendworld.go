package monitor

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"podrun/netns"
	"podrun/runtime"
	"podrun/sandbox"
	"podrun/step"
	"podrun/volumes"
)

// mendNetwork makes rules, link, routes and sysctls of the machine again.
func (g *mender) mendNetwork(ctx context.Context) ([]string, error) {
	if g.pod.Spec.HostNetwork {
		return nil, nil
	}
	a, err := g.attachment()
	if err != nil {
		return nil, err
	}
	if !g.watching { // before the look: nothing is missed in between
		g.watching = true
		if err := g.host.Watch(ctx, a, g.wakeUp); err != nil {
			g.deaf = true
			fmt.Fprintf(os.Stderr, "podrun: %v; it is looked at once in %v\n", err, mendPeriod)
		}
	}
	missing, err := g.host.Missing(a)
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	defer step.Change("mend network")()
	anew, err := g.host.Mend(a)
	if err == nil && anew {
		err = g.setSysctls()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(missing, ", "), err)
	}
	return missing, nil
}

// attachment is the pod's, as connect makes it.
func (m *monitor) attachment() (netns.Attachment, error) {
	bandwidth, err := bandwidthOf(m.pod)
	return netns.Attachment{
		UID: m.uid(), Bandwidth: bandwidth, NetNS: sandbox.NamespacePath(m.pauseID, "net"),
		Addr: m.address.v4, Addr6: m.address.v6, Ports: hostPorts(&m.pod.Spec, m.address.v6.IsValid()),
	}, err
}

// mendMounts mounts again what the containers to come need of the pod's mount
// namespace. Those that run have mounts of their own.
func (g *mender) mendMounts(context.Context) ([]string, error) {
	if g.unbuilt || g.unmounted || g.volumes == nil {
		return nil, nil // who mounts mounts it all
	}
	var all mended
	if g.users != nil {
		if _, err := os.Lstat(g.users.stage); err != nil {
			// The next container would be prepared on the machine's own directory.
			all.again("the mount of "+g.users.stage, true, g.makeStage())
		}
	}
	lost, err := g.lostMounts()
	if err != nil {
		return nil, err
	}
	for _, v := range lost {
		what := "the mount of volume " + v.Name
		if !g.mountFromContainer(g.devices[v.Name], v.Path) {
			what += " (with nothing of what was in it: restart the containers that use it)"
		}
		all.again(what, true, nil)
	}
	if len(lost) > 0 {
		defer step.Change("mount volumes again")()
		if _, _, err := g.mountAll(); err != nil { // finds what was mounted just now
			return nil, err
		}
	}
	return all.result()
}

// lostMounts are those of volumes and of /dev/shm that are missing. It notes the
// devices of the others.
func (g *mender) lostMounts() (lost []volumes.Mounted, err error) {
	list, err := g.volumes.Mounted()
	if err != nil {
		return nil, err
	}
	if !g.pod.Spec.HostIPC {
		list = append(list, volumes.Mounted{Name: "/dev/shm", Path: g.shm, Lost: !volumes.IsMounted(g.shm)})
	}
	for _, v := range list {
		if v.Lost {
			lost = append(lost, v)
		} else {
			g.devices[v.Name] = deviceOf(v.Path)
		}
	}
	return lost, nil
}

func deviceOf(path string) uint64 {
	var stat unix.Stat_t
	if unix.Lstat(path, &stat) != nil {
		return 0
	}
	return stat.Dev
}

// mountFromContainer mounts a file system again that a container still has: it
// holds what was written there. Ids that are mapped for a pod's users would be
// mapped twice.
func (g *mender) mountFromContainer(device uint64, target string) bool {
	if device == 0 || g.users != nil {
		return false
	}
	for _, a := range g.running() {
		tree := treeOf(a.container.PID(), device)
		if tree < 0 {
			continue
		}
		defer unix.Close(tree)
		// The container's mount may be read-only, by its volumeMount.
		unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE})
		if unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH) == nil {
			return true
		}
	}
	return false
}

// treeOf returns a copy of the mount of a device's whole file system in the mount
// namespace of a process, or -1. What the container has under the name
// meanwhile is told by the device.
func treeOf(pid int, device uint64) int {
	mounts, err := wholeMounts(pid, device)
	if err != nil {
		return -1
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return -1
	}
	defer ns.Close()
	tree := -1
	for _, m := range mounts {
		sandbox.InMounts(ns, func() (err error) {
			tree, err = unix.OpenTree(unix.AT_FDCWD, m.Mountpoint, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
			return err
		})
		var stat unix.Stat_t
		if tree >= 0 && unix.Fstat(tree, &stat) == nil && stat.Dev == device {
			return tree
		}
		if tree >= 0 {
			unix.Close(tree)
			tree = -1
		}
	}
	return -1
}

// wholeMounts are the mounts of a device's whole file system that a process has.
func wholeMounts(pid int, device uint64) ([]*mountinfo.Info, error) {
	table, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return nil, err
	}
	defer table.Close()
	return mountinfo.GetMountsFromReader(table, func(m *mountinfo.Info) (skip, stop bool) {
		return m.Major != int(unix.Major(device)) || m.Minor != int(unix.Minor(device)) || m.Root != "/", false
	})
}

// mendCgroup makes the pod's cgroup again where somebody has removed it while no
// container was in it: the next one would be without the pod's limits.
func (g *mender) mendCgroup(context.Context) ([]string, error) {
	path := sandbox.PodPath(g.store.Instance, g.uid())
	now := sandbox.CountCgroup(path)
	if now >= g.groups {
		g.groups = now
		return nil, nil
	}
	r := runtime.PodResources(g.current())
	if err := g.limitPIDs(r); err != nil {
		return nil, err
	}
	if _, err := sandbox.NewCgroup(path, r); err != nil {
		return nil, err
	}
	return []string{"the pod's cgroup"}, nil
}

// watchMounts tells of every change of the mount table of the pod's mount namespace,
// until ctx ends: the kernel wakes those who poll it (proc_pid_mountinfo(5)).
func (g *mender) watchMounts(ctx context.Context) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		g.deaf = true
		return
	}
	context.AfterFunc(ctx, func() { table.Close() })
	raw, err := table.SyscallConn()
	if err != nil {
		g.deaf = true
		return
	}
	go raw.Read(func(uintptr) bool { // until it is closed
		ask(g.remount)
		return false
	})
}
