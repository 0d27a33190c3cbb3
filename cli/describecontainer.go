package cli

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

func plainContainers(all []v1.EphemeralContainer) []v1.Container {
	var plain []v1.Container
	for i := range all {
		plain = append(plain, v1.Container(all[i].EphemeralContainerCommon))
	}
	return plain
}

func (p *page) containers(label string, all []v1.Container, statuses []v1.ContainerStatus) {
	if len(all) == 0 {
		return
	}
	p.print(0, label+":")
	for i := range all {
		c := &all[i]
		p.print(1, c.Name+":")
		var status *v1.ContainerStatus
		if at := slices.IndexFunc(statuses, func(s v1.ContainerStatus) bool { return s.Name == c.Name }); at >= 0 {
			status = &statuses[at]
		}
		p.container(c, status)
	}
}

func (p *page) container(c *v1.Container, status *v1.ContainerStatus) {
	if status != nil {
		p.field(2, "Container ID", status.ContainerID)
	}
	p.field(2, "Image", c.Image)
	if status != nil {
		p.field(2, "Image ID", status.ImageID)
	}
	p.ports(c.Ports)
	p.words("Command", c.Command)
	p.words("Args", c.Args)
	if status != nil {
		p.state("State", status.State)
		if status.LastTerminationState.Terminated != nil {
			p.state("Last State", status.LastTerminationState)
		}
		p.field(2, "Ready", titled(status.Ready))
		p.field(2, "Restart Count", status.RestartCount)
	}
	p.resources(2, c.Resources)
	p.probe("Liveness", c.LivenessProbe)
	p.probe("Readiness", c.ReadinessProbe)
	p.probe("Startup", c.StartupProbe)
	p.environment(c)
	p.mounts(c.VolumeMounts)
}

func titled(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func (p *page) ports(ports []v1.ContainerPort) {
	var inside, outside []string
	for _, port := range ports {
		name := ""
		if port.Name != "" {
			name = fmt.Sprintf(" (%s)", port.Name)
		}
		inside = append(inside, fmt.Sprintf("%d/%s%s", port.ContainerPort, port.Protocol, name))
		outside = append(outside, fmt.Sprintf("%d/%s%s", port.HostPort, port.Protocol, name))
	}
	switch len(ports) {
	case 0:
		p.field(2, "Port", "<none>")
		p.field(2, "Host Port", "<none>")
	case 1:
		p.field(2, "Port", inside[0])
		p.field(2, "Host Port", outside[0])
	default:
		p.field(2, "Ports", strings.Join(inside, ", "))
		p.field(2, "Host Ports", strings.Join(outside, ", "))
	}
}

func (p *page) words(key string, words []string) {
	if len(words) == 0 {
		return
	}
	p.print(2, key+":")
	for _, w := range words {
		for line := range strings.SplitSeq(w, "\n") {
			p.print(3, line)
		}
	}
}

func (p *page) state(key string, s v1.ContainerState) {
	switch {
	case s.Running != nil:
		p.field(2, key, "Running")
		p.field(3, "Started", s.Running.StartedAt.Format(time.RFC1123Z))
	case s.Terminated != nil:
		t := s.Terminated
		p.field(2, key, "Terminated")
		p.optional(3, "Reason", t.Reason)
		p.optional(3, "Message", t.Message)
		p.field(3, "Exit Code", t.ExitCode)
		if t.Signal > 0 {
			p.field(3, "Signal", t.Signal)
		}
		p.field(3, "Started", t.StartedAt.Format(time.RFC1123Z))
		p.field(3, "Finished", t.FinishedAt.Format(time.RFC1123Z))
	default:
		p.field(2, key, "Waiting")
		if s.Waiting != nil {
			p.optional(3, "Reason", s.Waiting.Reason)
			p.optional(3, "Message", s.Waiting.Message)
		}
	}
}

func (p *page) resources(level int, r v1.ResourceRequirements) {
	for _, list := range []struct {
		key  string
		list v1.ResourceList
	}{{"Limits", r.Limits}, {"Requests", r.Requests}} {
		if len(list.list) == 0 {
			continue
		}
		p.print(level, list.key+":")
		for _, name := range slices.Sorted(maps.Keys(list.list)) {
			q := list.list[name]
			p.field(level+1, string(name), q.String())
		}
	}
}

func (p *page) probe(key string, probe *v1.Probe) {
	if probe == nil {
		return
	}
	how := "unknown"
	switch {
	case probe.Exec != nil:
		how = fmt.Sprintf("exec %v", probe.Exec.Command)
	case probe.HTTPGet != nil:
		get := probe.HTTPGet
		how = fmt.Sprintf("http-get %s://%s%s", strings.ToLower(string(get.Scheme)), net.JoinHostPort(get.Host, get.Port.String()), get.Path)
	case probe.TCPSocket != nil:
		how = fmt.Sprintf("tcp-socket %s:%s", probe.TCPSocket.Host, probe.TCPSocket.Port.String())
	case probe.GRPC != nil:
		how = fmt.Sprintf("grpc <pod>:%d", probe.GRPC.Port)
		if s := probe.GRPC.Service; s != nil {
			how += " " + *s
		}
	}
	p.field(2, key, fmt.Sprintf("%s delay=%ds timeout=%ds period=%ds #success=%d #failure=%d", how,
		probe.InitialDelaySeconds, probe.TimeoutSeconds, probe.PeriodSeconds, probe.SuccessThreshold, probe.FailureThreshold))
}

func (p *page) environment(c *v1.Container) {
	if len(c.EnvFrom) > 0 {
		p.print(2, "Environment Variables from:")
	}
	for _, e := range c.EnvFrom {
		name, kind, optional := "", "", (*bool)(nil)
		switch {
		case e.ConfigMapRef != nil:
			name, kind, optional = e.ConfigMapRef.Name, "ConfigMap", e.ConfigMapRef.Optional
		case e.SecretRef != nil:
			name, kind, optional = e.SecretRef.Name, "Secret", e.SecretRef.Optional
		}
		if e.Prefix != "" {
			kind += fmt.Sprintf(" with prefix '%s'", e.Prefix)
		}
		p.print(3, name, kind, fmt.Sprintf("Optional: %t", optional != nil && *optional))
	}
	if len(c.Env) == 0 {
		p.field(2, "Environment", "<none>")
		return
	}
	p.print(2, "Environment:")
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			p.values(3, e.Name, strings.Split(e.Value, "\n"))
			continue
		}
		p.print(3, append([]string{e.Name + ":"}, source(e.ValueFrom)...)...)
	}
}

