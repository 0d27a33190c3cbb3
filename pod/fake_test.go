package pod

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"podrun/probe"

	v1 "k8s.io/api/core/v1"
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
