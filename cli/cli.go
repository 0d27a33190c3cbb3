// Package cli is podrun's command line: one file a command, flags in, one call
// down, a table or JSON out. It alone reads arguments and the environment and
// writes to the terminal. Mounts, links and containers are left to the rooms
// below.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"podrun/monitor"
	"podrun/netns"
	"podrun/state"
	"podrun/step"
)

// Streams are the three files that a command reads and writes.
type Streams struct {
	In       *os.File
	Out, Err io.Writer
}

// Exit codes: 1 is a failure, 2 is a command line or a manifest that means
// nothing; exec and up --attach may return others.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // as a shell tells of Ctrl-C
)

// exitError ends the program with a code of its own. An empty message prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is a complaint about the command line.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// app is what every command has at hand.
type app struct {
	Streams
	config     state.Config
	subnet     string
	subnet6    string
	linkPrefix string
	verbose    bool
	saying     sync.Mutex // what is said of several pods at once
}

// store opens podrun's state.
func (a *app) store() (*state.Store, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("namespaces, mounts and firewall rules need root: use sudo")
	}
	if err := needDescriptors(); err != nil {
		return nil, err
	}
	return state.Open(a.config)
}

// network is the validated pod subnet.
func (a *app) network() (netip.Prefix, error) {
	p, err := netip.ParsePrefix(a.subnet)
	if err != nil || !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Prefix{}, usagef("--subnet %q: want an IPv4 range of at least four addresses, such as 10.244.0.0/16", a.subnet)
	}
	return p.Masked(), nil
}

// Values of --subnet6 that are no range.
const (
	subnet6Auto = "auto"
	subnet6None = "none"
)

// network6 is the validated range of the pods' IPv6 addresses; zero for auto and none.
func (a *app) network6() (netip.Prefix, error) {
	if a.subnet6 == subnet6Auto || a.subnet6 == subnet6None {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(a.subnet6)
	if err == nil {
		err = netns.CheckSubnet6(p)
	}
	if err != nil {
		return p, usagef("--subnet6 %q: want an IPv6 range of /96 or larger, such as fd00:1:2:3::/64, or auto or none", a.subnet6)
	}
	return p.Masked(), nil
}

// subnet6Of is the range of an instance, as a record has it: empty for none. Left
// to podrun it is made of the machine's and the instance's identity.
func (a *app) subnet6Of(instance string) string {
	p, _ := a.network6() // checked with the flags
	if a.subnet6 == subnet6Auto {
		machine, _ := os.ReadFile("/etc/machine-id") // a machine without one has the instance
		p = netns.DefaultSubnet6(string(machine) + instance)
	}
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

// printf writes to standard output.
func (a *app) printf(format string, args ...any) {
	a.saying.Lock()
	defer a.saying.Unlock()
	io.WriteString(a.Out, visible(fmt.Sprintf(format, args...)))
}

// notef writes to standard error.
func (a *app) notef(format string, args ...any) {
	a.saying.Lock()
	defer a.saying.Unlock()
	io.WriteString(a.Err, visible(fmt.Sprintf(format, args...)))
}

// Run executes one command line and returns the exit code. What goes wrong is
// printed once, as `podrun: …`, each complaint on a line of its own.
func Run(ctx context.Context, args []string, s Streams) int {
	a := &app{Streams: s}
	err := a.run(ctx, args)
	if err == nil {
		return 0
	}
	code := exitFailure
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	for _, e := range complaints(err) {
		if text := e.Error(); text != "" {
			fmt.Fprintf(s.Err, "podrun: %s\n", visible(text))
		}
	}
	return code
}

func (a *app) run(ctx context.Context, args []string) error {
	if config, uid, ok := monitor.Asked(args); ok {
		return a.keepPod(ctx, config, uid)
	}
	program := newProgram(a)
	return program.RunContext(ctx, intersperse(program, asked(args)))
}

func newProgram(a *app) *cli.App {
	return &cli.App{
		Name:                      "podrun",
		Usage:                     "run Kubernetes pods on this machine: no cluster, no daemon",
		HideVersion:               true,
		HideHelpCommand:           true,
		UseShortOptionHandling:    true,
		DisableSliceFlagSeparator: true, // a --change may contain a comma
		Writer:                    a.Out,
		ErrWriter:                 a.Err,
		ExitErrHandler:            func(*cli.Context, error) {}, // Run prints, once
		OnUsageError:              usageError,
		Flags:                     globalFlags(a),
		Before: func(*cli.Context) error {
			if err := (netns.Host{LinkPrefix: a.linkPrefix}).CheckLinkPrefix(); err != nil {
				return &exitError{exitUsage, err}
			}
			if _, err := a.network6(); err != nil {
				return err
			}
			_, err := a.network()
			return err
		},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				if instead := habits[name]; instead != "" {
					return usagef("unknown command %q: use 'podrun %s'", name, instead)
				}
				return usagef("unknown command %q; 'podrun --help' lists them", name)
			}
			return cli.ShowAppHelp(c)
		},
		Commands: commands(a),
	}
}

