package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"podrun/monitor"
	"podrun/state"
)

func psCommand(a *app) *cli.Command {
	var of scope
	var output, selected string
	return &cli.Command{
		Name:      "ps",
		Usage:     "list pods",
		ArgsUsage: "[POD...]",
		Flags: append(of.flags(),
			outputFlag(&output, "wide", "json", "yaml", "name"),
			&cli.StringFlag{Name: "selector", Aliases: []string{"l"}, Destination: &selected, Usage: "only pods whose labels match `SELECTOR`, such as app=web,tier!=db"},
		),
		Action: func(c *cli.Context) error {
			selector, err := selectLabels(selected)
			if err != nil {
				return err
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			return a.showPods(store, of, podsOutput{format: output, names: c.Args().Slice(), selector: selector})
		},
	}
}

// podsOutput is which pods are shown of those there are, and how.
type podsOutput struct {
	format   string
	names    []string // none: all
	selector func(*v1.Pod) bool
}

// showPods prints the pods of a scope.
func (a *app) showPods(s *state.Store, of scope, o podsOutput) error {
	pods, unread := listPods(s, of, o.names)
	if len(pods) == 0 && unread != nil {
		return unread
	}
	pods = slices.DeleteFunc(pods, func(p *v1.Pod) bool { return !o.selector(p) })
	return errors.Join(a.printPods(pods, of, o), unread)
}

func (a *app) printPods(pods []*v1.Pod, of scope, o podsOutput) error {
	switch o.format {
	case "json", "yaml":
		var items []any
		for _, p := range pods {
			items = append(items, p)
		}
		return a.encodeItems(items, len(o.names) == 1, o.format)
	case "name":
		for _, p := range pods {
			a.printf("pod/%s\n", p.Name)
		}
		return nil
	}
	if len(pods) == 0 {
		a.noteNone(of)
		return nil
	}
	return printTable(a.Out, pods, tableOptions{namespace: of.all, wide: o.format == "wide", now: time.Now()})
}

// anyPod is the selector of all.
func anyPod(*v1.Pod) bool { return true }

// selectLabels tells which pods a selector in the API's words means.
func selectLabels(text string) (func(*v1.Pod) bool, error) {
	if text == "" {
		return anyPod, nil
	}
	selector, err := labels.Parse(text)
	if err != nil {
		return nil, usagef("-l %q: %w", text, err)
	}
	return func(p *v1.Pod) bool { return selector.Matches(labels.Set(p.Labels)) }, nil
}

// listPods reads the pods of a scope, or those that are named. The error is of those
// that cannot be read.
func listPods(s *state.Store, of scope, names []string) ([]*v1.Pod, error) {
	var pods []*v1.Pod
	var unread []error
	if len(names) > 0 {
		for _, n := range names {
			f, err := findPod(s, of.within(), n)
			if err != nil {
				unread = append(unread, err)
				continue
			}
			pods = append(pods, f.Pod())
		}
		return pods, errors.Join(unread...)
	}
	refs, err := s.Names(of.within())
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		f, err := monitor.Find(s, ref)
		if err != nil {
			unread = append(unread, fmt.Errorf("read pod %s/%s: %w", ref.Namespace, ref.Name, err))
			continue
		}
		if f.Damage != nil {
			unread = append(unread, fmt.Errorf("read pod %s/%s: %w; 'podrun resume' begins it anew", ref.Namespace, ref.Name, f.Damage))
		}
		pods = append(pods, f.Pod())
	}
	return pods, errors.Join(unread...)
}

// noteNone says that a list is empty, as kubectl does.
func (a *app) noteNone(of scope) {
	if of.all {
		a.notef("No resources found\n")
		return
	}
	a.notef("No resources found in %s namespace.\n", of.namespace)
}

// encodeItems prints the one object that was asked for as itself, and all else as
// a List, as kubectl does.
func (a *app) encodeItems(items []any, single bool, format string) error {
	if single && len(items) == 1 {
		return a.encode(items[0], format)
	}
	if items == nil {
		items = []any{}
	}
	return a.encode(map[string]any{"apiVersion": "v1", "kind": "List", "items": items, "metadata": map[string]any{}}, format)
}

// encode prints an object of the API as json or yaml.
func (a *app) encode(object any, format string) error {
	var data []byte
	var err error
	if format == "yaml" {
		data, err = yaml.Marshal(object)
	} else if data, err = json.MarshalIndent(object, "", "    "); err == nil {
		data = append(data, '\n')
	}
	if err != nil {
		return fmt.Errorf("encode %T: %w", object, err)
	}
	_, err = dataTo(a.Out).Write(data)
	return err
}

type tableOptions struct {
	namespace, wide bool
	now             time.Time
}

// printTable prints pods as `kubectl get pods` does, with the address.
func printTable(out io.Writer, pods []*v1.Pod, o tableOptions) error {
	head := []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"}
	if o.wide {
		head = append(head, "CONTAINERS", "IMAGES", "UID")
	}
	t := newTable(out, o.namespace, head...)
	for _, p := range pods {
		cells := podCells(p, o.now)
		if o.wide {
			names, images := containersOf(p)
			cells = append(cells, names, images, string(p.UID))
		}
		t.row(p.Namespace, cells...)
	}
	return t.Flush()
}

func containersOf(p *v1.Pod) (names, images string) {
	var n, i []string
	for _, c := range p.Spec.Containers {
		n, i = append(n, c.Name), append(i, c.Image)
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}
