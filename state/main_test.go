package state

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A role is what this program does when a test starts it as another process.
const roleVariable = "PODRUN_STATE_TEST"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "claim":
		os.Exit(claimRole(os.Args[1], os.Args[2]))
	case "hold": // what it inherited, until its standard input ends
		os.Stdin.Read(make([]byte, 1))
	default:
		fmt.Fprintln(os.Stderr, "no such role:", role)
		os.Exit(2)
	}
}

// claimRole exits with 0 where it won the name, with 3 where another did.
func claimRole(root, uid string) int {
	os.Stdin.Read(make([]byte, 1)) // so that all claim at once
	s := &Store{Config: Config{Root: root}}
	err := s.Claim("ns", "contested", uid)
	var claimed *ClaimedError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &claimed):
		return 3
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func self(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

func newStore(t testing.TB) *Store {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(Config{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// names are the entries of a directory, hidden ones too.
func names(t testing.TB, dir string) []string {
	t.Helper()
	found, err := entries(dir)
	must(t, err)
	return found
}
