package chaos

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// walkedChanges are those at which somebody was killed, before and after, and the
// walks that have come to their end.
type walkedChanges struct {
	sync.Mutex
	killed map[string]bool
	passed map[string]bool
	walks  []string
}

var walked = walkedChanges{killed: map[string]bool{}, passed: map[string]bool{}}

// note takes steps as package step writes them.
func (w *walkedChanges) note(steps ...string) {
	w.Lock()
	defer w.Unlock()
	for _, s := range steps {
		w.killed[keyOf(s)] = true
	}
}

func (w *walkedChanges) pass(steps []killStep) {
	w.Lock()
	defer w.Unlock()
	for _, s := range steps {
		w.passed[keyOf(s.line)] = true
	}
}

func keyOf(step string) string {
	parts := strings.Split(step, "/")
	return changeKey(isKeeper(parts[0]), parts[1], parts[3])
}

func (w *walkedChanges) finish(walk string) {
	w.Lock()
	defer w.Unlock()
	w.walks = append(w.walks, walk)
}

func changeKey(inC bool, name, when string) string {
	if inC {
		name = "in C: " + name
	}
	return name + ", " + when
}

// notWalked are the steps that no session comes to, and why.
var notWalked = map[string]string{
	"in C: leave machine, after": "where it is now, there is no file to tell it in",
	"mount hugetlbfs, before":    "huge pages are the machine's, which may have none",
	"mount hugetlbfs, after":     "huge pages are the machine's, which may have none",
	"make scope, before":         "there is systemd in a virtual machine only",
	"make scope, after":          "there is systemd in a virtual machine only",
}

// The marks in the sources. Those of a teardown have the names of its parts.
var (
	goMark   = regexp.MustCompile(`step\.Change\("([^"]+)"\)`)
	cMark    = regexp.MustCompile(`CHANGE\("([^"]+)"\)`)
	partMark = regexp.MustCompile(`\{"((?:remove|disconnect) [^"]+)", (?:t\.|func)`)
)

// markedChanges are the names that the sources give to step.Change, and to CHANGE.
func markedChanges(t *testing.T) (inGo, inC []string) {
	t.Helper()
	collect := func(list *[]string, mark *regexp.Regexp, text string) {
		for _, m := range mark.FindAllStringSubmatch(text, -1) {
			*list = append(*list, m[1])
		}
	}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "../step/") {
			return err
		}
		if ext := filepath.Ext(path); ext != ".go" && ext != ".c" {
			return nil
		}
		text, err := os.ReadFile(path)
		collect(&inGo, goMark, string(text))
		collect(&inC, cMark, string(text))
		if path == "../monitor/teardown.go" {
			collect(&inGo, partMark, string(text))
		} else if all := strings.Count(string(text), "step.Change("); all != len(goMark.FindAllString(string(text), -1)) {
			return fmt.Errorf("%s has a mark without a name of its own", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []*[]string{&inGo, &inC} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return inGo, inC
}

// wholeWalk asserts that somebody was killed before and after every change that
// the sources name.
func wholeWalk(t *testing.T) {
	var missing []string
	inGo, inC := markedChanges(t)
	need := func(inC bool, names []string) {
		for _, name := range names {
			for _, when := range []string{"before", "after"} {
				key := changeKey(inC, name, when)
				switch {
				case walked.killed[key] && notWalked[key] != "":
					t.Errorf("%s: it was walked: it is no exception", key)
				case !walked.killed[key] && notWalked[key] == "" && walked.passed[key]:
					missing = append(missing, key)
				case !walked.killed[key] && notWalked[key] == "":
					missing = append(missing, key+" (nobody passes it)")
				}
			}
		}
	}
	need(false, inGo)
	need(true, inC)
	tally(killClass, "changes", len(inGo)+len(inC))
	if len(missing) == 0 {
		return
	}
	for _, name := range walkNames() {
		if !slices.Contains(walked.walks, name) {
			t.Skipf("not all sessions have been walked (%s was not); these have not come to\n  %s", name, strings.Join(missing, "\n  "))
		}
	}
	t.Errorf("nobody was killed at\n  %s", strings.Join(missing, "\n  "))
}

func walkNames() (all []string) {
	for _, w := range walks {
		all = append(all, w.name)
	}
	for _, w := range imageWalks {
		all = append(all, w.name)
	}
	return all
}
