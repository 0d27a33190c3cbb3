package chaos

import (
	"strings"
	"testing"
	"time"

	"podrun/ground"
)

// stoppers hold up whoever enters them: they stop every process that comes into their
// PID namespace, before it is the program that it is to become.
const stoppers = `
apiVersion: v1
kind: Pod
metadata: {name: own}
spec:
  terminationGracePeriodSeconds: 2
  containers:
  - name: main
    image: attack
    imagePullPolicy: Never
    command: [/attack, stop]
    livenessProbe: {exec: {command: ["true"]}, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 2}
    lifecycle: {preStop: {exec: {command: ["true"]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: shared}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 2
  containers:
  - {name: main, image: attack, imagePullPolicy: Never, command: [/attack, stop]}
  - {name: victim, image: attack, imagePullPolicy: Never, command: [sleep, "1"]}
`

// TestEscapesByStopping: a container that stops what podrun runs in it keeps neither
// its probe from failing nor its pod from its end.
func TestEscapesByStopping(t *testing.T) {
	a := newAttacker(t)
	for _, pod := range strings.Split(stoppers, "---\n") {
		a.up(pod) // that of two containers may come to start, or not
	}
	ground.Until(t, "the end of a container whose probe is held up", func() bool {
		return strings.Contains(a.Run("ps", "own", "-o", "yaml").Stdout, "restartCount: 1")
	})
	for _, pod := range []string{"own", "shared"} {
		began := time.Now()
		r := a.Run("down", pod)
		took := time.Since(began)
		tried(t, pod+": a pod that holds up its end", unless(r.Code == 0 && took < ground.Patience(15*time.Second), took.String()+": "+r.String()))
	}
}
