package monitor

import (
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/image"
)

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]unix.Signal{
		"SIGTERM": 15, "term": 15, "SIGQUIT": 3, "9": 9, "64": 64, "SIGPOLL": 29, "SIGCLD": 17, "SIGIOT": 6, "SIGSTKFLT": 16,
		"SIGRTMIN": 34, "RTMIN": 34, "SIGRTMIN+3": 37, "SIGRTMIN+15": 49, "SIGRTMAX": 64, "SIGRTMAX-14": 50, "rtmax-1": 63,
		"": 0, "0": 0, "65": 0, "-1": 0, "SIG": 0, "SIGNONE": 0, "SIGRTMIN-1": 0, "SIGRTMIN+31": 0, "SIGRTMAX+1": 0, "SIGRTMIN+": 0, "SIGRTMINX": 0,
	} {
		if got := parseSignal(text); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

func TestStopSignal(t *testing.T) {
	of := func(name string) *image.Image {
		img := &image.Image{}
		img.Config.StopSignal = name
		return img
	}
	own := &v1.Container{Lifecycle: &v1.Lifecycle{StopSignal: new(v1.SIGUSR1)}}
	for _, tt := range []struct {
		c    *v1.Container
		img  *image.Image
		want unix.Signal
	}{
		{&v1.Container{}, nil, unix.SIGTERM},
		{&v1.Container{}, of(""), unix.SIGTERM},
		{&v1.Container{}, of("rubbish"), unix.SIGTERM},
		{&v1.Container{Lifecycle: &v1.Lifecycle{}}, of("SIGQUIT"), unix.SIGQUIT},
		{own, of("SIGQUIT"), unix.SIGUSR1},
		{own, nil, unix.SIGUSR1},
	} {
		if got := stopSignal(tt.c, tt.img); got != tt.want {
			t.Errorf("%v, %v: got %d, want %d", tt.c.Lifecycle, tt.img, got, tt.want)
		}
	}
}
