package main

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// machine VARIABLE... makes network namespaces that play machines, to try what
// cannot be tried on this one, and sets each variable to the name by which ip knows
// its own. `nsenter --net=/run/netns/$NAME podrun ...` runs pods there. They end
// with the script.
func machine(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 0, "machine VARIABLE...")
	for _, variable := range args {
		name := "podrun-" + here(ts).Host.LinkPrefix + variable
		_ = exec.Command("ip", "netns", "del", name).Run() // of a killed test
		ts.Check(combined(exec.Command("ip", "netns", "add", name)))
		ts.Defer(func() { ts.Check(combined(exec.Command("ip", "netns", "del", name))) })
		ts.Check(combined(exec.Command("ip", "-n", name, "link", "set", "lo", "up")))
		ts.Setenv(variable, name)
	}
}

func combined(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
