package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

func describeCommand(a *app) *cli.Command {
	var of scope
	return &cli.Command{
		Name:      "describe",
		Usage:     "show pods with their containers, volumes and events",
		ArgsUsage: "[POD...]",
		Flags:     of.flags(),
		Action: func(c *cli.Context) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			names := c.Args().Slice()
			if len(names) > 1 && (names[0] == "pod" || names[0] == "pods") { // as with kubectl; alone it is a name
				names = names[1:]
			}
			pods, unread := listPods(store, of, names)
			for i, p := range pods {
				events, err := eventsOf(store, []*v1.Pod{p})
				if err != nil {
					return errors.Join(err, unread)
				}
				if i > 0 {
					a.printf("\n\n")
				}
				if err := describe(a.Out, p, events, time.Now()); err != nil {
					return err
				}
			}
			return unread
		},
	}
}

// page is a description as kubectl lays it out: a key and a value in columns, and
// what belongs to a key below it, two spaces deeper. The first error is kept.
type page struct {
	*tabwriter.Writer
	now time.Time
	err error
}

func (p *page) print(level int, cells ...string) {
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	_, err := fmt.Fprintf(p, "%s%s\n", strings.Repeat("  ", level), strings.Join(cells, "\t"))
	p.err = errors.Join(p.err, err)
}

// field prints a key and its value.
func (p *page) field(level int, key string, value any) {
	p.print(level, key+":", fmt.Sprint(value))
}

// optional is field for a value that may be missing.
func (p *page) optional(level int, key, value string) {
	if value != "" {
		p.field(level, key, value)
	}
}

// values prints a key with values, one a line, in the column of the first.
func (p *page) values(level int, key string, values []string) {
	if len(values) == 0 {
		values = []string{"<none>"}
	}
	for i, v := range values {
		if i == 0 {
			p.field(level, key, v)
		} else {
			p.print(level, "", v)
		}
	}
}

// describe writes what kubectl describe pod shows. Secrets are named, never shown.
func describe(out io.Writer, pod *v1.Pod, events []v1.Event, now time.Time) error {
	p := &page{Writer: tabwriter.NewWriter(out, 0, 8, 2, ' ', 0), now: now}
	p.head(pod)
	p.containers("Init Containers", pod.Spec.InitContainers, pod.Status.InitContainerStatuses)
	p.containers("Containers", pod.Spec.Containers, pod.Status.ContainerStatuses)
	p.containers("Ephemeral Containers", plainContainers(pod.Spec.EphemeralContainers), pod.Status.EphemeralContainerStatuses)
	p.gates(pod)
	if len(pod.Status.Conditions) > 0 {
		p.print(0, "Conditions:")
		p.print(1, "Type", "Status")
		for _, c := range pod.Status.Conditions {
			p.print(1, string(c.Type), string(c.Status))
		}
	}
	p.volumes(pod.Spec.Volumes)
	p.field(0, "QoS Class", pod.Status.QOSClass)
	p.events(events)
	return errors.Join(p.err, p.Flush())
}

func (p *page) head(pod *v1.Pod) {
	p.field(0, "Name", pod.Name)
	p.field(0, "Namespace", pod.Namespace)
	if pod.Status.StartTime != nil {
		p.field(0, "Start Time", pod.Status.StartTime.Format(time.RFC1123Z))
	}
	p.values(0, "Labels", pairs(pod.Labels, "="))
	p.values(0, "Annotations", pairs(pod.Annotations, ": "))
	if pod.DeletionTimestamp != nil && pod.Status.Phase != v1.PodFailed && pod.Status.Phase != v1.PodSucceeded {
		p.field(0, "Status", fmt.Sprintf("Terminating (lasts %s)", duration.HumanDuration(p.now.Sub(pod.DeletionTimestamp.Time))))
		if g := pod.DeletionGracePeriodSeconds; g != nil {
			p.field(0, "Termination Grace Period", fmt.Sprintf("%ds", *g))
		}
	} else {
		p.field(0, "Status", pod.Status.Phase)
	}
	p.optional(0, "Reason", pod.Status.Reason)
	p.optional(0, "Message", pod.Status.Message)
	p.field(0, "IP", pod.Status.PodIP)
	p.print(0, "IPs:")
	for _, ip := range pod.Status.PodIPs {
		p.field(1, "IP", ip.IP)
	}
	if pod.Spec.Resources != nil {
		p.print(0, "Resources:")
		p.resources(1, *pod.Spec.Resources)
	}
}

func (p *page) gates(pod *v1.Pod) {
	if len(pod.Spec.ReadinessGates) == 0 {
		return
	}
	p.print(0, "Readiness Gates:")
	p.print(1, "Type", "Status")
	for _, g := range pod.Spec.ReadinessGates {
		status := "<none>"
		for _, c := range pod.Status.Conditions {
			if c.Type == g.ConditionType {
				status = string(c.Status)
			}
		}
		p.print(1, string(g.ConditionType), status)
	}
}

func (p *page) events(events []v1.Event) {
	if len(events) == 0 {
		p.field(0, "Events", "<none>")
		return
	}
	p.print(0, "Events:")
	p.print(1, "Type", "Reason", "Age", "From", "Message")
	p.print(1, "----", "------", "----", "----", "-------")
	for i := range events {
		e := &events[i]
		message := strings.TrimSpace(e.Message)
		if path := e.InvolvedObject.FieldPath; path != "" {
			message = path + ": " + message
		}
		p.print(1, e.Type, e.Reason, lastSeen(e, p.now), e.Source.Component, message)
	}
}

func pairs(m map[string]string, between string) []string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, k+between+m[k])
	}
	return all
}
