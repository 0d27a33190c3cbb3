package cli

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/component-helpers/storage/ephemeral"

	"podrun/claims"
	"podrun/state"
	"podrun/tree"
)

func volumeCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "volume",
		Usage: "list, inspect and remove named volumes, which claims show",
		Subcommands: []*cli.Command{
			volumeListCommand(a), volumeInspectCommand(a), volumeRemoveCommand(a), volumePruneCommand(a),
		},
	}
}

// namedVolume is a volume as ls and inspect show it.
type namedVolume struct {
	Namespace   string                          `json:"namespace"`
	Name        string                          `json:"name"`
	Path        string                          `json:"path"`
	Size        int64                           `json:"size"` // bytes on disk
	Created     time.Time                       `json:"created"`
	Claim       bool                            `json:"claim"` // a claim of its name is kept
	AccessModes []v1.PersistentVolumeAccessMode `json:"accessModes,omitempty"`
	Requested   *resource.Quantity              `json:"requested,omitempty"`
	UsedBy      []string                        `json:"usedBy"`          // pods of its namespace
	Owner       string                          `json:"owner,omitempty"` // the uid of the pod that it ends with
}

// volumeUsers are the pods that use each volume, whether they run or not.
func volumeUsers(s *state.Store) (map[state.Volume][]string, error) {
	refs, err := s.Names("")
	if err != nil {
		return nil, err
	}
	users := map[state.Volume][]string{}
	for _, ref := range refs {
		r, err := s.ReadRecord(ref.UID)
		if err != nil {
			continue // half made or half removed: nothing of it runs
		}
		for _, name := range volumesOf(r.Pod) {
			v := state.Volume{Namespace: ref.Namespace, Name: name}
			users[v] = append(users[v], ref.Name)
		}
	}
	return users, nil
}

// volumesOf are the named volumes of a pod, those that end with it included.
func volumesOf(p *v1.Pod) []string {
	var names []string
	for i := range p.Spec.Volumes {
		switch v := &p.Spec.Volumes[i]; {
		case v.PersistentVolumeClaim != nil:
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			names = append(names, ephemeral.VolumeClaimName(p, v))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// describeVolume reads what is known of a volume. Measuring it takes as long as
// du(1) does.
func describeVolume(s *state.Store, v state.Volume, users []string) (*namedVolume, error) {
	dir := claimPath(s, v.Namespace, v.Name)
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	n := &namedVolume{Namespace: v.Namespace, Name: v.Name, Path: filepath.Join(dir, claims.Data), Created: info.ModTime(), UsedBy: users}
	if n.UsedBy == nil {
		n.UsedBy = []string{}
	}
	if n.Owner, err = claims.Owner(dir); err != nil {
		return nil, err
	}
	if n.Size, err = tree.Usage(n.Path); err != nil {
		return nil, err
	}
	var claim v1.PersistentVolumeClaim
	err = s.ReadObject(v.Namespace, v.Name, &claim)
	if errors.Is(err, os.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return nil, err
	}
	n.Claim, n.AccessModes = true, claim.Spec.AccessModes
	if q, ok := claim.Spec.Resources.Requests[v1.ResourceStorage]; ok {
		n.Requested = &q
	}
	return n, nil
}

func describeVolumes(s *state.Store, list []state.Volume) ([]*namedVolume, error) {
	users, err := volumeUsers(s)
	if err != nil {
		return nil, err
	}
	described := []*namedVolume{}
	var failed []error
	for _, v := range list {
		n, err := describeVolume(s, v, users[v])
		if errors.Is(err, os.ErrNotExist) {
			continue // went away while we looked
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("look at volume %s/%s: %w", v.Namespace, v.Name, err))
			continue
		}
		described = append(described, n)
	}
	return described, errors.Join(failed...)
}

func volumeListCommand(a *app) *cli.Command {
	var of scope
	var format string
	return &cli.Command{
		Name:    "ls",
		Aliases: []string{"list"},
		Usage:   "list named volumes, their size and who uses them",
		Flags:   append(of.flags(), outputFlag(&format, "json", "name")),
		Action: func(*cli.Context) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			list, err := store.Volumes(of.within())
			if err != nil {
				return err
			}
			if format == "name" {
				for _, v := range list {
					a.printf("volume/%s\n", v.Name)
				}
				return nil
			}
			described, err := describeVolumes(store, list)
			if format == "json" {
				return errors.Join(err, a.printJSON(described))
			}
			return errors.Join(err, a.printVolumes(described, of.all))
		},
	}
}

func (a *app) printVolumes(list []*namedVolume, withNamespace bool) error {
	t := newTable(a.Out, withNamespace, "NAME", "SIZE", "REQUESTED", "ACCESS", "USED-BY", "AGE")
	for _, n := range list {
		requested, users := "-", "-"
		if n.Requested != nil {
			requested = n.Requested.String()
		}
		if len(n.UsedBy) > 0 {
			users = strings.Join(n.UsedBy, ",")
		}
		modes := cmp.Or(accessModes(n.AccessModes), "-") // none: its claim is gone
		t.row(n.Namespace, n.Name, humanSize(n.Size), requested, modes, users, duration.HumanDuration(time.Since(n.Created)))
	}
	return t.Flush()
}

// namedVolumes are the volumes that the arguments name.
func namedVolumes(s *state.Store, namespace string, args []string) ([]state.Volume, error) {
	have, err := s.Volumes(namespace)
	if err != nil {
		return nil, err
	}
	var list []state.Volume
	var failed []error
	for _, arg := range args {
		v := state.Volume{Namespace: namespace, Name: strings.TrimPrefix(arg, "volume/")}
		if slices.Contains(have, v) {
			list = append(list, v)
			continue
		}
		failed = append(failed, fmt.Errorf("there is no volume %q in namespace %q; 'podrun volume ls -A' lists all", v.Name, namespace))
	}
	return list, errors.Join(failed...)
}

func volumeInspectCommand(a *app) *cli.Command {
	var namespace string
	return &cli.Command{
		Name:      "inspect",
		Usage:     "print all that is known of named volumes, as JSON",
		ArgsUsage: "NAME...",
		Flags:     []cli.Flag{namespaceFlag(&namespace)},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("volume inspect needs a NAME; 'podrun volume ls' lists them")
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			list, missing := namedVolumes(store, namespace, c.Args().Slice())
			described, err := describeVolumes(store, list)
			return errors.Join(a.printJSON(described), missing, err)
		},
	}
}

