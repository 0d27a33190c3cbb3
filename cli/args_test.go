package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestIntersperse(t *testing.T) {
	program := newProgram(&app{})
	for _, test := range []struct{ given, want string }{
		{"podrun", "podrun"},
		{"podrun --help", "podrun --help"},
		{"podrun nosuch -x", "podrun nosuch -x"}, // not ours to sort: the parser complains
		{"podrun logs web -f", "podrun logs -f -- web"},
		{"podrun logs web -c side --tail 3 -f", "podrun logs -c side --tail 3 -f -- web"},
		{"podrun logs --tail=3 web", "podrun logs --tail=3 -- web"},
		{"podrun up pod.yaml -v", "podrun -v up -- pod.yaml"},
		{"podrun up pod.yaml --root /r --timeout 3s", "podrun --root /r up --timeout 3s -- pod.yaml"},
		{"podrun -v --root /r ps -A", "podrun -v --root /r ps -A"},
		{"podrun up -", "podrun up -- -"}, // a lone dash is standard input
		{"podrun up - -n other", "podrun up -n other -- -"},
		{"podrun exec web -- ls -l --root /", "podrun exec -- web ls -l --root /"},
		{"podrun exec -it web -c main -- sh", "podrun exec -it -c main -- web sh"},
		{"podrun exec -ic main web -- sh", "podrun exec -ic main -- web sh"}, // the last of combined letters takes the value
		{"podrun exec web -- -- x", "podrun exec -- web -- x"},
		{"podrun image import rootfs.tar --change CMD=x busybox", "podrun image import --change CMD=x -- rootfs.tar busybox"},
		{"podrun image ls -v", "podrun -v image ls"},
		{"podrun down web --nosuch", "podrun down --nosuch -- web"}, // unknown: the parser complains
		{"podrun up pod.yaml --timeout", "podrun up --timeout"},     // its value is missing: the parser complains
		{"podrun up --help pod.yaml", "podrun up --help"},
		{"podrun exec web ls --help", "podrun exec -- web ls --help"},
		{"podrun ps web -A --root", "podrun --root"},
		{"podrun --root", "podrun --root"},
	} {
		got := strings.Join(intersperse(program, strings.Fields(test.given)), " ")
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.given, got, test.want)
		}
	}
}

// FuzzIntersperse: no word gets lost or is made up, but for one "--"; unless a
// flag lacks its value, and nothing but that matters.
func FuzzIntersperse(f *testing.F) {
	f.Add("podrun exec -it web -c main -- sh -c x")
	f.Add("podrun --root= up - -v --")
	f.Add("podrun image import -- --change")
	f.Fuzz(func(t *testing.T, line string) {
		given := strings.Fields(line)
		count := map[string]int{}
		for _, w := range given {
			count[w]++
		}
		got := intersperse(newProgram(&app{}), given)
		if len(got) < len(given) && len(given) > 0 && got[len(got)-1] == given[len(given)-1] && isFlag(given[len(given)-1]) {
			return
		}
		if slices.Contains(got, "--help") || slices.Contains(got, "-h") {
			return // nothing but that matters
		}
		for _, w := range got {
			count[w]--
		}
		for w, n := range count {
			if n != 0 && w != "--" {
				t.Errorf("%q: %d of %q are missing", line, n, w)
			}
		}
	})
}
