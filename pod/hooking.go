package pod

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"podrun/probe"

	v1 "k8s.io/api/core/v1"
)

// hookCall is a hook of a container as it was when it was decided to call it.
type hookCall struct {
	spec    *v1.Container
	attempt int
	hook    *v1.LifecycleHandler
}

// actOnHook calls a hook, or gives it up.
func (l *Life) actOnHook(ctx context.Context, a action) {
	c, attempt := a.on, a.on.Attempt
	switch a.kind {
	case actPostStart:
		work, cancel := context.WithCancel(l.attempt(ctx, c))
		l.hooks[c] = cancel
		call := hookCall{spec: c.spec, attempt: attempt, hook: c.postStart()}
		l.fly(func() func(*state, time.Time) {
			err := l.callHook(work, call)
			cancel()
			return func(s *state, now time.Time) { s.observePostStart(c, attempt, err, now) }
		})
	case actAbandon:
		l.hooks[c]()
	case actPreStop:
		work, call := l.attempt(ctx, c), hookCall{spec: c.spec, attempt: attempt, hook: c.preStop()}
		l.fly(func() func(*state, time.Time) {
			err := l.callHook(work, call)
			return func(s *state, now time.Time) { s.observePreStop(c, attempt, err, now) }
		})
	}
}

// callHook calls a lifecycle hook and returns the kubelet's words for a failure
// (pkg/kubelet/lifecycle, handlerRunner). Only the context bounds its time.
func (l *Life) callHook(ctx context.Context, c hookCall) error {
	h, name := c.hook, c.spec.Name
	switch {
	case h.Exec != nil:
		// As it is written: the kubelet expands no variable here.
		if output, err := l.hookExec(ctx, c); err != nil {
			return told("Exec lifecycle hook (%v) for Container %q in Pod %q failed - error: %w, message: %q",
				h.Exec.Command, name, podName(l.cfg.Pod), err, output)
		}
	case h.HTTPGet != nil:
		if err := l.hookHTTP(ctx, c); err != nil {
			return told("HTTP lifecycle hook (%s) for Container %q in Pod %q failed - error: %w",
				h.HTTPGet.Path, name, podName(l.cfg.Pod), err)
		}
	case h.Sleep != nil:
		select {
		case <-time.After(time.Duration(h.Sleep.Seconds) * time.Second):
		case <-ctx.Done():
			return told("Sleep lifecycle hook (%d) for Container %q in Pod %q failed - error: container terminated before sleep hook finished",
				h.Sleep.Seconds, name, podName(l.cfg.Pod))
		}
	default:
		// tcpSocket is in the API for old manifests only, and fails here as upstream.
		return told("Cannot run handler: invalid handler: %v", h)
	}
	return nil
}

// told is an error in the words of a kubelet, which begin with a capital letter.
func told(format string, args ...any) error { return fmt.Errorf(format, args...) }

func (l *Life) hookExec(ctx context.Context, c hookCall) (output string, err error) {
	argv := c.hook.Exec.Command
	r, err := l.cfg.Runtime.Exec(ctx, c.spec.Name, c.attempt, argv)
	if err != nil {
		return "", err
	}
	output = string(r.Output)
	if r.Code != 0 {
		err = fmt.Errorf("command '%s' exited with %d: %s", strings.Join(argv, " "), r.Code, output)
	}
	return output, err
}

// hookHTTP: any answer is a success.
func (l *Life) hookHTTP(ctx context.Context, c hookCall) error {
	target, err := httpTarget(c.hook.HTTPGet, c.spec, l.podIP())
	if err != nil {
		return err
	}
	err = l.cfg.Prober.Hook(ctx, target)
	if plain, ok := errors.AsType[*probe.PlainAnswer](err); ok {
		l.post(message{apply: func(s *state, now time.Time) {
			s.podEvent(now, v1.EventTypeWarning, "LifecycleHTTPFallback",
				fmt.Sprintf("request to HTTPS lifecycle hook %s got HTTP response, retry with HTTP succeeded", plain.Host))
		}})
		return nil
	}
	return err
}
