package cli

import (
	"slices"

	v1 "k8s.io/api/core/v1"
)

// tellMissing names what the pod has to wait for: on a cluster, too, a pod is made
// before what it refers to is there.
func (l *launch) tellMissing() {
	missing := l.missing[l.name()]
	for _, m := range missing {
		l.notef("%s\n", m.Error())
	}
	if len(missing) > 0 {
		l.notef("pod %s waits until that is there: 'podrun up' of a manifest that has it lets the pod go on\n", l.name())
	}
}

// onlyMissing tells whether nothing is wrong with the containers but that
// something they refer to is not there.
func onlyMissing(s *v1.PodStatus) bool {
	for _, c := range slices.Concat(s.InitContainerStatuses, s.ContainerStatuses) {
		if _, bad := failureOf(c); bad && (c.State.Waiting == nil || c.State.Waiting.Reason != "CreateContainerConfigError") {
			return false
		}
	}
	return true
}

// awaitsFile tells whether nothing is wrong but that containers wait for a file of
// variables, which another one that runs may be about to write.
func awaitsFile(p *v1.Pod, s *v1.PodStatus) bool {
	if !onlyMissing(s) || !slices.ContainsFunc(slices.Concat(s.InitContainerStatuses, s.ContainerStatuses), func(c v1.ContainerStatus) bool { return c.State.Running != nil }) {
		return false
	}
	reads := map[string]bool{}
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		reads[c.Name] = slices.ContainsFunc(c.Env, func(e v1.EnvVar) bool { return e.ValueFrom != nil && e.ValueFrom.FileKeyRef != nil })
	}
	for _, f := range failures(s) {
		if !reads[f.container] {
			return false
		}
	}
	return true
}
