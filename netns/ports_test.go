package netns

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// holdPort is a child that reserves a port until its input ends.
func holdPort(args []string) error {
	port, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	files, err := Reserve([]Port{{HostPort: uint16(port)}})
	if err != nil {
		return err
	}
	defer files[0].Close()
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func closeAll(t *testing.T, files []*os.File) {
	t.Helper()
	for _, f := range files {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReserve(t *testing.T) {
	ports := []Port{
		{HostPort: 8080}, {HostPort: 8080, Protocol: "UDP"}, {HostPort: 8081, HostIP: netip.MustParseAddr("127.0.0.1")},
	}
	files, err := Reserve(ports)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		name, err := unix.Getsockname(int(f.Fd()))
		if got := name.(*unix.SockaddrInet4).Port; err != nil || got != int(ports[i].HostPort) {
			t.Errorf("file %d is bound to %d, %v; want %d", i, got, err, ports[i].HostPort)
		}
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("file %d is not close-on-exec (%v)", i, err)
		}
	}
	if c, err := net.Dial("tcp4", "127.0.0.1:8080"); err == nil {
		c.Close()
		t.Error("a reservation listens")
	}
	closeAll(t, files)
	files, err = Reserve(ports)
	if err != nil {
		t.Fatalf("a closed reservation is still held: %v", err)
	}
	closeAll(t, files)
}

func TestReserveTaken(t *testing.T) {
	own := fmt.Sprintf("(pid %d)", os.Getpid())
	any6, loopback6 := Port{HostPort: 8080, HostIP: netip.IPv6Unspecified()}, Port{HostPort: 8080, HostIP: netip.IPv6Loopback()}
	any4, loopback, udp := Port{HostPort: 8080}, Port{HostPort: 8080, HostIP: netip.MustParseAddr("127.0.0.1")}, Port{HostPort: 8080, Protocol: "UDP"}
	for _, c := range []struct {
		name, network, listen string
		port                  Port
		taken                 bool
	}{
		{"a server on all addresses", "tcp4", ":8080", any4, true},
		{"a server on one address, all wanted", "tcp4", "127.0.0.1:8080", any4, true},
		{"a server on all addresses, one wanted", "tcp4", ":8080", loopback, true},
		{"a server on another address", "tcp4", "127.0.0.2:8080", loopback, false},
		{"a server for IPv4 and IPv6", "tcp", ":8080", any4, true},
		{"a server for IPv6", "tcp6", "[::1]:8080", any4, false},
		{"a server for IPv6, all of it wanted", "tcp6", "[::1]:8080", any6, true},
		{"a server for IPv6 on all addresses", "tcp6", "[::]:8080", loopback6, true},
		{"a server for IPv4 and IPv6, IPv6 wanted", "tcp", ":8080", any6, true},
		{"a server for IPv4", "tcp4", ":8080", any6, false},
		{"the other protocol", "tcp4", ":8080", udp, false},
		{"a UDP server", "udp4", ":8080", udp, true},
		{"a UDP server on one address", "udp4", "127.0.0.1:8080", udp, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var server io.Closer
			var err error
			if strings.HasPrefix(c.network, "udp") {
				server, err = net.ListenPacket(c.network, c.listen)
			} else {
				server, err = net.Listen(c.network, c.listen)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			// The free port comes first, and must be free again afterwards.
			files, err := Reserve([]Port{{HostPort: 8099}, c.port})
			defer closeAll(t, files)
			if !c.taken {
				if err != nil {
					t.Errorf("got %v, want the port", err)
				}
				return
			}
			var taken *PortError
			if !errors.As(err, &taken) || !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(taken.Holder, own) {
				t.Fatalf("got %v, want a PortError with %q", err, own)
			}
			free, err := Reserve([]Port{{HostPort: 8099}})
			if err != nil {
				t.Errorf("a failed reservation keeps its other ports: %v", err)
			}
			closeAll(t, free)
		})
	}
}

func TestReserveTakenByAPod(t *testing.T) {
	c := self("hold", "8080")
	c.Args[0] = "podrun: pod default/holder"
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	_, err = Reserve([]Port{{HostPort: 8080}})
	want := fmt.Sprintf("host port 8080/TCP is held by pod default/holder 8080 (pid %d)", c.Process.Pid)
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	in.Close()
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}

// A server that was stopped a moment ago leaves its last connections behind.
func TestReserveAfterAServer(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp4", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	served.Close() // the side that closes first keeps the connection
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	client.Close()
	l.Close()
	if !slicesContainTimeWait(socketsOn(Port{HostPort: 8080})) {
		t.Fatal("the connection is not in TIME_WAIT: the test proves nothing")
	}
	files, err := Reserve([]Port{{HostPort: 8080}})
	if err != nil {
		t.Fatal(err)
	}
	closeAll(t, files)
}

func slicesContainTimeWait(list []socket) bool {
	for _, s := range list {
		if s.timeWait {
			return true
		}
	}
	return false
}

func TestReserveRefuses(t *testing.T) {
	for _, c := range []struct {
		port Port
		want string
	}{
		{Port{ContainerPort: 80}, "host port 0"},
		{Port{HostPort: 80, Protocol: "DCCP"}, "TCP, UDP or SCTP"},
		{Port{HostPort: 80, HostIP: netip.MustParseAddr("::ffff:127.0.0.1")}, "write the address as 127.0.0.1"},
		{Port{HostPort: 80, HostIP: netip.MustParseAddr("2001:db8::7")}, "does not have the address 2001:db8::7"},
		{Port{HostPort: 80, HostIP: netip.MustParseAddr("203.0.113.7")}, "does not have the address 203.0.113.7"},
	} {
		files, err := Reserve([]Port{c.port})
		closeAll(t, files)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.port, err, c.want)
		}
	}
}

