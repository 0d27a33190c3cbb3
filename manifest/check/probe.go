package check

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateStaying checks what a container has that stays: probes and hooks.
func validateStaying(c *v1.Container, spec *v1.PodSpec, path *field.Path) field.ErrorList {
	return append(validateProbes(c, path), validateLifecycle(c.Lifecycle, spec, path.Child("lifecycle"))...)
}

func validateProbes(c *v1.Container, path *field.Path) field.ErrorList {
	errs := validateProbe(c.LivenessProbe, path.Child("livenessProbe"))
	errs = append(errs, validateProbe(c.ReadinessProbe, path.Child("readinessProbe"))...)
	errs = append(errs, validateProbe(c.StartupProbe, path.Child("startupProbe"))...)
	for _, p := range []struct {
		name  string
		probe *v1.Probe
	}{{"livenessProbe", c.LivenessProbe}, {"startupProbe", c.StartupProbe}} {
		if p.probe != nil && p.probe.SuccessThreshold != 1 {
			errs = append(errs, field.Invalid(path.Child(p.name, "successThreshold"), p.probe.SuccessThreshold, "must be 1"))
		}
	}
	if r := c.ReadinessProbe; r != nil && r.TerminationGracePeriodSeconds != nil {
		errs = append(errs, field.Invalid(path.Child("readinessProbe", "terminationGracePeriodSeconds"), *r.TerminationGracePeriodSeconds, "must not be set for readinessProbes"))
	}
	return errs
}

func validateProbe(p *v1.Probe, path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := validateHandler(handler{exec: p.Exec, httpGet: p.HTTPGet, tcpSocket: p.TCPSocket, grpc: p.GRPC}, nil, path)
	for _, f := range []struct {
		name  string
		value int32
	}{
		{"initialDelaySeconds", p.InitialDelaySeconds},
		{"timeoutSeconds", p.TimeoutSeconds},
		{"periodSeconds", p.PeriodSeconds},
		{"successThreshold", p.SuccessThreshold},
		{"failureThreshold", p.FailureThreshold},
	} {
		errs = append(errs, notNegative(path.Child(f.name), f.value)...)
	}
	if g := p.TerminationGracePeriodSeconds; g != nil && *g <= 0 {
		errs = append(errs, field.Invalid(path.Child("terminationGracePeriodSeconds"), *g, "must be greater than 0"))
	}
	return errs
}

func validateLifecycle(l *v1.Lifecycle, spec *v1.PodSpec, path *field.Path) field.ErrorList {
	if l == nil {
		return nil
	}
	var errs field.ErrorList
	for _, h := range []struct {
		name string
		hook *v1.LifecycleHandler
	}{{"postStart", l.PostStart}, {"preStop", l.PreStop}} {
		if h.hook != nil {
			parts := handler{exec: h.hook.Exec, httpGet: h.hook.HTTPGet, tcpSocket: h.hook.TCPSocket, sleep: h.hook.Sleep}
			errs = append(errs, validateHandler(parts, spec.TerminationGracePeriodSeconds, path.Child(h.name))...)
		}
	}
	// A server drops the signal unread while its feature gate is off, and would want spec.os.name beside it when it is on.
	if s := l.StopSignal; s != nil && !slices.Contains(stopSignals, string(*s)) && !realtimeSignal(string(*s)) {
		errs = append(errs, notHere(path.Child("stopSignal"), *s, fmt.Sprintf("%q is no signal, such as SIGTERM or SIGRTMIN+3", *s)))
	}
	return errs
}

// hasHooks tells whether a container's lifecycle is more than a signal.
func hasHooks(c *v1.Container) bool {
	return c.Lifecycle != nil && (c.Lifecycle.StopSignal == nil || c.Lifecycle.PostStart != nil || c.Lifecycle.PreStop != nil)
}

// stopSignals are those of Linux, without the numbered ones.
var stopSignals = strings.Fields(`SIGABRT SIGALRM SIGBUS SIGCHLD SIGCLD SIGCONT SIGFPE SIGHUP SIGILL SIGINT SIGIO SIGIOT SIGKILL SIGPIPE SIGPOLL SIGPROF
	SIGPWR SIGQUIT SIGSEGV SIGSTKFLT SIGSTOP SIGSYS SIGTERM SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ
	SIGRTMIN SIGRTMAX`)

