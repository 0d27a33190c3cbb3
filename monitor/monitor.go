// Package monitor keeps one pod: it is the process that builds the sandbox,
// wires the real rooms to the pod's life, records what happens, answers the
// command line over the pod's control socket, and takes everything down again.
// It may be killed at any moment; what it knows is on disk, with pause, or
// readable from the kernel, and starting on a pod that already runs is its
// normal path. Which container starts, restarts or stops when is left to pod.
package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/runc/libcontainer/system"
	v1 "k8s.io/api/core/v1"

	"podrun/image"
	"podrun/netns"
	"podrun/pod"
	"podrun/probe"
	"podrun/runtime"
	"podrun/sandbox"
	"podrun/state"
	"podrun/volumes"
)

type monitor struct {
	store   *state.Store
	record  *state.Record
	pause   *sandbox.Client
	pauseID int // pause's pid
	lock    *os.File
	control *os.File // the listening socket, for the next sandbox
	mounts  *os.File // the machine's mount namespace
	images  *image.Store
	host    netns.Host
	volumes *volumes.Set
	shm     string
	files   podFiles
	address podAddresses
	pod     *v1.Pod // the record's, with the addresses in its status; see current
	changed atomic.Pointer[v1.Pod]
	life    *pod.Life
	board   board
	clients clients
	events  recorder
	awaited sync.Map      // claims that others have, by the name that pause will keep them by
	lives   chan struct{} // closed when there is a life
	memory  *os.File      // the output positions of all containers
	init    *sandbox.Init // of a shared PID namespace, or nil; guarded by mu
	users   *podUsers     // nil with the machine's users

	unbuilt    bool        // build has failed for a pod that runs
	unmounted  bool        // the volumes wait for something that is missing
	building   sync.Mutex  // of rebuild and of what mounts
	background *background // from build on
	entering   atomic.Pointer[background]
	resumed    bool // the pod has run before this monitor: build may be tried again
	rebooted   bool // what the status tells of was before the machine's last boot

	changing sync.Mutex // of what replaces the record; taken before building
	closed   bool       // nothing changes any more; guarded by changing and building

	recordFile recordFile
	retiring   atomic.Bool                      // nothing is mended: the sandbox goes by the pod's own end
	listener   atomic.Pointer[net.UnixListener] // of the control socket

	following sync.Once               // of the kept objects
	ctx       context.Context         // ends with the life
	abandon   context.CancelCauseFunc // ends the life and leaves the pod as it is
	fate      atomic.Int32            // of the sandbox: undecided, leaving or replacing
	aside     aside                   // reached when the work on the pod rests for watchPause

	depart func() departure // once

	checkpoint checkpoint

	mu        sync.Mutex
	attempts  map[string]*attempt // by container ID
	relays    map[netns.Port]*netns.Relay
	stopping  bool
	departing bool                  // departEarly has begun the departure
	started   bool                  // a container of the pod has run
	easing    bool                  // easeEnds is at work
	pulled    map[string]bool       // containers, and their volumes, whose image up has made present
	pulls     map[string]*knownPull // those of up, by reference
}

// Run keeps the pod of uid until it has ended. Only pause starts it.
func Run(ctx context.Context, store *state.Store, uid string) error {
	collectLater()
	m, err := open(store, uid)
	if err != nil {
		return err
	}
	sandbox.SettleControllers()
	ctx, m.abandon = context.WithCancelCause(ctx)
	m.ctx = ctx
	defer m.abandon(nil)
	m.serve(m.control)
	go m.watchPause()
	go m.watchSuspend()
	err = m.keep(ctx)
	m.yield()
	return err
}

func (m *monitor) keep(ctx context.Context) error {
	status, err := m.resumeStatus()
	if err != nil {
		return err
	}
	switch {
	case status.NotMade != "":
		return m.unmake(errors.New(status.NotMade))
	case status.Ended:
		m.awaitRoom()
		return m.finish()
	}
	if err := m.findUsers(); err != nil {
		return err
	}
	seen := m.stamps() // before build reads them
	if err := m.firstBuild(); err != nil && !status.EverStarted {
		return m.unmake(err)
	} else if err != nil {
		// What runs goes on, and can be stopped; a restart will try again.
		fmt.Fprintf(os.Stderr, "podrun: rebuild the sandbox: %v\n", err)
		m.tellUnbuilt(err)
		m.unbuilt = true
	}
	m.started, m.resumed = status.EverStarted, status.EverStarted
	m.rebooted = otherBoot(m.store, status)
	alive, err := containers{m}.recover(status)
	if err != nil {
		return err
	}
	m.beginFollowing(seen)
	return m.live(ctx, status, alive)
}

