package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"podrun/ground"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// commands are what the scripts have besides testscript's own.
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"exits":     exits,
	"wait-for":  waitFor,
	"until":     until,
	"field":     field,
	"capture":   capture,
	"httpget":   httpGet,
	"freeport":  freePort,
	"listen":    listen,
	"pids":      pids,
	"signal":    signalProcess,
	"cgroup":    readCgroup,
	"leakcheck": leakCheck,
	"registry":  registryCommand,
	"push":      push,
	"save":      save,
	"terminal":  terminal,
	"machine":   machine,
}

// usage ends a script that calls a command in a way it does not have.
func usage(ts *testscript.TestScript, ok bool, text string) {
	if !ok {
		ts.Fatalf("usage: %s", text)
	}
}

// exits CODE COMMAND... runs it and wants the exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 2, "exits CODE COMMAND...")
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("got exit code %d, want %s", got, args[0])
	}
}

const retryInterval = 50 * time.Millisecond

// waitFor TIMEOUT COMMAND... repeats it until it succeeds, or with ! until it fails.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) >= 2, "[!] wait-for TIMEOUT COMMAND...")
	poll(ts, args[0], func() bool {
		return (ts.Exec(args[1], args[2:]...) != nil) == neg
	})
}

// until TIMEOUT PATTERN COMMAND... repeats it until its output matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 3, "until TIMEOUT PATTERN COMMAND...")
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	poll(ts, args[0], func() bool {
		return ts.Exec(args[2], args[3:]...) == nil && pattern.MatchString(ts.ReadFile("stdout"))
	})
}

func poll(ts *testscript.TestScript, timeout string, done func() bool) {
	limit, err := time.ParseDuration(timeout)
	ts.Check(err)
	for start := time.Now(); !done(); time.Sleep(ground.Patience(retryInterval)) {
		if time.Since(start) > ground.Patience(limit) {
			ts.Fatalf("not within %s", timeout)
		}
	}
}

// capture VARIABLE COMMAND... sets the variable to the command's output.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 2, "capture VARIABLE COMMAND...")
	ts.Check(ts.Exec(args[1], args[2:]...))
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// httpGet URL prints the body; with ! the server must not answer.
func httpGet(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) == 1, "[!] httpget URL")
	client := http.Client{Timeout: ground.Patience(3 * time.Second), Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(args[0])
	if neg {
		if err == nil {
			ts.Fatalf("%s answered %s", args[0], response.Status)
		}
		return
	}
	ts.Check(err)
	defer response.Body.Close()
	_, err = io.Copy(ts.Stdout(), response.Body)
	ts.Check(err)
	if response.StatusCode != http.StatusOK {
		ts.Fatalf("%s answered %s", args[0], response.Status)
	}
}

// freePort VARIABLE... sets each to a TCP port that nobody has.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 0, "freeport VARIABLE...")
	for _, name := range args {
		// Outside of the ephemeral range, so that no connection takes it before the
		// script does; by the number of the place, so that no other script does.
		port, err := here(ts).FreePort()
		ts.Check(err)
		ts.Setenv(name, strconv.Itoa(port))
	}
}

// listen ADDRESS, host:port or the path of a socket, answers every connection with a line until the script ends.
func listen(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "listen ADDRESS")
	network, address := "tcp4", args[0]
	if !strings.Contains(address, ":") {
		network, address = "unix", ts.MkAbs(address)
	}
	l, err := net.Listen(network, address)
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "from the machine\n")
			c.Close()
		}
	}()
}

// pids POD prints pid and start time of every process of the pod's containers,
// for a comparison of before and after.
func pids(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "pids POD")
	uid, err := here(ts).UID(args[0])
	ts.Check(err)
	all, err := ground.Processes()
	ts.Check(err)
	for _, q := range all {
		if strings.Contains(q.Cgroups, "/"+uid+"/") {
			fmt.Fprintln(ts.Stdout(), q.PID, q.Start)
		}
	}
}

// signalProcess SIGNAL pause|monitor|first|CONTAINER POD signals the pod's pause, its
// monitor, the first process of its shared PID namespace, or that of a container. After KILL it returns when the
// process has ended.
func signalProcess(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3, "signal SIGNAL pause|monitor|CONTAINER POD")
	number := unix.SignalNum("SIG" + args[0])
	uid, err := here(ts).UID(args[2])
	ts.Check(err)
	usage(ts, number != 0, "signal SIGNAL: a name without SIG")
	var target ground.Process
	poll(ts, "10s", func() bool { // a monitor that was killed needs a moment to come back
		all, err := ground.Processes()
		ts.Check(err)
		i := slices.IndexFunc(all, func(q ground.Process) bool { return q.Is(args[1], uid, all) })
		if i >= 0 {
			target = all[i]
		}
		return i >= 0
	})
	ts.Logf("process %d: %s", target.PID, target.Title)
	ts.Check(os.NewSyscallError("kill", unix.Kill(target.PID, number)))
	if number == unix.SIGKILL {
		poll(ts, "5s", target.Ended)
	}
}

// readCgroup POD CONTAINER FILE... prints the first of the files that the
// container's cgroup has: on cgroup v1 and v2 they have other names. With - for
// the container it is the pod's own cgroup.
func readCgroup(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 3, "cgroup POD CONTAINER|- FILE...")
	p := here(ts)
	uid, err := p.UID(args[0])
	ts.Check(err)
	group := filepath.Join("podrun", p.Store.Instance, uid)
	if args[1] != "-" {
		group = filepath.Join(group, args[1]+".*")
	}
	for _, file := range args[2:] {
		for _, top := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			found, err := filepath.Glob(filepath.Join(top, group, file))
			ts.Check(err)
			if len(found) > 0 {
				data, err := os.ReadFile(found[0])
				ts.Check(err)
				ts.Stdout().Write(data)
				return
			}
		}
	}
	ts.Fatalf("cgroup %s has none of %q", group, args[2:])
}

// leakCheck wants that no pod of the script has left anything.
func leakCheck(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 0, "leakcheck")
	if left := here(ts).Leaks(); len(left) > 0 {
		ts.Fatalf("left on the machine:\n  %s", strings.Join(left, "\n  "))
	}
}
