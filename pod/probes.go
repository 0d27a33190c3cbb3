package pod

import (
	"slices"
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
	asked time.Time     // when the one under way was
	count time.Time     // when the one was that was counted last
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
	c.ProbedFrom = onClock(started, now)
	for k := range probeKinds {
		if spec := c.probeSpec(k); spec != nil {
			at := c.firstProbe(spec, now)
			c.probes[k] = probeState{at: at, tick: at}
		}
	}
}

func (c *container) firstProbe(spec *v1.Probe, now time.Time) time.Time {
	delay := seconds(spec.InitialDelaySeconds, 0)
	return Deadline{At: c.ProbedFrom.Add(delay), Length: delay}.resume(now).At
}

// resumeProbes goes on where the last monitor was: with its counts, at the times
// that periodSeconds asks for. How long nobody probed must neither add a failure nor
// take one away. A container that is not ready yet is asked at once besides.
func (c *container) resumeProbes(now time.Time) {
	for k := range probeKinds {
		spec := c.probeSpec(k)
		if spec == nil {
			continue
		}
		p := probeState{tick: c.firstProbe(spec, now)}
		begun := !p.tick.After(now)
		if i := slices.IndexFunc(c.Probes, func(n ProbeCount) bool { return n.Probe == k.name() }); i >= 0 {
			p.good, p.run, p.count = c.Probes[i].Good, c.Probes[i].Run, onClock(c.Probes[i].At, now)
			p.tick = p.after(spec, now)
		}
		p.at = p.tick
		if begun && !c.WasReady && k != livenessProbe {
			p.at = now
		}
		c.probes[k] = p
	}
}

// justMissed is about how long a pod may have been without a monitor.
const justMissed = time.Second

// after is when a probe is due that was counted before. Where the next verdict
// counts it is a period after the last that did. Else only when it has come to
// that is stored: it goes on at the times that follow from this, with one that may
// just have been missed.
func (p *probeState) after(spec *v1.Probe, now time.Time) time.Time {
	period := seconds(spec.PeriodSeconds, 10)
	if p.run < p.threshold(spec, p.good) {
		return Deadline{At: p.count.Add(period), Length: period}.resume(now).At
	}
	late := now.Sub(p.count) % period
	if late < min(justMissed, period/2) {
		return now
	}
	return now.Add(period - late)
}

// counts are those that a checkpoint keeps; nil where there is nothing to tell.
func (c *container) counts() (counts []ProbeCount) {
	if c.Stage != stageRunning {
		return nil
	}
	for k := range probeKinds {
		if p := c.probes[k]; p.run > 0 && c.probeSpec(k) != nil {
			counts = append(counts, ProbeCount{Probe: k.name(), Good: p.good, Run: p.run, At: p.count})
		}
	}
	return counts
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
	p.busy, p.asked = true, now
	p.quiet = now.Before(p.tick)
	if !p.quiet {
		p.tick = now.Add(seconds(spec.PeriodSeconds, 10))
	}
	p.at = p.tick
}

// verdict counts a result and reports whether as many in a row came as the
// threshold asks for. What counts no more is not stored.
func (p *probeState) verdict(spec *v1.Probe, good bool) bool {
	if p.run == 0 || p.good != good {
		p.good, p.run = good, 0
	}
	threshold := p.threshold(spec, good)
	if p.run < threshold {
		p.run, p.count = p.run+1, p.asked
	}
	return p.run == threshold
}

func (p *probeState) threshold(spec *v1.Probe, good bool) int {
	if good {
		return int(max(spec.SuccessThreshold, 1))
	}
	return int(max(spec.FailureThreshold, 1))
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
	if !good && !c.WasReady && k != livenessProbe && !s.leaving() {
		p.hurry(now)
		if p.quiet {
			return // only what periodSeconds asks for counts as a failure
		}
	}
	switch crossed := p.verdict(spec, good); {
	case !crossed:
	case k == readinessProbe:
		c.Ready = good && !s.leaving()
		c.WasReady = c.WasReady || good
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
