package monitor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/equality"

	"podrun/sandbox"
	"podrun/state"
	"podrun/step"
)

// recordFile is pod.json, which the monitor of a pod that runs alone writes.
type recordFile struct {
	mu    sync.Mutex    // of who writes it
	wrote *state.Record // last; nil: the one that the monitor began with
	stamp string        // of the file, when it was last found right
}

// storeRecord replaces the pod's record.
func (m *monitor) storeRecord(r *state.Record) error {
	f := &m.recordFile
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := writeRecord(m.store, r); err != nil {
		return err
	}
	f.wrote = r
	return nil
}

// mendRecord brings back what survives a reboot: the claim of the name, the
// record, the status.
func (g *mender) mendRecord(context.Context) ([]string, error) {
	var all mended
	made, err := g.mendClaim()
	all.again("the claim of the pod's name", made, err)
	made, err = g.mendPodFile()
	all.again("pod.json", made, err)
	made, err = g.mendStatus()
	all.again("status.json", made, err)
	if g.users != nil {
		made, err = g.mendUsersFile()
		all.again("users", made, err)
	}
	return all.result()
}

func (g *mender) mendClaim() (made bool, err error) {
	holder, err := g.store.Lookup(g.pod.Namespace, g.pod.Name)
	if err == nil && holder == g.uid() {
		return false, nil
	}
	var claimed *state.ClaimedError
	err = g.store.Claim(g.pod.Namespace, g.pod.Name, g.uid())
	if errors.As(err, &claimed) {
		if claimed.UID == g.uid() {
			return false, nil
		}
		return false, fmt.Errorf("%w: take that pod down, and this one gets its name back", err)
	}
	return err == nil, err
}

func (g *mender) mendPodFile() (made bool, err error) {
	f := &g.recordFile
	f.mu.Lock()
	defer f.mu.Unlock()
	file := filepath.Join(g.store.PodDir(g.uid()), "pod.json")
	if now := identity(file); now != "" && now == f.stamp {
		return false, nil
	}
	want := *cmp.Or(f.wrote, g.record)
	found, err := g.store.ReadRecord(g.uid())
	if err == nil && found.Created.Equal(want.Created) && equality.Semantic.DeepEqual(found.Pod, want.Pod) {
		f.stamp = identity(file)
		return false, nil
	}
	if err := g.store.WriteRecord(&want); err != nil {
		return false, fmt.Errorf("store the pod's record: %w", err)
	}
	f.stamp = identity(file)
	return true, nil
}

// mendStatus writes the status again where it is not what this monitor wrote. One
// that waits for room on the disk is written by others.
func (g *mender) mendStatus() (made bool, err error) {
	c := &g.checkpoint
	c.mu.Lock()
	defer c.mu.Unlock()
	want, err := json.Marshal(&c.status)
	if err != nil || c.waiting {
		return false, err
	}
	found, err := os.ReadFile(filepath.Join(g.store.PodDir(g.uid()), "status.json"))
	if err == nil && bytes.Equal(bytes.TrimSpace(found), want) {
		return false, nil
	}
	return true, c.write()
}

// mendUsersFile: the next monitor and the next sandbox read there which ids are the pod's.
func (g *mender) mendUsersFile() (made bool, err error) {
	file := usersFile(g.store, g.uid())
	if first, err := readUsers(file); err == nil && first == g.users.first {
		return false, nil
	}
	return true, writeUsers(file, g.users.first)
}

// mendLogs makes the directory of the pod's logs again, with its mark, and those of
// the containers that run. The files come with the next line.
func (g *mender) mendLogs(context.Context) ([]string, error) {
	var all mended
	if LogsOf(g.record.LogPath()) != g.store.Instance {
		all.again("the directory of the pod's logs", true, g.writeLogMark())
	}
	for _, a := range g.running() {
		if _, err := os.Lstat(g.logPath(a.name)); errors.Is(err, os.ErrNotExist) {
			all.again("the log directory of container "+a.name, true, os.MkdirAll(g.logPath(a.name), 0o755))
		}
	}
	return all.result()
}

