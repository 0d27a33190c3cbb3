package ground

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

const (
	buildTags      = "seccomp netgo osusergo urfave_cli_no_docs"
	binaryVariable = "PODRUN_TEST_BINARY" // a static binary to test instead of a new one
	// programsVariable is a directory with the programs that tests need, where there
	// are no compilers to build them.
	programsVariable = "PODRUN_TEST_PROGRAMS"
)

// Suite is what the grounds of one test binary share.
var Suite struct {
	Dir    string // of all grounds
	Binary string
	Images string // an image store with busybox and peer in it, to copy
	Rootfs string // the tar that busybox was made from
	Peer   string // and that of peer, a program for tests: see testdata/peer
	module string // the directory of podrun's sources
}

// Main prepares the suite, runs the tests and returns the exit code. A test
// package's TestMain calls it, once it has parsed its flags.
func Main(m *testing.M) int {
	if !flag.Parsed() {
		flag.Parse()
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests run pods on this machine's kernel: run them as root")
		return 1
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "prepare the tests:", err)
		return 1
	}
	code := m.Run()
	if code != 0 {
		return code // the directory shows what leaked
	}
	if err := os.RemoveAll(Suite.Dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func prepare() error {
	module, err := exec.Command("go", "env", "GOMOD").Output()
	if err == nil {
		Suite.module = filepath.Dir(strings.TrimSpace(string(module)))
	}
	if Suite.Dir, err = os.MkdirTemp("", "podrun-ground"); err != nil {
		return err
	}
	var made errgroup.Group
	made.Go(findBinary)
	made.Go(packRootfs)
	made.Go(packPeer)
	if err := made.Wait(); err != nil {
		return err
	}
	return importImages()
}

func findBinary() (err error) {
	if Suite.Binary = os.Getenv(binaryVariable); Suite.Binary == "" {
		Suite.Binary, err = Build("podrun", "")
	}
	return err
}

// Build makes a static binary of podrun in the suite's directory, with a build
// tag more where there is one.
func Build(name, tag string) (string, error) {
	path := filepath.Join(Suite.Dir, name)
	cmd := exec.Command("go", "build", "-buildvcs=false", "-tags", strings.TrimSpace(buildTags+" "+tag), "-ldflags", "-extldflags -static", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	cmd.Dir = Suite.module
	return path, combined(cmd)
}

var programs sync.Mutex

// Program returns the path of a program for tests, in the suite's directory, which
// commands have in their PATH. build makes it there, where nobody has before.
func Program(name string, build func(path string) *exec.Cmd) (string, error) {
	programs.Lock()
	defer programs.Unlock()
	path := filepath.Join(Suite.Dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if made := os.Getenv(programsVariable); made != "" {
		return path, os.Symlink(filepath.Join(made, name), path)
	}
	return path, combined(build(path))
}

func combined(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
