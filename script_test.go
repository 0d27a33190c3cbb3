package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"podrun/ground"
)

// The scripts drive the binary as a user does, on the real kernel. Each has its
// own roots, subnet, links and images (busybox and peer), and ends by finding that nothing
// of its pods is left.

// parallel is how many scripts run at once: they mostly wait, so there may be
// more of them than processors.
const parallel = 4

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(parallel)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(ground.Main(m))
}

// place is what belongs to one script.
type place struct {
	*ground.Ground
	registry *fakeRegistry // the last that was started
}

// condition is what a script may ask of the machine: [sctp].
func condition(name string) (bool, error) {
	if name != "sctp" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return false, nil
	}
	return true, unix.Close(fd)
}

type placeKey struct{}

func here(ts *testscript.TestScript) *place { return ts.Value(placeKey{}).(*place) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		Cmds:                commands,
		RequireExplicitExec: true,
		Condition:           condition,
		Setup: func(e *testscript.Env) error {
			g, err := ground.Make(ground.Suite.Binary)
			if err != nil {
				return err
			}
			e.Values[placeKey{}] = &place{Ground: g}
			e.Vars = append(e.Vars, g.Environment()...)
			e.Defer(func() { g.Close(e.T().(testing.TB)) })
			return nil
		},
	})
}
