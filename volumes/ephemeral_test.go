package volumes

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func ephemeral(name string) v1.Volume {
	return source(v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{VolumeClaimTemplate: &v1.PersistentVolumeClaimTemplate{}}}, name)
}

func TestEphemeral(t *testing.T) {
	s := newSpec(t, ephemeral("data"))
	s.Pod.Name, s.Pod.UID = "web", "uid-1"
	file := s.Claims + "/web-data/data/file"
	for range 2 {
		must(Mount(s))(t)
		must("file", os.WriteFile(file, nil, 0o600))(t)
	}
	// A killed monitor left one half made.
	must("half", os.Mkdir(s.Claims+"/.web-other.uid-1", 0o700))(t)
	must("others", os.MkdirAll(s.Claims+"/web-kept/data", 0o700))(t)
	got := must(OwnedClaims(s.Claims, "web", "uid-1"))(t)
	if want := []string{"web-data"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if exists(s.Claims + "/.web-other.uid-1") {
		t.Error("what was half made is still there")
	}
	if got := must(OwnedClaims(s.Claims, "web", "uid-2"))(t); len(got) > 0 {
		t.Errorf("another pod of the name owns %q", got)
	}
	// The next pod of the name, while the claim is there; and a claim that nobody owns.
	s.Pod.UID = "uid-2"
	_, err := Mount(s)
	checkError(t, err, `mount volume "data": PVC /web-data was not created for pod /web (pod is not owner)`)
	err = OwnClaim(s.Claims+"/web-kept", s.Pod)
	checkError(t, err, `PVC /web-kept was not created for pod /web (pod is not owner)`)
}

func TestLockClaim(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "claim")
	lock := func(alone bool) *os.File { t.Helper(); return must(LockClaim(dir, alone, false))(t) }
	one, two := lock(false), lock(false)
	if _, err := LockClaim(dir, true, false); !errors.Is(err, ErrInUse) {
		t.Errorf("alone beside two: got %v", err)
	}
	if err := RemoveClaim(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("remove what is used: got %v", err)
	}
	one.Close()
	two.Close()
	alone := lock(true)
	if _, err := LockClaim(dir, false, false); !errors.Is(err, ErrInUse) {
		t.Errorf("beside one alone: got %v", err)
	}
	alone.Close()
	if err := RemoveClaim(dir); err != nil {
		t.Error(err)
	}
}

// A claim is removed while somebody waits for it: it gets the next one of the name.
func TestLockClaimThatIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "claim")
	first := must(LockClaim(dir, true, false))(t)
	got := make(chan *os.File)
	go func() {
		f, err := LockClaim(dir, true, true)
		if err != nil {
			t.Error(err)
		}
		got <- f
	}()
	time.Sleep(50 * time.Millisecond) // it waits by now, or comes too late to make a difference
	must("hidden", os.Rename(dir, filepath.Join(filepath.Dir(dir), ".claim.removed")))(t)
	first.Close()
	second := <-got
	defer second.Close()
	if !exists(dir) {
		t.Fatal("the lock is of a directory that is gone")
	}
	if _, err := LockClaim(dir, false, false); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
}
