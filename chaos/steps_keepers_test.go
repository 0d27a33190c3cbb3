package chaos

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A pod whose pause is killed: while it is made, up says why and leaves nothing, or
// the next sandbox is made; a pod that runs begins anew.
func walkKeeper(s *session) {
	s.exits(0, "up", "pod.yaml")
	s.runs("web", "main")
	s.begins("web", "main", 100)
	s.runsCommand("web", "main")
	s.begin()
	s.kill("web", "monitor")
	s.untilKept("web")
	s.exits(0, "up", "pod.yaml") // nobody keeps it where pause died with it
	s.runs("web", "main")
	s.runsCommand("web", "main")
	s.serves()
	s.begins("web", "main", 100)
	s.begins("web", "first", 10)
	s.exits(0, "down", "pod.yaml")
}

const keptPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  initContainers:
  - {name: first, image: busybox, imagePullPolicy: Never, command: [seq, "1", "10"]}
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "seq 1 100; exec httpd -f -p 80 -h /etc"]
    ports: [{containerPort: 80, hostPort: PORT}]
`

// The same of a pod that has its pause make or keep more.
func walkKeeperPlain(s *session) {
	s.exits(0, "up", "pod.yaml")
	s.runs("web", "main", "first")
	s.begins("web", "main", 100)
	s.runsCommand("web", "main")
	s.exits(0, "down", "pod.yaml")
}

const sharedPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "seq 1 100; exec sleep 3600"]
`

// begins asserts that the attempt in hand of a container has written the numbers
// from 1 to n, and that those before, whose sandbox may have ended at any time, have
// written the first of them.
func (s *session) begins(pod, container string, n int) {
	s.Helper()
	uid, err := s.g.UID(pod)
	if err != nil {
		s.Fatal(err)
	}
	var files []string
	s.until("all lines of "+container, func() bool {
		files, err = filepath.Glob(filepath.Join(s.g.Store.LogDir, "default_"+pod+"_"+uid, container, "*.log"))
		if err != nil || len(files) == 0 {
			return false
		}
		slices.SortFunc(files, func(a, b string) int { return attemptOf(a) - attemptOf(b) })
		return len(loggedLines(s, files[len(files)-1])) >= n
	})
	for i, file := range files {
		lines := loggedLines(s, file)
		switch {
		case i == len(files)-1:
			s.counted(lines, n)
		case len(lines) != 1 || !strings.HasPrefix(lines[0], unreleased):
			s.counted(lines, len(lines))
		}
	}
}

// unreleased is what a container says that was just being released as pause died: it
// never became its program.
const unreleased = "write exec fifo initfifo: write initfifo: broken pipe"

// attemptOf is the number in the name of a log.
func attemptOf(file string) int {
	name := filepath.Base(file)
	n, _ := strconv.Atoi(name[:len(name)-len(".log")])
	return n
}

// runsCommand asserts that a command can be run in the container, once its sandbox is there.
func (s *session) runsCommand(pod, container string) {
	s.Helper()
	s.until("a command in "+container, func() bool {
		r, _ := s.try("exec", pod, "-c", container, "--", "true")
		return r.Code == 0
	})
}
