package pod

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"podrun/probe"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// machine is a Runtime and Prober without processes: it keeps what exists, logs
// what it is asked, and complains about what no caller may do. The tests run in
// a synctest bubble, so that its time is fake and every step deterministic.
type machine struct {
	mutex   sync.Mutex
	life    *Life
	log     []string
	events  []string
	saves   []Checkpoint
	wrong   []string       // broken rules
	exists  map[string]int // container -> attempt that is created
	alive   map[string]int // container -> attempt whose process lives
	running map[string]int // container -> attempt that is released
	delay   map[string]time.Duration
	fail    map[string]error                                // "create web" -> error, once per entry
	always  map[string]error                                // the same, every time
	deaf    map[string]bool                                 // ignores SIGTERM
	ends    map[string]Exit                                 // it has ended before Start is answered
	onTerm  map[string]Exit                                 // how it ends on SIGTERM; default 143
	probes  map[string]func() (probe.Result, string, error) // by container or address
	pulled  bool
}

func newMachine() *machine {
	return &machine{
		exists: map[string]int{}, alive: map[string]int{}, running: map[string]int{}, delay: map[string]time.Duration{},
		fail: map[string]error{}, always: map[string]error{}, deaf: map[string]bool{},
		onTerm: map[string]Exit{}, ends: map[string]Exit{}, probes: map[string]func() (probe.Result, string, error){},
	}
}

