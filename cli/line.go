package cli

import (
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
)

// line is one line on a terminal that says what is waited for, and changes in
// place. Where standard error is no terminal it is silent.
type line struct {
	*app
	pod   string
	shown string
}

// oneLine: of several pods only one shows its line at a time.
var oneLine sync.Mutex

func (a *app) newLine(p *v1.Pod) *line {
	l := &line{pod: displayName(p)}
	if isTerminal(a.Err) {
		l.app = a
	}
	return l
}

func (l *line) show(text string) {
	if l.app == nil || text == l.shown {
		return
	}
	oneLine.Lock()
	defer oneLine.Unlock()
	fmt.Fprintf(l.Err, "\r\x1b[Kpod/%s: %s", l.pod, printable(text))
	l.shown = text
}

func (l *line) clear() {
	if l.app == nil || l.shown == "" {
		return
	}
	oneLine.Lock()
	defer oneLine.Unlock()
	fmt.Fprint(l.Err, "\r\x1b[K")
	l.shown = ""
}
