package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"podrun/manifest"
)

func explainCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "tell what podrun makes of a field of a manifest",
		ArgsUsage: "[FIELD]",
		Description: "FIELD is a path such as spec.containers.livenessProbe or spec.volumes[].hostPath.type; of a Pod, unless it begins with\n" +
			"configmap, secret or pvc. Without FIELD the top level of a Pod is listed. A field is honoured (it means what Kubernetes says),\n" +
			"has no meaning on one machine (it is accepted, and up names it), or is refused.",
		Action: func(c *cli.Context) error {
			if c.Args().Len() > 1 {
				return usagef("explain takes one FIELD, such as spec.containers.livenessProbe")
			}
			info, err := manifest.Explain(c.Args().First())
			if err != nil {
				return &exitError{exitUsage, err}
			}
			return a.explain(info)
		},
	}
}

// explain prints a row, and those of the fields right below it.
func (a *app) explain(info manifest.FieldInfo) error {
	w := tabwriter.NewWriter(a.Out, 0, 8, 3, ' ', 0)
	fmt.Fprintf(w, "FIELD:\t%s\nTYPE:\t%s\nCLASS:\t%s\n", info.Path, info.Type, info.Class)
	if info.Reason != "" {
		fmt.Fprintf(w, "WHY:\t%s\n", info.Reason)
	}
	if info.Inside != "" {
		fmt.Fprintf(w, "AS PART OF:\t%s\n", info.Inside)
	}
	if err := w.Flush(); err != nil || len(info.Below) == 0 {
		return err
	}
	fmt.Fprint(w, "\nFIELD\tTYPE\tCLASS\tWHY\n")
	for _, f := range info.Below {
		why := f.Reason
		if why == "" {
			why = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Path, f.Type, f.Class, why)
	}
	return w.Flush()
}
