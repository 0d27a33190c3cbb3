package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/pod"
)

// The mender of a pod that runs notices what somebody else has removed or changed
// of it, and makes it again: firewall rules, link and routes, the record, claims,
// lock and control socket, mounts, libcontainer's state. It is woken by the kernel
// (netlink, inotify, the poll of the mount table), and glances twice a minute at
// what the kernel tells nobody (glance.go). Every look is the same, and changes
// nothing where nothing is missing.

const (
	// mendDelay is how soon after its first container a pod is looked after: what
	// happens on the way up is mended by build.
	mendDelay = time.Second
	// mendPeriod is the time between glances.
	mendPeriod = 30 * time.Second
	// mendGlances is how many of them go by until a look that nobody has asked for:
	// what is above the files that are watched may have been moved.
	mendGlances = 10
	// mendGap lets the rest of what somebody does happen first (an rm -r).
	mendGap = 10 * time.Millisecond
	// mendAgain is how soon what could not be mended is tried again, before it is told.
	mendAgain = time.Second
	// Two who do not agree what the machine should be like are not to fight for its
	// processors: after fightRepairs in a row there is one every fightGap.
	fightRepairs = 40
	fightGap     = 10 * time.Second
)

type mender struct {
	*monitor
	wake     chan struct{}
	remount  chan struct{}  // the mount table has changed
	failures map[string]int // how often in a row something could not be mended
	watch    fileWatch
	watching bool              // of the network
	deaf     bool              // network or mounts cannot be watched
	socket   string            // identity of the control socket's file
	devices  map[string]uint64 // of mounted volumes, by name
	groups   int               // directories of the pod's cgroup
}

func newMender(m *monitor) *mender {
	return &mender{
		monitor: m, wake: make(chan struct{}, 1), remount: make(chan struct{}, 1),
		failures: map[string]int{}, devices: map[string]uint64{},
	}
}

// wakeUp asks for a look. It never waits.
func (g *mender) wakeUp() { ask(g.wake) }

func ask(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // there will be one
	}
}

// keepWhole mends the pod until ctx ends.
func (g *mender) keepWhole(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(mendDelay):
	}
	g.removeParts()
	g.watchMounts(ctx)
	g.watchFiles(ctx)
	defer g.watch.close()
	var fight fight
	for {
		gap := mendGap
		if g.look(ctx) {
			gap = fight.round(time.Now())
		}
		restLater() // what a look leaves would else stay until there are megabytes of it
		g.awaitCause(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(gap):
		}
		select {
		case <-g.wake:
		default:
		}
	}
}

// fight counts repairs. One is forgotten every fightGap.
type fight struct {
	rounds int
	since  time.Time
}

// round is a repair; the next look is to be so much later.
func (f *fight) round(now time.Time) time.Duration {
	if forgotten := int(now.Sub(f.since) / fightGap); forgotten > 0 {
		f.rounds, f.since = max(0, f.rounds-forgotten), now
	}
	if f.rounds < fightRepairs {
		f.rounds++
		return mendGap
	}
	return fightGap
}

// look mends what is missing, and tells whether anything was. Nothing is done
// while the pod is ending, or without pause: both take away what is mended here.
func (g *mender) look(ctx context.Context) (mended bool) {
	if g.settled() != nil {
		return false // the next start of a container builds again
	}
	g.building.Lock()
	defer g.building.Unlock()
	for _, one := range []struct {
		what string
		mend func(context.Context) ([]string, error)
	}{
		{"the record of the pod", g.mendRecord},
		{"the run directory of the pod", g.mendRunDir},
		{"the state of the containers", g.mendContainers},
		{"the logs of the pod", g.mendLogs},
		{"the network of the pod", g.mendNetwork},
		{"the mounts of the pod", g.mendMounts},
		{"the cgroup of the pod", g.mendCgroup},
	} {
		if g.closed || g.retiring.Load() || g.fate.Load() != undecided || os.Getppid() != g.pauseID || ctx.Err() != nil {
			return false
		}
		done, err := one.mend(ctx)
		if os.Getppid() != g.pauseID {
			return false // the death of pause has caused it
		}
		mended = mended || len(done) > 0 || err != nil
		if len(done) > 0 {
			g.wakeUp() // what was removed again before it was watched again
		}
		g.tellMended(one.what, done, err)
	}
	g.watch.renew(g.monitor)
	g.removeResidue()
	return mended
}

// tellMended makes events of what was mended, and once of what cannot be, also at
// a second try.
func (g *mender) tellMended(what string, done []string, err error) {
	e := pod.Event{Time: time.Now(), Type: v1.EventTypeWarning}
	if len(done) > 0 {
		e.Reason, e.Message = "Repaired", fmt.Sprintf("Somebody has removed or changed %s: made again", strings.Join(done, ", "))
		fmt.Fprintf(os.Stderr, "podrun: %s\n", e.Message)
		g.event(e)
	}
	if err == nil {
		delete(g.failures, what)
		return
	}
	g.failures[what]++
	switch g.failures[what] {
	case 1: // whoever is at it may not be through
		time.AfterFunc(mendAgain, g.wakeUp)
		return
	case 2:
	default:
		return
	}
	e.Reason, e.Message = "FailedRepair", fmt.Sprintf("Somebody has removed or changed a part of %s, and it cannot be made again: %v", what, err)
	fmt.Fprintf(os.Stderr, "podrun: %s\n", e.Message)
	g.event(e)
}

// mended collects what mend functions have done.
type mended struct {
	done []string
	errs []error
}

// again notes the outcome of one: what names what was made again, if anything was.
func (l *mended) again(what string, made bool, err error) {
	if err != nil {
		l.errs = append(l.errs, err)
	} else if made {
		l.done = append(l.done, what)
	}
}

func (l *mended) result() ([]string, error) { return l.done, errors.Join(l.errs...) }
