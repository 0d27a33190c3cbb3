// Package ground is where tests run pods: roots, a subnet, links, images and a
// binary of their own on the real kernel, and at the end a look at what is left.
// It drives podrun from outside, as a user does, and belongs to no floor.
package ground

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"podrun/netns"
	"podrun/state"
)

// Ground is what belongs to one test.
type Ground struct {
	Dir    string // root, run, log and bin are below it
	Host   netns.Host
	Store  *state.Store
	Binary string // by which the ground's processes are known

	lock  net.Listener
	ports int // that FreePort has tried
}

// subnets are those of the grounds.
const (
	subnets  = "10.248.%d.0/24"
	subnets6 = "fd48:7072:6e:%x::/64"
)

// New makes the ground of a test, which is closed when the test ends.
func New(t testing.TB) *Ground {
	t.Helper()
	return NewOf(t, Suite.Binary)
}

// NewOf is New for another binary than the suite's: see [Build].
func NewOf(t testing.TB, binary string) *Ground {
	t.Helper()
	g, err := Make(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(t) })
	return g
}

// Make takes the first number that neither this run nor another at the same
// time has, and of which no killed test has left anything on the machine. An
// abstract socket holds it, which ends with its process.
func Make(binary string) (*Ground, error) {
	for n := range 256 {
		lock, err := net.Listen("unix", fmt.Sprintf("@podrun-script-%d", n))
		if err != nil {
			continue
		}
		g := &Ground{lock: lock}
		if g.Dir, err = os.MkdirTemp(Suite.Dir, "ground"); err != nil {
			return nil, err
		}
		if err := g.prepare(n, binary); err != nil {
			return nil, err
		}
		left, err := g.Host.Leftovers()
		if err == nil && len(left) == 0 {
			return g, nil
		}
		lock.Close()
		if err = errors.Join(err, os.RemoveAll(g.Dir)); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("all of the subnets "+subnets+" are in use", 0)
}

func (g *Ground) prepare(n int, binary string) error {
	// A name of its own for the binary makes the ground's processes known by /proc/PID/exe.
	g.Binary = filepath.Join(g.Dir, "bin", "podrun")
	if err := os.MkdirAll(filepath.Dir(g.Binary), 0o755); err != nil {
		return err
	}
	// The same file where that can be: memory has it once, and so has an emulator.
	if os.Link(binary, g.Binary) != nil {
		if err := combined(exec.Command("cp", "--reflink=auto", binary, g.Binary)); err != nil {
			return err
		}
	}
	var err error
	g.Store, err = state.Open(state.Config{
		Root: filepath.Join(g.Dir, "root"), RunRoot: filepath.Join(g.Dir, "run"), LogDir: filepath.Join(g.Dir, "log"),
	})
	if err != nil {
		return err
	}
	if err := combined(exec.Command("cp", "-a", "--reflink=auto", Suite.Images, g.Store.Root)); err != nil {
		return err
	}
	g.Host = netns.Host{
		Instance: g.Store.Instance, Subnet: netip.MustParsePrefix(fmt.Sprintf(subnets, n)),
		Subnet6:    netip.MustParsePrefix(fmt.Sprintf(subnets6, n)),
		LinkPrefix: fmt.Sprintf("ps%02x-", n), Addresses: g.Store.AddressDir(),
	}
	return nil
}

// Environment is what the ground's commands see of it.
func (g *Ground) Environment() []string {
	vars := []string{
		"PODRUN_ROOT=" + g.Store.Root, "PODRUN_RUN_ROOT=" + g.Store.RunRoot, "PODRUN_LOG_DIR=" + g.Store.LogDir,
		"PODRUN_SUBNET=" + g.Host.Subnet.String(), "PODRUN_SUBNET6=" + g.Host.Subnet6.String(), "PODRUN_LINK_PREFIX=" + g.Host.LinkPrefix,
		"INSTANCE=" + g.Store.Instance, "ROOTFS=" + Suite.Rootfs, "PEER=" + Suite.Peer,
		"PATH=" + filepath.Dir(g.Binary) + ":" + Suite.Dir + ":" + os.Getenv("PATH"),
	}
	if Patience(1) > 1 {
		vars = append(vars, "PODRUN_TIMEOUT="+Patience(time.Minute).String())
	}
	if options, ok := os.LookupEnv("GORACE"); ok { // of a binary that looks for races
		vars = append(vars, "GORACE="+options)
	}
	return vars
}

// Close ends what a failed test left running, looks for what is left, and
// removes the ground.
func (g *Ground) Close(t testing.TB) {
	defer g.lock.Close()
	if t.Failed() {
		g.downAll(t)
	}
	if left := g.Leaks(); len(left) > 0 {
		t.Errorf("left on the machine:\n  %s", strings.Join(left, "\n  "))
		g.downAll(t)
		return
	}
	if err := os.RemoveAll(g.Dir); err != nil {
		t.Error(err)
	}
}

func (g *Ground) downAll(t testing.TB) {
	if r := g.Run("down", "--all", "--force"); r.Code != 0 {
		t.Logf("take the pods of a failed test down: %s", r)
	}
}

// UID finds the uid of a pod, NAMESPACE/NAME or NAME.
func (g *Ground) UID(pod string) (string, error) {
	namespace, name, ok := strings.Cut(pod, "/")
	if !ok {
		namespace, name = "default", pod
	}
	return g.Store.Lookup(namespace, name)
}

// hanging is what a command does that takes longer.
const hanging = 2 * time.Minute

// Result is what a command has come to.
type Result struct {
	Args           []string
	Code           int // -1: a signal ended it, or it could not be run
	Stdout, Stderr string
}

// String shows all of it, for the message of a test that fails.
func (r Result) String() string {
	return fmt.Sprintf("podrun %s: exit %d\n%s%s", strings.Join(r.Args, " "), r.Code, r.Stdout, r.Stderr)
}

// Command is podrun on this ground, with nothing for its standard input.
func (g *Ground) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(g.Binary, args...)
	cmd.Env = append(os.Environ(), g.Environment()...)
	cmd.Dir = g.Dir
	return cmd
}

// Run runs podrun to its end, for two minutes at the most.
func (g *Ground) Run(args ...string) Result {
	return Finish(g.Command(args...), args)
}

// Finish is Run for a command that gets to podrun by its own way.
func Finish(cmd *exec.Cmd, args []string) Result {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := start(cmd)
	r := Result{Args: args, Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.Code, r.Stderr = -1, r.Stderr+err.Error()
	}
	return r
}

// start runs a command and kills it when it hangs.
func start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience(hanging))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if ctx.Err() == context.DeadlineExceeded {
			cmd.Process.Kill()
		}
	})()
	return cmd.Wait()
}

// Must is Run of what has to succeed; it returns what was printed.
func (g *Ground) Must(t testing.TB, args ...string) string {
	t.Helper()
	r := g.Run(args...)
	if r.Code != 0 {
		t.Fatal(r)
	}
	return r.Stdout
}

// Write makes a file on the ground, a manifest say, and returns its path.
func (g *Ground) Write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(g.Dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Until waits for a condition, for half a minute at the most.
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for start := time.Now(); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > Patience(30*time.Second) {
			t.Fatalf("waited half a minute for: %s", what)
		}
	}
}
