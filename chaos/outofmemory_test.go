package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/ground"
)

// TestMonitorOutOfMemory: whom the kernel kills of a sandbox that may have no more
// memory is the monitor, the largest in it. It is back, and what a container prints
// meanwhile is in its log once and in order.
func TestMonitorOutOfMemory(t *testing.T) {
	g := newGround(t, monitorDies)
	slow := strings.Replace(fmt.Sprintf(writer, writtenLines, writtenLength), `"100"`, `"10"`, 1)
	up := g.Command("up", g.Write(t, "writer.yaml", slow))
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	uid := uidOf(t, g, "writer")
	mustFind(t, uid, "main")
	first := mustFind(t, uid, "monitor")
	group := memoryGroup(t, first)
	group.limit(t, group.number(t, group.usage)+1<<20)
	s := socket{t: t, path: filepath.Join(g.Store.RunDir(uid), "control")}
	for start := time.Now(); group.kills(t) == 0; {
		if time.Since(start) > ground.Patience(20*time.Second) {
			t.Fatal("the kernel kills nobody, however much the monitor reads")
		}
		s.flood()
	}
	group.limit(t, -1)
	tally(monitorDies, "faults injected", group.kills(t))
	if pause := mustFind(t, uid, "pause"); pause.PID != first.Parent {
		t.Errorf("pause is process %d, was %d", pause.PID, first.Parent)
	}
	if err := up.Wait(); err != nil {
		t.Errorf("up of a writer whose monitor was killed: %v", err)
	}
	ground.Until(t, "the end of the writer", func() bool { return podOf(t, g, "writer").Status.Phase == v1.PodSucceeded })
	checkWritten(t, g)
	g.Must(t, "down", "writer")
}

// flood opens conversations that take as much of the monitor's memory as they may.
func (s socket) flood() {
	half := bytes.Repeat([]byte(" "), 3<<20) // of a request; see monitor/clients.go
	for range 8 {
		conn, err := s.connect(s.path)
		if err != nil {
			return // killed
		}
		defer conn.Close()
		conn.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := conn.Write(half); err != nil {
			return
		}
	}
}

// memory is the group that limits the memory of a sandbox.
type memory struct{ dir, usage, max, events string }

func memoryGroup(t *testing.T, p ground.Process) memory {
	for line := range strings.Lines(p.Cgroups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case fields[1] == "memory":
			return memory{"/sys/fs/cgroup/memory" + fields[2], "memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control"}
		case fields[0] == "0" && unified():
			return memory{"/sys/fs/cgroup" + fields[2], "memory.current", "memory.max", "memory.events"}
		}
	}
	t.Fatalf("find the memory controller in %s", p.Cgroups)
	return memory{}
}

func (m memory) number(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// limit sets how many bytes there may be; -1 is as many as there are.
func (m memory) limit(t *testing.T, bytes int) {
	t.Helper()
	text := strconv.Itoa(bytes)
	if unified() && bytes < 0 {
		text = "max"
	}
	if err := os.WriteFile(filepath.Join(m.dir, m.max), []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

var killCount = regexp.MustCompile(`(?m)^oom_kill (\d+)$`)

func (m memory) kills(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, m.events))
	if err != nil {
		t.Fatal(err)
	}
	count := killCount.FindSubmatch(text)
	if count == nil {
		t.Fatalf("%s does not say whom the kernel killed: %s", m.events, text)
	}
	n, err := strconv.Atoi(string(count[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
