package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"podrun/monitor"
	"podrun/pod"
)

func conditionCommand(a *app) *cli.Command {
	var namespace, reason, message string
	return &cli.Command{
		Name:      "condition",
		Usage:     "set a condition of a pod",
		ArgsUsage: "POD TYPE=STATUS",
		Description: "STATUS is True, False or Unknown. A pod with readinessGates is ready when its containers are and each gate's\n" +
			"condition is True.",
		Flags: []cli.Flag{
			namespaceFlag(&namespace),
			&cli.StringFlag{Name: "reason", Destination: &reason, Usage: "one `WORD` that says why"},
			&cli.StringFlag{Name: "message", Destination: &message, Usage: "`TEXT` that explains it"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return usagef("condition needs a POD and TYPE=STATUS, such as: podrun condition web example.com/ready=True")
			}
			condition, err := parseCondition(c.Args().Get(1))
			if err != nil {
				return err
			}
			condition.Reason, condition.Message = reason, message
			return a.setCondition(c.Context, namespace, c.Args().First(), condition)
		},
	}
}

func parseCondition(text string) (*v1.PodCondition, error) {
	kind, status, found := strings.Cut(text, "=")
	if why := validation.IsQualifiedName(kind); len(why) > 0 || !found {
		return nil, usagef("%q: want TYPE=STATUS, where TYPE is the name of a condition, such as example.com/ready", text)
	}
	if pod.OwnCondition(v1.PodConditionType(kind)) {
		return nil, usagef("the condition %s follows from what the pod's containers do: it cannot be set", kind)
	}
	statuses := []v1.ConditionStatus{v1.ConditionTrue, v1.ConditionFalse, v1.ConditionUnknown}
	if !slices.Contains(statuses, v1.ConditionStatus(status)) {
		return nil, usagef("%q: want True, False or Unknown", text)
	}
	return &v1.PodCondition{Type: v1.PodConditionType(kind), Status: v1.ConditionStatus(status)}, nil
}

// setCondition asks the pod's monitor, and waits until the pod has the condition.
func (a *app) setCondition(ctx context.Context, namespace, name string, want *v1.PodCondition) error {
	store, f, err := a.pod(namespace, name)
	if err != nil {
		return err
	}
	set := false
	err = monitor.Ask(ctx, store, f.UID, monitor.Request{Condition: want}, func(u monitor.Update) bool {
		set = u.Status != nil && slices.ContainsFunc(u.Status.Conditions, func(c v1.PodCondition) bool {
			return c.Type == want.Type && c.Status == want.Status && c.Reason == want.Reason && c.Message == want.Message
		})
		return !set && !u.Ended && u.NotMade == ""
	})
	switch {
	case set:
		a.printf("pod/%s condition %s=%s\n", displayRef(f.Ref), want.Type, want.Status)
		return nil
	case errors.Is(err, monitor.ErrNoMonitor) || err == nil:
		return fmt.Errorf("pod %s has ended or is kept by nobody: its conditions stay as they are; 'podrun ps %s' tells how it is", displayRef(f.Ref), f.Name)
	}
	return fmt.Errorf("set condition %s of pod %s: %w", want.Type, displayRef(f.Ref), err)
}
