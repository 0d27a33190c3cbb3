package pod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"podrun/manifest"
	"podrun/probe"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probeTries is how often a probe that could not be made is tried before its
// result is given up as unknown (the kubelet's maxProbeRetries).
const probeTries = 3

// probeVerdict is what came of one attempt of a probe.
type probeVerdict struct {
	result probe.Result
	detail string
	err    error // nothing was learned
}

// probe makes one attempt of a container's probe.
func (l *Life) probe(ctx context.Context, c *container, k probeKind, attempt int) probeVerdict {
	var v probeVerdict
	for range probeTries {
		v.result, v.detail, v.err = l.probeOnce(ctx, c, k, attempt)
		if v.err == nil || ctx.Err() != nil {
			break
		}
	}
	return v
}

func (l *Life) probeOnce(ctx context.Context, c *container, k probeKind, attempt int) (probe.Result, string, error) {
	spec := c.probeSpec(k)
	timeout := seconds(spec.TimeoutSeconds, 1)
	switch {
	case spec.Exec != nil:
		// With the values written in the manifest only, as the kubelet.
		argv := manifest.Expand(spec.Exec.Command, c.spec.Env)
		return l.probeExec(ctx, c.spec.Name, attempt, argv, timeout)
	case spec.HTTPGet != nil:
		target, err := httpTarget(spec.HTTPGet, c.spec, l.podIP())
		if err != nil {
			return probe.Unknown, "", err
		}
		target.Timeout = timeout
		return l.cfg.Prober.HTTP(ctx, target)
	case spec.TCPSocket != nil:
		port, err := probePort(spec.TCPSocket.Port, c.spec)
		if err != nil {
			return probe.Unknown, "", err
		}
		host := spec.TCPSocket.Host
		if host == "" {
			host = l.podIP()
		}
		address := net.JoinHostPort(host, strconv.Itoa(port))
		return l.cfg.Prober.TCP(ctx, probe.TCPTarget{Address: address, Timeout: timeout})
	case spec.GRPC != nil:
		target := probe.GRPCTarget{Address: net.JoinHostPort(l.podIP(), strconv.Itoa(int(spec.GRPC.Port))), Timeout: timeout}
		if spec.GRPC.Service != nil {
			target.Service = *spec.GRPC.Service
		}
		return l.cfg.Prober.GRPC(ctx, target)
	}
	return probe.Unknown, "", errors.New("missing probe handler")
}

func (l *Life) probeExec(ctx context.Context, name string, attempt int, argv []string, timeout time.Duration) (probe.Result, string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := l.cfg.Runtime.Exec(ctx, name, attempt, argv)
	switch {
	case err != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded)):
		// In the words of k8s.io/cri-client.
		return probe.Failure, fmt.Sprintf("command timed out: %q timed out after %s", strings.Join(argv, " "), timeout), nil
	case err != nil:
		return probe.Unknown, "", err
	case r.Code != 0:
		return probe.Failure, string(r.Output), nil
	}
	return probe.Success, string(r.Output), nil
}

func httpTarget(get *v1.HTTPGetAction, c *v1.Container, podIP string) (probe.HTTPTarget, error) {
	port, err := probePort(get.Port, c)
	if err != nil {
		return probe.HTTPTarget{}, err
	}
	t := probe.HTTPTarget{Scheme: string(get.Scheme), Host: get.Host, Port: port, Path: get.Path, Header: http.Header{}}
	if t.Host == "" {
		t.Host = podIP
	}
	for _, h := range get.HTTPHeaders {
		t.Header.Add(h.Name, h.Value)
	}
	return t, nil
}

// probePort resolves a port as the kubelet's ResolveContainerPort: a name is one
// of the container's ports, or else a number in quotes.
func probePort(port intstr.IntOrString, c *v1.Container) (int, error) {
	n := port.IntValue()
	if port.Type == intstr.String {
		found := false
		for _, p := range c.Ports {
			if p.Name == port.StrVal {
				n, found = int(p.ContainerPort), true
			}
		}
		if _, err := strconv.Atoi(port.StrVal); !found && err != nil {
			return 0, fmt.Errorf("find port %q: the container has no port of that name", port.StrVal)
		}
	}
	if n < 1 || n > 65535 {
		return 0, fmt.Errorf("invalid port number: %d", n)
	}
	return n, nil
}

// observeProbe takes the result of one attempt. One of a container that has
// ended, or is being ended, says nothing any more.
func (s *state) observeProbe(c *container, k probeKind, attempt int, v probeVerdict, now time.Time) {
	if attempt != c.Attempt || c.Stage != stageRunning {
		return
	}
	p := &c.probes[k]
	p.busy = false
	if !s.probed(c, k) || s.closing {
		return
	}
	switch {
	case v.err != nil:
		s.warn(c, now, "Unhealthy", "%s probe errored and resulted in %s state: %v", k.name(), v.result, v.err)
		return
	case v.result == probe.Warning:
		s.warn(c, now, "ProbeWarning", "%s probe warning: %s", k.name(), v.detail)
	case v.result == probe.Failure && !p.quiet:
		s.warn(c, now, "Unhealthy", "%s probe failed: %s", k.name(), v.detail)
	}
	ready, started, kill, good, run := c.Ready, c.Started, c.Kill, p.good, p.run
	s.judge(c, k, v.result != probe.Failure, now)
	s.changed = s.changed || c.Ready != ready || c.Started != started || c.Kill != kill || p.good != good || p.run != run
}
