package main

import (
	"archive/tar"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"podrun/netns"
	"podrun/state"
)

// The scripts drive the binary as a user does, on the real kernel. Each has its
// own roots, subnet, links and images (busybox and peer), and ends by finding that nothing
// of its pods is left.

const (
	buildTags      = "seccomp netgo osusergo urfave_cli_no_docs"
	binaryVariable = "PODRUN_TEST_BINARY" // a static binary to test instead of a new one
	parallel       = 4                    // scripts mostly wait: more than there are processors may run at once
)

// suite is what the scripts share.
var suite struct {
	dir    string // of all roots
	binary string
	images string // an image store with busybox and peer in it, to copy
	rootfs string // the tar that busybox was made from
	peer   string // and that of peer, a program for tests: see testdata/peer
}

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the script tests run pods on this machine's kernel: run them as root")
		os.Exit(1)
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prepare the script tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if err := flag.Set("test.parallel", strconv.Itoa(parallel)); err != nil {
		return 1, err
	}
	if suite.dir, err = os.MkdirTemp("", "podrun-script"); err != nil {
		return 1, err
	}
	defer func() {
		if code == 0 {
			err = os.RemoveAll(suite.dir) // else it shows what leaked
		}
	}()
	var made errgroup.Group
	made.Go(buildBinary)
	made.Go(packRootfs)
	made.Go(packPeer)
	if err := made.Wait(); err != nil {
		return 1, err
	}
	if err := importImages(); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func buildBinary() error {
	if suite.binary = os.Getenv(binaryVariable); suite.binary != "" {
		return nil
	}
	suite.binary = filepath.Join(suite.dir, "podrun")
	cmd := exec.Command("go", "build", "-tags", buildTags, "-ldflags", "-extldflags -static", "-o", suite.binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	return combined(cmd)
}

func combined(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// packRootfs writes a root filesystem around the machine's static busybox.
func packRootfs() error {
	suite.rootfs = filepath.Join(suite.dir, "busybox.tar")
	f, err := os.Create(suite.rootfs)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := writeBusybox(f); err != nil {
		return err
	}
	return f.Close()
}

const (
	passwdFile = "root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1001:web:/home/web:/bin/sh\n"
	groupFile  = "root:x:0:\nweb:x:1001:\nmedia:x:1500:web\n"
)

// writeBusybox writes the tar: one binary, and a link for each of its applets.
func writeBusybox(to io.Writer) error {
	binary, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("%w: install busybox-static", err)
	}
	applets, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return fmt.Errorf("list the applets of busybox: %w", err)
	}
	w := tar.NewWriter(to)
	for _, d := range []tar.Header{
		{Name: "bin/", Mode: 0o755}, {Name: "etc/", Mode: 0o755}, {Name: "root/", Mode: 0o700},
		{Name: "home/", Mode: 0o755}, {Name: "home/web/", Mode: 0o755, Uid: 1001, Gid: 1001}, {Name: "tmp/", Mode: 0o1777},
	} {
		d.Typeflag = tar.TypeDir
		if err := w.WriteHeader(&d); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name, content string
		mode          int64
	}{{"bin/busybox", string(binary), 0o755}, {"etc/passwd", passwdFile, 0o644}, {"etc/group", groupFile, 0o644}} {
		if err := addFile(w, f.name, f.content, f.mode); err != nil {
			return err
		}
	}
	for _, name := range strings.Fields(string(applets)) {
		if name == "busybox" {
			continue // a link to itself
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}); err != nil {
			return err
		}
	}
	return w.Close()
}

func addFile(w *tar.Writer, name, content string, mode int64) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := io.WriteString(w, content)
	return err
}

// packPeer builds the program of testdata/peer and writes the tar of an image
// that holds it and nothing else.
func packPeer() error {
	program := filepath.Join(suite.dir, "peer")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./testdata/peer")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := combined(cmd); err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	suite.peer = filepath.Join(suite.dir, "peer.tar")
	f, err := os.Create(suite.peer)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return err
	}
	if err := addFile(w, "peer", string(content), 0o755); err != nil {
		return err
	}
	return errors.Join(w.Close(), f.Close())
}

// importImages makes the store that every script starts with a copy of.
func importImages() error {
	root := filepath.Join(suite.dir, "template")
	suite.images = filepath.Join(root, "images")
	for _, args := range [][]string{
		{`CMD ["sh"]`, suite.rootfs, "docker.io/library/busybox:latest"},
		{`ENTRYPOINT ["/peer"]`, suite.peer, "docker.io/library/peer:latest"},
	} {
		cmd := exec.Command(suite.binary, "--root", root, "--run-root", filepath.Join(root, "run"), "--log-dir", filepath.Join(root, "log"),
			"image", "import", "--change")
		cmd.Args = append(cmd.Args, args...)
		if err := combined(cmd); err != nil {
			return err
		}
	}
	return nil
}

