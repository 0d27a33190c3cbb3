package pod

import (
	"slices"
	"time"
)

// The wall clock may be set by hours at any time, and no wait of a pod may become
// longer or shorter by it (a kubelet's does: it compares with times of the API).
// Within one life time.Time's monotonic reading sees to that. For the next life a
// checkpoint has all moments that waits are counted from as the wall clock was
// when it was saved; by how much that has been set since is told by Shift. The
// times that the API shows are what the wall clock showed.

// onClock gives a moment that was read from disk a monotonic reading. One that
// is still to come has come: nothing that is recorded lies in the future.
func onClock(t, now time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return now.Add(-max(now.Sub(t), 0))
}

// Shift moves all moments that waits are counted from by how much the wall clock
// was set since the checkpoint was saved.
func (p *Checkpoint) Shift(by time.Duration) {
	for _, t := range p.moments() {
		*t = t.Add(by)
	}
}

// at is a copy whose moments are told by the wall clock of now, however it was
// set since they were noted.
func (p Checkpoint) at(now time.Time) Checkpoint {
	p.Stop, p.Ending = clone(p.Stop), clone(p.Ending)
	p.Containers = slices.Clone(p.Containers)
	for i := range p.Containers {
		r := &p.Containers[i]
		r.Kill, r.Failure, r.Probes = clone(r.Kill), clone(r.Failure), slices.Clone(r.Probes)
	}
	for _, t := range p.moments() {
		*t = now.Round(0).Add(t.Sub(now))
	}
	return p
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// moments are those of the checkpoint that are set.
func (p *Checkpoint) moments() []*time.Time {
	all := []*time.Time{&p.Since}
	if p.Stop != nil {
		all = append(all, &p.Stop.Deadline.At)
	}
	if p.Ending != nil {
		all = append(all, &p.Ending.Deadline.At)
	}
	for i := range p.Containers {
		r := &p.Containers[i]
		all = append(all, &r.NotBefore.At, &r.Asked, &r.ProbedFrom, &r.FinishedAt, &r.Crash.Updated, &r.Pull.Updated)
		for j := range r.Probes {
			all = append(all, &r.Probes[j].At)
		}
		if r.Kill != nil {
			all = append(all, &r.Kill.At)
		}
		if r.Failure != nil {
			all = append(all, &r.Failure.At)
		}
	}
	set := all[:0]
	for _, t := range all {
		if !t.IsZero() {
			set = append(set, t)
		}
	}
	return set
}
