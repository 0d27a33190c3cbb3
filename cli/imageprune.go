package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"podrun/image"
)

func imagePruneCommand(a *app) *cli.Command {
	var all bool
	return &cli.Command{
		Name:  "prune",
		Usage: "remove images without a name that no pod uses, and what no image has",
		Description: "What goes: images that no reference names any more, layers and blobs of no image, and the remains of pulls that were killed. " +
			"What a pod uses stays, whether the pod runs or has ended.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Destination: &all, Usage: "also remove images that have a name"},
		},
		Action: func(c *cli.Context) error {
			images, users, err := a.usedImages()
			if err != nil {
				return err
			}
			freed, gone, err := images.Prune(c.Context, all, users)
			for _, name := range gone {
				a.printf("%s removed\n", name)
			}
			if err != nil {
				return err
			}
			a.printf("%s\n", freedText(freed))
			return nil
		},
	}
}

// freedText says what a prune has removed.
func freedText(f image.Freed) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{f.Images, "image"}, {f.Layers, "layer"}, {f.Blobs, "blob"}, {f.Unfinished, "unfinished file"}} {
		if p.n > 0 {
			parts = append(parts, counted(p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "nothing to remove"
	}
	return "removed " + strings.Join(parts, ", ") + "; freed " + humanSize(f.Bytes)
}