func volumeRemoveCommand(a *app) *cli.Command {
	var namespace string
	return &cli.Command{
		Name:        "rm",
		Aliases:     []string{"remove"},
		Usage:       "remove named volumes that no pod uses, with their data",
		ArgsUsage:   "NAME...",
		Description: "A claim of the name stays: the next pod that uses it begins with an empty volume.",
		Flags:       []cli.Flag{namespaceFlag(&namespace)},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("volume rm needs a NAME; 'podrun volume ls' lists them")
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			list, missing := namedVolumes(store, namespace, c.Args().Slice())
			return errors.Join(missing, a.removeVolumes(store, list))
		},
	}
}

// removeVolumes removes those that no pod uses, and complains of the others.
func (a *app) removeVolumes(s *state.Store, list []state.Volume) error {
	users, err := volumeUsers(s)
	if err != nil {
		return err
	}
	var failed []error
	for _, v := range list {
		if pods := users[v]; len(pods) > 0 {
			failed = append(failed, fmt.Errorf("volume %s/%s is used by pod %s: 'podrun down -n %s %s' first", v.Namespace, v.Name, pods[0], v.Namespace, pods[0]))
			continue
		}
		if err := claims.Remove(claimPath(s, v.Namespace, v.Name)); err != nil {
			failed = append(failed, err)
			continue
		}
		a.printf("volume/%s removed\n", v.Name)
	}
	return errors.Join(failed...)
}

func volumePruneCommand(a *app) *cli.Command {
	var of scope
	var force bool
	return &cli.Command{
		Name:  "prune",
		Usage: "remove all named volumes that no pod uses, with their data",
		Flags: append(of.flags(), &cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Destination: &force, Usage: "do not ask"}),
		Action: func(*cli.Context) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			unused, err := unusedVolumes(store, of.within())
			if err != nil || len(unused) == 0 {
				return err
			}
			if !force {
				if err := a.confirmPrune(unused); err != nil {
					return err
				}
			}
			return a.removeVolumes(store, unused)
		},
	}
}

func unusedVolumes(s *state.Store, namespace string) ([]state.Volume, error) {
	users, err := volumeUsers(s)
	if err != nil {
		return nil, err
	}
	list, err := s.Volumes(namespace)
	return slices.DeleteFunc(list, func(v state.Volume) bool { return len(users[v]) > 0 }), err
}

// confirmPrune names the volumes and asks.
func (a *app) confirmPrune(list []state.Volume) error {
	for _, v := range list {
		a.notef("%s/%s\n", v.Namespace, v.Name)
	}
	return a.confirm("Remove these volumes with their data? [y/N] ")
}

// confirm asks. Anything but yes is an error.
func (a *app) confirm(question string) error {
	a.notef("%s", question)
	var answer string
	if a.In != nil {
		line, err := bufio.NewReader(a.In).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		answer = strings.ToLower(strings.TrimSpace(line))
	}
	if answer != "y" && answer != "yes" {
		return errors.New("nothing was removed; --force removes without asking")
	}
	return nil
}