// open takes over the record. Of pause it asks nothing: should that be dead
// already, this monitor has to replace the sandbox.
func open(store *state.Store, uid string) (*monitor, error) {
	pause, err := sandbox.Connect()
	if err != nil {
		return nil, err
	}
	m := &monitor{
		store: store, pause: pause, pauseID: pause.PID,
		// The lock is held as long as pause or the monitor lives.
		lock: pause.Lock, control: pause.Control, mounts: pause.Mounts,
		attempts: map[string]*attempt{}, relays: map[netns.Port]*netns.Relay{}, pulled: map[string]bool{}, lives: make(chan struct{}),
		aside: aside{reached: make(chan struct{})}, checkpoint: checkpoint{store: store, uid: uid, pause: pause},
	}
	m.depart = sync.OnceValue(m.beginDeparture)
	m.record, err = store.ReadRecord(uid)
	if errors.Is(err, os.ErrNotExist) {
		// A teardown has removed the pod while its sandbox was being started:
		// nobody could find this pause and end it.
		return nil, errors.Join(err, pause.Quit())
	}
	if err != nil {
		return nil, fmt.Errorf("read the pod's record: %w", err)
	}
	if m.images, err = image.Open(store.ImageDir()); err != nil {
		return nil, err
	}
	if m.host, err = hostOf(store, m.record); err != nil {
		return nil, err
	}
	m.pod = m.record.Pod.DeepCopy()
	m.pod.Status.QOSClass = pod.QOSClass(m.pod)
	return m, nil
}

func hostOf(store *state.Store, r *state.Record) (netns.Host, error) {
	subnet, err := netip.ParsePrefix(r.Subnet)
	if err != nil {
		return netns.Host{}, fmt.Errorf("read the pod's subnet: %w", err)
	}
	h := netns.Host{Instance: store.Instance, Subnet: subnet, LinkPrefix: r.LinkPrefix, Addresses: store.AddressDir()}
	if r.Subnet6 != "" {
		if h.Subnet6, err = netip.ParsePrefix(r.Subnet6); err != nil {
			return netns.Host{}, fmt.Errorf("read the pod's IPv6 subnet: %w", err)
		}
	}
	return h, nil
}

func (m *monitor) uid() string { return m.record.UID() }

// clear ends all containers and forgets them.
func (m *monitor) clear() error {
	path := sandbox.PodPath(m.store.Instance, m.uid())
	if err := sandbox.KillCgroup(path, killTimeout); err != nil {
		return err
	}
	return errors.Join(runtime.DiscardAll(m.stateDir()), sandbox.RemoveCgroup(path))
}

// live runs the pod's life to its end.
func (m *monitor) live(ctx context.Context, status *Status, alive map[string]int) error {
	config := pod.Config{
		Pod: m.pod, Alive: alive, Runtime: containers{m}, Prober: &probe.Prober{},
		Save: m.save, Event: m.event, RecursiveReadOnly: volumes.RecursiveReadOnly,
		Sandbox: m.sandboxID(),
		HostIP:  m.pod.Status.HostIP, PodIP: m.pod.Status.PodIP,
		HostIPs: m.pod.Status.HostIPs, PodIPs: m.pod.Status.PodIPs,
	}
	owed := map[string]int{}
	if len(status.Containers) > 0 {
		config.Checkpoint = &status.Checkpoint
		owed = status.Owed(alive)
	} else {
		m.markPulled()
	}
	m.life = pod.New(config)
	m.board.ready(m.life)
	close(m.lives)
	containers{m}.watchAlive()
	containers{m}.tellOwed(owed)
	go m.watchStorage(ctx)
	go newMender(m).keepWhole(ctx)
	outcome, err := m.runLife(ctx)
	var notMade *pod.NotMade
	switch {
	case errors.Is(err, errPauseDied):
		m.standAside()
	case errors.As(err, &notMade):
		if failed := m.settled(); failed != nil {
			err = failed // not the fault of the container that was to start first
		}
		return m.unmake(err)
	case err != nil && outcome.Status.Phase == "":
		return err
	case err != nil: // a container could not be removed: the teardown goes on with it
		fmt.Fprintf(os.Stderr, "podrun: end the pod: %v\n", err)
	}
	return m.end(outcome)
}

// sandboxID tells this sandbox from the one that a next pause makes: containers
// that are found again were in this one.
func (m *monitor) sandboxID() string {
	stat, err := system.Stat(m.pauseID)
	if err != nil {
		return "" // pause has died: this monitor ends
	}
	return fmt.Sprintf("%s/%d.%d", m.store.Boot, m.pauseID, stat.StartTime)
}