// mendRunDir brings back what lasts until the next boot: the run root, the pod's
// directory there with lock and control socket, and the claim of its address.
func (g *mender) mendRunDir(context.Context) ([]string, error) {
	var all mended
	if _, err := os.Lstat(filepath.Join(g.store.RunRoot, "boot-id")); errors.Is(err, os.ErrNotExist) {
		// First: without it the next podrun would take the run root for one of an earlier boot.
		_, err := state.Open(g.store.Config)
		all.again("the run root", true, err)
	}
	if err := os.MkdirAll(g.store.RunDir(g.uid()), 0o700); err != nil {
		return nil, err
	}
	made, err := g.mendLog()
	all.again("the monitor's log", made, err)
	made, err = g.mendLock()
	all.again("the pod's lock", made, err)
	made, err = g.mendControl()
	all.again("the control socket", made, err)
	if g.users != nil {
		made, err := g.mendUsers()
		all.again("the reservation of the pod's user ids", made, err)
	}
	if g.address.v4.IsValid() {
		made, err := g.host.Reclaim(g.uid(), g.address.v4)
		all.again("the claim of the pod's address", made, err)
	}
	return all.result()
}

// mendUsers reserves the pod's user ids again where the reservation is gone.
func (g *mender) mendUsers() (made bool, err error) {
	reserved, err := sandbox.KeepReserved(g.users.first)
	if err != nil || reserved == nil {
		return false, err
	}
	return true, errors.Join(g.pause.Keep("users-reserved", reserved), reserved.Close())
}

// mendLog goes on writing to a log that can be found.
func (g *mender) mendLog() (made bool, err error) {
	path := logFile(g.store, g.uid())
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return false, err
	}
	defer log.Close()
	return true, os.NewSyscallError("dup3", unix.Dup3(int(log.Fd()), unix.Stderr, 0))
}

// keys are what the next sandbox is given.
func (m *monitor) keys() (lock, control *os.File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lock, m.control
}

// mendLock takes a new lock where the file of the old one is gone: whoever comes
// looks at the file. Another may have been faster, who takes the pod down.
func (g *mender) mendLock() (made bool, err error) {
	path := lockPath(g.store, g.uid())
	old, _ := g.keys()
	if found, err := os.Lstat(path); err == nil {
		if held, err := old.Stat(); err == nil && os.SameFile(found, held) {
			return false, nil
		}
	}
	defer step.Change("renew lock")()
	lock, err := state.TryLock(path)
	if err != nil {
		return false, err
	}
	if err := g.pause.Keep("lock", lock); err != nil {
		return false, errors.Join(err, lock.Close())
	}
	g.mu.Lock()
	g.lock = lock
	g.mu.Unlock()
	return true, old.Close()
}

// mendControl listens at the path again where the socket is gone. It comes there
// when pause has it: a monitor that was killed before has left nothing that the next
// one takes for its own, and that refuses everybody.
func (g *mender) mendControl() (made bool, err error) {
	path := controlPath(g.store, g.uid())
	now := identity(path)
	if g.socket == "" {
		g.socket = now // of this monitor's first look
	}
	if now != "" && now == g.socket {
		return false, nil
	}
	defer step.Change("renew control socket")()
	partial := filepath.Join(filepath.Dir(path), ".control")
	for _, old := range []string{path, partial} {
		if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
	}
	control, err := listen(partial)
	if err != nil {
		return false, fmt.Errorf("make the control socket: %w", err)
	}
	if err := g.pause.Keep("control", control); err != nil {
		return false, errors.Join(err, control.Close())
	}
	if err := os.Rename(partial, path); err != nil {
		return false, errors.Join(err, control.Close())
	}
	_, old := g.keys()
	g.mu.Lock()
	g.control = control
	g.mu.Unlock()
	g.socket = identity(path)
	g.serve(control)
	return true, old.Close()
}

