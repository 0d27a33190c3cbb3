package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/logs"
	"podrun/monitor"
	"podrun/pod"
	"podrun/sandbox"
	"podrun/state"
)

// launch brings one pod up and waits for it.
type launch struct {
	*up
	record  *state.Record
	old     *monitor.Found // of the same name, to be removed first
	again   bool           // the record is stored; only the sandbox is gone
	kept    bool           // it runs, or comes up, already: only wait
	change  *v1.Pod        // the manifest that it is to go on by; nil: its own
	status  *v1.PodStatus
	warning string // the last one
	keepers *state.Held
}

// errLost is of a pod that was kept when it was found, and is not any more.
var errLost = errors.New("has lost its sandbox")

func (l *launch) run(ctx context.Context) error {
	err := l.try(ctx)
	if errors.Is(err, errLost) && l.change == nil {
		l.kept, l.again = false, true
		err = l.try(ctx)
	}
	return err
}

// try starts what there is to start, and waits.
func (l *launch) try(ctx context.Context) error {
	pause, err := l.start(ctx)
	if err != nil {
		return err
	}
	if l.keepers, err = monitor.Keepers(l.store, l.record.UID()); err != nil {
		return err
	}
	defer l.keepers.Close()
	return l.wait(ctx, pause)
}

// start makes the sandbox, unless there is one: then there is no pause to hear of.
func (l *launch) start(ctx context.Context) (*sandbox.Pause, error) {
	if l.change != nil {
		return nil, l.applyChange(ctx)
	}
	if l.kept {
		return nil, nil
	}
	if l.old != nil {
		if err := l.remove(ctx, l.old, nil); err != nil {
			return nil, fmt.Errorf("replace pod %s: %w", l.name(), err)
		}
	}
	start := monitor.Relaunch
	if !l.again {
		start = monitor.Launch
		l.record.Created = time.Now().Truncate(time.Second)
	}
	pause, err := start(l.store, l.record)
	var claimed *state.ClaimedError
	if errors.As(err, &claimed) {
		return nil, fmt.Errorf("pod %s is being made by another podrun (uid %s)", displayName(l.record.Pod), claimed.UID)
	}
	if errors.Is(err, state.ErrLocked) || errors.Is(err, monitor.ErrRemoved) {
		return nil, fmt.Errorf("pod %s is being brought up or taken down by another podrun (uid %s)", displayName(l.record.Pod), l.record.UID())
	}
	if err != nil {
		return nil, fmt.Errorf("start pod %s: %w", displayName(l.record.Pod), err)
	}
	return pause, nil
}

// wait follows the pod until it is ready, has failed, or time is up.
func (l *launch) wait(ctx context.Context, pause *sandbox.Pause) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := l.follow(ctx)
	line := l.newLine(l.record.Pod)
	defer line.clear()
	timeout := time.NewTimer(l.options.timeout)
	defer timeout.Stop()
	var settled <-chan time.Time
	for {
		select {
		case u, ok := <-updates:
			if !ok && ctx.Err() == nil {
				return l.abandoned(pause)
			}
			if !ok {
				updates = nil
				continue
			}
			switch v, err := l.take(u, line); {
			case err != nil || v == finished:
				return err
			case v == failed: // with --attach: the logs tell, and how the pod ends
				return nil
			case v == arrived && (l.options.attach || !mayFinish(l.record.Pod)):
				return l.running(line)
			case v == arrived && settled == nil:
				settled = time.After(finishTime)
			}
		case <-settled:
			if judge(l.record.Pod, l.status) == arrived {
				return l.running(line)
			}
			settled = nil
		case <-timeout.C:
			if done, err := l.lastLook(line); done {
				return err
			}
			line.clear()
			return fmt.Errorf("pod %s is not ready after %v and stays; it waits for %s%s%s", l.name(), l.options.timeout, l.expects(), l.lastWarning(), l.nextSteps(""))
		case <-ctx.Done():
			line.clear()
			return l.interrupted()
		}
	}
}

// made: the pod is this up's own, not one that was there before.
func (l *launch) made() bool { return !l.kept && !l.again }

func (l *launch) name() string { return displayName(l.record.Pod) }

func (l *launch) expects() string {
	if l.status == nil {
		return "its sandbox"
	}
	if why, yes := resizing(l.status); l.change != nil && yes {
		return why
	}
	return expects(l.record.Pod, l.status)
}

// finishTime is how long `up` waits whether a container that may finish does so
// at once: then it can tell how.
const finishTime = time.Second

// mayFinish: a pod that is not restarted for ever and has no probe that tells
// when it is up.
func mayFinish(p *v1.Pod) bool {
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		if c.ReadinessProbe != nil || c.StartupProbe != nil || pod.Restarts(&p.Spec, c, 0) {
			return false
		}
	}
	return true
}

func (l *launch) running(line *line) error {
	line.clear()
	l.tell("running")
	for _, gate := range shutGates(l.record.Pod, l.status) {
		l.notef("pod/%s is not ready: readiness gate %q is opened by 'podrun condition %s %s=True'\n", l.name(), gate, l.target(), gate)
	}
	return nil
}

