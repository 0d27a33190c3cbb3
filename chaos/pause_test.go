package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/ground"
)

const pauseDies = "pause dies"

const pair = `
apiVersion: v1
kind: Pod
metadata: {name: pair}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - {name: init, image: busybox, imagePullPolicy: Never, command: ["true"]}
  containers:
  - {name: one, image: busybox, imagePullPolicy: Never, command: [sh, -c, "trap exit TERM; while :; do sleep 0.1; done"], ports: [{containerPort: 80, hostPort: %d}]}
  - {name: two, image: busybox, imagePullPolicy: Never, command: [sleep, "3600"]}
`

// pairOn is a pod that has of everything that a sandbox holds.
func pairOn(t *testing.T, g *ground.Ground) (file string) {
	t.Helper()
	port, err := g.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return g.Write(t, "pair.yaml", fmt.Sprintf(pair, port))
}

// leafProcesses are pause and monitor, found faster than by all processes of the machine.
func leafProcesses(uid string) (pause, monitor int) {
	all, err := ground.Processes()
	if err != nil {
		return 0, 0
	}
	for _, p := range all {
		switch {
		case p.Is("pause", uid, all):
			pause = p.PID
		case p.Is("monitor", uid, all):
			monitor = p.PID
		}
	}
	return pause, monitor
}

// runs waits until all containers of the pod do.
func runs(t *testing.T, g *ground.Ground, pod string) {
	t.Helper()
	ground.Until(t, "the containers of "+pod, func() bool {
		for _, c := range podOf(t, g, pod).Status.ContainerStatuses {
			if c.State.Running == nil {
				return false
			}
		}
		return true
	})
}

// TestPauseDies: wherever its pod is, one that runs is made anew by its restart
// policy, one that ends ends, and nothing is left.
func TestPauseDies(t *testing.T) {
	const rounds = 6
	for _, when := range []struct {
		name string
		do   func(*testing.T, *ground.Ground, *rand.Rand)
	}{
		{"while the pod is being made", pauseDiesInUp},
		{"while it runs", pauseDiesInRun},
		{"while it is taken down", pauseDiesInDown},
		{"while it ends by itself", pauseDiesAtTheEnd},
		{"with its monitor, before up", func(t *testing.T, g *ground.Ground, r *rand.Rand) { bothDie(t, g, r, "up") }},
		{"with its monitor, before down", func(t *testing.T, g *ground.Ground, r *rand.Rand) { bothDie(t, g, r, "down") }},
	} {
		t.Run(when.name, func(t *testing.T) {
			t.Parallel()
			r := dice(t)
			g := newGround(t, pauseDies)
			for range rounds {
				when.do(t, g, r)
				if left := g.Leaks(); len(left) > 0 {
					t.Fatalf("left on the machine:\n  %s", strings.Join(left, "\n  "))
				}
				tally(pauseDies, "faults injected", 1)
			}
		})
	}
}

func pauseDiesInUp(t *testing.T, g *ground.Ground, r *rand.Rand) {
	file := pairOn(t, g)
	up := g.Command("up", file)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	uid := uidOf(t, g, "pair")
	for pause := 0; pause == 0; {
		if pause, _ = leafProcesses(uid); pause != 0 {
			time.Sleep(upTo(r, 80*time.Millisecond))
			unix.Kill(pause, unix.SIGKILL)
		} else if _, err := g.UID("pair"); err != nil {
			break
		}
	}
	up.Wait() // it may tell that the sandbox has died
	if out := g.Run("up", file); out.Code != 0 {
		t.Errorf("up after the death: %s", out)
	}
	runs(t, g, "pair")
	g.Must(t, "down", "pair")
}

func pauseDiesInRun(t *testing.T, g *ground.Ground, _ *rand.Rand) {
	g.Must(t, "up", pairOn(t, g))
	uid := uidOf(t, g, "pair")
	one := mustFind(t, uid, "one")
	kill(t, uid, "pause")
	ground.Until(t, "the end of what ran", one.Ended)
	ground.Until(t, "the next attempts", func() bool {
		for _, c := range podOf(t, g, "pair").Status.ContainerStatuses {
			if c.State.Running == nil || c.RestartCount != 1 {
				return false
			}
		}
		return true
	})
	g.Must(t, "down", "pair")
}

func pauseDiesInDown(t *testing.T, g *ground.Ground, r *rand.Rand) {
	g.Must(t, "up", pairOn(t, g))
	pause, _ := leafProcesses(uidOf(t, g, "pair"))
	down := g.Command("down", "pair")
	said := &strings.Builder{}
	down.Stderr = said
	if err := down.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(upTo(r, 400*time.Millisecond))
	unix.Kill(pause, unix.SIGKILL)
	if err := down.Wait(); err != nil {
		t.Errorf("down while pause died: %v: %s", err, said)
	}
}

const ending = `
apiVersion: v1
kind: Pod
metadata: {name: ending}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: busybox, imagePullPolicy: Never, command: [sleep, "0.3"]}
`

func pauseDiesAtTheEnd(t *testing.T, g *ground.Ground, r *rand.Rand) {
	up := g.Command("up", g.Write(t, "ending.yaml", ending))
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	uid := uidOf(t, g, "ending")
	mustFind(t, uid, "main")
	pause, _ := leafProcesses(uid)
	time.Sleep(200*time.Millisecond + upTo(r, 200*time.Millisecond))
	if pause != 0 {
		unix.Kill(pause, unix.SIGKILL)
	}
	up.Wait() // the container may have been killed
	ground.Until(t, "the end of the pod", func() bool {
		phase := podOf(t, g, "ending").Status.Phase
		return phase == v1.PodSucceeded || phase == v1.PodFailed
	})
	g.Must(t, "down", "ending")
}

// bothDie leaves a pod that nobody keeps: that is told, and what comes next finds it.
func bothDie(t *testing.T, g *ground.Ground, r *rand.Rand, next string) {
	file := pairOn(t, g)
	up := g.Command("up", file)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	uid := uidOf(t, g, "pair")
	mustFind(t, uid, "pause")
	time.Sleep(upTo(r, 300*time.Millisecond))
	pause, monitor := leafProcesses(uid)
	for _, pid := range []int{pause, monitor} {
		if pid != 0 {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
	up.Wait() // in whose time it may have been
	if _, err := g.UID("pair"); err == nil {
		if shown := g.Must(t, "ps"); !strings.Contains(shown, "pair") {
			t.Errorf("ps shows no pod: %s", shown)
		}
	}
	if next == "up" {
		g.Must(t, "up", file)
		runs(t, g, "pair")
	}
	g.Must(t, "down", file)
}
