package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/monitor"
	"podrun/sandbox"
)

// abandoned: pause and monitor are gone before the pod was ready.
func (l *launch) abandoned(pause *sandbox.Pause) error {
	if f, err := monitor.Find(l.store, l.record.Ref()); err == nil && f.Status.Ended {
		l.status = &f.Status.Status // it came to its end before it was asked
		if l.status.Phase == v1.PodFailed && !l.options.attach {
			return l.failure(l.status)
		}
		l.tell("completed")
		return nil
	}
	if l.takenDown() {
		return l.taken()
	}
	if l.kept {
		return fmt.Errorf("pod %s %w: 'podrun up' again starts it", l.name(), errLost)
	}
	cause := errors.New("its sandbox ended")
	if pause != nil {
		select {
		case err := <-pause.Failed():
			if err != nil {
				cause = err
			}
		case <-time.After(time.Second):
		}
	}
	if text := l.monitorLog(); text != "" {
		cause = fmt.Errorf("%w: %s", cause, text)
	}
	if !l.made() { // its volumes and logs were there before this up
		return fmt.Errorf("pod %s has lost its sandbox (%w): 'podrun up' again starts it", l.name(), cause)
	}
	return errors.Join(fmt.Errorf("pod %s cannot be made: %w", l.name(), cause), l.cleanUp())
}

// takenDown: another podrun has asked the pod to end for good, or has done with it.
// There is no status either of a pod whose pause died before it had a monitor, but
// then there is a record.
func (l *launch) takenDown() bool {
	var s monitor.Status
	err := l.store.ReadStatus(l.record.UID(), &s)
	if errors.Is(err, os.ErrNotExist) {
		_, err = l.store.ReadRecord(l.record.UID())
		return errors.Is(err, os.ErrNotExist)
	}
	return err == nil && s.Removing()
}

func (l *launch) taken() error {
	return fmt.Errorf("pod %s is being taken down by another podrun", l.name())
}

// interrupted takes the pod down again: Ctrl-C during up leaves nothing of what up
// has made.
func (l *launch) interrupted() error {
	switch {
	case l.change != nil:
		return &exitError{exitInterrupted, fmt.Errorf("interrupted: pod %s stays, and goes on with its change", l.name())}
	case !l.made():
		return &exitError{exitInterrupted, fmt.Errorf("interrupted: pod %s was there before, and stays", l.name())}
	}
	l.notef("interrupted: taking pod %s down\n", l.name())
	at := int64(0)
	f, err := monitor.FindByName(l.store, l.record.Pod.Namespace, l.record.Pod.Name)
	if err == nil {
		// Not the context of the command, which has ended.
		err = l.remove(context.Background(), f, &at)
	}
	return errors.Join(&exitError{exitInterrupted, errors.New("interrupted")}, err)
}

// cleanUp waits for those who keep a pod that could not be made, and makes sure
// that nothing is left of it.
func (l *launch) cleanUp() error {
	if err := l.keepers.Wait(); err != nil {
		return err
	}
	return l.tearDown(l.record.Ref(), l.record, monitor.Teardown.All)
}

// monitorLog is what a monitor that died had to say.
func (l *launch) monitorLog() string {
	text, err := os.ReadFile(filepath.Join(l.store.RunDir(l.record.UID()), "monitor.log"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2048):]))
}
