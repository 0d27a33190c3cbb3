package monitor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/sandbox"
)

// keptInit is what pause calls the first process of a shared PID namespace.
const keptInit = "init"

// sharesPIDs: the containers have one PID namespace together, whose first process
// is podrun's.
func (m *monitor) sharesPIDs() bool {
	share := m.pod.Spec.ShareProcessNamespace
	return share != nil && *share
}

// ownPIDs: each container has a PID namespace, which the kernel empties at the end
// of its first process.
func (m *monitor) ownPIDs() bool { return !m.sharesPIDs() && !m.pod.Spec.HostPID }

// sharePIDs finds the first process of the shared namespace or starts one, and
// watches it. It lives beside pause and this monitor, in their cgroup.
func (m *monitor) sharePIDs() error {
	if !m.sharesPIDs() {
		return nil
	}
	if first := m.sharedInit(); first != nil && !first.Ended() {
		return nil // it is watched since an earlier build
	}
	first, err := m.findInit()
	if err != nil {
		return err
	}
	if first == nil {
		if err := m.enterLeaf(); err != nil {
			return err
		}
		var users *os.File
		if m.users != nil {
			users = m.users.namespace
		}
		if first, err = sandbox.StartInit(m.pauseID, users, m.store.RunDir(m.uid())); err != nil {
			return fmt.Errorf("share the process namespace: %w", err)
		}
		if err := first.Keep(m.pause, keptInit); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.init = first
	m.mu.Unlock()
	go m.watchInit(first)
	return nil
}

// sharedInit is nil without a shared namespace, and before it is made.
func (m *monitor) sharedInit() *sandbox.Init {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.init
}

// findInit returns nil where there is none, or none that lives.
func (m *monitor) findInit() (*sandbox.Init, error) {
	pidfd, err := m.pause.Take(keptInit)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	first, err := sandbox.FoundInit(pidfd)
	if errors.Is(err, os.ErrProcessDone) {
		return nil, pidfd.Close()
	}
	return first, err
}

// watchInit: its death ends all containers. It is the sandbox's death, as under a
// kubelet, where pause is this process.
func (m *monitor) watchInit(first *sandbox.Init) {
	if first.Wait() == nil && m.fate.Load() != leaving && os.Getppid() == m.pauseID {
		unix.Kill(m.pauseID, unix.SIGKILL)
	}
}

// pidNamespace is the one that a container joins: the shared one, or that of the
// container which an ephemeral one looks into. It is empty for one of its own.
func (m containers) pidNamespace(c *v1.Container) (string, error) {
	if first := m.sharedInit(); first != nil {
		return sandbox.NamespacePath(first.PID, "pid"), nil
	}
	target := m.target(c.Name)
	if target == "" || !m.ownPIDs() {
		return "", nil
	}
	a, _ := m.attachable(target)
	if a == nil {
		return "", fmt.Errorf("find the processes of container %s: it is not running", target)
	}
	return sandbox.NamespacePath(a.container.PID(), "pid"), nil
}

// target is the container whose processes an ephemeral one sees.
func (m containers) target(name string) string {
	if c := m.ephemeral(name); c != nil {
		return c.TargetContainerName
	}
	return ""
}

// endInit ends all that is left in the shared namespace.
func (m *monitor) endInit() error {
	first := m.sharedInit()
	if first == nil {
		return nil
	}
	return first.Kill()
}

// reapShared waits until the killed namespace is empty: its first process ends
// when all others are reaped, which those do that this process would leave to the
// machine's init only when that one comes round to it.
func (m *monitor) reapShared() {
	first := m.sharedInit()
	if first == nil {
		return
	}
	for deadline := time.Now().Add(killTimeout); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for pid := 1; pid > 0; pid, _ = unix.Wait4(-1, nil, unix.WNOHANG, nil) {
			if pid == first.PID {
				return
			}
		}
		if first.Ended() {
			return // an earlier monitor's child
		}
	}
}

// endRest kills what a container leaves behind in a PID namespace that is not its
// own, where it would live on (containerd, ShouldKillAllOnExit).
func (m containers) endRest(a *attempt) {
	if m.ownPIDs() && m.target(a.name) == "" {
		return
	}
	if err := sandbox.KillCgroup(sandbox.ContainerPath(m.store.Instance, m.uid(), a.id), killTimeout); err != nil {
		fmt.Fprintf(os.Stderr, "podrun: end container %s: %v\n", a.id, err)
	}
}
