package pod

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"podrun/probe"

	v1 "k8s.io/api/core/v1"
)

// FuzzLife lives pods through what the bytes say happens to them, and checks
// after each step what must hold in every pod's life.
func FuzzLife(f *testing.F) {
	for _, seed := range []string{
		"", "\x00", "\x05\x01\x02\x10\x20\x30\x40", "\x0b\x81\x82\x83\x84\x91\x92\x93\x94",
		"\x10\x06\x16\x26\x36\x46\x07\x17\x03\x13\x07\x05", "\x3f\x00\x10\x20\x30\x04\x00\x10\x07\x00\x07\x10\x05",
		"\x1b\x01\x86\x96\x07\xb6\x17\xc6\x02\xa6\x0f", "\x13\x00\x86\x03\x96\x07\xd6\x00\x86",
		"\x1a\x08\x18\x28\x00\x09\x19\x00\x02\x32\x07\x62\x00\x08\x45", "\x2d\x0a\x1a\x2a\x07\x02\x07\x72\x00\x00\x00\x62\x15",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		script = script[:min(len(script), 200)] // a longer life shows nothing new
		var shape [2]byte
		script = script[copy(shape[:], script):]
		bubble(t, shapedPod(shape[0], shape[1]), func(l *test) {
			z := &fuzzed{test: l, restarts: map[string]int32{}, failed: map[string]bool{}, began: map[string]bool{}}
			l.begin(nil)
			for _, b := range script {
				z.step(b&0x0f, int(b>>4))
				z.check()
			}
			z.over()
		})
	})
}

// shapedPod is a pod with up to 3 init containers, sidecars among them, and 4
// others, some probed, some with policies of their own.
func shapedPod(shape, more byte) *v1.Pod {
	names := []string{"c0", "c1", "c2", "c3"}[:1+shape&3]
	var init []string
	for i, name := range []string{"s0", "i0", "s1"} {
		if more>>i&1 != 0 {
			init = append(init, name)
		}
	}
	if shape&4 != 0 || len(init) > 0 {
		names = slices.Concat(init, []string{"i1", "|"}, names)
	}
	policies := []v1.RestartPolicy{v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever}
	pod := sidecars(newPod(policies[int(shape>>3)%3], names...), "s0", "s1")
	if more&8 != 0 {
		pod.Spec.Containers[0].RestartPolicy = ptr(v1.ContainerRestartPolicy(policies[int(more>>4)%3]))
		pod.Spec.Containers[0].RestartPolicyRules = []v1.ContainerRestartRule{{
			Action:    v1.ContainerRestartRuleActionRestartAllContainers,
			ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{1}},
		}}
	}
	if more&0x80 != 0 {
		pod.Spec.ActiveDeadlineSeconds = ptr(int64(100))
	}
	if more&0x40 != 0 && len(init) > 0 {
		pod.Spec.InitContainers[0].StartupProbe = nil
		if pod.Spec.InitContainers[0].Name == "s0" {
			pod.Spec.InitContainers[0].StartupProbe = execProbe("check")
		}
	}
	if c := &pod.Spec.Containers[0]; shape&0x40 != 0 {
		handler := v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"check"}}}
		c.LivenessProbe = &v1.Probe{ProbeHandler: handler, PeriodSeconds: 3, FailureThreshold: 2}
		c.ReadinessProbe = &v1.Probe{ProbeHandler: handler, PeriodSeconds: 2}
		if shape&0x80 != 0 {
			c.StartupProbe = &v1.Probe{ProbeHandler: handler, PeriodSeconds: 1, FailureThreshold: 5}
		}
	}
	if hooks := shape ^ more; hooks&0x20 != 0 {
		lifecycle := &v1.Lifecycle{PostStart: sleepHook(int64(hooks & 7)), PreStop: execHook("check")}
		if hooks&0x10 != 0 {
			lifecycle = &v1.Lifecycle{PostStart: execHook("check"), PreStop: sleepHook(int64(hooks & 7))}
		}
		pod.Spec.Containers[0].Lifecycle = lifecycle
		if len(init) > 0 && init[0] == "s0" {
			pod.Spec.InitContainers[0].Lifecycle = lifecycle
		}
	}
	return pod
}

// fuzzed is a life and what was seen of it before.
type fuzzed struct {
	*test
	restarts map[string]int32
	terminal v1.PodPhase
	failed   map[string]bool // containers of which a step was made to fail
	began    map[string]bool // containers whose first start was asked for
	stopped  bool
	changed  bool
}

func (z *fuzzed) name(n int) string {
	all := z.life.state.all
	return all[n%len(all)].Name
}

func (z *fuzzed) step(op byte, n int) {
	name := z.name(n)
	switch op {
	case 0, 1:
		z.exit(name, Exit{Code: int(op)})
	case 2:
		z.sleep([]time.Duration{1, time.Second, 3 * time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 11 * time.Minute, 50 * time.Millisecond}[n%8])
	case 3:
		z.set(func() { z.deaf[name] = !z.deaf[name] })
	case 4:
		z.set(func() { z.probes[[]string{"c0", "s0"}[n%2]+" check"] = result(probe.Failure, "no") })
	case 5:
		z.stopped = true
		z.life.Stop(ptr(int64(n)))
		synctest.Wait()
	case 6:
		if n >= 8 {
			z.change(name, n)
			return
		}
		z.set(func() { clear(z.probes) })
	case 7:
		z.die(false, name)
	case 8, 9, 10, 11:
		verb := []string{"image", "create", "start", "remove"}[op-8]
		z.failed[name] = true
		z.set(func() { z.fail[verb+" "+name] = errBroken })
	case 12, 13:
		verb := []string{"create", "start"}[op-12]
		z.set(func() { z.delay[verb+" "+name] = time.Duration(n) * time.Second })
	case 14:
		z.set(func() { z.ends[name] = Exit{Code: n % 2} })
	case 15:
		z.die(true, name)
	}
}

