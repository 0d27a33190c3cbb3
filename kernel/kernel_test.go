package kernel

import "testing"

func TestAtLeast(t *testing.T) {
	for _, test := range []struct {
		release, version string
		want             bool
	}{
		{"6.18.44-fc", "4.15", true}, {"4.15.0-213-generic", "4.15", true}, {"4.9.1", "4.15", false}, {"3.16", "4.5", false}, {"5.10", "", true},
		{"6.3-rc1", "6.3", true}, {"10.0.1", "6.9", true},
	} {
		if got := atLeast(test.release, test.version); got != test.want {
			t.Errorf("%s at least %s: got %v", test.release, test.version, got)
		}
	}
	if !AtLeast("3.0") || AtLeast("1000.0") {
		t.Error("this kernel is older than 3.0 or as new as 1000.0")
	}
}
