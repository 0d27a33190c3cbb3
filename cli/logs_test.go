package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"podrun/logs"
	"podrun/monitor"
	"podrun/state"
)

func TestAttemptOf(t *testing.T) {
	ended := v1.ContainerState{Terminated: &v1.ContainerStateTerminated{}}
	runs := v1.ContainerState{Running: &v1.ContainerStateRunning{}}
	waits := v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	for _, test := range []struct {
		name      string
		status    *v1.ContainerStatus
		previous  bool
		want      int
		wantKnown bool
	}{
		{"no status yet", nil, false, 0, false},
		{"not started yet", &v1.ContainerStatus{State: waits}, false, 0, false},
		{"first run", &v1.ContainerStatus{State: runs}, false, 0, true},
		{"before the first run", &v1.ContainerStatus{State: runs}, true, -1, false},
		{"first end", &v1.ContainerStatus{State: ended}, false, 0, true},
		{"restarted", &v1.ContainerStatus{State: runs, LastTerminationState: ended, RestartCount: 2}, false, 2, true},
		{"before the restart", &v1.ContainerStatus{State: runs, LastTerminationState: ended, RestartCount: 2}, true, 1, true},
		{"held back", &v1.ContainerStatus{State: waits, LastTerminationState: ended, RestartCount: 2}, false, 2, true},
		{"held back, previous", &v1.ContainerStatus{State: waits, LastTerminationState: ended, RestartCount: 2}, true, 2, true},
	} {
		got, known := attemptOf(test.status, test.previous)
		if known != test.wantKnown || known && got != test.want {
			t.Errorf("%s: got %d, %v, want %d, %v", test.name, got, known, test.want, test.wantKnown)
		}
	}
}

// makeLoggedPod records a pod that nobody keeps: web was restarted once, side
// has printed to both streams, late never started.
func makeLoggedPod(t *testing.T) (globals []string) {
	t.Helper()
	dir := t.TempDir()
	config := state.Config{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log")}
	s, err := state.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	uid := state.NewUID()
	r := &state.Record{LogDir: config.LogDir, Pod: &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: types.UID(uid)},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "web"}, {Name: "side"}, {Name: "late"}}},
	}}
	ended := v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "Completed"}}
	var status monitor.Status
	status.Ended = true
	status.Status.ContainerStatuses = []v1.ContainerStatus{
		{Name: "web", RestartCount: 1, State: ended, LastTerminationState: ended},
		{Name: "side", State: ended},
		{Name: "late", State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "ErrImagePull"}}},
	}
	for _, step := range []func() error{
		func() error { return s.Claim("default", "p", uid) },
		func() error { return s.WriteRecord(r) },
		func() error { return s.WriteStatus(uid, &status, false) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	old, recent := "2020-01-01T00:00:00.000000000Z ", time.Now().UTC().Format("2006-01-02T15:04:05.000000000Z ")
	for path, text := range map[string]string{
		logs.Path("web", 0):  old + "stdout F first run\n",
		logs.Path("web", 1):  old + "stdout F old\n" + recent + "stdout F recent\n",
		logs.Path("side", 0): old + "stderr F from the side\n",
	} {
		path = filepath.Join(r.LogPath(), path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"podrun", "--root", config.Root, "--run-root", config.RunRoot, "--log-dir", config.LogDir}
}

func TestLogs(t *testing.T) {
	globals := makeLoggedPod(t)
	const defaulted = "Defaulted container \"web\" out of: web, side, late\n"
	for _, test := range []struct {
		args         string
		want, notice string
		code         int
	}{
		{"p", "old\nrecent\n", defaulted, 0},
		{"p -f", "old\nrecent\n", defaulted, 0},
		{"pod/p -c web --tail 1", "recent\n", "", 0},
		{"p -c web --since 5m", "recent\n", "", 0},
		{"p -c web -p", "first run\n", "", 0},
		{"p -c side --timestamps", "2020-01-01T00:00:00.000000000Z from the side\n", "", 0},
		{"p --all-containers --prefix --tail=1", "[pod/p/web] recent\n[pod/p/side] from the side\n", "", 0},
		{"p -c side -p", "", "podrun: container side of pod default/p has not been restarted: there is no previous log\n", 1},
		{"p -c late", "", "podrun: container late of pod default/p is waiting to start: ErrImagePull\n", 1},
		{"p -c nobody", "", "podrun: pod default/p has no container \"nobody\"; it has: web, side, late\n", 1},
		{"q", "", "podrun: there is no pod \"q\" in namespace \"default\"; 'podrun ps -A' lists all\n", 1},
		{"", "", "podrun: logs needs one pod: podrun logs POD [-c NAME]\n", 2},
		{"p --tail -2", "", "podrun: --tail -2: want a number of lines from 0, or -1 for all\n", 2},
		{"p --since 0s", "", "podrun: --since 0s: want a duration above 0, such as 5m\n", 2},
		{"p -f -p", "", "podrun: --follow and --previous exclude each other: what was before the restart has ended\n", 2},
		{"p --all-containers -c web", "", "podrun: --all-containers and --container web exclude each other\n", 2},
	} {
		var out, notices bytes.Buffer
		args := append(append(globals[:len(globals):len(globals)], "logs"), strings.Fields(test.args)...)
		code := Run(t.Context(), args, Streams{Out: &out, Err: &notices})
		if code != test.code || out.String() != test.want || notices.String() != test.notice {
			t.Errorf("logs %s: got %d, %q, %q, want %d, %q, %q", test.args, code, out.String(), notices.String(), test.code, test.want, test.notice)
		}
	}
}
