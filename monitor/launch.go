package monitor

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/equality"

	"podrun/image"
	"podrun/netns"
	"podrun/pod"
	"podrun/sandbox"
	"podrun/state"
	"podrun/step"
)

// Launch claims the record's name, stores the record and starts the sandbox,
// whose monitor goes on by itself. A *state.ClaimedError says that the name is
// taken. What goes wrong is undone.
func Launch(s *state.Store, r *state.Record) (_ *sandbox.Pause, err error) {
	ref := r.Ref()
	lock, err := keepNew(s, ref.UID)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := s.Claim(ref.Namespace, ref.Name, ref.UID); err != nil {
		return nil, errors.Join(err, RemoveRun(s, ref.UID))
	}
	defer func() {
		if err != nil {
			t, terr := NewTeardown(s, ref, r)
			if terr == nil {
				terr = t.All()
			}
			err = errors.Join(err, terr)
		}
	}()
	// The name is claimed: from here on what is made can be found and undone.
	var g errgroup.Group
	var leaf *sandbox.Cgroup
	g.Go(func() error { return writeRecord(s, r) })
	g.Go(func() (err error) {
		leaf, err = sandbox.NewLeaf(s.Instance, ref.UID)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return openSandbox(s, r, leaf, lock)
}

// writeRecord stores the record of a pod that has its name. From then on its images
// stay; a removal of images that has not seen it is through before.
func writeRecord(s *state.Store, r *state.Record) error {
	images, err := image.Open(s.ImageDir())
	if err != nil {
		return err
	}
	release, err := images.Hold()
	if err != nil {
		return fmt.Errorf("hold the pod's images: %w", err)
	}
	defer release()
	if err := s.WriteRecord(r); err != nil {
		return fmt.Errorf("store the pod's record: %w", err)
	}
	return nil
}

// ErrRemoved says that another podrun has taken the pod down meanwhile.
var ErrRemoved = errors.New("the pod has been removed")

// Relaunch starts the sandbox of a pod that has a record but nobody who keeps
// it: after a reboot, or after pause and monitor were killed. The error is
// state.ErrLocked or ErrRemoved where another podrun was faster.
func Relaunch(s *state.Store, r *state.Record) (*sandbox.Pause, error) {
	lock, err := keep(s, r.UID())
	if errors.Is(err, os.ErrNotExist) { // with its directory
		return nil, ErrRemoved
	}
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	stored, err := s.ReadRecord(r.UID())
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(ErrRemoved, RemoveRun(s, r.UID()))
	}
	if err == nil && !equality.Semantic.DeepEqual(stored.Pod, r.Pod) { // its manifest has changed
		if err := writeRecord(s, r); err != nil {
			return nil, err
		}
	}
	t, err := NewTeardown(s, r.Ref(), r)
	if err != nil {
		return nil, err
	}
	if err := prepareStatus(s, r.UID()); err != nil {
		return nil, err
	}
	if err := t.Sandbox(); err != nil {
		return nil, err
	}
	leaf, err := sandbox.NewLeaf(s.Instance, r.UID())
	if err != nil {
		return nil, err
	}
	return openSandbox(s, r, leaf, lock)
}

// prepareStatus lets a pod that is started again begin at once, as under a
// kubelet that was started again with its node, and takes back what asked it to
// wait for that. A status that cannot be read is the monitor's to deal with.
func prepareStatus(s *state.Store, uid string) error {
	var st Status
	if err := s.ReadStatus(uid, &st); errors.Is(err, state.ErrNewer) {
		return err
	} else if err != nil {
		return nil
	}
	if !st.Removing() {
		st.Stop = nil
	}
	for i := range st.Containers {
		c := &st.Containers[i]
		c.Crash, c.Pull, c.NotBefore = pod.Backoff{}, pod.Backoff{}, pod.Deadline{}
	}
	return s.WriteStatus(uid, st, state.Durable)
}

// openSandbox makes the control socket and starts pause.
func openSandbox(s *state.Store, r *state.Record, leaf *sandbox.Cgroup, lock *os.File) (*sandbox.Pause, error) {
	path := controlPath(s, r.UID())
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	done := step.Change("make control socket")
	control, err := listen(path)
	done()
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	defer control.Close()
	return startSandbox(s, r, leaf, lock, control)
}

// logFile is what pause and monitor have to say.
func logFile(s *state.Store, uid string) string { return filepath.Join(s.RunDir(uid), "monitor.log") }

func startSandbox(s *state.Store, r *state.Record, leaf *sandbox.Cgroup, lock, control *os.File) (*sandbox.Pause, error) {
	if err := checkHostname(r.Pod); err != nil {
		return nil, err
	}
	if _, err := bandwidthOf(r.Pod); err != nil {
		return nil, err
	}
	defer step.Change("make monitor log")()
	log, err := os.OpenFile(logFile(s, r.UID()), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := sandbox.Config{
		Title:       sandbox.Title(r.Pod.Namespace, r.Pod.Name),
		HostNetwork: r.Pod.Spec.HostNetwork,
		HostIPC:     r.Pod.Spec.HostIPC,
		Leaf:        leaf, Lock: lock, Control: control, Log: log,
		Monitor: arguments(s, r),
		Env:     append(environment(os.Environ()), step.Environment()...),
	}
	if !r.Pod.Spec.HostNetwork {
		c.Hostname = hostname(r.Pod)
	}
	users, err := reserveUsers(s, r)
	if err != nil {
		return nil, err
	}
	if users != nil {
		c.Users = users
		defer users.Close()
	}
	return sandbox.Start(c)
}

// inherited are the variables that a pull of the monitor needs: where programs
// and credentials are, and how the registry is reached.
var inherited = []string{
	"PATH", "HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ",
}

// environment is the monitor's part of that of the command line.
func environment(own []string) []string {
	var kept []string
	for _, entry := range own {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(inherited, strings.ToUpper(name)) {
			kept = append(kept, entry)
		}
	}
	return kept
}

// NewTeardown takes what it needs from the record, which may be nil where the
// pod was only half made: then the store's own settings have to do.
func NewTeardown(s *state.Store, ref state.Ref, r *state.Record) (Teardown, error) {
	t := Teardown{Store: s, Ref: ref, LogDir: s.LogDir, Host: netns.Host{
		Instance: s.Instance, Addresses: s.AddressDir(), Subnet: netip.MustParsePrefix("10.244.0.0/16"),
	}}
	if r == nil {
		return t, nil
	}
	t.LogDir = r.LogDir
	var err error
	t.Host, err = hostOf(s, r)
	return t, err
}
