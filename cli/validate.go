package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"podrun/manifest"
)

func validateCommand(a *app) *cli.Command {
	var namespace string
	var files cli.StringSlice
	return &cli.Command{
		Name:      "validate",
		Usage:     "check manifests and make nothing",
		ArgsUsage: "FILE...",
		Flags:     []cli.Flag{namespaceFlag(&namespace), filesFlag(&files)},
		Action: func(c *cli.Context) error {
			sources := named(c, &files)
			if len(sources) == 0 {
				return usagef("validate needs a FILE: a manifest, a directory, a URL, or - for standard input")
			}
			objects, err := a.readManifests(c.Context, sources, manifest.Options{Namespace: namespace, NamespaceSet: c.IsSet("namespace")})
			if err != nil {
				return err
			}
			a.tellNotes(objects)
			for _, p := range objects.Pods {
				a.printf("pod/%s is valid\n", p.Name)
				for _, n := range imageNames(objects, p) {
					a.notef("note: %s\n", n.Error())
				}
				for _, m := range objects.Missing(p, manifest.References{}) {
					a.notef("note: %s\n", m.Error())
				}
			}
			for _, kept := range kept(objects) {
				a.printf("%s is valid\n", kept)
			}
			return nil
		},
	}
}

// kept names the objects beside the pods.
func kept(o *manifest.Objects) []string {
	var names []string
	for _, c := range o.ConfigMaps {
		names = append(names, fmt.Sprintf("configmap/%s", c.Name))
	}
	for _, s := range o.Secrets {
		names = append(names, fmt.Sprintf("secret/%s", s.Name))
	}
	for _, p := range o.Claims {
		names = append(names, fmt.Sprintf("persistentvolumeclaim/%s", p.Name))
	}
	return names
}
