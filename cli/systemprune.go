package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"podrun/audit"
	"podrun/image"
	"podrun/monitor"
	"podrun/state"
	"podrun/tree"
)

type pruneOptions struct {
	all, volumes, force bool
}

func systemPruneCommand(a *app) *cli.Command {
	var o pruneOptions
	return &cli.Command{
		Name:  "prune",
		Usage: "remove what nothing needs: finished pods, leftovers, logs without a pod, images without a name",
		Description: "What goes: pods of all namespaces that have come to their end, with their logs; what 'podrun system check' would remove; " +
			"images that have no name and that no pod uses, with --all also those that have one; with --volumes named volumes that no pod uses, and their data. " +
			"What stays: pods that run, that wait to be started again, or that are being made; ConfigMaps, Secrets and claims that are kept. " +
			"It names what it would remove and asks, except with --force.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Destination: &o.all, Usage: "also images that have a name"},
			&cli.BoolFlag{Name: "volumes", Destination: &o.volumes, Usage: "also named volumes that no pod uses, with their data"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Destination: &o.force, Usage: "do not ask"},
		},
		Action: func(c *cli.Context) error {
			auditor, err := a.auditor()
			if err != nil {
				return err
			}
			p := prune{app: a, auditor: auditor, options: o}
			if err := p.plan(); err != nil {
				return err
			}
			if !o.force {
				if p.empty() {
					a.printf("nothing to remove\n")
					return nil
				}
				p.tell()
				if err := a.confirm("Remove all that? [y/N] "); err != nil {
					return err
				}
			}
			return p.run(c.Context)
		},
	}
}

// prune is what one call is about to remove.
type prune struct {
	*app
	auditor  audit.Auditor
	options  pruneOptions
	pods     []state.Ref
	findings []audit.Finding
	volumes  []state.Volume
	images   []string // of those that would go
	remains  bool     // of images, besides them
	freed    int64
}

func (p *prune) plan() (err error) {
	if p.pods, err = p.auditor.Ended(); err != nil {
		return err
	}
	found, err := p.auditor.Check()
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.Removes() {
			p.findings = append(p.findings, f)
		}
	}
	if p.options.volumes {
		if p.volumes, err = unusedVolumes(p.auditor.Store, ""); err != nil {
			return err
		}
	}
	images, err := image.Open(p.auditor.Store.ImageDir())
	if err != nil {
		return fmt.Errorf("prune images: %w", err)
	}
	// Where that cannot be told the prune of the images says why, after all else.
	p.images, p.remains, err = images.Prunable(p.options.all, imageUsers(p.auditor.Store, images))
	p.remains = p.remains || err != nil
	return nil
}

// empty: there is nothing to remove.
func (p *prune) empty() bool {
	return len(p.pods)+len(p.findings)+len(p.volumes)+len(p.images) == 0 && !p.remains
}

// tell names what would go.
func (p *prune) tell() {
	for _, ref := range p.pods {
		p.notef("pod %s/%s, which has ended\n", ref.Namespace, ref.Name)
	}
	for _, f := range p.findings {
		p.notef("%s %s: %s\n", f.Kind, f.Where, f.What)
	}
	for _, v := range p.volumes {
		p.notef("volume %s/%s, with its data\n", v.Namespace, v.Name)
	}
	for _, name := range p.images {
		p.notef("image %s\n", name)
	}
	if p.remains {
		p.notef("layers and files of no image\n")
	}
}

func (p *prune) run(ctx context.Context) error {
	failed := []error{monitor.Sweep(p.auditor.Store)} // what a prune that was killed has left of a name
	for _, ref := range p.pods {
		size := p.sizeOf(ref)
		gone, err := p.auditor.RemoveEnded(ref)
		if err != nil || !gone {
			failed = append(failed, err)
			continue
		}
		p.freed += size
		p.printf("pod/%s removed\n", displayRef(ref))
	}
	for i := range p.findings {
		f := &p.findings[i]
		if err := p.auditor.Mend(f); err != nil {
			failed = append(failed, err)
			continue
		}
		p.printf("%s %s removed\n", f.Kind, f.Where)
	}
	if len(p.volumes) > 0 {
		for _, v := range p.volumes {
			size, _ := tree.Usage(claimPath(p.auditor.Store, v.Namespace, v.Name))
			p.freed += size
		}
		failed = append(failed, p.removeVolumes(p.auditor.Store, p.volumes))
	}
	failed = append(failed, p.pruneImages(ctx))
	p.printf("freed %s\n", humanSize(p.freed))
	return errors.Join(failed...)
}

// sizeOf is what a pod that has ended takes of the disk.
func (p *prune) sizeOf(ref state.Ref) int64 {
	var total int64
	for _, dir := range []string{p.auditor.Store.PodDir(ref.UID), state.LogPath(p.auditor.Store.LogDir, ref)} {
		size, _ := tree.Usage(dir) // none: it is not there
		total += size
	}
	return total
}

func (p *prune) pruneImages(ctx context.Context) error {
	images, err := image.Open(p.auditor.Store.ImageDir())
	if err != nil {
		return fmt.Errorf("prune images: %w", err)
	}
	freed, gone, err := images.Prune(ctx, p.options.all, imageUsers(p.auditor.Store, images))
	for _, name := range gone {
		p.printf("%s removed\n", name)
	}
	p.freed += freed.Bytes
	return err
}
