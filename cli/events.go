package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"podrun/monitor"
	"podrun/pod"
	"podrun/state"
)

func eventsCommand(a *app) *cli.Command {
	var of scope
	var output, types string
	return &cli.Command{
		Name:      "events",
		Usage:     "list what has happened to pods",
		ArgsUsage: "[POD...]",
		Flags: append(of.flags(),
			&cli.StringFlag{Name: "types", Destination: &types, Usage: "only those of `TYPE`: Normal, Warning"},
			outputFlag(&output, "json", "yaml"),
		),
		Action: func(c *cli.Context) error {
			wanted, err := eventTypes(types)
			if err != nil {
				return err
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			pods, unread := listPods(store, of, c.Args().Slice())
			if len(pods) == 0 && unread != nil {
				return unread
			}
			events, err := eventsOf(store, pods)
			if err != nil {
				return errors.Join(err, unread)
			}
			events = slices.DeleteFunc(events, func(e v1.Event) bool { return !slices.Contains(wanted, e.Type) })
			if len(events) == 0 && output == "" {
				a.noteNone(of)
				return unread
			}
			return errors.Join(a.printEvents(events, output, of.all), unread)
		},
	}
}

func eventTypes(text string) ([]string, error) {
	known := []string{v1.EventTypeNormal, v1.EventTypeWarning}
	if text == "" {
		return known, nil
	}
	wanted := strings.Split(text, ",")
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			return nil, usagef("--types %q: want Normal or Warning", text)
		}
	}
	return wanted, nil
}

// eventsOf collects the events of all pods, in the order of their last occurrence.
func eventsOf(s *state.Store, pods []*v1.Pod) ([]v1.Event, error) {
	var all []v1.Event
	for _, p := range pods {
		events, err := monitor.Events(s, string(p.UID))
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			all = append(all, apiEvent(p, e))
		}
	}
	slices.SortStableFunc(all, func(a, b v1.Event) int { return a.LastTimestamp.Compare(b.LastTimestamp.Time) })
	return all, nil
}

// eventSource is who reports the events.
const eventSource = "podrun"

// apiEvent is an event as an API server would show it.
func apiEvent(p *v1.Pod, e pod.Event) v1.Event {
	host, _ := os.Hostname()
	return v1.Event{
		TypeMeta:   metav1.TypeMeta{Kind: "Event", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{Name: e.Name, Namespace: p.Namespace, CreationTimestamp: metav1.Time{Time: e.First}},
		InvolvedObject: v1.ObjectReference{
			Kind: "Pod", APIVersion: "v1", Namespace: p.Namespace, Name: p.Name, UID: p.UID, FieldPath: e.Object,
		},
		Type: e.Type, Reason: e.Reason, Message: e.Message, Count: int32(e.Count),
		FirstTimestamp: metav1.Time{Time: e.First}, LastTimestamp: metav1.Time{Time: e.Time},
		Source:              v1.EventSource{Component: eventSource, Host: host},
		ReportingController: eventSource, ReportingInstance: host,
	}
}

func (a *app) printEvents(events []v1.Event, output string, withNamespace bool) error {
	if output != "" {
		list := v1.EventList{TypeMeta: metav1.TypeMeta{Kind: "EventList", APIVersion: "v1"}, Items: events}
		if list.Items == nil {
			list.Items = []v1.Event{}
		}
		return a.encode(list, output)
	}
	t := newTable(a.Out, withNamespace, "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE")
	for _, e := range events {
		t.row(e.Namespace, lastSeen(&e, time.Now()), e.Type, e.Reason, "Pod/"+e.InvolvedObject.Name, printable(e.Message))
	}
	return t.Flush()
}

// lastSeen is how long ago the event was, and how often since when.
func lastSeen(e *v1.Event, now time.Time) string {
	last := duration.HumanDuration(now.Sub(e.LastTimestamp.Time))
	if e.Count <= 1 {
		return last
	}
	return fmt.Sprintf("%s (x%d over %s)", last, e.Count, duration.HumanDuration(now.Sub(e.FirstTimestamp.Time)))
}
