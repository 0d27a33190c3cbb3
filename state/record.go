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
)

// Version of the files in a pod's directory. A reader refuses a later one.
const Version = 1

// Record is everything that is needed to run a pod, to find what was made for
// it, and to undo it. It is written once, durably, before anything is made.
type Record struct {
	Version    int                                  `json:"version"`
	Created    time.Time                            `json:"created"`
	LogDir     string                               `json:"logDir"`
	Subnet     string                               `json:"subnet"`
	LinkPrefix string                               `json:"linkPrefix"`
	PullPolicy v1.PullPolicy                        `json:"pullPolicy,omitempty"` // of --pull: overrides the manifest's
	Insecure   []string                             `json:"insecureRegistries,omitempty"`
	Pod        *v1.Pod                              `json:"pod"` // as given, defaulted, with its uid
	ConfigMaps map[string]*v1.ConfigMap             `json:"configMaps,omitempty"`
	Secrets    map[string]*v1.Secret                `json:"secrets,omitempty"`
	Claims     map[string]*v1.PersistentVolumeClaim `json:"claims,omitempty"`
}

// UID is the pod's uid.
func (r *Record) UID() string { return string(r.Pod.UID) }

// LogPath is the directory of the pod's log files, named as the kubelet names it.
func (r *Record) LogPath() string {
	return LogPath(r.LogDir, Ref{Namespace: r.Pod.Namespace, Name: r.Pod.Name, UID: r.UID()})
}

// LogPath is the directory below dir of a pod's log files.
func LogPath(dir string, ref Ref) string {
	return filepath.Join(dir, ref.Namespace+"_"+ref.Name+"_"+ref.UID)
}

// WriteRecord makes the pod's directory and stores its record durably.
func (s *Store) WriteRecord(r *Record) error {
	r.Version = Version
	dir := s.PodDir(r.UID())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	if err := WriteFile(filepath.Join(dir, "pod.json"), data, 0o600, Durable); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// ReadRecord returns a pod's record; os.ErrNotExist where the pod is half made
// or half removed.
func (s *Store) ReadRecord(uid string) (*Record, error) {
	var r Record
	if err := readJSON(filepath.Join(s.PodDir(uid), "pod.json"), &r); err != nil {
		return nil, err
	}
	if r.Version > Version {
		return nil, fmt.Errorf("record of pod %s has version %d, this podrun reads up to %d: use the newer podrun", uid, r.Version, Version)
	}
	if r.Pod == nil {
		return nil, fmt.Errorf("record of pod %s names no pod", uid)
	}
	return &r, nil
}

// WriteStatus stores what the monitor knows of its pod. Durable is for exit
// codes and terminal phases.
func (s *Store) WriteStatus(uid string, status any, d Durability) error {
	data, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	return WriteFile(filepath.Join(s.PodDir(uid), "status.json"), data, 0o600, d)
}

// ReadStatus fills status from a pod's status file; os.ErrNotExist where there is none yet.
func (s *Store) ReadStatus(uid string, status any) error {
	return readJSON(filepath.Join(s.PodDir(uid), "status.json"), status)
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// AppendEvent adds one line to the pod's events.
func (s *Store) AppendEvent(uid string, event any) (err error) {
	line, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.PodDir(uid), "events.jsonl"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(append(line, '\n'))
	return err
}

// EachEvent calls f with every event line of a pod, oldest first. A last line
// that a crash cut short is left out.
func (s *Store) EachEvent(uid string, f func(line []byte)) error {
	data, err := os.ReadFile(filepath.Join(s.PodDir(uid), "events.jsonl"))
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
