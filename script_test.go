package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"podrun/ground"
	"podrun/kernel"
)

// The scripts drive the binary as a user does, on the real kernel. Each has its
// own roots, subnet, links and images (busybox and peer), and ends by finding that nothing
// of its pods is left.

// parallel is how many scripts run at once: they mostly wait, so there may be
// more of them than processors, except where these are emulated.
const parallel = 4

func TestMain(m *testing.M) {
	flag.Parse()
	if ground.Patience(1) == 1 {
		if err := flag.Set("test.parallel", strconv.Itoa(parallel)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(ground.Main(m))
}

// place is what belongs to one script.
type place struct {
	*ground.Ground
	registry *fakeRegistry // the last that was started
}

// condition is what a script may ask of the machine: [sctp], [idmaptmpfs] and [cgroup2].
func condition(name string) (bool, error) {
	switch name {
	case "sctp":
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
		if err != nil {
			return false, nil
		}
		return true, unix.Close(fd)
	case "idmaptmpfs": // from Linux 6.3 on (mount_setattr(2))
		return kernel.AtLeast("6.3"), nil
	case "cgroup2":
		return cgroups.IsCgroup2UnifiedMode(), nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// budgetVariable is how long scripts begin, where there is not time for all on a slow
// machine: the rest is skipped, and says so.
const budgetVariable = "PODRUN_TEST_BUDGET"

func budget() (time.Duration, error) {
	if text := os.Getenv(budgetVariable); text != "" {
		return time.ParseDuration(text)
	}
	return math.MaxInt64, nil
}

type placeKey struct{}

func here(ts *testscript.TestScript) *place { return ts.Value(placeKey{}).(*place) }

func TestScripts(t *testing.T) {
	limit, err := budget()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		Cmds:                commands,
		RequireExplicitExec: true,
		Condition:           condition,
		Setup: func(e *testscript.Env) error {
			if time.Since(began) > limit {
				e.T().Skip(fmt.Sprintf("no time left: %s are over", limit))
			}
			g, err := ground.Make(ground.Suite.Binary)
			if err != nil {
				return err
			}
			e.Values[placeKey{}] = &place{Ground: g}
			e.Vars = append(e.Vars, g.Environment()...)
			e.Vars = append(e.Vars, "SOON="+ground.Patience(time.Second).String(), "LATER="+ground.Patience(6*time.Second).String()) // when what comes at once has come, and what takes a while
			e.Defer(func() { g.Close(e.T().(testing.TB)) })
			return nil
		},
	})
}
