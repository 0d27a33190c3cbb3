package monitor

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"podrun/pod"
)

func TestResidue(t *testing.T) {
	s := newStore(t)
	for _, dir := range []string{
		StateDir(s, uid) + "/web.0", RootsDir(s, uid) + "/web.0", RootsDir(s, uid) + "/web.1",
		StateDir(s, uid) + "/web.2", RootsDir(s, uid) + "/web.2", // of now
		StateDir(s, uid) + "/web.3", // that it begins
		StateDir(s, uid) + "/web.01", StateDir(s, uid) + "/web", StateDir(s, uid) + "/other.0", StateDir(s, uid) + "/log.0",
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	got := Residue(s, uid, []pod.Record{{Name: "web", Attempt: 2}, {Name: "log"}})
	slices.Sort(got)
	if want := []string{"web.0", "web.1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a monitor has left that was killed as it wrote goes, and nothing else.
func TestRemoveParts(t *testing.T) {
	s := newStore(t)
	m := &monitor{store: s, record: newRecord(s)}
	dir := m.store.PodDir(uid)
	files := map[string]bool{".status.json.123": false, ".pod.json.9": false, "status.json": true, ".shm.new": true, "pod.json.1": true}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.removeParts()
	for name, want := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: got %v, want it to stay: %v", name, err, want)
		}
	}
}

// A pod of user ids of its own has lost the file that tells which.
func TestMendUsersFile(t *testing.T) {
	s := newStore(t)
	m := &monitor{store: s, record: newRecord(s), users: &podUsers{first: 1879048192}}
	file := usersFile(m.store, uid)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []string{"", "x\n", "1879113728\n"} {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if lost != "" {
			if err := os.WriteFile(file, []byte(lost), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		made, err := newMender(m).mendUsersFile()
		if got, rerr := readUsers(file); !made || err != nil || rerr != nil || got != m.users.first {
			t.Errorf("%q: got %v, %v; %d, %v", lost, made, err, got, rerr)
		}
		if made, err := newMender(m).mendUsersFile(); made || err != nil {
			t.Errorf("%q: again: %v, %v", lost, made, err)
		}
	}
}

// The directory of the logs, or its mark, is gone or another's.
func TestMendLogs(t *testing.T) {
	s := newStore(t)
	m := &monitor{store: s, record: newRecord(s)}
	for _, lose := range []func() error{
		func() error { return os.RemoveAll(m.store.LogDir) },
		func() error { return os.Remove(filepath.Join(m.record.LogPath(), logMark)) },
		func() error {
			return os.WriteFile(filepath.Join(m.record.LogPath(), logMark), []byte("other\n"), 0o644)
		},
	} {
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		done, err := newMender(m).mendLogs(t.Context())
		if want := []string{"the directory of the pod's logs"}; !slices.Equal(done, want) || err != nil || LogsOf(m.record.LogPath()) != m.store.Instance {
			t.Errorf("got %q, %v", done, err)
		}
		if done, err := newMender(m).mendLogs(t.Context()); len(done) > 0 || err != nil {
			t.Errorf("again: %q, %v", done, err)
		}
	}
}
