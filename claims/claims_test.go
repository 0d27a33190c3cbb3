package claims

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOwn(t *testing.T) {
	claims := t.TempDir()
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "uid-1"}}
	dir := claims + "/web-data"
	for range 2 {
		ok(t, Own(dir, pod))
		if got := must(Owner(dir))(t); got != "uid-1" {
			t.Errorf("got owner %q", got)
		}
	}
	ok(t, os.Mkdir(claims+"/.web-other.uid-1", 0o700)) // of a killed monitor
	ok(t, os.MkdirAll(claims+"/.web-data.removed/data", 0o700))
	ok(t, os.MkdirAll(claims+"/web-kept/data", 0o700))
	got := must(Owned(claims, "web", "uid-1"))(t)
	if want := []string{"web-data"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	checkGone(t, claims+"/.web-other.uid-1")
	checkGone(t, claims+"/.web-data.removed")
	if got := must(Owned(claims, "web", "uid-2"))(t); len(got) > 0 {
		t.Errorf("another pod of the name owns %q", got)
	}
	// The next pod of the name, while the claim is there; and a claim that nobody owns.
	pod.UID = "uid-2"
	checkError(t, Own(dir, pod), "PVC default/web-data was not created for pod default/web (pod is not owner)")
	checkError(t, Own(claims+"/web-kept", pod), "PVC default/web-kept was not created for pod default/web (pod is not owner)")
	if got := must(Owner(claims + "/web-kept"))(t); got != "" {
		t.Errorf("got owner %q of a claim that outlives its pods", got)
	}
	ok(t, Remove(dir))
	checkGone(t, dir)
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "claim")
	lock := func(alone bool) *os.File { t.Helper(); return must(Lock(dir, alone, false))(t) }
	one, two := lock(false), lock(false)
	if _, err := Lock(dir, true, false); !errors.Is(err, ErrInUse) {
		t.Errorf("alone beside two: got %v", err)
	}
	if err := Remove(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("remove what is used: got %v", err)
	}
	one.Close()
	two.Close()
	alone := lock(true)
	if _, err := Lock(dir, false, false); !errors.Is(err, ErrInUse) {
		t.Errorf("beside one alone: got %v", err)
	}
	alone.Close()
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
}

// A claim is removed while somebody waits for it: it gets the next one of the name.
func TestLockThatIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "claim")
	first := must(Lock(dir, true, false))(t)
	got := make(chan *os.File)
	go func() {
		f, err := Lock(dir, true, true)
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
	if _, err := os.Lstat(dir); err != nil {
		t.Fatal("the lock is of a directory that is gone")
	}
	if _, err := Lock(dir, false, false); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
}

func TestRemove(t *testing.T) {
	claims := t.TempDir()
	dir := filepath.Join(claims, "data")
	ok(t, os.MkdirAll(dir+"/data", 0o755))
	ok(t, os.MkdirAll(claims+"/other/data", 0o755))
	write(t, dir+"/data/file", "x")
	write(t, claims+"/other/data/file", "x")
	mounted := dir + "/data/mounted"
	ok(t, os.Mkdir(mounted, 0o755))
	ok(t, unix.Mount("tmpfs", mounted, "tmpfs", 0, ""))
	defer unix.Unmount(mounted, unix.MNT_DETACH)
	checkError(t, Remove(dir), `remove claim "data": `+mounted+" is a mount point: unmount it and repeat; nothing was removed")
	if got := read(t, dir+"/data/file"); got != "x" {
		t.Errorf("a refused removal: got %q", got)
	}
	ok(t, unix.Unmount(mounted, 0))
	killed := filepath.Join(claims, ".data.removed")
	ok(t, os.MkdirAll(killed+"/data/file", 0o755)) // what a killed removal left
	ok(t, Remove(dir+"/"))
	ok(t, Remove(dir))
	checkGone(t, dir)
	checkGone(t, killed)
	if got := read(t, claims+"/other/data/file"); got != "x" {
		t.Errorf("another claim: got %q", got)
	}
	ok(t, Remove(filepath.Join(t.TempDir(), "no/namespace/claim")))
}
