package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"podrun/sandbox"
	"podrun/state"
	"podrun/step"
)

type serviceOptions struct {
	dir       string
	print     bool
	uninstall bool
}

func installServiceCommand(a *app) *cli.Command {
	var o serviceOptions
	return &cli.Command{
		Name:  "install-service",
		Usage: "let systemd resume the pods at boot, and suspend them at shutdown",
		Description: "Writes " + sandbox.Service + " for this binary and the given --root, --run-root and so on, enables it and starts it: pods that nobody\n" +
			"keeps are resumed at once. Uninstalled it leaves the pods alone.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "print", Destination: &o.print, Usage: "print the unit, and change nothing"},
			&cli.BoolFlag{Name: "uninstall", Destination: &o.uninstall, Usage: "disable and remove the unit"},
			&cli.StringFlag{Name: "unit-dir", Value: "/etc/systemd/system", Destination: &o.dir, Usage: "`DIRECTORY` of the unit"},
		},
		Action: func(c *cli.Context) error {
			if o.print && o.uninstall {
				return usagef("--print and --uninstall do not go together")
			}
			if o.uninstall {
				return a.uninstallService(c.Context, &o)
			}
			binary, err := os.Executable()
			if err != nil {
				return err
			}
			// systemd has another working directory. These are also the values of the flags.
			for _, dir := range []*string{&a.config.Root, &a.config.RunRoot, &a.config.LogDir} {
				if *dir, err = filepath.Abs(*dir); err != nil {
					return err
				}
			}
			u := unit{binary: binary, flags: a.globals(c), config: a.config, environment: os.Environ()}
			if o.print {
				a.printf("%s", u.text())
				return nil
			}
			return a.installService(c.Context, &o, u)
		},
	}
}

// globals are the global flags that are not as they are by themselves.
func (a *app) globals(c *cli.Context) []string {
	var list []string
	for _, f := range globalFlags(a) {
		name := f.Names()[0]
		if c.IsSet(name) {
			list = append(list, fmt.Sprintf("--%s=%v", name, c.Value(name)))
		}
	}
	return list
}

// unit is what is installed.
type unit struct {
	binary      string
	flags       []string
	config      state.Config
	environment []string
}

// text is the unit file. The pods are no part of the unit: they have scopes, or
// cgroups, of their own, so that what becomes of it does not end them. A failed
// resume of one must not keep the others from being suspended: hence the "-".
// Services that replace all firewall rules as they start come before.
func (u unit) text() string {
	command := strings.ReplaceAll(quoteUnit(append([]string{u.binary}, u.flags...)...), "$", "$$") // else a variable
	mounts := quoteUnit(u.binary, u.config.Root, u.config.LogDir)
	return `[Unit]
Description=podrun: pods go on after a boot, and end in order before a shutdown
Wants=network-online.target
After=network-online.target network.target nss-lookup.target time-sync.target local-fs.target remote-fs.target
After=nftables.service iptables.service netfilter-persistent.service firewalld.service ufw.service docker.service
RequiresMountsFor=` + mounts + `

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-` + command + ` resume
ExecStop=` + command + ` suspend --all
KillMode=process
TimeoutStartSec=infinity
TimeoutStopSec=10min
` + u.credentials() + `
[Install]
WantedBy=multi-user.target
`
}

// credentials are the variables that lead to those of registries: a service has none.
func (u unit) credentials() string {
	var lines strings.Builder
	for _, entry := range u.environment {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE":
			fmt.Fprintf(&lines, "Environment=%s\n", quoteUnit(entry))
		}
	}
	return lines.String()
}

// quoteUnit writes words so that systemd reads them as they are: no specifiers, no
// blanks between (systemd.syntax(7), systemd.unit(5)).
func quoteUnit(words ...string) string {
	escape := strings.NewReplacer(`%`, `%%`, `\`, `\\`, `"`, `\"`)
	for i, w := range words {
		if strings.ContainsAny(w, " \t\\\"'%$;") || w == "" {
			words[i] = `"` + escape.Replace(w) + `"`
		}
	}
	return strings.Join(words, " ")
}

func (a *app) installService(ctx context.Context, o *serviceOptions, u unit) error {
	if os.Geteuid() != 0 {
		return errors.New("install a service: this needs root: use sudo")
	}
	if err := needSystemctl(); err != nil {
		return err
	}
	// The directories have to be there for their mounts to be waited for, and with
	// what is wrong with them nothing would be resumed.
	if _, err := a.store(); err != nil {
		return err
	}
	path := filepath.Join(o.dir, sandbox.Service)
	if err := writeUnit(path, u.text()); err != nil {
		return fmt.Errorf("write the unit: %w", err)
	}
	if !sandbox.SystemdRuns() {
		if err := systemctl(ctx, "enable", sandbox.Service); err != nil {
			return err
		}
		if err := syncAll(o.dir); err != nil {
			return err
		}
		a.printf("%s installed; systemd does not run here, and starts it at its next boot\n", path)
		return nil
	}
	if err := systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	if err := systemctl(ctx, "enable", "--now", sandbox.Service); err != nil {
		return fmt.Errorf("%w; the unit is %s", err, path)
	}
	if err := syncAll(o.dir); err != nil {
		return err
	}
	a.printf("%s installed, enabled and started\n", path)
	return nil
}

func writeUnit(path, text string) error {
	defer step.Change("write the unit")()
	if err := state.RemovePartsOf(path); err != nil {
		return err
	}
	return state.WriteFile(path, []byte(text), 0o644, state.Durable)
}

// syncAll makes durable all that is on the file system of dir: systemctl does not
// sync its links.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}

// uninstallService does not stop the unit: that would suspend the pods.
func (a *app) uninstallService(ctx context.Context, o *serviceOptions) error {
	path := filepath.Join(o.dir, sandbox.Service)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no %s: nothing is installed", path)
	} else if err != nil {
		return err
	}
	if err := needSystemctl(); err != nil {
		return err
	}
	if err := systemctl(ctx, "disable", sandbox.Service); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	if sandbox.SystemdRuns() {
		if err := systemctl(ctx, "daemon-reload"); err != nil {
			return err
		}
	}
	a.printf("%s removed; pods that run go on, and are not resumed after a boot\n", path)
	return nil
}

func needSystemctl() error {
	if _, err := exec.LookPath("systemctl"); err != nil {
		return errors.New("this machine has no systemctl: let its init run 'podrun resume' at boot, once the network is up, and 'podrun suspend --all' before a shutdown; 'podrun install-service --print' shows how systemd would")
	}
	return nil
}

func systemctl(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