// step logs a request, waits as long as it was told it takes, and fails it if it
// was told to.
func (m *machine) step(ctx context.Context, verb, name string, attempt int) error {
	key := verb + " " + name
	m.mutex.Lock()
	m.log = append(m.log, fmt.Sprintf("%s %d", key, attempt))
	delay, err := m.delay[key], m.fail[key]
	delete(m.fail, key)
	if err == nil {
		err = m.always[key]
	}
	m.mutex.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (m *machine) Image(ctx context.Context, c *v1.Container, pulling func()) (ImageStatus, error) {
	if m.pulled {
		pulling()
	}
	if err := m.step(ctx, "image", c.Name, 0); err != nil {
		return ImageStatus{}, err
	}
	return ImageStatus{ID: "sha256:" + c.Image, Ref: "docker.io/library/" + c.Image, Pulled: m.pulled, Took: 1234567 * time.Microsecond, Size: 4096}, nil
}

func (m *machine) Create(ctx context.Context, c *v1.Container, attempt int) error {
	if err := m.step(ctx, "create", c.Name, attempt); err != nil {
		return err
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if old, found := m.exists[c.Name]; found {
		m.wrong = append(m.wrong, fmt.Sprintf("create %s %d beside attempt %d", c.Name, attempt, old))
	}
	m.exists[c.Name], m.alive[c.Name] = attempt, attempt
	return nil
}

func (m *machine) Start(ctx context.Context, name string, attempt int) (string, time.Time, error) {
	if err := m.step(ctx, "start", name, attempt); err != nil {
		return "", time.Time{}, err
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if have, found := m.exists[name]; !found || have != attempt {
		m.wrong = append(m.wrong, fmt.Sprintf("start %s %d, which does not exist", name, attempt))
	}
	if e, found := m.ends[name]; found {
		delete(m.ends, name)
		delete(m.alive, name)
		go m.life.Exited(name, attempt, e)
		m.mutex.Unlock()
		time.Sleep(time.Second)
		m.mutex.Lock()
	} else {
		m.running[name] = attempt
	}
	return fmt.Sprintf("podrun://%s-%d", name, attempt), time.Now(), nil
}

func (m *machine) User(string, int) *v1.ContainerUser {
	return &v1.ContainerUser{Linux: &v1.LinuxContainerUser{UID: 1000, GID: 7, SupplementalGroups: []int64{7}}}
}

func (m *machine) Terminate(name string, attempt int) error {
	if err := m.step(context.Background(), "terminate", name, attempt); err != nil {
		return err
	}
	m.mutex.Lock()
	deaf := m.deaf[name]
	e, told := m.onTerm[name]
	m.mutex.Unlock()
	if !told {
		e = Exit{Signal: 15}
	}
	if !deaf {
		m.exitLater(name, e)
	}
	return nil
}

func (m *machine) Kill(name string, attempt int) error {
	if err := m.step(context.Background(), "kill", name, attempt); err != nil {
		return err
	}
	m.exitLater(name, Exit{Signal: 9})
	return nil
}

// exitLater ends a running container beside its caller, as a kernel does.
func (m *machine) exitLater(name string, e Exit) {
	m.mutex.Lock()
	attempt, found := m.running[name]
	delete(m.running, name)
	if found {
		delete(m.alive, name)
	}
	life := m.life
	m.mutex.Unlock()
	if found {
		go life.Exited(name, attempt, e)
	}
}

func (m *machine) Remove(name string, attempt int) error {
	if err := m.step(context.Background(), "remove", name, attempt); err != nil {
		return err
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if _, found := m.running[name]; found {
		m.wrong = append(m.wrong, fmt.Sprintf("remove %s %d, which runs", name, attempt))
	}
	delete(m.exists, name)
	delete(m.alive, name)
	return nil
}

func (m *machine) Resize(ctx context.Context, r Resizing) error {
	for name, attempt := range r.Attempts {
		if m.running[name] != attempt {
			m.wrong = append(m.wrong, fmt.Sprintf("resize %s %d, which does not run", name, attempt))
		}
	}
	return m.step(ctx, "resize", strings.Join(slices.Sorted(maps.Keys(r.Attempts)), "+"), 0)
}

func (m *machine) probe(key string) (probe.Result, string, error) {
	m.mutex.Lock()
	m.log = append(m.log, "probe "+key)
	f := m.probes[key]
	m.mutex.Unlock()
	if f == nil {
		return probe.Success, "", nil
	}
	return f()
}

func (m *machine) Exec(ctx context.Context, name string, _ int, argv []string) (ExecResult, error) {
	result, detail, err := m.probe(name + " " + argv[0])
	if err != nil {
		return ExecResult{}, err
	}
	code := 0
	if result == probe.Failure {
		code = 1
	}
	return ExecResult{Code: code, Output: []byte(detail)}, nil
}

func (m *machine) HTTP(_ context.Context, t probe.HTTPTarget) (probe.Result, string, error) {
	return m.probe(fmt.Sprintf("%s:%d%s", t.Host, t.Port, t.Path))
}

func (m *machine) TCP(_ context.Context, t probe.TCPTarget) (probe.Result, string, error) {
	return m.probe(t.Address)
}

func (m *machine) GRPC(_ context.Context, t probe.GRPCTarget) (probe.Result, string, error) {
	return m.probe(t.Address + "/" + t.Service)
}

func (m *machine) Hook(ctx context.Context, t probe.HTTPTarget) error {
	_, _, err := m.probe(fmt.Sprintf("%s:%d%s", t.Host, t.Port, t.Path))
	return err
}

// set changes what the machine does while the pod lives.
func (m *machine) set(change func()) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	change()
}

func (m *machine) took() []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	log := m.log
	m.log = nil
	return log
}

func (m *machine) told() []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return slices.Clone(m.events)
}

func (m *machine) saveCount() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return len(m.saves)
}

func (m *machine) save(n int) Checkpoint {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.saves[n]
}

func (m *machine) lastSave() Checkpoint { return m.save(m.saveCount() - 1) }

// test is one pod's life in a bubble.
type test struct {
	*testing.T
	*machine
	pod     *v1.Pod
	sandbox string
	cancel  context.CancelFunc
	done    chan struct{}
	outcome Outcome
	err     error
}

// bubble runs f in a synctest bubble, which fails if a goroutine is left, and
// checks that the machine was not misused.
func bubble(t *testing.T, pod *v1.Pod, f func(*test)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &test{T: t, machine: newMachine(), pod: pod}
		defer func() { // also after a Fatal, which the bubble would hide otherwise
			if l.cancel != nil {
				l.cancel()
				<-l.done
			}
			for _, w := range l.wrong {
				t.Error(w)
			}
		}()
		f(l)
	})
}

// begin starts the pod's life, or goes on with it from a checkpoint.
func (l *test) begin(from *Checkpoint) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.done = cancel, make(chan struct{})
	l.life = New(Config{
		Pod: l.pod, Checkpoint: from, Alive: maps.Clone(l.alive), Runtime: l.machine, Prober: l.machine,
		Save: func(p Checkpoint) { l.set(func() { l.saves = append(l.saves, p) }) },
		Event: func(e Event) {
			l.set(func() { l.events = append(l.events, e.Type+" "+e.Reason+" "+e.Object+" "+e.Message) })
		},
		HostIP: "192.0.2.1", PodIP: "10.244.0.2", Sandbox: l.sandbox,
	})
	go func() {
		defer close(l.done)
		l.outcome, l.err = l.life.Run(ctx)
	}()
	synctest.Wait()
}

