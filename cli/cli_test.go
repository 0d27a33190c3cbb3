package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// eachCommand calls f with every command that help shows, and the words that name it.
func eachCommand(list []*cli.Command, path []string, f func(path []string, c *cli.Command)) {
	for _, c := range list {
		if c.Hidden {
			continue
		}
		below := append(slices.Clone(path), c.Name)
		f(below, c)
		eachCommand(c.Subcommands, below, f)
	}
}

// Every command tells what it does, what it takes, and of each of its flags.
func TestHelp(t *testing.T) {
	s := newSession(t)
	eachCommand(newProgram(&app{}).Commands, nil, func(path []string, c *cli.Command) {
		name := strings.Join(path, " ")
		out, errs, code := s.run(nil, append(path, "--help")...)
		if code != 0 || errs != "" {
			t.Errorf("%s --help: got code %d and %q", name, code, errs)
		}
		if c.Usage == "" || !strings.Contains(out, "podrun "+name+" - "+c.Usage) {
			t.Errorf("%s --help does not say what it does:\n%s", name, out)
		}
		if c.ArgsUsage == "" && len(c.Subcommands) == 0 && !slices.Contains([]string{"version", "install-service", "image ls", "image check", "image prune", "volume ls", "volume prune", "system check", "system prune"}, name) {
			t.Errorf("%s --help does not say what it takes", name)
		}
		for _, f := range c.Flags {
			if shown, ok := f.(cli.VisibleFlag); ok && !shown.IsVisible() {
				continue // between podrun's own processes
			}
			if described, ok := f.(cli.DocGenerationFlag); !ok || described.GetUsage() == "" {
				t.Errorf("%s --help does not explain --%s", name, f.Names()[0])
			}
			if !strings.Contains(out, "--"+f.Names()[0]) {
				t.Errorf("%s --help does not show --%s", name, f.Names()[0])
			}
		}
	})
	out, _, code := s.run(nil)
	if code != 0 || !strings.Contains(out, "COMMANDS:") || strings.Contains(out, "monitor") {
		t.Errorf("podrun alone: got code %d and\n%s", code, out)
	}
}

// -n is on every command that names what is in a namespace, and on no other.
func TestNamespaceFlag(t *testing.T) {
	named := []string{"up", "ps", "describe", "events", "logs", "exec", "attach", "debug", "condition", "down", "suspend", "resume", "get", "validate",
		"volume ls", "volume inspect", "volume rm", "volume prune"}
	eachCommand(newProgram(&app{}).Commands, nil, func(path []string, c *cli.Command) {
		got := find(c.Flags, "n") != nil && find(c.Flags, "namespace") != nil
		if want := slices.Contains(named, strings.Join(path, " ")); got != want {
			t.Errorf("%s: got -n %v, want %v", strings.Join(path, " "), got, want)
		}
	})
}

