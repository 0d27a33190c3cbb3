package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/step"
)

// Version of the files in a pod's directory. A reader refuses a later one.
const Version = 1

// Record is everything that is needed to find what was made for a pod and to undo
// it, and with the kept objects that the pod refers to all that is needed to run
// it. It is written durably before anything is made; afterwards only the pod's
// monitor replaces it, or who has the pod's lock where there is none.
type Record struct {
	Version    int             `json:"version"`
	Created    time.Time       `json:"created"`
	LogDir     string          `json:"logDir"`
	Subnet     string          `json:"subnet"`
	Subnet6    string          `json:"subnet6,omitempty"` // empty: the pod has no IPv6 address
	LinkPrefix string          `json:"linkPrefix"`
	PullPolicy v1.PullPolicy   `json:"pullPolicy,omitempty"`         // of --pull: overrides the manifest's
	Insecure   []string        `json:"insecureRegistries,omitempty"` // registries
	MaxPIDs    int64           `json:"maxPIDs,omitempty"`            // processes and threads of the pod: 0 is the default, -1 no limit
	Pulls      map[string]Pull `json:"pulls,omitempty"`              // what up has pulled for the pod, by reference
	OwnUsers   bool            `json:"ownUsers,omitempty"`           // --userns=auto: a user namespace, though the manifest leaves it open
	Pod        *v1.Pod         `json:"-"`                            // as given, defaulted, with its uid
}

// Pull is how long the pull of an image took, and when.
type Pull struct {
	Began time.Time     `json:"began"`
	Took  time.Duration `json:"took"`
}

// stored is a record on disk. The pod is in the API's protobuf encoding, as a
// cluster stores it: as JSON it would cost every up, monitor and ps some 2 ms and
// each monitor half a megabyte of reflected types.
type stored struct {
	Record
	Pod []byte `json:"pod"`
}

func (r *Record) encode() (*stored, error) {
	pod, err := r.Pod.Marshal()
	return &stored{*r, pod}, err
}

func (s *stored) decode() (*Record, error) {
	r := s.Record
	r.Pod = &v1.Pod{}
	return &r, r.Pod.Unmarshal(s.Pod)
}

// UID is the pod's uid.
func (r *Record) UID() string { return string(r.Pod.UID) }

// Ref names the pod.
func (r *Record) Ref() Ref {
	return Ref{Namespace: r.Pod.Namespace, Name: r.Pod.Name, UID: r.UID()}
}

// LogPath is the directory of the pod's log files, named as the kubelet names it.
func (r *Record) LogPath() string {
	return LogPath(r.LogDir, r.Ref())
}

// LogPath is the directory below dir of a pod's log files.
func LogPath(dir string, ref Ref) string {
	return filepath.Join(dir, ref.Namespace+"_"+ref.Name+"_"+ref.UID)
}

// WriteRecord makes the pod's directory and stores its record durably.
func (s *Store) WriteRecord(r *Record) error {
	defer step.Change("write record")()
	r.Version = Version
	dir := s.PodDir(r.UID())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	encoded, err := r.encode()
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	data, err := json.Marshal(encoded)
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	if err := WriteFile(filepath.Join(dir, "pod.json"), data, 0o600, Durable); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// RemoveRecord removes a pod's record, and nothing else of it.
func (s *Store) RemoveRecord(uid string) error {
	err := os.Remove(filepath.Join(s.PodDir(uid), "pod.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// ReadRecord returns a pod's record; os.ErrNotExist where the pod is half made
// or half removed.
func (s *Store) ReadRecord(uid string) (*Record, error) {
	var on stored
	err := readJSON(filepath.Join(s.PodDir(uid), "pod.json"), &on)
	// First: a later version may well have fields of other types.
	if on.Version > Version {
		return nil, fmt.Errorf("record of pod %s has version %d, this podrun reads up to %d: %w", uid, on.Version, Version, ErrNewer)
	}
	if err != nil {
		return nil, err
	}
	if len(on.Pod) == 0 {
		return nil, fmt.Errorf("record of pod %s names no pod", uid)
	}
	r, err := on.decode()
	if err != nil {
		return nil, fmt.Errorf("decode record of pod %s: %w", uid, err)
	}
	return r, nil
}

// WriteStatus stores what the monitor knows of its pod. Durable is for exit
// codes and terminal phases.
func (s *Store) WriteStatus(uid string, status any, d Durability) error {
	defer step.Change("write status")()
	data, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	return WriteFile(filepath.Join(s.PodDir(uid), "status.json"), data, 0o600, d)
}

// SyncStatus makes durable what was stored of a pod's status before.
func (s *Store) SyncStatus(uid string) error {
	f, err := os.Open(filepath.Join(s.PodDir(uid), "status.json"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(s.PodDir(uid))
}

// ErrNewer says that a later version of podrun has written a file.
var ErrNewer = errors.New("use the newer podrun")

// ReadStatus fills status from a pod's status file; os.ErrNotExist where there is
// none yet, ErrNewer where this podrun cannot know what it says.
func (s *Store) ReadStatus(uid string, status any) error {
	path := filepath.Join(s.PodDir(uid), "status.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// First: a later version may well have fields of other types.
	if v := statusVersion(data); v > Version {
		return fmt.Errorf("%s has version %d, this podrun reads up to %d: %w", path, v, Version, ErrNewer)
	}
	return decodeJSON(path, data, status)
}

// present is how a status of this version begins: then it need not be decoded twice.
var present = fmt.Appendf(nil, `{"version":%d,`, Version)

func statusVersion(data []byte) int {
	if bytes.HasPrefix(data, present) {
		return Version
	}
	var on struct {
		Version int `json:"version"`
	}
	json.Unmarshal(data, &on) // what it cannot decode is told by who decodes the rest
	return on.Version
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return decodeJSON(path, data, into)
}

func decodeJSON(path string, data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

func (s *Store) eventFile(uid string) string { return filepath.Join(s.PodDir(uid), "events.jsonl") }

// AppendEvent adds one line to the pod's events and returns how long their file
// is then. Only one process at a time, the pod's monitor, may do so.
func (s *Store) AppendEvent(uid string, event any) (size int64, err error) {
	defer step.Change("append event")()
	line, err := json.Marshal(event)
	if err != nil {
		return 0, fmt.Errorf("encode event: %w", err)
	}
	f, err := os.OpenFile(s.eventFile(uid), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, cut, err := endsCut(f)
	if err != nil {
		return 0, err
	}
	if cut {
		line = append([]byte{'\n'}, line...)
	}
	n, err := f.Write(append(line, '\n'))
	return size + int64(n), err
}

// endsCut tells whether a crash or a full disk cut the last line of f: what
// is appended would become a part of it.
func endsCut(f *os.File) (size int64, cut bool, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, false, err
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], info.Size()-1)
	return info.Size(), last[0] != '\n', err
}

// ReplaceEvents replaces all lines of the pod's events, in one step.
func (s *Store) ReplaceEvents(uid string, events []any) error {
	defer step.Change("replace events")()
	var data []byte
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode event: %w", err)
		}
		data = append(append(data, line...), '\n')
	}
	return WriteFile(s.eventFile(uid), data, 0o600, Volatile)
}

// EachEvent calls f with every event line of a pod, oldest first. Lines that a
// crash cut short are left out.
func (s *Store) EachEvent(uid string, f func(line []byte)) error {
	data, err := os.ReadFile(s.eventFile(uid))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		if bytes.HasSuffix(line, []byte("\n")) && json.Valid(line) {
			f(line)
		}
	}
	return nil
}
