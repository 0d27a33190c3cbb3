package main

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		samples []float64
		want    float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 2, 100}, 3}, // an even number has no middle
	} {
		r := newResults()
		for _, s := range test.samples {
			r.add("row", "engine", s)
		}
		if got := r.median("row", "engine"); got != test.want {
			t.Errorf("median of %v: got %v, want %v", test.samples, got, test.want)
		}
	}
	if got := newResults().median("row", "engine"); !math.IsNaN(got) {
		t.Errorf("median of nothing: got %v, want NaN", got)
	}
}

func TestRatio(t *testing.T) {
	for _, test := range []struct {
		ours, theirs float64
		less         bool
		want         string
	}{
		{10, 50, true, "5.0× less"},
		{50, 10, true, "5.0× more"},
		{0, 10, true, "nothing"},
		{-1, 10, true, "nothing"}, // noise around no memory at all
		{300, 100, false, "3.0× as much"},
		{300, math.NaN(), false, ""}, // no podman
	} {
		if got := ratio(test.ours, test.theirs, test.less); got != test.want {
			t.Errorf("ratio(%v, %v, %v): got %q, want %q", test.ours, test.theirs, test.less, got, test.want)
		}
	}
}
