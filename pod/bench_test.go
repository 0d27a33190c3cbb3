package pod

import (
	"runtime"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// BenchmarkTurn is what one look at a pod of five running containers costs the
// loop, when nothing comes of it.
func BenchmarkTurn(b *testing.B) {
	s := newState(newPod(v1.RestartPolicyAlways, "a", "b", "c", "d", "e"), time.Now())
	s.everStarted = true
	for _, c := range s.app {
		at(stageRunning)(c)
	}
	l := &Life{cfg: Config{Save: func(Checkpoint) {}}, state: s, attempts: map[*container]attemptContext{}}
	l.status.Store(&v1.PodStatus{})
	b.ReportAllocs()
	for b.Loop() {
		l.turn(b.Context())
	}
}

// BenchmarkMemory reports what a life holds on to.
func BenchmarkMemory(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	pod := newPod(v1.RestartPolicyAlways, "a", "b", "c", "d", "e")
	var lives []*Life
	for b.Loop() {
		lives = append(lives, New(Config{Pod: pod}))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(lives)), "held-B/op")
	runtime.KeepAlive(lives)
}
