package state

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
)

func TestNewUID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		uid := NewUID()
		if !form.MatchString(uid) {
			t.Errorf("uid %q is no version 4 UUID", uid)
		}
		if seen[uid] {
			t.Errorf("uid %q came twice", uid)
		}
		seen[uid] = true
	}
}

func TestClaims(t *testing.T) {
	s := newStore(t)
	claim := func(ns, name, uid string) func() error {
		return func() error { return s.Claim(ns, name, uid) }
	}
	release := func(ns, name, uid string) func() error {
		return func() error { return s.Release(ns, name, uid) }
	}
	steps := []struct {
		what string
		do   func() error
		err  error
		want []Ref
	}{
		{"release where nothing was ever claimed", release("a", "web", "1"), nil, nil},
		{"claim", claim("a", "web", "1"), nil, []Ref{{"a", "web", "1"}}},
		{"claim again, by another", claim("a", "web", "2"), &ClaimedError{"a", "web", "1"}, []Ref{{"a", "web", "1"}}},
		{"claim again, by the holder", claim("a", "web", "1"), &ClaimedError{"a", "web", "1"}, []Ref{{"a", "web", "1"}}},
		{"same name elsewhere", claim("b", "web", "3"), nil, []Ref{{"a", "web", "1"}, {"b", "web", "3"}}},
		{"a name that sorts first", claim("a", "db", "4"), nil, []Ref{{"a", "db", "4"}, {"a", "web", "1"}, {"b", "web", "3"}}},
		{"release by another", release("a", "web", "2"), nil, []Ref{{"a", "db", "4"}, {"a", "web", "1"}, {"b", "web", "3"}}},
		{"release", release("a", "web", "1"), nil, []Ref{{"a", "db", "4"}, {"b", "web", "3"}}},
		{"release again", release("a", "web", "1"), nil, []Ref{{"a", "db", "4"}, {"b", "web", "3"}}},
		{"the last of a namespace", release("b", "web", "3"), nil, []Ref{{"a", "db", "4"}}},
		{"claim in a namespace that went", claim("b", "web", "5"), nil, []Ref{{"a", "db", "4"}, {"b", "web", "5"}}},
	}
	for _, step := range steps {
		if err := step.do(); !reflect.DeepEqual(err, step.err) {
			t.Errorf("%s: got error %v, want %v", step.what, err, step.err)
		}
		got, err := s.Names("")
		if err != nil || !reflect.DeepEqual(got, step.want) {
			t.Errorf("%s: got names %v (%v), want %v", step.what, got, err, step.want)
		}
	}
	must(t, s.Release("b", "web", "5"))
	if _, err := os.Lstat(filepath.Join(s.Root, "names", "b")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of an empty namespace is left: %v", err)
	}
	if got, err := s.Lookup("a", "db"); got != "4" || err != nil {
		t.Errorf("Lookup: got %q, %v", got, err)
	}
	if _, err := s.Lookup("a", "web"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Lookup of a free name: got %v, want os.ErrNotExist", err)
	}
}

func TestClaimedErrorNamesTheHolder(t *testing.T) {
	got := (&ClaimedError{"ns", "web", "1"}).Error()
	if want := "pod ns/web exists (uid 1)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a pattern would match is a plain name here.
func TestNamesOfOddPlaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root[1]*")
	s := &Store{Config: Config{Root: dir}}
	must(t, s.Claim("ns", "web", "1"))
	must(t, s.Claim("other", "web", "2"))
	tests := []struct {
		namespace string
		want      []Ref
	}{
		{"", []Ref{{"ns", "web", "1"}, {"other", "web", "2"}}},
		{"ns", []Ref{{"ns", "web", "1"}}},
		{"none", nil},
		{"*", nil},   // every namespace is asked for by the empty one
		{"[ns", nil}, // not even a pattern
	}
	for _, test := range tests {
		got, err := s.Names(test.namespace)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("Names(%q): got %v (%v), want %v", test.namespace, got, err, test.want)
		}
	}
}