func realtimeSignal(name string) bool {
	for n := 1; n <= 15; n++ {
		if name == fmt.Sprintf("SIGRTMIN+%d", n) || n < 15 && name == fmt.Sprintf("SIGRTMAX-%d", n) {
			return true
		}
	}
	return false
}

// handler is what a probe asks or a hook does; one of it is set.
type handler struct {
	exec      *v1.ExecAction
	httpGet   *v1.HTTPGetAction
	tcpSocket *v1.TCPSocketAction
	grpc      *v1.GRPCAction
	sleep     *v1.SleepAction
}

// validateHandler checks the first of a handler's parts, and complains of all others. grace bounds how long a hook may sleep.
func validateHandler(h handler, grace *int64, path *field.Path) field.ErrorList {
	parts := []struct {
		name  string
		set   bool
		check func(*field.Path) field.ErrorList
	}{
		{"exec", h.exec != nil, func(at *field.Path) field.ErrorList {
			if len(h.exec.Command) > 0 {
				return nil
			}
			return field.ErrorList{field.Required(at.Child("command"), "")}
		}},
		{"httpGet", h.httpGet != nil, func(at *field.Path) field.ErrorList { return validateHTTPGet(h.httpGet, at) }},
		{"tcpSocket", h.tcpSocket != nil, func(at *field.Path) field.ErrorList { return validateProbePort(h.tcpSocket.Port, at.Child("port")) }},
		{"grpc", h.grpc != nil, func(at *field.Path) field.ErrorList {
			return invalid(at.Child("port"), h.grpc.Port, validation.IsValidPortNum(int(h.grpc.Port)))
		}},
		{"sleep", h.sleep != nil, func(at *field.Path) field.ErrorList {
			if grace == nil || h.sleep.Seconds >= 0 && h.sleep.Seconds <= *grace {
				return nil
			}
			return placeAt(at.Child("seconds"), field.ErrorList{field.Invalid(at, h.sleep.Seconds, fmt.Sprintf("must be non-negative and less than terminationGracePeriodSeconds (%d)", *grace))})
		}},
	}
	var errs field.ErrorList
	found := false
	for _, p := range parts {
		switch {
		case p.set && found:
			errs = append(errs, field.Forbidden(path.Child(p.name), "may not specify more than 1 handler type"))
		case p.set:
			errs = append(errs, p.check(path.Child(p.name))...)
		}
		found = found || p.set
	}
	if !found {
		errs = append(errs, field.Required(path, "must specify a handler type"))
	}
	return errs
}

func validateHTTPGet(get *v1.HTTPGetAction, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if get.Path == "" {
		errs = append(errs, field.Required(path.Child("path"), ""))
	}
	errs = append(errs, validateProbePort(get.Port, path.Child("port"))...)
	errs = append(errs, oneOf(path.Child("scheme"), get.Scheme, v1.URISchemeHTTP, v1.URISchemeHTTPS)...)
	for i, header := range get.HTTPHeaders {
		at := path.Child("httpHeaders")
		errs = append(errs, placeAt(at.Index(i).Child("name"), invalid(at, header.Name, validation.IsHTTPHeaderName(header.Name)))...)
	}
	return errs
}

func validateProbePort(port intstr.IntOrString, path *field.Path) field.ErrorList {
	if port.Type == intstr.String {
		return invalid(path, port.StrVal, validation.IsValidPortName(port.StrVal))
	}
	return invalid(path, port.IntVal, validation.IsValidPortNum(int(port.IntVal)))
}

// validateResizePolicy checks what a change of resources does to a container. Its paths name the list, as upstream's.
func validateResizePolicy(list []v1.ContainerResizePolicy, restart v1.RestartPolicy, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[v1.ResourceName]bool{}
	for i, p := range list {
		at := path.Index(i)
		if seen[p.ResourceName] {
			errs = append(errs, field.Duplicate(at, p.ResourceName))
		}
		seen[p.ResourceName] = true
		errs = append(errs, placeAt(at.Child("resourceName"), requiredOf(path, p.ResourceName, v1.ResourceCPU, v1.ResourceMemory))...)
		errs = append(errs, placeAt(at.Child("restartPolicy"), requiredOf(path, p.RestartPolicy, v1.NotRequired, v1.RestartContainer))...)
		if restart == v1.RestartPolicyNever && p.RestartPolicy != v1.NotRequired {
			errs = append(errs, placeAt(at.Child("restartPolicy"), field.ErrorList{field.Invalid(path, p.RestartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'")})...)
		}
	}
	return errs
}
