package monitor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/logs"
	"podrun/manifest"
	"podrun/pod"
	"podrun/runtime"
	"podrun/sandbox"
	"podrun/state"
)

// containers is the monitor as the pod's life sees it: its [pod.Runtime], and
// what that takes. It has no state of its own.
type containers struct{ *monitor }

// attempt is one container as the monitor has it in hand.
type attempt struct {
	id         string // of the container in its state directory: <name>.<attempt>
	name       string
	number     int
	slot       int // of its output position
	stopSignal unix.Signal
	container  *runtime.Container
	output     *output
	watch      *runtime.Watch
	startErr   error         // the command cannot be executed: the kubelet's StartError
	beginning  chan struct{} // holds a token while a command is being started in it
	exited     chan struct{} // closed when its exit has been told, if there is a watch
	over       bool          // its first process has ended; guarded by the monitor's mutex
	closing    sync.Once
	ending     bool // it has been told to end; guarded by the monitor's mutex
}

// ID is what a container is called in its pod's state directory.
func ID(container string, number int) string { return container + "." + strconv.Itoa(number) }

// StateDir holds libcontainer's state of a pod's containers.
func StateDir(s *state.Store, uid string) string { return filepath.Join(s.RunDir(uid), "containers") }

func (m *monitor) stateDir() string { return StateDir(m.store, m.uid()) }

// rootDir holds an attempt's root file system and its writable layer.
func (m containers) rootDir(id string) string {
	return filepath.Join(RootsDir(m.store, m.uid()), id)
}

// containerID is unique on all machines, as the API asks.
func (m containers) containerID(id string) string {
	sum := sha256.Sum256([]byte(m.uid() + "/" + id))
	return "podrun://" + hex.EncodeToString(sum[:])
}

func (m containers) find(container string, number int) *attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.attempts[ID(container, number)]
}

func (m containers) newAttempt(container string, number int) *attempt {
	a := &attempt{id: ID(container, number), name: container, number: number, beginning: make(chan struct{}, 1), exited: make(chan struct{})}
	for i, c := range m.specs() {
		if c.Name == container {
			a.slot = i
		}
	}
	return a
}

