package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/ground"
)

const manyAtOnce = "many at once"

// Of so many pods as many shells take one after the other up and down.
const (
	manyPods   = 50
	manyShells = 16
)

var one = quickPod("pod-%[1]d", `
  containers:
  - {name: main, image: busybox, imagePullPolicy: Never, command: [sleep, "3600"]}
`)

// expected are the errors of who is not alone with a pod.
var expected = regexp.MustCompile(`is being made by another podrun|is being brought up or taken down by another podrun|` +
	`is being taken down by another podrun|there is no pod "pod-`)

// crowd are the shells.
type crowd struct {
	*ground.Ground
	t     *testing.T
	files []string
	end   time.Time

	mu         sync.Mutex
	commands   int
	refused    int
	slowestPs  time.Duration
	unexpected []string
}

// TestManyAtOnce: for two minutes, or as long as the variable says, sixteen
// shells work on fifty pods without a plan.
func TestManyAtOnce(t *testing.T) {
	r := dice(t)
	c := &crowd{Ground: newGround(t, manyAtOnce), t: t, end: time.Now().Add(durationOf(t, "PODRUN_CHAOS_CROWD", 2*time.Minute))}
	for i := range manyPods {
		c.files = append(c.files, c.Write(t, fmt.Sprintf("pod-%d.yaml", i), fmt.Sprintf(one, i)))
	}
	var all sync.WaitGroup
	for range manyShells {
		own := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
		all.Go(func() { c.shell(own) })
	}
	all.Go(c.watchAddresses)
	all.Wait()
	t.Logf("%d commands, of which %d met another at work; the slowest ps took %v", c.commands, c.refused, c.slowestPs)
	for _, text := range c.unexpected[:min(len(c.unexpected), 10)] {
		t.Errorf("unexpected: %s", text)
	}
	c.Must(t, "down", "--all")
	tally(manyAtOnce, "commands", c.commands)
	tally(manyAtOnce, "unexpected errors", len(c.unexpected))
	tally(manyAtOnce, "ms of the slowest ps", int(c.slowestPs.Milliseconds()))
	if c.commands < manyShells {
		t.Errorf("only %d commands came to an end", c.commands)
	}
}

func (c *crowd) shell(r *rand.Rand) {
	for time.Now().Before(c.end) {
		n := r.IntN(manyPods)
		began := time.Now()
		var out ground.Result
		switch dice := r.IntN(20); {
		case dice < 8:
			out = c.Run("up", c.files[n])
		case dice < 10:
			out = c.Run("up", "--replace", c.files[n])
		case dice < 16:
			out = c.Run("down", fmt.Sprintf("pod-%d", n))
		case dice < 17:
			out = c.Run("down", "--force", c.files[n])
		case dice < 18:
			out = c.Run("exec", fmt.Sprintf("pod-%d", n), "--", "true")
			out.Code = 0 // the pod may end meanwhile
		default:
			out = c.Run("ps")
		}
		c.note(out, time.Since(began))
	}
}

func (c *crowd) note(out ground.Result, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commands++
	ps := out.Args[0] == "ps"
	if ps {
		c.slowestPs = max(c.slowestPs, took)
	}
	switch {
	case out.Code == 0:
	case !ps && out.Code == 1 && expected.MatchString(out.Stderr):
		c.refused++
	default:
		c.unexpected = append(c.unexpected, fmt.Sprintf("after %v: %s", took.Round(time.Millisecond), out))
	}
}

// watchAddresses looks for two pods of one address. Between the looks at two pods
// one may have gone and the other come: only what stays so is wrong.
func (c *crowd) watchAddresses() {
	var before []string
	for time.Now().Before(c.end) {
		now := c.shared()
		for _, pair := range now {
			if slices.Contains(before, pair) {
				c.t.Errorf("two pods have one address: %s", pair)
			}
		}
		before = now
		time.Sleep(500 * time.Millisecond)
	}
}

func (c *crowd) shared() (pairs []string) {
	var list v1.PodList
	if out := c.Run("get", "pods", "-o", "json"); out.Code != 0 || json.Unmarshal([]byte(out.Stdout), &list) != nil {
		return nil
	}
	holder := map[string]string{}
	for _, p := range list.Items {
		if ip := p.Status.PodIP; ip != "" && p.Status.Phase == v1.PodRunning {
			if other := holder[ip]; other != "" {
				pairs = append(pairs, fmt.Sprintf("%s: %s and %s", ip, other, p.UID))
			}
			holder[ip] = string(p.UID)
		}
	}
	return pairs
}

var unpullable = quickPod("unpullable", `
  containers:
  - {name: main, image: "%s/never:latest"}
`)

// TestNobodyWaitsForAPull: while a registry does not answer, everybody else goes on.
func TestNobodyWaitsForAPull(t *testing.T) {
	g := newGround(t, manyAtOnce)
	registry, asked := silentRegistry(t)
	slow := g.Command("up", "--insecure", registry, g.Write(t, "unpullable.yaml", fmt.Sprintf(unpullable, registry)))
	pull := g.Command("image", "pull", "--insecure", registry, registry+"/other:latest")
	for _, cmd := range []interface{ Start() error }{slow, pull} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-asked
	}
	defer func() {
		slow.Process.Kill()
		pull.Process.Kill()
		slow.Wait()
		pull.Wait()
	}()
	sleeping := g.Write(t, "sleeper.yaml", sleeper)
	for _, args := range [][]string{
		{"ps"}, {"up", sleeping}, {"ps", "-A"}, {"image", "ls"}, {"logs", "sleeper"}, {"exec", "sleeper", "--", "true"}, {"describe", "sleeper"}, {"down", "sleeper"},
	} {
		began := time.Now()
		g.Must(t, args...)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("podrun %s took %v beside a pull that hangs", strings.Join(args, " "), took)
		}
	}
	tally(manyAtOnce, "pulls that hang", 2)
}

// silentRegistry takes connections, tells of each, and never answers.
func silentRegistry(t *testing.T) (address string, asked <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	came := make(chan struct{}, 100)
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
			came <- struct{}{}
		}
	}()
	return l.Addr().String(), came
}
