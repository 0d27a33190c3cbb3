package monitor

import (
	goruntime "runtime"
	"slices"
	"testing"
)

func TestUntouched(t *testing.T) {
	const smaps = `00401000-00f2a000 r-xp 00001000 fe:00 123                                /usr/bin/podrun
Rss:                 408 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
01a1f000-01a24000 r--p 01000000 fe:00 123                                /usr/bin/podrun
Anonymous:            20 kB
01a24000-01aec000 rw-p 01000000 fe:00 123                                /usr/bin/podrun
Anonymous:             0 kB
7ffc0000-7ffd0000 r--p 00000000 00:00 0                                  [vvar]
Anonymous:             0 kB
7f000000-7f001000 r--p 00000000 00:00 0
Anonymous:             0 kB
`
	// Relocated before it became read-only, writable, no file, no name: all kept.
	want := []region{{0x401000, 0xf2a000}}
	if got := untouched(smaps); !slices.Equal(got, want) {
		t.Errorf("untouched: got %x, want %x", got, want)
	}
}

// Little garbage is left where it is, more is given back.
func TestRest(t *testing.T) {
	collections := func() uint32 {
		var s goruntime.MemStats
		goruntime.ReadMemStats(&s)
		return s.NumGC
	}
	rest()
	before, size := collections(), anonymous()
	rest()
	if got := collections(); got != before {
		t.Errorf("with nothing to collect there were %d collections", got-before)
	}
	const much = 4 << 20
	garbage := slices.Repeat([]byte{1}, much)
	if got := anonymous() - size; got < much {
		t.Errorf("%d bytes more are seen as %d", much, got)
	}
	goruntime.KeepAlive(garbage)
	rest()
	if got := anonymous() - size; got > much/2 {
		t.Errorf("of the garbage %d bytes are left", got)
	}
}