// specs are all containers of the pod, in an order that does not change.
func (m containers) specs() []*v1.Container {
	var all []*v1.Container
	for _, list := range [][]v1.Container{m.pod.Spec.InitContainers, m.pod.Spec.Containers} {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	added := m.current().Spec.EphemeralContainers
	for i := range added {
		all = append(all, (*v1.Container)(&added[i].EphemeralContainerCommon))
	}
	return all
}

// spec finds a container of the pod; nil if there is none.
func (m containers) spec(name string) *v1.Container {
	for _, c := range m.specs() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Create prepares an attempt; see [pod.Runtime].
func (m containers) Create(ctx context.Context, c *v1.Container, number int) error {
	return m.blame(ctx, m.create(ctx, c, number))
}

// deathGap is how much later the death of pause shows than its closed socket.
const deathGap = 20 * time.Millisecond

// blame passes on an error, unless the death of pause has caused it: then the
// container is not to blame, and watchPause is about to end this monitor.
func (m containers) blame(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	time.Sleep(deathGap)
	if os.Getppid() == m.pauseID {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (m containers) create(ctx context.Context, c *v1.Container, number int) error {
	a := m.newAttempt(c.Name, number)
	spec, err := m.prepare(c, a)
	if err != nil {
		return configFailure(err)
	}
	// As the kubelet, which keeps one dead container of each.
	if err := logs.Prune(m.logPath(c.Name), number-1); err != nil {
		return err
	}
	out, ends, err := m.newOutput(a, c)
	if err != nil {
		return err
	}
	a.output = out
	if err := m.enteredScope(); err != nil {
		ends.Close()
		return errors.Join(err, out.drop())
	}
	a.container, err = runtime.Create(m.stateDir(), spec, ends)
	ends.Close()
	err = m.suspectImage(c, err)
	if m.hasStarted() && (errors.Is(err, runtime.ErrCommandNotFound) || errors.Is(err, runtime.ErrNotExecutable)) {
		// The kubelet hears of it at the start. Before any has started, it is a pod
		// that cannot be made.
		a.startErr = err
		m.add(a)
		return nil
	}
	if err != nil {
		return errors.Join(configFailure(err), out.drop())
	}
	if console := a.container.Console; console != nil {
		err = out.show(console, c.Stdin)
	}
	if err == nil {
		a.watch, err = a.container.NewWatch()
	}
	if err != nil {
		return errors.Join(err, a.container.Destroy(), out.drop())
	}
	m.add(a)
	go m.tellExit(a)
	return ctx.Err()
}

// suspectImage adds to what went wrong with the making of a container that its image
// is damaged, if that can be seen.
func (m containers) suspectImage(c *v1.Container, err error) error {
	if err == nil {
		return nil
	}
	img, missing := m.images.Get(c.Image)
	if missing != nil {
		return err
	}
	if lost := img.Lost(); lost != "" {
		return fmt.Errorf("%w (%s)", err, lost)
	}
	return err
}

func (m containers) hasStarted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.started
}

func (m containers) add(a *attempt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attempts[a.id] = a
}

func configFailure(err error) error {
	var config *runtime.ConfigError
	if errors.As(err, &config) {
		return &pod.Failure{Reason: "CreateContainerConfigError", Message: config.Text, Err: err}
	}
	return err
}

// prepare mounts what the container needs and collects its spec.
func (m containers) prepare(c *v1.Container, a *attempt) (*runtime.Spec, error) {
	if err := m.rebuild(); err != nil {
		return nil, err
	}
	if err := m.mountMissing(); err != nil {
		return nil, err
	}
	img, err := m.images.Get(c.Image)
	if err != nil {
		return nil, fmt.Errorf("find image %s: %w", c.Image, err)
	}
	a.stopSignal = stopSignal(c, img)
	if err := m.mountRoot(img, a.id); err != nil {
		return nil, fmt.Errorf("mount image %s: %w", c.Image, err)
	}
	objects, err := m.references()
	if err != nil {
		return nil, err
	}
	env, err := manifest.Environment(manifest.EnvSource{
		Pod: m.current(), Container: c, References: objects, Allocatable: m.allocatable, File: m.volumes.OpenFile,
	})
	if err != nil {
		// Of a valid manifest: an object, a key or a file that is not there yet, or
		// else a container that never will be.
		return nil, &pod.Failure{Reason: "CreateContainerConfigError", Err: err, Waits: manifest.Changeable(c)}
	}
	binds, err := m.binds(c, a.id, img, env)
	if err != nil {
		return nil, err
	}
	pids, err := m.pidNamespace(c)
	if err != nil {
		return nil, err
	}
	return &runtime.Spec{
		ID: a.id, Pod: m.current(), Container: c,
		Image: runtime.Image{
			Entrypoint: img.Config.Entrypoint, Cmd: img.Config.Cmd, Env: img.Config.Env,
			WorkingDir: img.Config.WorkingDir, User: img.Config.User,
		},
		Rootfs: m.rootfs(a.id), Users: m.runtimeUsers(), Hostname: hostname(m.pod), Env: env,
		Command: manifest.Expand(c.Command, env), Args: manifest.Expand(c.Args, env),
		Binds: binds, Shm: m.shm, PausePID: m.pauseID, PIDs: pids,
		Cgroup:      sandbox.ContainerPath(m.store.Instance, m.uid(), a.id),
		SeccompDirs: m.seccompDirs(),
		OOMScore:    runtime.OOMScore(m.pod.Status.QOSClass, m.current(), c, machineMemory()),
	}, nil
}

// kubeletSeccomp is where a kubelet looks for the profiles of the machine.
const kubeletSeccomp = "/var/lib/kubelet/seccomp"

// seccompDirs hold the files that localhostProfile names: podrun's own, then those
// of a kubelet on the same machine.
func (m containers) seccompDirs() []string {
	return []string{filepath.Join(m.store.Root, "seccomp"), kubeletSeccomp}
}

// releaseName is the name by which pause holds what releases a container.
func releaseName(id string) string { return id + "/release" }

// Start releases a prepared attempt; see [pod.Runtime].
func (m containers) Start(ctx context.Context, container string, number int) (string, time.Time, error) {
	id, at, err := m.start(container, number)
	return id, at, m.blame(ctx, err)
}

func (m containers) start(container string, number int) (string, time.Time, error) {
	a := m.find(container, number)
	if a == nil {
		return "", time.Time{}, fmt.Errorf("start container %s: it is gone", container)
	}
	if err := m.settled(); err != nil {
		return "", time.Time{}, err
	}
	if a.startErr != nil {
		return "", time.Time{}, a.startErr
	}
	at, err := a.container.Start(func(fifo *os.File) error { return m.pause.Hold(releaseName(a.id), fifo) })
	return m.containerID(a.id), at, err
}

// User is who a container runs as; see [pod.Runtime].
func (m containers) User(container string, number int) *v1.ContainerUser {
	a := m.find(container, number)
	if a == nil || a.container == nil {
		return nil
	}
	id, err := a.container.Identity()
	if err != nil {
		return nil
	}
	user := &v1.LinuxContainerUser{UID: int64(id.UID), GID: int64(id.GID)}
	for _, g := range id.Groups {
		user.SupplementalGroups = append(user.SupplementalGroups, int64(g))
	}
	return &v1.ContainerUser{Linux: user}
}

// tellExit waits for the end of an attempt and tells the pod's life. The
// zombie is left until Remove, which comes after the exit is on disk.
func (m containers) tellExit(a *attempt) {
	defer close(a.exited)
	if err := a.watch.Wait(); err != nil {
		return // closed: this monitor is going away
	}
	at := time.Now()
	m.mu.Lock()
	a.over = true
	m.mu.Unlock()
	m.departEarly()
	m.endRest(a)
	// All of its processes are gone with the first, so its output ends; waiting
	// for it means that the last lines are there when the exit is seen.
	select {
	case <-a.output.ended:
	case <-time.After(drainTimeout):
	}
	exit, err := m.exitOf(a, at)
	if err != nil {
		exit = pod.Exit{Code: 137, Reason: "ContainerStatusUnknown", Message: "The container's exit code is not known: " + err.Error(), At: at}
	}
	m.life.Exited(a.name, a.number, exit)
}

// drainTimeout bounds the wait for the last output of a container: its log may
// be on a full disk.
const drainTimeout = 2 * time.Second

func (m containers) exitOf(a *attempt, at time.Time) (pod.Exit, error) {
	exit := pod.Exit{At: at}
	status, err := a.watch.Peek()
	if errors.Is(err, runtime.ErrNotChild) {
		var e sandbox.Exited
		if e, err = m.ledgerEntry(a); err == nil {
			status, exit.At = runtime.Exit{Code: e.Code, Signal: e.Signal}, e.At
		}
	}
	if err != nil {
		return exit, err
	}
	exit.Code, exit.Signal = status.Code, status.Signal
	exit.OOMKilled = a.container.OOMKills() > 0 // of any of its processes, as containerd
	exit.Message = m.terminationMessage(a, status)
	return exit, nil
}

// ledgerEntry finds what pause reaped. Pause may be a moment behind the kernel.
func (m containers) ledgerEntry(a *attempt) (sandbox.Exited, error) {
	start, err := a.container.StartTime()
	if err != nil {
		return sandbox.Exited{}, err
	}
	for range 200 {
		exits, err := m.pause.Exits()
		if err != nil {
			return sandbox.Exited{}, err
		}
		for _, e := range exits {
			if e.Pid == a.container.PID() && e.StartTime == start {
				return e, nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return sandbox.Exited{}, fmt.Errorf("pause did not see process %d end", a.container.PID())
}

// close lets go of an attempt that goes on without this monitor.
func (a *attempt) close() {
	a.closing.Do(func() {
		if a.watch != nil {
			a.watch.Close()
		}
		a.output.close()
	})
}
