package check

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// noProbes complains of probes on an init container: it ends before anything could be asked of it.
func noProbes(c *v1.Container, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, p := range []struct {
		name  string
		probe *v1.Probe
	}{{"livenessProbe", c.LivenessProbe}, {"readinessProbe", c.ReadinessProbe}, {"startupProbe", c.StartupProbe}} {
		if p.probe != nil {
			errs = append(errs, field.Forbidden(path.Child(p.name), "may not be set for init containers without restartPolicy=Always"))
		}
	}
	return errs
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
	errs := validateHandler(&p.ProbeHandler, path)
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

func validateHandler(h *v1.ProbeHandler, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	handlers := setPointers(h)
	if len(handlers) == 0 {
		return field.ErrorList{field.Required(path, "must specify a handler type: exec, httpGet, tcpSocket or grpc")}
	}
	for _, name := range handlers[1:] {
		errs = append(errs, field.Forbidden(path.Child(name), "may not specify more than 1 handler type"))
	}
	if h.Exec != nil && len(h.Exec.Command) == 0 {
		errs = append(errs, field.Required(path.Child("exec", "command"), ""))
	}
	if t := h.TCPSocket; t != nil {
		errs = append(errs, validateProbePort(t.Port, path.Child("tcpSocket", "port"))...)
	}
	if g := h.GRPC; g != nil {
		errs = append(errs, invalid(path.Child("grpc", "port"), g.Port, validation.IsValidPortNum(int(g.Port)))...)
	}
	if get := h.HTTPGet; get != nil {
		at := path.Child("httpGet")
		errs = append(errs, validateProbePort(get.Port, at.Child("port"))...)
		errs = append(errs, oneOf(at.Child("scheme"), get.Scheme, v1.URISchemeHTTP, v1.URISchemeHTTPS)...)
		for i, header := range get.HTTPHeaders {
			errs = append(errs, invalid(at.Child("httpHeaders").Index(i).Child("name"), header.Name, validation.IsHTTPHeaderName(header.Name))...)
		}
	}
	return errs
}

func validateProbePort(port intstr.IntOrString, path *field.Path) field.ErrorList {
	if port.Type == intstr.String {
		return invalid(path, port.StrVal, validation.IsValidPortName(port.StrVal))
	}
	return invalid(path, port.IntVal, validation.IsValidPortNum(int(port.IntVal)))
}