// mendContainers brings back libcontainer's state of the containers that run.
func (g *mender) mendContainers(context.Context) ([]string, error) {
	var all mended
	for _, a := range g.running() {
		made, err := a.container.Restore()
		all.again("the state of container "+a.name, made, err)
	}
	return all.result()
}

// running are the attempts whose first process has not ended.
func (m *monitor) running() []*attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*attempt
	for _, a := range m.attempts {
		if a.container != nil && a.watch != nil && !a.over {
			list = append(list, a)
		}
	}
	return list
}

// identity tells a file from another of its path; it is empty where there is none.
func identity(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprint(stat.Dev, stat.Ino, stat.Size, stat.Mtim)
}

// fileWatch hears of the removal of the files that are mended. Its
// zero value hears nothing, as where the machine has no inotify instance left
// (fs.inotify.max_user_instances): then the mender finds it half a minute later.
type fileWatch struct {
	socket *os.File
	fd     int
	whole  bool // all of them are watched
}

// Changes that are heard: of a directory's entries, and of an entry alone. The
// last link of a file that is open is removed without IN_DELETE_SELF, but its
// attributes change (inotify(7)).
const (
	entriesChange = unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_CLOSE_WRITE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	entryChange   = unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_DONT_FOLLOW
)

func (g *mender) watchFiles(ctx context.Context) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		fmt.Fprintf(os.Stderr, "podrun: watch the pod's files: %v; they are looked at once in %v\n", os.NewSyscallError("inotify_init1", err), mendPeriod)
		return
	}
	w := &g.watch
	w.fd, w.socket = fd, os.NewFile(uintptr(fd), "inotify")
	w.renew(g.monitor)
	raw, err := w.socket.SyscallConn()
	if err != nil {
		return
	}
	go raw.Read(func(fd uintptr) bool { // until it is closed
		for {
			buf := make([]byte, 4096)
			n, err := unix.Read(int(fd), buf)
			if err != nil {
				return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
			}
			if foreign(buf[:n]) {
				g.wakeUp()
			}
		}
	})
}

func (w *fileWatch) close() {
	if w.socket != nil {
		w.socket.Close()
	}
}

// renew watches what is at the paths now. A file that is watched already stays so.
func (w *fileWatch) renew(m *monitor) {
	if w.socket == nil {
		return
	}
	dirs := []string{m.store.PodDir(m.uid()), m.store.RunDir(m.uid()), m.store.RunRoot, m.record.LogPath()}
	for _, a := range m.running() {
		dirs = append(dirs, filepath.Join(m.stateDir(), a.id))
	}
	files := []string{m.store.ClaimPath(m.pod.Namespace, m.pod.Name)}
	if m.address.v4.IsValid() {
		files = append(files, filepath.Join(m.store.AddressDir(), m.uid()), filepath.Join(m.store.AddressDir(), m.address.v4.String()))
	}
	w.whole = true
	watch := func(path string, changes uint32) {
		if _, err := unix.InotifyAddWatch(w.fd, path, changes); err != nil {
			w.whole = false // one that is not there is made by a later look
		}
	}
	for _, dir := range dirs {
		watch(dir, entriesChange)
	}
	for _, file := range files {
		watch(file, entryChange)
	}
}

// foreign tells whether there may be another's work among the events. What
// podrun itself writes is a hidden file before it gets its name, but for events;
// the mark of the logs is one for ever.
func foreign(events []byte) bool {
	for len(events) >= unix.SizeofInotifyEvent {
		size := int(events[12]) | int(events[13])<<8 | int(events[14])<<16
		end := min(unix.SizeofInotifyEvent+size, len(events))
		name := string(bytes.TrimRight(events[unix.SizeofInotifyEvent:end], "\x00"))
		if name == logMark || !strings.HasPrefix(name, ".") && name != "events.jsonl" {
			return true
		}
		events = events[end:]
	}
	return false
}
