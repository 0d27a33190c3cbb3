package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"podrun/monitor"
	"podrun/pod"
)

// differLines shows what differs, a line each.
func differLines(list []pod.Difference) string {
	var b strings.Builder
	for _, d := range list {
		old, updated := showBoth(d.Old, d.New)
		fmt.Fprintf(&b, "  %s: %s -> %s\n", d.Path, old, updated)
	}
	return b.String()
}

// Lengths of what is shown of a value, and of what it has in common with the other one.
const (
	longestShown  = 60
	shownInCommon = 10
)

// showBoth shows two values as JSON; of long ones the part that differs, with a little of what is around it.
func showBoth(old, updated any) (string, string) {
	a, b := []rune(show(old)), []rune(show(updated))
	if len(a) <= longestShown && len(b) <= longestShown {
		return string(a), string(b)
	}
	same, end := 0, 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	for end < min(len(a), len(b))-same && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	from, after := max(0, same-shownInCommon), max(0, end-shownInCommon)
	return excerpt(a, from, after), excerpt(b, from, after)
}

// excerpt is a text without what stands before from, and without so many runes at the end.
func excerpt(text []rune, from, after int) string {
	part, before, behind := text[from:len(text)-after], "", ""
	if from > 0 {
		before = "…"
	}
	if len(part) > longestShown {
		part, after = part[:longestShown], 1
	}
	if after > 0 {
		behind = "…"
	}
	return before + string(part) + behind
}

func show(v any) string {
	if v == nil {
		return "(unset)"
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// changedError says why a pod cannot go on by another manifest.
func changedError(name string, list []pod.Difference, errs field.ErrorList, f *monitor.Found) error {
	var b strings.Builder
	if phase := f.Status.Status.Phase; hasEnded(f.Pod()) {
		return fmt.Errorf("pod %s has ended (%s), and ran with another manifest:\n%suse --replace to run this one; nothing was changed", name, phase, differLines(list))
	}
	fmt.Fprintf(&b, "pod %s runs with another manifest:\n%s", name, differLines(list))
	if len(errs) > 0 {
		b.WriteString("of which a pod that runs cannot take:\n")
	}
	for _, e := range errs {
		fmt.Fprintf(&b, "  %s: %s\n", e.Field, e.Detail)
	}
	return errors.New(b.String() + "use --replace to take it down and make it anew; nothing was changed")
}

// applyChange asks the pod's monitor to go on by the changed manifest.
func (l *launch) applyChange(ctx context.Context) error {
	encoded, err := l.change.Marshal()
	if err != nil {
		return fmt.Errorf("encode pod %s: %w", l.name(), err)
	}
	err = monitor.Tell(ctx, l.store, l.record.UID(), monitor.Request{Pod: encoded})
	switch {
	case errors.Is(err, monitor.ErrNoMonitor):
		return fmt.Errorf("pod %s has come to its end meanwhile: 'podrun up' again", l.name())
	case err != nil:
		return fmt.Errorf("change pod %s: %w", l.name(), err)
	}
	l.notef("pod %s goes on with another manifest:\n%s", l.name(), differLines(pod.Differences(l.record.Pod, l.change)))
	return nil
}

// changedImages are the containers that get another image.
func changedImages(old, updated *v1.PodSpec) []v1.Container {
	var list []v1.Container
	for _, pair := range [][2][]v1.Container{{old.InitContainers, updated.InitContainers}, {old.Containers, updated.Containers}} {
		for i := range pair[1] {
			if pair[0][i].Image != pair[1][i].Image {
				list = append(list, pair[1][i])
			}
		}
	}
	return list
}

// resizing tells of a change of the resources that has not come into force yet.
func resizing(s *v1.PodStatus) (why string, yes bool) {
	for _, c := range s.Conditions {
		if c.Type == v1.PodResizeInProgress && c.Status == v1.ConditionTrue {
			return strings.TrimSuffix("its resize: "+c.Message, ": "), true
		}
	}
	return "", false
}
