package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// Where systemd is init and cgroups are v2, the tree of cgroups is systemd's, and
// it may rearrange all of it that it has not given away (systemd.io,
// CGROUP_DELEGATION): each pod is then a scope with Delegate=yes, below which
// nobody but podrun makes or changes a cgroup:
//
//	/podrun.slice/podrun-<instance>-<uid>.scope/pod       PodPath
//	/podrun.slice/podrun-<instance>-<uid>.scope/sandbox   LeafPath
//
// A scope begins with processes and ends with the last one in it. So the monitor
// has it made, around pause and itself, before anything is made below it.

const (
	sliceName     = "podrun.slice"
	systemdSocket = "/run/systemd/private" // needs no message bus
	scopeTimeout  = 10 * time.Second
	scopeGap      = time.Millisecond
)

// Suspend is the signal by which systemd ends a scope: it asks the monitor to end
// the pod in order and means nothing to most other programs.
const Suspend = unix.SIGWINCH

// Service is the unit before which pods end at a shutdown, where it is installed.
const Service = "podrun.service"

// SystemdRuns reports whether systemd is init here (sd_booted(3)).
func SystemdRuns() bool {
	dir, err := os.Lstat("/run/systemd/system")
	return err == nil && dir.IsDir()
}

// Delegated reports whether a pod's cgroups are below a unit of systemd's.
var Delegated = sync.OnceValue(func() bool {
	if !cgroups.IsCgroup2UnifiedMode() || !SystemdRuns() {
		return false
	}
	socket, err := os.Stat(systemdSocket)
	return err == nil && socket.Mode()&os.ModeSocket != 0
})

func scopeName(instance, uid string) string { return "podrun-" + instance + "-" + uid + ".scope" }

func scopePath(instance, uid string) string {
	return filepath.Join("/"+sliceName, scopeName(instance, uid))
}

// Scope is a pod's unit, as systemd and its users see it.
type Scope struct {
	Instance, UID string
	Description   string
	Pause         int           // its pid
	Stop          time.Duration // how long the pod may take to end
}

// Enter moves pause and the calling monitor into the cgroup at LeafPath, where
// they are not there yet, and on systemd makes the pod's scope for it.
func (s Scope) Enter() error {
	leaf := LeafPath(s.Instance, s.UID)
	if !Delegated() {
		return JoinLeaf(leaf)
	}
	defer step.Change("make scope")()
	own, err := ownGroup()
	if err != nil || own == leaf {
		return err
	}
	if own != scopePath(s.Instance, s.UID) {
		if err := s.start(); err != nil {
			return fmt.Errorf("make unit %s: %w", scopeName(s.Instance, s.UID), err)
		}
	}
	dir := filepath.Join("/sys/fs/cgroup", leaf)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	for _, pid := range []int{s.Pause, os.Getpid()} {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("join cgroup %s: %w", leaf, err)
		}
	}
	return nil
}

func ownGroup() (string, error) {
	own, err := cgroups.ParseCgroupFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("find own cgroup: %w", err)
	}
	return own[""], nil
}

// start returns when this process is in the scope. An earlier one of its name may
// be on its way out.
func (s Scope) start() error {
	bus, err := dialSystemd()
	if err != nil {
		return err
	}
	defer bus.Close()
	deadline := time.Now().Add(scopeTimeout)
	for {
		err := bus.call("StartTransientUnit", scopeName(s.Instance, s.UID), "fail", s.properties(), []auxiliary{})
		if err == nil {
			break
		}
		if e, ok := errors.AsType[dbus.Error](err); !ok || e.Name != "org.freedesktop.systemd1.UnitExists" || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * scopeGap)
	}
	for {
		own, err := ownGroup()
		if err != nil || own == scopePath(s.Instance, s.UID) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("systemd has not moved the pod into it within %v: see 'journalctl -b _PID=1'", scopeTimeout)
		}
		time.Sleep(scopeGap)
	}
}

// property and auxiliary are of the types a(sv) and a(sa(sv)) of StartTransientUnit.
type property struct {
	Name  string
	Value dbus.Variant
}

type auxiliary struct {
	Name       string
	Properties []property
}

func (s Scope) properties() []property {
	var list []property
	for _, p := range []struct {
		name  string
		value any
	}{
		{"Description", s.Description},
		{"Slice", sliceName},
		{"PIDs", []uint32{uint32(s.Pause), uint32(os.Getpid())}},
		{"Delegate", true},
		{"TasksMax", uint64(math.MaxUint64)}, // the pod has its own limit
		{"Before", []string{Service}},        // so it ends after it
		{"KillSignal", int32(Suspend)},
		{"TimeoutStopUSec", uint64(s.Stop / time.Microsecond)},
		{"CollectMode", "inactive-or-failed"},
	} {
		list = append(list, property{p.name, dbus.MakeVariant(p.value)})
	}
	return list
}

// systemd is a line to the service manager.
type systemd struct{ *dbus.Conn }

func dialSystemd() (systemd, error) {
	conn, err := dbus.Dial("unix:path=" + systemdSocket)
	if err != nil {
		return systemd{}, fmt.Errorf("reach systemd: %w", err)
	}
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		return systemd{}, errors.Join(fmt.Errorf("reach systemd: %w", err), conn.Close())
	}
	return systemd{conn}, nil
}

func (s systemd) call(method string, args ...any) error {
	manager := s.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	return manager.Call("org.freedesktop.systemd1.Manager."+method, 0, args...).Err
}

// scopeEnd is how long systemd has to see by itself that a scope is empty.
const scopeEnd = 500 * time.Millisecond

// removeScope waits until systemd has removed the pod's scope, all of whose
// processes have ended. Were its directory removed here, systemd could miss the
// end of the unit.
func removeScope(instance, uid string) error {
	dir := filepath.Join("/sys/fs/cgroup", scopePath(instance, uid))
	asked := false
	for deadline := time.Now().Add(scopeEnd); ; time.Sleep(scopeGap) {
		if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if time.Now().Before(deadline) {
			continue
		}
		if asked {
			return fmt.Errorf("remove unit %s: systemd has kept it for %v: see 'systemctl status %[1]s'", scopeName(instance, uid), scopeTimeout)
		}
		asked, deadline = true, time.Now().Add(scopeTimeout)
		if err := stopScope(instance, uid); err != nil {
			return fmt.Errorf("remove unit %s: %w", scopeName(instance, uid), err)
		}
	}
}

func stopScope(instance, uid string) error {
	bus, err := dialSystemd()
	if err != nil {
		return err
	}
	defer bus.Close()
	err = bus.call("StopUnit", scopeName(instance, uid), "replace")
	if e, ok := errors.AsType[dbus.Error](err); ok && e.Name == "org.freedesktop.systemd1.NoSuchUnit" {
		// Nobody's any more: a directory that an ended unit has left.
		return RemoveCgroup(scopePath(instance, uid))
	}
	return err
}
