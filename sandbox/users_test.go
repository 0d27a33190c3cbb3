package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReserveUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	reserve := func(preferred int) *Users {
		t.Helper()
		u, err := reserveUsers(file, preferred)
		must(t, err)
		t.Cleanup(func() { u.Close() })
		return u
	}
	one, two := reserve(0), reserve(0)
	if one.First != firstUsers || two.First != firstUsers+UsersPerPod {
		t.Errorf("got %d and %d, want the first two of the range", one.First, two.First)
	}
	other := reserve(firstUsers + 7*UsersPerPod)
	if other.First != firstUsers+7*UsersPerPod {
		t.Errorf("preferred: got %d", other.First)
	}
	if again := reserve(other.First); again.First == other.First {
		t.Errorf("got %d, which another pod has", again.First)
	}
	for _, bad := range []int{5, firstUsers + 1, lastUsers, 65536} {
		if u := reserve(bad); u.First == bad {
			t.Errorf("got %d, which is not podrun's to give", bad)
		}
	}
	must(t, two.Close())
	if free := reserve(two.First); free.First != two.First {
		t.Errorf("given back: got %d, want %d", free.First, two.First)
	}
}

// Who removes the file takes the reservation with it: the pod gets it back, unless
// another was faster.
func TestKeepReserved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	u, err := reserveUsers(file, 0)
	must(t, err)
	defer u.Close()
	if f, err := keepReserved(file, u.First); f != nil || err != nil {
		t.Errorf("a good reservation: got %v, %v", f, err)
	}
	for _, first := range []int{u.First, u.First + UsersPerPod} {
		if held, err := reserved(file, first); err != nil || held != (first == u.First) {
			t.Errorf("ids from %d on: reserved %v, %v", first, held, err)
		}
	}
	must(t, os.Remove(file))
	if held, err := reserved(file, u.First); held || err != nil {
		t.Errorf("without the file: reserved %v, %v", held, err)
	}
	f, err := keepReserved(file, u.First)
	must(t, err)
	if f == nil {
		t.Fatal("the reservation is not made again")
	}
	if other, err := reserveUsers(file, u.First); err != nil || other.First == u.First {
		t.Errorf("the ids are given out twice: %+v, %v", other, err)
	} else {
		other.Close()
	}
	must(t, f.Close())
}

func TestUsersOfTheMachine(t *testing.T) {
	etc := t.TempDir()
	must(t, os.WriteFile(filepath.Join(etc, "passwd"), []byte("root:x:0:0::/:/bin/sh\nbroken\nodd:x:1879048200:5::/:/\n"), 0o644))
	crowd := "all:x:1000:" + strings.Repeat("member,", 20000) + "\nlast:x:1879244807:\n"
	must(t, os.WriteFile(filepath.Join(etc, "group"), []byte(crowd), 0o644))
	must(t, os.WriteFile(filepath.Join(etc, "subgid"), []byte("web:1879113728:131072\n"), 0o644))
	taken, err := accounts(etc)
	must(t, err)
	for first, want := range map[int]bool{
		firstUsers:                 true, // a user
		firstUsers + UsersPerPod:   true, // sub-ids
		firstUsers + 2*UsersPerPod: true,
		firstUsers + 3*UsersPerPod: true, // a group
		firstUsers + 4*UsersPerPod: false,
	} {
		if got := taken.meets(first); got != want {
			t.Errorf("%d is taken: got %v, want %v", first, got, want)
		}
	}
	proc := t.TempDir()
	must(t, os.WriteFile(filepath.Join(proc, "uid_map"), []byte("         0     100000      65536\n1879048192 5000000 131072\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(proc, "gid_map"), []byte("0 100000 2000000000\n"), 0o644))
	mapped, err := mappedHere(proc)
	must(t, err)
	if !mapped.holds(firstUsers) || !mapped.holds(firstUsers+UsersPerPod) || mapped.holds(firstUsers+2*UsersPerPod) {
		t.Errorf("got %v", mapped)
	}
}
