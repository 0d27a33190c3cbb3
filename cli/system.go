package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/urfave/cli/v2"

	"podrun/audit"
	"podrun/netns"
	"podrun/state"
)

func systemCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "system",
		Usage:       "check what podrun has on this machine, and remove what nothing needs",
		Subcommands: []*cli.Command{systemCheckCommand(a), systemPruneCommand(a)},
	}
}

// auditor looks at the instance with the settings of the command line.
func (a *app) auditor() (audit.Auditor, error) {
	store, err := a.store()
	if err != nil {
		return audit.Auditor{}, err
	}
	host, err := a.host(store)
	return audit.Auditor{Store: store, Host: host}, err
}

func (a *app) host(store *state.Store) (netns.Host, error) {
	subnet, err := a.network()
	if err != nil {
		return netns.Host{}, err
	}
	h := netns.Host{Instance: store.Instance, Subnet: subnet, LinkPrefix: a.linkPrefix, Addresses: store.AddressDir()}
	if text := a.subnet6Of(store.Instance); text != "" {
		h.Subnet6, err = netip.ParsePrefix(text)
	}
	return h, errors.Join(err, h.CheckLinkPrefix())
}

func systemCheckCommand(a *app) *cli.Command {
	var repair bool
	var format string
	return &cli.Command{
		Name:  "check",
		Usage: "find what pods have left on this machine, and what the records say that is not so",
		Description: "Looks twice, so that what is just being made or removed is not found, and touches nothing without --repair. " +
			"Exits with 1 where something is found, with --repair where something is left. It is safe beside other commands: " +
			"no pod that runs is touched, nor what belongs to another --root.\n\nThe images have a check of their own: 'podrun image check'.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "repair", Destination: &repair, Usage: "mend what can be mended without anybody's decision"},
			outputFlag(&format, "json"),
		},
		Action: func(*cli.Context) error {
			auditor, err := a.auditor()
			if err != nil {
				return err
			}
			found, err := auditor.Check()
			if err != nil {
				return err
			}
			if repair {
				if found, err = a.mend(auditor, found); err != nil {
					return errors.Join(err, a.printFindings(found, format))
				}
			}
			if err := a.printFindings(found, format); err != nil {
				return err
			}
			return a.verdict(found, repair)
		},
	}
}

// mendRounds: what one finding was about may be the reason of another.
const mendRounds = 3

// mend mends what can be, and returns what is left then.
func (a *app) mend(auditor audit.Auditor, found []audit.Finding) (_ []audit.Finding, err error) {
	for range mendRounds {
		tried, failed := a.mendOnce(auditor, found)
		if !tried {
			return found, nil
		}
		if found, err = auditor.Check(); err != nil || failed != nil {
			return found, errors.Join(failed, err)
		}
	}
	return found, nil
}

func (a *app) mendOnce(auditor audit.Auditor, found []audit.Finding) (tried bool, err error) {
	var failed []error
	for i := range found {
		f := &found[i]
		if !f.Mendable() {
			continue
		}
		tried = true
		if err := auditor.Mend(f); err != nil {
			failed = append(failed, err)
			continue
		}
		a.notef("%s %s: %s; done: %s\n", f.Kind, f.Where, f.What, f.Repair)
	}
	return tried, errors.Join(failed...)
}

func (a *app) verdict(found []audit.Finding, repair bool) error {
	mendable := slices.ContainsFunc(found, func(f audit.Finding) bool { return f.Mendable() })
	switch {
	case len(found) == 0:
		return nil
	case mendable && !repair:
		return fmt.Errorf("%s: 'podrun system check --repair' mends what it says under REPAIR", counted(len(found), "finding"))
	}
	return fmt.Errorf("%s: see ADVICE", counted(len(found), "finding"))
}

func (a *app) printFindings(found []audit.Finding, format string) error {
	if format == "json" {
		if found == nil {
			found = []audit.Finding{}
		}
		return a.printJSON(found)
	}
	if len(found) == 0 {
		a.printf("nothing to complain of\n")
		return nil
	}
	t := newTable(a.Out, false, "KIND", "WHERE", "WHAT", "REPAIR", "ADVICE")
	for _, f := range found {
		t.row("", string(f.Kind), printable(f.Where), printable(f.What), cmp.Or(f.Repair, "-"), cmp.Or(printable(f.Advice), "-"))
	}
	return t.Flush()
}