// die kills the monitor, and with a sandbox of another name all that was in the
// old one; the next monitor is told of the ends that it owes.
func (l *test) die(sandbox string) {
	from := l.lastSave()
	l.cancel()
	<-l.done
	if sandbox != l.sandbox {
		l.sandbox = sandbox
		clear(l.alive)
		clear(l.running)
	}
	owed := from.Owed(l.alive)
	l.begin(&from)
	for name, attempt := range owed {
		l.mutex.Lock()
		delete(l.running, name)
		l.mutex.Unlock()
		l.life.Exited(name, attempt, Exit{Code: 137, Reason: "ContainerStatusUnknown"})
	}
	synctest.Wait()
}

// sleep lets the machine go on. What the test has read so far comes before that,
// also for the race detector.
func (l *test) sleep(d time.Duration) {
	l.mutex.Lock()
	//lint:ignore SA2001 it orders, and guards nothing
	l.mutex.Unlock()
	time.Sleep(d)
	synctest.Wait()
}

func (l *test) exit(name string, e Exit) {
	l.exitLater(name, e)
	synctest.Wait()
}

func (l *test) wait() (Outcome, error) {
	<-l.done
	return l.outcome, l.err
}

func (l *test) status(name string) v1.ContainerStatus {
	l.Helper()
	st := l.life.Status()
	for _, cs := range slices.Concat(st.InitContainerStatuses, st.ContainerStatuses, st.EphemeralContainerStatuses) {
		if cs.Name == name {
			return cs
		}
	}
	l.Fatalf("no status of container %s", name)
	return v1.ContainerStatus{}
}

func (l *test) wantLog(want ...string) {
	l.Helper()
	if got := l.took(); !slices.Equal(got, want) {
		l.Errorf("asked of the runtime:\n got %q\nwant %q", got, want)
	}
}

func (l *test) wantPhase(want v1.PodPhase) {
	l.Helper()
	if got := l.life.Status().Phase; got != want {
		l.Errorf("phase: got %s, want %s", got, want)
	}
}

// wantState compares a state as "waiting Reason", "running" or "terminated
// Reason code", with the restart count.
func (l *test) wantState(name, want string, restarts int32) {
	l.Helper()
	cs := l.status(name)
	if got := describe(cs.State); got != want || cs.RestartCount != restarts {
		l.Errorf("%s: got %s after %d restarts, want %s after %d", name, got, cs.RestartCount, want, restarts)
	}
}

func describe(st v1.ContainerState) string {
	switch {
	case st.Waiting != nil:
		return "waiting " + st.Waiting.Reason
	case st.Running != nil:
		return "running"
	case st.Terminated != nil:
		return fmt.Sprintf("terminated %s %d", st.Terminated.Reason, st.Terminated.ExitCode)
	}
	return "none"
}

func (l *test) wantEvent(want string) {
	l.Helper()
	if told := l.told(); !slices.Contains(told, want) {
		l.Errorf("event %q is missing among\n%q", want, told)
	}
}

func (l *test) condition(kind v1.PodConditionType) v1.PodCondition {
	for _, c := range l.life.Status().Conditions {
		if c.Type == kind {
			return c
		}
	}
	return v1.PodCondition{}
}

var errBroken = errors.New("broken")

// newPod is a pod of the named containers; those before "|" are init containers.
func newPod(policy v1.RestartPolicy, names ...string) *v1.Pod {
	grace := int64(30)
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid"},
		Spec:       v1.PodSpec{RestartPolicy: policy, TerminationGracePeriodSeconds: &grace},
	}
	if i := slices.Index(names, "|"); i >= 0 {
		for _, n := range names[:i] {
			p.Spec.InitContainers = append(p.Spec.InitContainers, v1.Container{Name: n, Image: "busybox"})
		}
		names = names[i+1:]
	}
	for _, n := range names {
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: n, Image: "busybox"})
	}
	return p
}