// tell says what has become of the pod: of a new one, how far it has come.
func (l *launch) tell(word string) {
	switch {
	case l.change != nil:
		word = "configured"
	case l.kept:
		word = fmt.Sprintf("unchanged (%s)", l.status.Phase)
	}
	l.printf("pod/%s %s\n", l.name(), word)
}

// lastLook is for a time so short that no update has come in it: the pod may be
// as wanted already.
func (l *launch) lastLook(line *line) (done bool, err error) {
	if l.status != nil || l.change != nil {
		return false, nil
	}
	f, err := monitor.FindByName(l.store, l.record.Pod.Namespace, l.record.Pod.Name)
	if err != nil || f.Lost() {
		return false, nil
	}
	switch v, err := l.take(monitor.Update{Status: &f.Status.Status}, line); {
	case err != nil || v == finished || v == failed:
		return true, err
	case v == arrived:
		return true, l.running(line)
	}
	return false, nil
}

// take looks at one update. An error is the end of the waiting.
func (l *launch) take(u monitor.Update, line *line) (verdict, error) {
	if u.NotMade != "" {
		line.clear()
		err := fmt.Errorf("pod %s cannot be made: %s", l.name(), u.NotMade)
		return failed, errors.Join(err, l.cleanUp())
	}
	if u.Event != nil && u.Event.Type == v1.EventTypeWarning {
		l.warning = u.Event.Message
	}
	if u.Event != nil && l.verbose {
		line.clear()
		l.notef("%s %s: %s\n", l.name(), u.Event.Reason, u.Event.Message)
	}
	if u.Status == nil {
		return waiting, nil
	}
	l.status = u.Status
	line.show("waiting for " + l.expects())
	v := judge(l.record.Pod, u.Status)
	if _, yes := resizing(u.Status); v == arrived && l.change != nil && yes {
		v = waiting
	}
	if v == failed && (len(l.missing[l.name()]) > 0 && onlyMissing(u.Status) || awaitsFile(l.record.Pod, u.Status)) {
		v = waiting
	}
	switch v {
	case finished:
		line.clear()
		l.tell("completed")
	case failed:
		line.clear()
		if l.takenDown() {
			return v, l.taken()
		}
		if !l.options.attach {
			return v, l.failure(u.Status)
		}
	}
	return v, nil
}

// failure prints what is known of the failed containers.
func (l *launch) failure(s *v1.PodStatus) error {
	if s.Reason != "" {
		l.notef("pod/%s: %s: %s\n", l.name(), s.Reason, s.Message)
	}
	for _, f := range failures(s) {
		l.notef("pod/%s: container %s: %s\n", l.name(), f.container, f.text)
		if f.attempt >= 0 {
			l.lastLines(f.container, f.attempt)
		}
	}
	guilty := ""
	if list := failures(s); len(list) > 0 && len(l.record.Pod.Spec.Containers)+len(l.record.Pod.Spec.InitContainers) > 1 {
		guilty = " -c " + list[0].container
	}
	what := "has failed and stays"
	if s.Phase != v1.PodFailed {
		what = "keeps failing and stays; what fails is tried again, with a back-off"
	}
	return fmt.Errorf("pod %s %s%s%s", l.name(), what, l.lastWarning(), l.nextSteps(guilty))
}

// nextSteps are the commands to go on with.
func (l *launch) nextSteps(container string) string {
	target := l.target()
	return fmt.Sprintf(": 'podrun logs %s%s', 'podrun down %s'", target, container, target)
}

// target names the pod on a command line.
func (l *launch) target() string {
	p := l.record.Pod
	if p.Namespace != v1.NamespaceDefault {
		return "-n " + p.Namespace + " " + p.Name
	}
	return p.Name
}

// lastWarning is what the pod's monitor warned of last, such as a failing probe.
func (l *launch) lastWarning() string {
	if l.warning == "" {
		return ""
	}
	return " (" + strings.TrimRight(l.warning, ": ") + ")"
}

// logLines of a failed container are shown.
const logLines = 10

func (l *launch) lastLines(container string, attempt int) {
	var text strings.Builder
	dir := filepath.Join(l.record.LogPath(), container)
	err := logs.Read(context.Background(), dir, logs.ReadOptions{Attempt: attempt, Tail: logLines}, &text)
	if err != nil || text.Len() == 0 {
		return
	}
	l.notef("its last lines:\n")
	out := logTo(l.Err)
	for line := range strings.Lines(text.String()) {
		fmt.Fprintf(out, "  %s", line)
	}
	if !strings.HasSuffix(text.String(), "\n") {
		l.notef("\n")
	}
}

// follow delivers the monitor's updates; the channel closes when nobody keeps
// the pod any more.
func (l *launch) follow(ctx context.Context) <-chan monitor.Update {
	c := make(chan monitor.Update)
	go func() {
		defer close(c)
		monitor.Ask(ctx, l.store, l.record.UID(), monitor.Request{}, func(u monitor.Update) bool {
			select {
			case c <- u:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	return c
}