func commands(a *app) []*cli.Command {
	all := []*cli.Command{
		upCommand(a), psCommand(a), describeCommand(a), eventsCommand(a), logsCommand(a), execCommand(a), attachCommand(a), debugCommand(a), conditionCommand(a), downCommand(a), suspendCommand(a), resumeCommand(a), installServiceCommand(a),
		getCommand(a), validateCommand(a), explainCommand(a), imageCommand(a), volumeCommand(a), systemCommand(a), versionCommand(a),
	}
	for _, c := range all {
		settle(c)
	}
	return all
}

// settle gives a command and those below it what the program has.
func settle(c *cli.Command) {
	c.OnUsageError = usageError
	c.Before = func(*cli.Context) error {
		step.As(strings.TrimPrefix(c.HelpName, "podrun "))
		return nil
	}
	c.HideHelpCommand = true
	c.UseShortOptionHandling = true
	switch {
	case len(c.Subcommands) > 0:
		c.Action = listSubcommands
	case c.ArgsUsage == "":
		c.Action = withoutArguments(c.Action)
	}
	for _, sub := range c.Subcommands {
		settle(sub)
	}
}

// listSubcommands is what a command does that only has others below it.
func listSubcommands(c *cli.Context) error {
	if name := c.Args().First(); name != "" {
		return usagef("unknown command '%s %s'; 'podrun %s --help' lists them", c.Command.Name, name, c.Command.Name)
	}
	return cli.ShowSubcommandHelp(c)
}

// withoutArguments is an action that takes none.
func withoutArguments(action cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.Args().Present() {
			return usagef("%s takes no arguments, but got %q", strings.TrimPrefix(c.Command.HelpName, "podrun "), c.Args().First())
		}
		return action(c)
	}
}

// habits are what users of kubectl, docker and podman type first.
var habits = map[string]string{
	"list": "ps", "apply": "up", "create": "up", "run": "up", "play": "up", "kube": "up", "start": "up",
	"delete": "down", "stop": "down", "rm": "down", "kill": "down --force", "log": "logs",
	"pod": "ps", "pods": "ps", "inspect": "describe", "top": "exec", "restart": "up --replace",
	"configmap": "get configmap", "configmaps": "get configmap", "cm": "get configmap", "secret": "get secret", "secrets": "get secret", "pvc": "get pvc",
	"images": "image ls", "pull": "image pull", "import": "image import", "load": "image load", "rmi": "image rm",
}

func usageError(c *cli.Context, err error, _ bool) error {
	name, flags := "podrun", c.App.Flags
	if c.Command != nil && c.Command.HelpName != "" {
		name = c.Command.HelpName // with the commands that it is below
		flags = slices.Concat(c.Command.Flags, flags)
	}
	return usagef("%s; see '%s --help'", flagComplaint(flags, err.Error()), name)
}

func globalFlags(a *app) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "root", Value: "/var/lib/podrun", EnvVars: []string{"PODRUN_ROOT"}, Destination: &a.config.Root, Usage: "directory of records, images and volumes"},
		&cli.StringFlag{Name: "run-root", Value: "/run/podrun", EnvVars: []string{"PODRUN_RUN_ROOT"}, Destination: &a.config.RunRoot, Usage: "directory of what a reboot ends"},
		&cli.StringFlag{Name: "log-dir", Value: "/var/log/pods", EnvVars: []string{"PODRUN_LOG_DIR"}, Destination: &a.config.LogDir, Usage: "directory of container logs"},
		&cli.StringFlag{Name: "subnet", Value: "10.244.0.0/16", EnvVars: []string{"PODRUN_SUBNET"}, Destination: &a.subnet, Usage: "range of the pods' addresses"},
		&cli.StringFlag{Name: "subnet6", Value: subnet6Auto, EnvVars: []string{"PODRUN_SUBNET6"}, Destination: &a.subnet6, Usage: "range of the pods' IPv6 addresses, auto or none"},
		&cli.StringFlag{Name: "link-prefix", Value: "podrun", EnvVars: []string{"PODRUN_LINK_PREFIX"}, Destination: &a.linkPrefix, Usage: "start of the names of host-side links"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, EnvVars: []string{"PODRUN_VERBOSE"}, Destination: &a.verbose, Usage: "say more"},
	}
}
