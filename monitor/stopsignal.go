package monitor

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/image"
)

// stopSignal is what asks a container to end: the manifest's lifecycle.stopSignal,
// or the image's STOPSIGNAL, or SIGTERM. img may be nil.
func stopSignal(c *v1.Container, img *image.Image) unix.Signal {
	if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil {
		if s := parseSignal(string(*c.Lifecycle.StopSignal)); s != 0 {
			return s
		}
	}
	if img != nil {
		if s := parseSignal(img.Config.StopSignal); s != 0 {
			return s
		}
	}
	return unix.SIGTERM
}

// The real-time signals as glibc counts them, which keeps the first two.
const (
	sigRTMin unix.Signal = 34
	sigRTMax unix.Signal = 64
)

// signalAliases are the second names of signals that package unix leaves out.
var signalAliases = map[string]unix.Signal{"CLD": unix.SIGCHLD, "IOT": unix.SIGABRT, "POLL": unix.SIGIO}

// parseSignal reads a signal's number, or its name with or without SIG; 0 is none.
func parseSignal(text string) unix.Signal {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= int(sigRTMax) {
		return unix.Signal(n)
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	for _, base := range []struct {
		name   string
		number unix.Signal
		sign   byte
	}{{"RTMIN", sigRTMin, '+'}, {"RTMAX", sigRTMax, '-'}} {
		rest, ok := strings.CutPrefix(name, base.name)
		if !ok {
			continue
		}
		if rest == "" {
			return base.number
		}
		n, err := strconv.Atoi(rest)
		if err != nil || rest[0] != base.sign || n < 0 && base.sign == '+' || n > 0 && base.sign == '-' {
			return 0
		}
		if s := base.number + unix.Signal(n); s >= sigRTMin && s <= sigRTMax {
			return s
		}
		return 0
	}
	if s, ok := signalAliases[name]; ok {
		return s
	}
	return unix.SignalNum("SIG" + name)
}
