package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"podrun/image"
)

func imageCheckCommand(a *app) *cli.Command {
	var repair bool
	var insecure cli.StringSlice
	var format string
	return &cli.Command{
		Name:  "check",
		Usage: "read all images and tell what of them is damaged",
		Description: "Every file of every layer is held against what was unpacked, every manifest and config against its digest. " +
			"With --repair what came from a registry is pulled again, by its digest; what nobody can bring again is removed. " +
			"What a pod uses stays as it is until the pod is down.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "repair", Destination: &repair, Usage: "pull again what is damaged, or remove it"},
			insecureFlag(&insecure),
			outputFlag(&format, "json"),
		},
		Action: func(c *cli.Context) error {
			images, users, err := a.usedImages()
			if err != nil {
				return err
			}
			var report *image.Report
			if repair {
				report, err = images.Repair(c.Context, users, image.PullOptions{Insecure: insecure.Value()})
			} else {
				report, err = images.Check(c.Context, users)
			}
			if err != nil {
				return fmt.Errorf("check images: %w", err)
			}
			if format == "json" {
				err = a.printReportJSON(report)
			} else {
				a.printReport(report)
			}
			if err == nil && !report.Whole() {
				err = damagedError(report, repair)
			}
			return err
		},
	}
}

func (a *app) printReport(r *image.Report) {
	for _, p := range r.Problems {
		a.printf("%s\n", p.What)
		switch {
		case p.Done != "":
			a.printf("  %s\n", p.Done)
		case p.Left != "":
			a.printf("  still there: %s\n", p.Left)
		}
	}
	a.printf("checked %s, %s and %s", counted(r.Images, "image"), counted(r.Layers, "layer"), counted(r.Blobs, "blob"))
	if len(r.Problems) == 0 {
		a.printf(": nothing is damaged")
	}
	a.printf("\n")
}

func (a *app) printReportJSON(r *image.Report) error {
	if r.Problems == nil {
		r.Problems = []*image.Problem{}
	}
	return a.printJSON(r)
}

// damagedError makes the command fail where something is damaged still.
func damagedError(r *image.Report, repaired bool) error {
	n := 0
	for _, p := range r.Problems {
		if p.Done == "" {
			n++
		}
	}
	if repaired {
		return fmt.Errorf("%s could not be repaired", counted(n, "damage"))
	}
	return fmt.Errorf("%s found; 'podrun image check --repair' pulls again what came from a registry, and removes the rest", counted(n, "damage"))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