// change gives the pod a manifest with another image or other resources.
func (z *fuzzed) change(name string, n int) {
	p := z.pod.DeepCopy()
	p.Generation++
	for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			switch c := &list[i]; {
			case c.Name != name:
			case n&1 == 0:
				c.Image += "+"
			default:
				c.Resources.Limits = amounts("", fmt.Sprintf("%dMi", 64+p.Generation))
				if n&2 == 0 && name[0] != 'i' {
					c.ResizePolicy = []v1.ContainerResizePolicy{{ResourceName: v1.ResourceMemory, RestartPolicy: v1.RestartContainer}}
				}
			}
		}
	}
	z.changed = true
	z.update(p)
}

// checkChanged waits until what runs has nothing against it, and checks that it
// runs by the last manifest.
func (z *fuzzed) checkChanged() {
	z.set(func() {
		for _, m := range []map[string]error{z.fail, z.always} {
			clear(m)
		}
		clear(z.probes)
		clear(z.delay)
		clear(z.ends)
	})
	z.sleep(time.Hour)
	select {
	case <-z.done:
		return
	default:
	}
	for _, c := range z.life.state.all {
		if c.Stage == stageRunning && (!c.init || c.sidecar()) && c.Made != c.spec.Image {
			z.Errorf("%s runs image %s, the manifest has %s", c.Name, c.Made, c.spec.Image)
		}
	}
	if z.life.state.resizes() && !z.life.state.leaving() {
		z.Errorf("resources are not in force: %+v", z.life.Status().Conditions)
	}
}

// die kills the monitor, maybe lets a container end meanwhile, and tells the
// next one what it owes.
func (z *fuzzed) die(also bool, name string) {
	select {
	case <-z.done:
		return
	default:
	}
	if _, running := z.running[name]; also && running {
		delete(z.running, name)
		delete(z.alive, name)
	}
	sandbox := z.sandbox
	if also && name == "c0" {
		sandbox += "+"
	}
	z.test.die(sandbox)
}

func (z *fuzzed) check() {
	z.Helper()
	st := z.life.Status()
	ready := true
	for _, cs := range append(st.InitContainerStatuses, st.ContainerStatuses...) {
		z.checkContainer(&cs)
		if cs.Name[0] != 'i' {
			ready = ready && cs.Ready
		}
	}
	if got := z.condition(v1.PodReady).Status == v1.ConditionTrue; got != ready {
		z.Errorf("Ready is %v, all containers ready: %v", got, ready)
	}
	if z.terminal != "" && st.Phase != z.terminal {
		z.Errorf("phase went from %s to %s", z.terminal, st.Phase)
	}
	if st.Phase == v1.PodSucceeded || st.Phase == v1.PodFailed {
		z.terminal = st.Phase
	}
	z.checkOrder()
	if z.Failed() {
		z.Logf("status: %+v", st)
		z.FailNow()
	}
}

func (z *fuzzed) checkContainer(cs *v1.ContainerStatus) {
	states := 0
	for _, set := range []bool{cs.State.Waiting != nil, cs.State.Running != nil, cs.State.Terminated != nil} {
		if set {
			states++
		}
	}
	if states != 1 {
		z.Errorf("%s has %d states", cs.Name, states)
	}
	if cs.Ready && cs.State.Running == nil && cs.Name[0] != 'i' {
		z.Errorf("%s is ready and does not run", cs.Name)
	}
	if cs.Ready && !*cs.Started && cs.Name[0] != 'i' {
		z.Errorf("%s is ready and has not started", cs.Name)
	}
	if z.terminal != "" && cs.State.Running != nil {
		z.Errorf("%s runs in a pod that is %s", cs.Name, z.terminal)
	}
	if cs.RestartCount < z.restarts[cs.Name] {
		z.Errorf("%s: restarts went from %d to %d", cs.Name, z.restarts[cs.Name], cs.RestartCount)
	}
	z.restarts[cs.Name] = cs.RestartCount
}

// checkOrder checks that nothing started for the first time before what comes
// earlier in the spec.
func (z *fuzzed) checkOrder() {
	for _, entry := range z.took() {
		var verb, name string
		var attempt int
		if n, _ := fmt.Sscan(entry, &verb, &name, &attempt); n < 3 || verb != "start" || attempt > 0 {
			continue
		}
		for _, c := range z.life.state.all {
			if c.Name == name {
				break
			}
			if !z.began[c.Name] && !z.failed[c.Name] {
				z.Errorf("%s was started before %s", name, c.Name)
			}
		}
		z.began[name] = true
	}
}

// over ends the pod and checks that it ends, with nothing left.
func (z *fuzzed) over() {
	if z.changed {
		z.checkChanged()
	}
	z.life.Stop(ptr(int64(1)))
	synctest.Wait()
	select {
	case <-z.done:
	case <-time.After(time.Hour):
		z.Fatalf("the pod does not end: %+v", z.life.Status())
	}
	if len(z.exists)+len(z.running) > 0 && z.err == nil {
		z.Errorf("left: %v %v", z.exists, z.running)
	}
	z.check()
}
