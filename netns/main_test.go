package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The tests run in a process that starts over in a network namespace of its own.
// That namespace is the machine: its loopback, firewall and settings are real,
// and nobody else's. A role other than that is a child that one test needs.
const roleVariable = "PODRUN_NETNS_TEST"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(inOwnMachine())
	case "machine":
		if err := prepareMachine(); err != nil {
			fmt.Fprintln(os.Stderr, "prepare the tests' machine:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	default:
		if err := roles[role](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
	}
}

func inOwnMachine() int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the tests of netns make links, namespaces and firewall rules: run them as root")
		return 1
	}
	cmd := self("machine", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	goruntime.LockOSThread() // the thread whose death Pdeathsig tells
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "start the tests' machine:", err)
		return 1
	}
	return 0
}

// self is this test program in a role.
func self(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

func prepareMachine() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	if err := (sysctl{key: "ipv4/ping_group_range", value: "0 2147483647"}).write(); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

const (
	testMTU     = 1380
	machineAddr = "192.0.2.1"
	outsideAddr = "192.0.2.9"

	machineAddr6 = "2001:db8::1"
	outsideAddr6 = "2001:db8::9"
)

// machine is the test's own namespace with an empty directory of addresses.
type machine struct {
	testing.TB
	Host
}

// newMachine ends the test by looking for what is left on the machine.
func newMachine(t testing.TB) *machine {
	m := &machine{TB: t, Host: childHost(t.TempDir())}
	t.Cleanup(func() {
		left, err := m.Leftovers()
		if err != nil || len(left) > 0 {
			t.Errorf("left on the machine: %v, %q", err, left)
		}
		m.noMounts()
	})
	return m
}

// childHost is the host of a test and of its children.
func childHost(addresses string) Host {
	return Host{
		Instance: "test", LinkPrefix: "ptest", Subnet: netip.MustParsePrefix("10.247.0.0/16"),
		Subnet6: netip.MustParsePrefix("fd47:1:2:3::/64"), Addresses: addresses,
	}
}

func (m *machine) noMounts() {
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		m.Error(err)
	}
	if strings.Contains(string(mounts), "/podrun-netns-test") {
		m.Errorf("a namespace is still mounted:\n%s", mounts)
	}
}

// outside is another host, which knows the machine but not the pod subnet; the
// machine's default route leads to it.
func (m *machine) outside() string {
	m.Helper()
	path := m.namespace("outside")
	target, err := os.Open(path)
	m.must(err)
	defer target.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "uplink", testMTU
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerNamespace = "eth0", netlink.NsFd(int(target.Fd()))
	m.must(netlink.LinkAdd(pair))
	m.Cleanup(func() { m.must(netlink.LinkDel(pair)) })
	m.setUp("uplink", machineAddr+"/24", machineAddr6+"/64")
	m.must(InNamespace(path, func() error { m.setUp("eth0", outsideAddr+"/24", outsideAddr6+"/64"); return nil }))
	m.must(netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(outsideAddr)}))
	m.must(netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(outsideAddr6)}))
	// The machine's first question for its neighbour may come before the link is up.
	for range 5 {
		if err = ping("", netip.MustParseAddr(outsideAddr6)); err == nil {
			break
		}
	}
	m.must(err)
	return path
}

func (m *machine) setUp(name string, cidrs ...string) {
	link, err := netlink.LinkByName(name)
	m.must(err)
	for _, cidr := range cidrs {
		addr, err := netlink.ParseAddr(cidr)
		m.must(err)
		addr.Flags = unix.IFA_F_NODAD
		m.must(netlink.AddrAdd(link, addr))
	}
	m.must(netlink.LinkSetUp(link))
}

