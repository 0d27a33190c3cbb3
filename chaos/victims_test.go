package chaos

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/ground"
)

// seedVariable repeats the faults of an earlier run.
const seedVariable = "PODRUN_CHAOS_SEED"

// dice are the random numbers of a test, whose seed is printed.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("read %s: %v", seedVariable, err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// upTo is a random time below max.
func upTo(r *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(limit)))
}

// victim finds the process that has a role in a pod; false if none has.
func victim(uid, role string) (ground.Process, bool) {
	all, err := ground.Processes()
	if err != nil {
		return ground.Process{}, false
	}
	i := slices.IndexFunc(all, func(p ground.Process) bool { return p.Is(role, uid, all) })
	if i < 0 {
		return ground.Process{}, false
	}
	return all[i], true
}

// mustFind waits until somebody has the role.
func mustFind(t *testing.T, uid, role string) (p ground.Process) {
	t.Helper()
	ground.Until(t, role+" of the pod", func() (found bool) {
		p, found = victim(uid, role)
		return found
	})
	return p
}

// kill kills who has the role and returns when it has ended, or reports that
// nobody has it.
func kill(t *testing.T, uid, role string) bool {
	t.Helper()
	p, found := victim(uid, role)
	if !found || unix.Kill(p.PID, unix.SIGKILL) != nil {
		return false
	}
	ground.Until(t, "the end of the killed "+role, p.Ended)
	return true
}

// uidOf waits until the pod has one.
func uidOf(t *testing.T, g *ground.Ground, pod string) (uid string) {
	t.Helper()
	ground.Until(t, "the name of the pod", func() bool {
		var err error
		uid, err = g.UID(pod)
		return err == nil
	})
	return uid
}

// podOf is the pod as podrun shows it.
func podOf(t *testing.T, g *ground.Ground, pod string) *v1.Pod {
	t.Helper()
	var p v1.Pod
	if err := json.Unmarshal([]byte(g.Must(t, "get", "pod", pod, "-o", "json")), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

// containerOf is the status of one of the pod's containers.
func containerOf(t *testing.T, p *v1.Pod, name string) v1.ContainerStatus {
	t.Helper()
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("pod %s has no status of container %s", p.Name, name)
	return v1.ContainerStatus{}
}

// logged are the lines that a container has printed, from all parts of the log of
// one attempt. Long lines are put together again.
func logged(t *testing.T, g *ground.Ground, pod, container, attempt string) []string {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(g.Store.LogDir, "*_"+pod+"_*", container, attempt+".log*"))
	if err != nil {
		t.Fatal(err)
	}
	// Old parts have the time in their names; the current one has none and is the last.
	slices.SortFunc(parts, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		if a < b {
			return -1
		}
		return 1
	})
	var lines []string
	held := ""
	for _, part := range parts {
		data, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		for record := range strings.Lines(string(data)) { // TIME STREAM F|P TEXT
			fields := strings.SplitN(strings.TrimSuffix(record, "\n"), " ", 4)
			if len(fields) < 4 {
				t.Fatalf("%s has the line %q", part, record)
			}
			held += fields[3]
			if fields[2] == "F" {
				lines, held = append(lines, held), ""
			}
		}
	}
	return lines
}