func TestOneOfManyClaimsWins(t *testing.T) {
	s := newStore(t)
	for round := range 20 {
		name := fmt.Sprintf("pod%d", round)
		var winners atomic.Int32
		var won atomic.Value
		var all sync.WaitGroup
		for i := range 30 {
			all.Go(func() {
				uid := fmt.Sprint(i)
				err := s.Claim("ns", name, uid)
				var claimed *ClaimedError
				switch {
				case err == nil:
					winners.Add(1)
					won.Store(uid)
				case !errors.As(err, &claimed):
					t.Error(err)
				}
			})
		}
		all.Wait()
		got, err := s.Lookup("ns", name)
		if winners.Load() != 1 || err != nil || got != won.Load() {
			t.Fatalf("%s: %d winners, the last %v; held by %q (%v)", name, winners.Load(), won.Load(), got, err)
		}
	}
}

func TestOneOfManyProcessesWins(t *testing.T) {
	s := newStore(t)
	const contenders = 8
	start, hold, err := os.Pipe()
	must(t, err)
	var children []*exec.Cmd
	for i := range contenders {
		child := self("claim", s.Root, fmt.Sprint(i))
		child.Stdin = start
		must(t, child.Start())
		children = append(children, child)
	}
	must(t, start.Close())
	must(t, hold.Close()) // all of them read the end of the file
	winners := 0
	for i, child := range children {
		child.Wait()
		switch code := child.ProcessState.ExitCode(); code {
		case 0:
			winners++
			if got, err := s.Lookup("ns", "contested"); got != fmt.Sprint(i) || err != nil {
				t.Errorf("process %d won, but %q holds the name (%v)", i, got, err)
			}
		case 3:
		default:
			t.Errorf("process %d: exit code %d", i, code)
		}
	}
	if winners != 1 {
		t.Errorf("%d processes won", winners)
	}
}

// The last release of a namespace removes its directory under a claimant, and a
// late second release must not take the name from the next pod.
func TestClaimsAndReleasesInARace(t *testing.T) {
	s := newStore(t)
	var held atomic.Int32
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 60 {
				uid := fmt.Sprintf("%d-%d", worker, i)
				err := s.Claim("ns", "web", uid)
				var claimed *ClaimedError
				if errors.As(err, &claimed) {
					err = s.Release("ns", "none", claimed.UID)
				} else if err == nil {
					if n := held.Add(1); n != 1 {
						t.Errorf("%d hold one name", n)
					}
					if got, err := s.Lookup("ns", "web"); got != uid {
						t.Errorf("%s claimed the name, %q has it (%v)", uid, got, err)
					}
					held.Add(-1)
					var twice sync.WaitGroup
					twice.Go(func() { s.Release("ns", "web", uid) }) // two teardowns of one pod
					err = s.Release("ns", "web", uid)
					twice.Wait()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if left := names(t, filepath.Join(s.Root, "names")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestReleaseWaitsForItsTurn(t *testing.T) {
	s := newStore(t)
	must(t, s.Claim("ns", "web", "1"))
	turn, err := os.Open(filepath.Join(s.Root, "names"))
	must(t, err)
	must(t, flock(turn))
	done := make(chan error)
	go func() { done <- s.Release("ns", "web", "1") }()
	// Meanwhile another teardown removes the claim, and the next pod has the name.
	must(t, os.Remove(s.ClaimPath("ns", "web")))
	must(t, s.Claim("ns", "web", "2"))
	must(t, turn.Close())
	must(t, <-done)
	if got, err := s.Lookup("ns", "web"); got != "2" {
		t.Errorf("the name is held by %q (%v), want 2", got, err)
	}
}

func TestLookupStaysBelowNames(t *testing.T) {
	s := newStore(t)
	if err := os.WriteFile(filepath.Join(s.Root, "names-elsewhere"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("uid", filepath.Join(s.Root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []Ref{
		{Namespace: "..", Name: "link"},            // out of names/
		{Namespace: "default", Name: "../../link"}, // the same by the name
		{Namespace: ".", Name: "default"},          // names/ itself
		{Namespace: "", Name: "default"},           // no namespace
		{Namespace: "default", Name: ""},           // a directory
		{Namespace: "/", Name: "link"},             // absolute
	} {
		if uid, err := s.Lookup(ref.Namespace, ref.Name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Lookup(%q, %q): got %q, %v, want os.ErrNotExist", ref.Namespace, ref.Name, uid, err)
		}
	}
}