func TestParseSockets(t *testing.T) {
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0
   1: 020200C0:0016 090200C0:D431 06 00000000:00000000 03:00000A2B 00000000     0        0 0 3 0000000000000000
   2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1
   3: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 98 1
`
	want := []socket{
		{netip.MustParseAddrPort("127.0.0.1:8080"), netip.MustParseAddrPort("0.0.0.0:0"), false, 12345},
		{netip.MustParseAddrPort("192.0.2.2:22"), netip.MustParseAddrPort("192.0.2.9:54321"), true, 0},
		{netip.MustParseAddrPort("[::1]:80"), netip.MustParseAddrPort("[::]:0"), false, 99},
		{netip.MustParseAddrPort("[::ffff:127.0.0.1]:81"), netip.MustParseAddrPort("[::]:0"), false, 98},
	}
	got := parseSockets(strings.NewReader(text))
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzParseSockets(f *testing.F) {
	f.Add("0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 12345")
	f.Add("0: 0:0 0:0 a b c d e f 1\n\n:")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parseSockets(strings.NewReader(text)) {
			if !s.local.IsValid() || !s.remote.IsValid() {
				t.Errorf("%q gives an invalid address", text)
			}
		}
	})
}

// A kernel has SCTP or says by name that it has not.
func TestReserveSCTP(t *testing.T) {
	port := Port{HostPort: 8080, Protocol: "SCTP"}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		_, err := Reserve([]Port{port})
		if want := "reserve host port 8080/SCTP: this kernel has no SCTP (it would be in the module sctp)"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	files, err := Reserve([]Port{port, {HostPort: 8080}})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, files)
	if _, err := Reserve([]Port{port}); !errors.As(err, new(*PortError)) {
		t.Errorf("got %v, want that the port is taken", err)
	}
}

// The rules lead SCTP to the pod also where this kernel's programs cannot speak it.
func TestSCTPRule(t *testing.T) {
	m := newMachine(t)
	m.pod(Port{HostPort: 8080, ContainerPort: 80, Protocol: "SCTP"})
	if rules := run(t, "nft", "list", "table", "ip", tableName(m.Instance)); !strings.Contains(rules, "sctp . 8080") {
		t.Errorf("there is no rule for SCTP:\n%s", rules)
	}
}
