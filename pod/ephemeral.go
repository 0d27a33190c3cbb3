package pod

import v1 "k8s.io/api/core/v1"

// addEphemeral: ephemeral containers are added to a pod that runs, to look into
// it. Each is started once, whatever the others do, and its end means nothing to
// the pod (kubelet, computePodActions).
func (s *state) addEphemeral(e *v1.EphemeralContainer) {
	c := &container{Record: Record{Name: e.Name}, spec: (*v1.Container)(&e.EphemeralContainerCommon), ephemeral: true}
	s.ephemeral = append(s.ephemeral, c)
	s.all = append(s.all, c)
}