// place is what belongs to one script.
type place struct {
	dir    string // root, run, log and bin are below it
	lock   net.Listener
	host   netns.Host
	store  *state.Store
	binary string
	ports  int // that freeport has tried

	registry *fakeRegistry // the last that was started
}

// subnets are those of the places.
const (
	subnets  = "10.248.%d.0/24"
	subnets6 = "fd48:7072:6e:%x::/64"
)

// newPlace takes the first number that neither this run nor another at the same
// time has, and of which no killed test has left anything on the machine. An
// abstract socket holds it, which ends with its process.
func newPlace() (*place, error) {
	for n := range 256 {
		lock, err := net.Listen("unix", fmt.Sprintf("@podrun-script-%d", n))
		if err != nil {
			continue
		}
		p := &place{lock: lock}
		if p.dir, err = os.MkdirTemp(suite.dir, "script"); err != nil {
			return nil, err
		}
		if err := p.prepare(n); err != nil {
			return nil, err
		}
		if left, err := p.host.Leftovers(); err != nil || len(left) > 0 {
			lock.Close()
			continue
		}
		return p, nil
	}
	return nil, fmt.Errorf("all of the subnets "+subnets+" are in use", 0)
}

func (p *place) prepare(n int) error {
	// A copy of the binary of its own makes the script's processes known by /proc/PID/exe.
	p.binary = filepath.Join(p.dir, "bin", "podrun")
	if err := os.MkdirAll(filepath.Dir(p.binary), 0o755); err != nil {
		return err
	}
	if err := combined(exec.Command("cp", "--reflink=auto", suite.binary, p.binary)); err != nil {
		return err
	}
	var err error
	p.store, err = state.Open(state.Config{
		Root: filepath.Join(p.dir, "root"), RunRoot: filepath.Join(p.dir, "run"), LogDir: filepath.Join(p.dir, "log"),
	})
	if err != nil {
		return err
	}
	if err := combined(exec.Command("cp", "-a", "--reflink=auto", suite.images, p.store.Root)); err != nil {
		return err
	}
	p.host = netns.Host{
		Instance: p.store.Instance, Subnet: netip.MustParsePrefix(fmt.Sprintf(subnets, n)),
		Subnet6:    netip.MustParsePrefix(fmt.Sprintf(subnets6, n)),
		LinkPrefix: fmt.Sprintf("ps%02x-", n), Addresses: p.store.AddressDir(),
	}
	return nil
}

// environment is what the script's commands see of it.
func (p *place) environment() []string {
	return []string{
		"PODRUN_ROOT=" + p.store.Root, "PODRUN_RUN_ROOT=" + p.store.RunRoot, "PODRUN_LOG_DIR=" + p.store.LogDir,
		"PODRUN_SUBNET=" + p.host.Subnet.String(), "PODRUN_SUBNET6=" + p.host.Subnet6.String(), "PODRUN_LINK_PREFIX=" + p.host.LinkPrefix,
		"INSTANCE=" + p.store.Instance, "ROOTFS=" + suite.rootfs, "PEER=" + suite.peer,
		"PATH=" + filepath.Dir(p.binary) + ":" + suite.dir + ":" + os.Getenv("PATH"),
	}
}

// close ends what a failed script left running, looks for what is left, and
// removes the place.
func (p *place) close(t testing.TB) {
	defer p.lock.Close()
	if t.Failed() {
		p.downAll(t)
	}
	if left := p.leaks(); len(left) > 0 {
		t.Errorf("left on the machine:\n  %s", strings.Join(left, "\n  "))
		p.downAll(t)
		return
	}
	if err := os.RemoveAll(p.dir); err != nil {
		t.Error(err)
	}
}

func (p *place) downAll(t testing.TB) {
	cmd := exec.Command(p.binary, "down", "--all", "--force")
	cmd.Env = append(os.Environ(), p.environment()...)
	stop := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer stop.Stop()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Logf("take the pods of a failed script down: %v: %s", err, out)
	}
}

// condition is what a script may ask of the machine: [sctp].
func condition(name string) (bool, error) {
	if name != "sctp" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return false, nil
	}
	return true, unix.Close(fd)
}

type placeKey struct{}

func here(ts *testscript.TestScript) *place { return ts.Value(placeKey{}).(*place) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		Cmds:                commands,
		RequireExplicitExec: true,
		Condition:           condition,
		Setup: func(e *testscript.Env) error {
			p, err := newPlace()
			if err != nil {
				return err
			}
			e.Values[placeKey{}] = p
			e.Vars = append(e.Vars, p.environment()...)
			e.Defer(func() { p.close(e.T().(testing.TB)) })
			return nil
		},
	})
}