// runLife runs the life beside the main goroutine, which has a thread of its own
// (package runtime): each of its turns would be two switches of threads.
func (m *monitor) runLife(ctx context.Context) (outcome pod.Outcome, err error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		outcome, err = m.life.Run(ctx)
	}()
	<-ended
	return outcome, err
}

// save stores a checkpoint and shows it to those who watch.
func (m *monitor) save(p pod.Checkpoint) {
	durability := state.Volatile
	if p.Durable {
		durability = state.Durable
	}
	// A full disk must not end the pod.
	if err := m.checkpoint.keep(durability, func(s *Status) { s.Checkpoint = p }); err != nil {
		fmt.Fprintf(os.Stderr, "podrun: store status: %v\n", err)
	}
	m.mu.Lock()
	m.stopping, m.started = p.Stop != nil, p.EverStarted
	m.mu.Unlock()
	m.board.post(Update{Status: &p.Status})
	trimLog(os.Stderr, logFile(m.store, m.uid()))
	restLater()
}

// end is a pod's own end, or its stop: the sandbox goes, and after a stop the
// record and all data too.
func (m *monitor) end(outcome pod.Outcome) error {
	m.yield()
	err := m.checkpoint.keep(state.Durable, func(s *Status) { s.Status, s.Ended = outcome.Status, !outcome.Suspended })
	if err != nil && (outcome.Suspended || !outcome.Stopped) { // else it is about to be removed
		return fmt.Errorf("store the pod's end: %w", err)
	}
	return m.finish()
}

// unmake removes a pod that could not be made, and tells why.
func (m *monitor) unmake(cause error) error {
	m.yield()
	// A full disk may be the cause, and removing the pod makes room.
	stored := m.checkpoint.keep(state.Durable, func(s *Status) { s.NotMade = cause.Error() })
	if stored != nil {
		fmt.Fprintf(os.Stderr, "podrun: store that the pod cannot be made: %v\n", stored)
	}
	err := errors.Join(m.leave(), m.teardown().All())
	m.board.close(Update{NotMade: cause.Error()})
	return err
}

// finish ends the sandbox of a pod that has ended.
func (m *monitor) finish() error {
	err := m.leave()
	m.removeParts()
	s, t := m.checkpoint.last(), m.teardown()
	// The lock goes with this process, the rest of the run directory before.
	switch {
	case s.Removing():
		err = errors.Join(err, t.All())
	case s.Stop != nil: // suspended: its volumes wait for it
		err = errors.Join(err, t.Sandbox(), RemoveRun(m.store, m.uid()))
	default:
		err = errors.Join(err, t.Ended(), RemoveRun(m.store, m.uid()))
	}
	m.board.close(Update{Status: &s.Status, Ended: true})
	return err
}

func (m *monitor) teardown() Teardown {
	return Teardown{Store: m.store, Host: m.host, Ref: m.record.Ref(), LogDir: m.record.LogDir}
}

// leave takes this process out of the sandbox, so that nothing of the pod is
// in use when the sandbox is removed: it goes to the root cgroup, back to the
// machine's mounts, and pause ends.
func (m *monitor) leave() error {
	if !m.fate.CompareAndSwap(undecided, leaving) {
		m.standAside()
	}
	m.closeChanges()
	m.checkpoint.stop()
	m.mu.Lock()
	for _, a := range m.attempts {
		a.close()
	}
	m.mu.Unlock()
	d := m.depart()
	m.stopRelays()
	if err := d.leftCgroup; err != nil {
		return err
	}
	quit := m.pause.Quit()
	if quit != nil && m.orphaned() {
		quit = nil
	}
	if err := errors.Join(quit, m.endInit()); err != nil {
		return err
	}
	return errors.Join(unmountBelow(m.mountPlaces()...), <-d.detached)
}

// departure is the part of leaving that waits for RCU in the kernel, the longest
// of what the end of a pod takes.
type departure struct {
	leftCgroup error
	detached   <-chan error // gets one result; the pod's link goes with pause
}

func (m *monitor) beginDeparture() departure {
	m.retiring.Store(true) // what goes now is no work of somebody else
	m.settled()
	detached := make(chan error, 1)
	go func() { detached <- m.host.Detach(m.uid()) }()
	return departure{sandbox.LeaveCgroup(sandbox.LeafPath(m.store.Instance, m.uid())), detached}
}

// departEarly begins the departure with the end of the last container of a pod
// that is being stopped: no container will run again.
func (m *monitor) departEarly() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopping {
		return
	}
	for _, a := range m.attempts {
		if a.watch != nil && !a.over {
			return
		}
	}
	if m.fate.Load() == undecided { // the next sandbox needs what this would undo
		m.departing = true
		go m.depart()
	}
}
