package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"k8s.io/apimachinery/pkg/util/duration"

	"podrun/image"
)

func imageCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "image",
		Usage: "pull, import, load, list, check and remove images",
		Subcommands: []*cli.Command{
			imagePullCommand(a), imageImportCommand(a), imageLoadCommand(a), imageListCommand(a), imageRemoveCommand(a),
			imageCheckCommand(a), imagePruneCommand(a),
		},
	}
}

// imageStore opens the images.
func (a *app) imageStore() (*image.Store, error) {
	s, err := a.store()
	if err != nil {
		return nil, err
	}
	return image.Open(s.ImageDir())
}

func imagePullCommand(a *app) *cli.Command {
	var insecure cli.StringSlice
	var quiet, credentials bool
	return &cli.Command{
		Name:      "pull",
		Usage:     "download images from their registries",
		ArgsUsage: "REFERENCE...",
		Flags: []cli.Flag{
			insecureFlag(&insecure),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Destination: &quiet, Usage: "print errors only"},
			// How a monitor hands on what imagePullSecrets say.
			&cli.BoolFlag{Name: "credentials-from-stdin", Destination: &credentials, Hidden: true},
		},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("image pull needs a REFERENCE, such as busybox or registry.example/app:1.2")
			}
			for _, reference := range c.Args().Slice() {
				if _, err := image.Normalize(reference); err != nil {
					return &exitError{exitUsage, err}
				}
			}
			images, err := a.imageStore()
			if err != nil {
				return err
			}
			report := a.newProgress()
			if quiet {
				report = silent{}
			}
			o := image.PullOptions{Insecure: insecure.Value()}
			if credentials {
				if err := json.NewDecoder(a.In).Decode(&o.Credentials); err != nil {
					return fmt.Errorf("read credentials: %w", err)
				}
			}
			pulled, err := pullAll(c.Context, images, c.Args().Slice(), func(string) image.PullOptions { return o }, report)
			for _, img := range pulled {
				if !quiet {
					a.printf("%s %s\n", img.Reference, img.ID)
				}
			}
			return err
		},
	}
}

func imageImportCommand(a *app) *cli.Command {
	var changes cli.StringSlice
	return &cli.Command{
		Name:        "import",
		Usage:       "make an image of the tar of a root filesystem",
		ArgsUsage:   "FILE|- REFERENCE",
		Description: "The tar may be compressed with gzip or zstd.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "change", Aliases: []string{"c"}, Destination: &changes, Usage: "Dockerfile `INSTRUCTION` for the image: CMD, ENTRYPOINT, ENV, USER, WORKDIR, STOPSIGNAL or VOLUME"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return usagef("image import needs a FILE (- for standard input) and a REFERENCE")
			}
			if err := image.CheckImport(c.Args().Get(1), changes.Value()); err != nil {
				return &exitError{exitUsage, err}
			}
			images, err := a.imageStore()
			if err != nil {
				return err
			}
			in, err := a.openInput(c.Args().Get(0))
			if err != nil {
				return err
			}
			defer in.Close()
			img, err := images.Import(c.Context, in, c.Args().Get(1), changes.Value())
			if err != nil {
				return err
			}
			a.printf("%s %s\n", img.Reference, img.ID)
			return nil
		},
	}
}

// openInput opens a file, or standard input for a dash.
func (a *app) openInput(name string) (io.ReadCloser, error) {
	if name != "-" {
		return os.Open(name)
	}
	if a.In == nil {
		return nil, errors.New("there is no standard input")
	}
	return io.NopCloser(a.In), nil
}

func imageLoadCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "load",
		Usage:       "take in images that docker save or another tool wrote",
		ArgsUsage:   "FILE|-",
		Description: "FILE is a docker archive or an OCI layout: a directory or a tar, which may be compressed with gzip or zstd.",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("image load needs a FILE or directory, or - for standard input")
			}
			images, err := a.imageStore()
			if err != nil {
				return err
			}
			var loaded []*image.Image
			if name := c.Args().First(); name == "-" && a.In != nil {
				loaded, err = images.LoadStream(c.Context, a.In)
			} else {
				loaded, err = images.Load(c.Context, name)
			}
			for _, img := range loaded {
				a.printf("%s\n", strings.TrimSpace(img.Reference+" "+img.ID))
			}
			return err
		},
	}
}

func imageListCommand(a *app) *cli.Command {
	var format string
	return &cli.Command{
		Name:    "ls",
		Aliases: []string{"list"},
		Usage:   "list images",
		Flags:   []cli.Flag{outputFlag(&format, "json")},
		Action: func(*cli.Context) error {
			images, err := a.imageStore()
			if err != nil {
				return err
			}
			list, err := images.List()
			if err != nil {
				return err
			}
			if format == "json" {
				return a.printImagesJSON(list)
			}
			return a.printImages(list)
		},
	}
}

func (a *app) printImagesJSON(list []*image.Image) error {
	if list == nil {
		list = []*image.Image{}
	}
	return a.printJSON(list)
}

// shortID is how much of an image ID is shown; `image rm` takes as much.
const shortID = 12

func (a *app) printImages(list []*image.Image) error {
	t := newTable(a.Out, false, "REPOSITORY", "TAG", "IMAGE-ID", "CREATED", "SIZE")
	for _, img := range list {
		repository, tag := image.Split(img.Reference)
		if repository == "" {
			repository = "<none>"
		}
		if tag == "" {
			tag = "<none>"
		}
		created := "-" // reproducible builds leave it out, or say 1970
		if img.Created.Unix() > 0 {
			created = duration.HumanDuration(time.Since(img.Created)) + " ago"
		}
		id := strings.TrimPrefix(img.ID, "sha256:")
		t.row("", repository, tag, id[:shortID], created, humanSize(img.Size))
	}
	return t.Flush()
}

func imageRemoveCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Aliases:   []string{"remove"},
		Usage:     "remove images that no pod uses",
		ArgsUsage: "REFERENCE|ID...",
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("image rm needs a REFERENCE or an image ID; 'podrun image ls' lists them")
			}
			images, users, err := a.usedImages()
			if err != nil {
				return err
			}
			var failures []error
			for _, ref := range c.Args().Slice() {
				err := images.Remove(c.Context, ref, func(id string) (string, error) {
					pods, err := users()
					return pods[id], err
				})
				if err == nil {
					a.printf("%s removed\n", ref)
				}
				failures = append(failures, err)
			}
			return errors.Join(failures...)
		},
	}
}