func (m *machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// namespace makes a network namespace that lives until the test ends.
func (m *machine) namespace(name string) string {
	m.Helper()
	dir, err := os.MkdirTemp("", "podrun-netns-test")
	m.must(err)
	path := filepath.Join(dir, name)
	m.must(os.WriteFile(path, nil, 0o600))
	made := make(chan error)
	go func() {
		goruntime.LockOSThread() // for good: the thread ends with the goroutine
		err := os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWNET))
		if err == nil {
			err = os.NewSyscallError("mount", unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""))
		}
		made <- err
	}()
	m.must(<-made)
	m.Cleanup(func() {
		m.must(unix.Unmount(path, unix.MNT_DETACH))
		m.must(os.RemoveAll(dir))
	})
	return path
}

// testPod is an attached pod.
type testPod struct {
	*machine
	Attachment
}

var podCount atomic.Int32

// pod makes and attaches a pod, and detaches it when the test ends.
func (m *machine) pod(ports ...Port) *testPod {
	m.Helper()
	uid := fmt.Sprintf("pod-%d", podCount.Add(1))
	p := &testPod{m, Attachment{UID: uid, NetNS: m.namespace(uid), Ports: ports}}
	m.Cleanup(func() {
		if err := m.Detach(uid); err != nil {
			m.Error(err)
		}
	})
	var err error
	p.Addr, err = m.Allocate(uid)
	m.must(err)
	p.Addr6 = m.Address6(p.Addr)
	m.must(m.Attach(p.Attachment))
	return p
}

func (p *testPod) do(f func() error) {
	p.Helper()
	p.must(InNamespace(p.NetNS, f))
}

const (
	// Within a second TCP does not repeat a lost packet: nothing may be lost.
	patience = 900 * time.Millisecond
	// noAnswer bounds the wait for packets that ought to be dropped.
	noAnswer = 300 * time.Millisecond
)

// serve answers every client on a port of a namespace ("" is the machine) with
// the address it has for it, over TCP and UDP.
func (m *machine) serve(ns, addr string) {
	m.Helper()
	family := "" // of a wildcard Go makes both
	switch {
	case strings.HasPrefix(addr, "0.0.0.0"):
		family = "4"
	case strings.HasPrefix(addr, "[::]"):
		family = "6"
	}
	m.must(within(ns, func() error {
		l, err := net.Listen("tcp"+family, addr)
		if err != nil {
			return err
		}
		u, err := net.ListenPacket("udp"+family, addr)
		if err != nil {
			return err
		}
		m.Cleanup(func() { l.Close(); u.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP)
				c.Close()
			}
		}()
		go func() {
			buf := make([]byte, 64)
			for {
				_, from, err := u.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = u.WriteTo([]byte(from.(*net.UDPAddr).IP.String()), from)
			}
		}()
		return nil
	}))
}

// ask connects from a namespace ("" is the machine) and returns what the server
// sees as the client's address.
func ask(ns, network, addr string) (string, error) {
	return exchange(ns, network, addr, &net.Dialer{Timeout: patience})
}

// askInVain is ask where no answer is expected.
func askInVain(ns, network, addr string) (string, error) {
	return exchange(ns, network, addr, &net.Dialer{Timeout: noAnswer})
}

func exchange(ns, network, addr string, d *net.Dialer) (seen string, err error) {
	err = within(ns, func() error {
		c, err := d.Dial(network, addr)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(d.Timeout)); err != nil {
			return err
		}
		if strings.HasPrefix(network, "udp") {
			if _, err := c.Write([]byte("?")); err != nil {
				return err
			}
		}
		buf := make([]byte, 64)
		n, err := c.Read(buf)
		seen = string(buf[:n])
		return err
	})
	return seen, err
}

func within(ns string, f func() error) error {
	if ns == "" {
		return f()
	}
	return InNamespace(ns, f)
}

// wantSeen asks over TCP and UDP.
func (m *machine) wantSeen(from, ns, addr, want string) {
	m.Helper()
	for _, network := range []string{"tcp", "udp"} {
		got, err := ask(ns, network, addr)
		if err != nil || got != want {
			m.Errorf("%s to %s over %s: the server sees %q, %v; want %q", from, addr, network, got, err, want)
		}
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
