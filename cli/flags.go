package cli

import (
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Flags that several commands have.

// namespaceFlag is on every command that names pods.
func namespaceFlag(into *string) cli.Flag {
	return &cli.StringFlag{
		Name: "namespace", Aliases: []string{"n"}, Value: "default", EnvVars: []string{"PODRUN_NAMESPACE"},
		Destination: into, Usage: "`NAMESPACE` of the pods",
		Action: func(_ *cli.Context, name string) error {
			if why := validation.IsDNS1123Label(name); len(why) > 0 {
				return usagef("-n %q is no name of a namespace: %s", name, why[0])
			}
			return nil
		},
	}
}

// namespaceGiven reports whether the command line has a namespace; one that comes
// from the environment speaks of names, not of all pods.
func namespaceGiven(c *cli.Context) bool {
	return c.IsSet("namespace") && c.String("namespace") != os.Getenv("PODRUN_NAMESPACE")
}

// scope is what a list is of: one namespace, or all.
type scope struct {
	namespace string
	all       bool
}

func (s *scope) flags() []cli.Flag {
	return []cli.Flag{
		namespaceFlag(&s.namespace),
		&cli.BoolFlag{Name: "all-namespaces", Aliases: []string{"A"}, Destination: &s.all, Usage: "of all namespaces"},
	}
}

// within is the namespace, empty for all.
func (s *scope) within() string {
	if s.all {
		return ""
	}
	return s.namespace
}

// outputFlag is -o with the formats that a command has beside its own.
func outputFlag(into *string, formats ...string) cli.Flag {
	wanted := formats[0]
	if last := len(formats) - 1; last > 0 {
		wanted = strings.Join(formats[:last], ", ") + " or " + formats[last]
	}
	return &cli.StringFlag{
		Name: "output", Aliases: []string{"o"}, Destination: into, Usage: "`FORMAT`: " + wanted,
		Action: func(_ *cli.Context, format string) error {
			if format != "" && !slices.Contains(formats, format) {
				return usagef("-o %q: want %s", format, wanted)
			}
			return nil
		},
	}
}

func containerFlag(into *string) cli.Flag {
	return &cli.StringFlag{Name: "container", Aliases: []string{"c"}, Destination: into, Usage: "`NAME` of the container; the first where left out"}
}

func insecureFlag(into *cli.StringSlice) cli.Flag {
	return &cli.StringSliceFlag{Name: "insecure", Destination: into, Usage: "registry `HOST` that may speak plain http, or have a certificate that is not trusted"}
}

// ending is what says which pods end, and how.
type ending struct {
	namespace string
	all       bool
	grace     int64
}

func (e *ending) flags() []cli.Flag {
	return []cli.Flag{
		namespaceFlag(&e.namespace),
		&cli.BoolFlag{Name: "all", Destination: &e.all, Usage: "all pods of all namespaces"},
		&cli.Int64Flag{Name: "grace-period", Value: -1, Destination: &e.grace, Usage: "`SECONDS` for preStop hooks and the stop signal before SIGKILL, 0 at once; the pod's own where left out"},
	}
}

// check complains of a command line that does not say which pods; needs is what it
// would have to name.
func (e *ending) check(c *cli.Context, named bool, needs string) error {
	switch {
	case named && e.all:
		return usagef("--all means every pod: leave out the names, or --all")
	case e.all && namespaceGiven(c):
		return usagef("--all means the pods of all namespaces: leave out -n, or name the pods")
	case !named && !e.all:
		return usagef("%s needs %s, or --all", c.Command.Name, needs)
	case e.grace < -1:
		return usagef("--grace-period %d: want a number of seconds from 0", e.grace)
	}
	return nil
}

// gracePeriod is in seconds; nil: the pod's own.
func (e *ending) gracePeriod() *int64 {
	if e.grace < 0 {
		return nil
	}
	return &e.grace
}
