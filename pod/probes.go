package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

type probeKind int

const (
	startupProbe probeKind = iota
	readinessProbe
	livenessProbe
	probeKinds
)

// name is how events call the probe.
func (k probeKind) name() string {
	return [...]string{"Startup", "Readiness", "Liveness"}[k]
}

// eagerGap is the first of the doubling gaps between the extra attempts to find
// a container that has just started answering; at eagerEnd there are no more.
const (
	eagerGap = 100 * time.Millisecond
	eagerEnd = time.Minute
)

// probeState is where one probe of a running container stands.
type probeState struct {
	busy  bool
	at    time.Time     // the next attempt
	tick  time.Time     // the next one that periodSeconds asks for
	gap   time.Duration // before the next extra one
	quiet bool          // the one under way is an extra one: its failure is not told or counted
	good  bool          // the last verdict
	run   int           // how many times in a row
}

func (c *container) probeSpec(k probeKind) *v1.Probe {
	switch k {
	case startupProbe:
		return c.spec.StartupProbe
	case readinessProbe:
		return c.spec.ReadinessProbe
	}
	return c.spec.LivenessProbe
}

// armProbes sets the first attempt of each probe: initialDelaySeconds after the
// start, without the random wait that spreads a kubelet's many pods.
func (c *container) armProbes(started, now time.Time) {
	for k := range probeKinds {
		if spec := c.probeSpec(k); spec != nil {
			delay := seconds(spec.InitialDelaySeconds, 0)
			at := Deadline{At: started.Add(delay), Length: delay}.resume(now).At
			c.probes[k] = probeState{at: at, tick: at}
		}
	}
}

// probed reports whether a probe of this kind is to be made at all now: the
// others wait for the startup probe, which ends with its first success. While a
// container is being ended only its readiness is asked about (kubelet, worker).
func (s *state) probed(c *container, k probeKind) bool {
	if !c.up() || c.lost || c.probeSpec(k) == nil || c.Started != (k != startupProbe) {
		return false
	}
	return k == readinessProbe || c.Kill == nil && !s.leaving()
}

func (s *state) planProbes(p *plan, c *container, now time.Time) {
	for k := range probeKinds {
		if !s.probed(c, k) || c.probes[k].busy {
			continue
		}
		if now.Before(c.probes[k].at) {
			p.wakeAt(c.probes[k].at)
			continue
		}
		p.actions = append(p.actions, action{kind: actProbe, on: c, probe: k})
	}
}

// begin notes that an attempt is made now.
func (p *probeState) begin(spec *v1.Probe, now time.Time) {
	p.busy = true
	p.quiet = now.Before(p.tick)
	if !p.quiet {
		p.tick = now.Add(seconds(spec.PeriodSeconds, 10))
	}
	p.at = p.tick
}

// verdict counts a result and reports whether as many in a row came as the
// threshold asks for.
func (p *probeState) verdict(spec *v1.Probe, good bool) bool {
	if p.run == 0 || p.good != good {
		p.good, p.run = good, 0
	}
	p.run++
	threshold := max(spec.FailureThreshold, 1)
	if good {
		threshold = max(spec.SuccessThreshold, 1)
	}
	return p.run >= int(threshold)
}

// hurry brings the next attempt forward while a container that has just started
// does not answer yet. The kubelet probes the readiness of such a container at
// every change of its pod's status, at no fixed times; here the gap doubles from
// eagerGap until periodSeconds is shorter, so that a server is ready soon after
// it listens.
func (p *probeState) hurry(now time.Time) {
	p.gap = min(max(eagerGap, 2*p.gap), eagerEnd)
	if p.gap < eagerEnd {
		p.at = earliest(p.tick, now.Add(p.gap))
	}
}

// judge applies the result of one probe attempt, as the kubelet's prober worker.
func (s *state) judge(c *container, k probeKind, good bool, now time.Time) {
	spec, p := c.probeSpec(k), &c.probes[k]
	if !good && !c.wasReady && k != livenessProbe && !s.leaving() {
		p.hurry(now)
		if p.quiet {
			return // only what periodSeconds asks for counts as a failure
		}
	}
	switch crossed := p.verdict(spec, good); {
	case !crossed:
	case k == readinessProbe:
		c.Ready = good && !s.leaving()
		c.wasReady = c.wasReady || good
	case !good:
		s.probeKill(c, k, now)
	case k == startupProbe:
		c.Started = true
		c.Ready = c.spec.ReadinessProbe == nil
	}
}

// probeKill ends a container that failed its liveness or startup probe.
func (s *state) probeKill(c *container, k probeKind, now time.Time) {
	grace := s.gracePeriod()
	if own := c.probeSpec(k).TerminationGracePeriodSeconds; own != nil {
		grace = time.Duration(*own) * time.Second
	}
	d := after(now, grace)
	c.Kill, c.ProbeKilled = &d, true
	what := [...]string{startupProbe: "startup", livenessProbe: "liveness"}[k]
	if c.init { // a sidecar, which is always started again
		s.normal(c, now, "Killing", "Init container %s failed %s probe", c.Name, what)
		return
	}
	again := ""
	if restartPolicy(&s.pod.Spec, c.spec) != v1.RestartPolicyNever {
		again = ", will be restarted"
	}
	s.normal(c, now, "Killing", "Container %s failed %s probe%s", c.Name, what, again)
}

func seconds(n, unset int32) time.Duration {
	if n <= 0 {
		n = unset
	}
	return time.Duration(n) * time.Second
}