// source tells where a variable's value comes from.
func source(from *v1.EnvVarSource) []string {
	given := func(format, key, name string, optional *bool) []string {
		return []string{fmt.Sprintf(format, key, name), fmt.Sprintf("Optional: %t", optional != nil && *optional)}
	}
	switch {
	case from.FieldRef != nil:
		return []string{fmt.Sprintf("(%s:%s)", from.FieldRef.APIVersion, from.FieldRef.FieldPath)}
	case from.ResourceFieldRef != nil:
		return []string{fmt.Sprintf("(%s)", from.ResourceFieldRef.Resource)}
	case from.SecretKeyRef != nil:
		r := from.SecretKeyRef
		return given("<set to the key '%s' in secret '%s'>", r.Key, r.Name, r.Optional)
	case from.ConfigMapKeyRef != nil:
		r := from.ConfigMapKeyRef
		return given("<set to the key '%s' of config map '%s'>", r.Key, r.Name, r.Optional)
	case from.FileKeyRef != nil:
		r := from.FileKeyRef
		return given("<set to the key '%s' of a file in volume '%s'>", r.Key, r.VolumeName, r.Optional)
	}
	return nil
}

func (p *page) mounts(mounts []v1.VolumeMount) {
	if len(mounts) == 0 {
		p.field(2, "Mounts", "<none>")
		return
	}
	p.print(2, "Mounts:")
	sorted := slices.SortedFunc(slices.Values(mounts), func(a, b v1.VolumeMount) int { return strings.Compare(a.MountPath, b.MountPath) })
	for _, m := range sorted {
		how := "rw"
		if m.ReadOnly {
			how = "ro"
		}
		if path := m.SubPath + m.SubPathExpr; path != "" {
			how += fmt.Sprintf(",path=%q", path)
		}
		p.print(3, fmt.Sprintf("%s from %s (%s)", m.MountPath, m.Name, how))
	}
}