func TestUsageErrors(t *testing.T) {
	dir := inDirectory(t, map[string]string{"pod.yaml": aPod, "empty.yaml": "", "config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"})
	pod := filepath.Join(dir, "pod.yaml")
	s := newSession(t)
	for _, test := range []struct{ line, want string }{
		{"nosuch", `unknown command "nosuch"; 'podrun --help' lists them`},
		{"--nosuch", "see 'podrun --help'"},
		{"up --nosuch", "there is no flag --nosuch; see 'podrun up --help'"},
		{"ps -A=x", `-A "x": want true or false`},
		{"image ls foo", `image ls takes no arguments, but got "foo"`},
		{"version x", "version takes no arguments"},
		{"volume prune x", "volume prune takes no arguments"},
		{"inspect web", "use 'podrun describe'"},
		{"image pull busybox Bad:::ref", `image "Bad:::ref": `},
		{"image import nosuch.tar Bad:::ref", `image "Bad:::ref": `},
		{"image import nosuch.tar x --change BOGUS=x", "want an instruction"},
		{"image pull --nosuch x", "see 'podrun image pull --help'"},
		{"up", "up needs a FILE"},
		{"up " + pod + " --timeout soon", `--timeout "soon": want a duration such as 30s`},
		{"up " + pod + " --pull Sometimes", "want Always, IfNotPresent or Never"},
		{"get", "get needs a kind"},
		{"get nosuch", "want configmap, secret, pvc or pod"},
		{"get cm -o nosuch", "want wide, json, yaml or name"},
		{"up " + filepath.Join(dir, "empty.yaml"), "empty.yaml"},
		{"up " + pod + " --namespace", "flag --namespace needs an argument; see 'podrun up --help'"},
		{"down web -n", "flag -n needs an argument"},
		{"ps web --root", "flag --root needs an argument"},
		{"validate", "validate needs a FILE"},
		{"down", "down needs pods or manifests, or --all"},
		{"down --all web", "--all means every pod: leave out the names, or --all"},
		{"down --all -n other", "leave out -n, or name the pods"},
		{"suspend", "suspend needs pods, or --all"},
		{"suspend --all web", "--all means every pod: leave out the names, or --all"},
		{"suspend --all -n other", "leave out -n, or name the pods"},
		{"resume -n other", "leave out -n, or name the pods"},
		{"down web --grace-period -2", "want a number of seconds from 0"},
		{"down web --grace-period soon", `--grace-period "soon": want a whole number`},
		{"exec", "exec needs a pod and a command"},
		{"exec web", "exec needs a pod and a command"},
		{"exec web --", "exec needs a pod and a command"},
		{"logs", "logs needs one pod"},
		{"ps -o nosuch", "want wide, json, yaml or name"},
		{"ps --subnet nosuch", "want an IPv4 range"},
		{"ps --subnet fd00::/64", "want an IPv4 range"},
		{"ps --subnet 10.1.2.0/31", "at least four addresses"},
		{"up --subnet6 nosuch x.yaml", "want an IPv6 range"},
		{"up --subnet6 fd00::/97 x.yaml", "/96 or larger"},
		{"ps --link-prefix toolongforalink", "link prefix"},
		{"ps --link-prefix a/b", "link prefix"},
		{"image", ""},
		{"volume", ""},
		{"volume nosuch", "unknown command 'volume nosuch'; 'podrun volume --help' lists them"},
		{"volume ls -o yaml", "want json or name"},
		{"volume inspect", "volume inspect needs a NAME"},
		{"volume rm", "volume rm needs a NAME"},
	} {
		out, errs, code := s.run(nil, strings.Fields(test.line)...)
		if test.want == "" {
			if code != 0 {
				t.Errorf("podrun %s: got code %d", test.line, code)
			}
			continue
		}
		if code != exitUsage || !strings.HasPrefix(errs, "podrun: ") || !strings.Contains(errs, test.want) || out != "" {
			t.Errorf("podrun %s: got code %d, %q and %q, want 2 and %q", test.line, code, out, errs, test.want)
		}
	}
}

// An empty variable is a mistake in a script, not the wish to use the present directory.
func TestEmptyDirectories(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"PODRUN_ROOT", "PODRUN_RUN_ROOT", "PODRUN_LOG_DIR"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PODRUN_ROOT", filepath.Join(t.TempDir(), "root"))
			t.Setenv("PODRUN_RUN_ROOT", filepath.Join(t.TempDir(), "run"))
			t.Setenv(name, "")
			s := &session{t: t, args: []string{"podrun"}}
			if _, errs, code := s.run(nil, "ps"); code == 0 || !strings.Contains(errs, name) {
				t.Errorf("got code %d and %q, want a complaint about %s", code, errs, name)
			}
		})
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("the present directory has %v, %v", left, err)
	}
}

// Whatever follows it, --help is answered.
func TestHelpBeforeArguments(t *testing.T) {
	s := newSession(t)
	for _, line := range []string{"up --help x", "up x -h", "image pull x --help"} {
		out, errs, code := s.run(nil, strings.Fields(line)...)
		if code != 0 || errs != "" || !strings.Contains(out, "USAGE:") {
			t.Errorf("podrun %s: got code %d, %q and %q", line, code, out, errs)
		}
	}
}

func TestComplaints(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	for _, test := range []struct {
		err  error
		want string
	}{
		{a, "a"},
		{errors.Join(a, nil, errors.Join(b, c)), "a|b|c"},
		{&exitError{exitUsage, errors.Join(a, b)}, "a|b"},
		{fmt.Errorf("%w and %w", a, b), "a and b"},
		{&exitError{code: 3}, ""},
	} {
		var got []string
		for _, e := range complaints(test.err) {
			got = append(got, e.Error())
		}
		if strings.Join(got, "|") != test.want {
			t.Errorf("%v: got %q, want %q", test.err, got, test.want)
		}
	}
}

func TestExitError(t *testing.T) {
	cause := errors.New("cause")
	if got := (&exitError{code: 3}).Error(); got != "" {
		t.Errorf("without a cause: got %q", got)
	}
	wrapped := fmt.Errorf("take pod down: %w", &exitError{exitInterrupted, cause})
	var exit *exitError
	if !errors.As(wrapped, &exit) || exit.code != exitInterrupted || !errors.Is(wrapped, cause) {
		t.Errorf("got %v, want a code and a cause in %v", exit, wrapped)
	}
}
