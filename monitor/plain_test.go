package monitor

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/image"
	"podrun/logs"
	"podrun/netns"
	"podrun/pod"
	"podrun/runtime"
	"podrun/state"
)

// Nothing of the caller's environment may get into the monitor's, which lives
// on, but what a pull needs.
func TestEnvironment(t *testing.T) {
	own := []string{
		"PATH=/bin", "HOME=/root", "DOCKER_CONFIG=/d", "REGISTRY_AUTH_FILE=/a", "XDG_RUNTIME_DIR=/x",
		"http_proxy=p", "HTTPS_PROXY=p", "No_Proxy=n", "all_proxy=p", "SSL_CERT_FILE=/f", "SSL_CERT_DIR=/d", "TZ=UTC",
	}
	foreign := []string{
		"AWS_SECRET_ACCESS_KEY=s", "LD_PRELOAD=/evil.so", "GODEBUG=x", "GOMAXPROCS=1", "PODRUN_ROOT=/r", "_PODRUN_PAUSE=1",
		"PATHS=/x", "NOTIFY_SOCKET=/run/n", "_LIBCONTAINER_INITPIPE=3", "=x", "", "PATH",
	}
	got := environment(slices.Concat(own, foreign))
	if want := append(slices.Clone(own), "PATH"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHostname(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	long, shop, short := strings.Repeat("a", 70), "shop", "a.b"
	for _, test := range []struct {
		name         string
		spec         v1.PodSpec
		want, domain string
	}{
		{"web", v1.PodSpec{}, "web", ""},
		{"web", v1.PodSpec{Hostname: shop}, "shop", ""},
		{"web", v1.PodSpec{Hostname: shop, HostNetwork: true}, machine, ""},
		{"web.example", v1.PodSpec{}, "web.example", ""},
		{strings.Repeat("a", 63), v1.PodSpec{}, strings.Repeat("a", 63), ""},
		{long, v1.PodSpec{}, long[:63], ""},
		{strings.Repeat("a", 61) + "-.b", v1.PodSpec{}, strings.Repeat("a", 61), ""}, // a name must not end in - or .
		{"web", v1.PodSpec{Subdomain: "sub"}, "web", "sub.ns.svc.cluster.local"},
		{"web", v1.PodSpec{Subdomain: "sub", SetHostnameAsFQDN: new(true)}, "web.sub.ns.svc.cluster.local", "sub.ns.svc.cluster.local"},
		{"web", v1.PodSpec{SetHostnameAsFQDN: new(true)}, "web", ""},
		{"web", v1.PodSpec{Hostname: shop, Subdomain: "sub", HostnameOverride: &short}, "a.b", ""},
		{"web", v1.PodSpec{HostnameOverride: &long}, long[:63], ""},
	} {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: test.name, Namespace: "ns"}, Spec: test.spec}
		if got := hostname(p); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		if _, got := podNames(p); got != test.domain {
			t.Errorf("%s: got the domain %q, want %q", test.name, got, test.domain)
		}
	}
}

func TestHostnameTooLong(t *testing.T) {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns"}, Spec: v1.PodSpec{SetHostnameAsFQDN: new(true)}}
	for letters, fits := range map[int]bool{39: true, 40: false} { // web.<subdomain>.ns.svc.cluster.local
		p.Spec.Subdomain = strings.Repeat("s", letters)
		if err := checkHostname(p); (err == nil) != fits {
			t.Errorf("%s, %d characters: %v", hostname(p), len(hostname(p)), err)
		}
	}
}

func TestHostPorts(t *testing.T) {
	spec := &v1.PodSpec{
		InitContainers: []v1.Container{
			{Ports: []v1.ContainerPort{{HostPort: 1, ContainerPort: 1}}},
			{RestartPolicy: new(v1.ContainerRestartPolicyAlways), Ports: []v1.ContainerPort{{HostPort: 2, HostIP: "127.0.0.2", ContainerPort: 3, Protocol: v1.ProtocolTCP}}},
		},
		Containers: []v1.Container{
			{Ports: []v1.ContainerPort{{ContainerPort: 80, Protocol: v1.ProtocolTCP}, {ContainerPort: 53, HostPort: 5353, Protocol: v1.ProtocolUDP}}},
			{Ports: []v1.ContainerPort{{ContainerPort: 80, HostPort: 65535, HostIP: "127.0.0.1", Protocol: v1.ProtocolTCP}}},
		},
	}
	want := []netns.Port{
		{HostIP: netip.MustParseAddr("127.0.0.2"), HostPort: 2, ContainerPort: 3, Protocol: "TCP"},
		{HostIP: netip.IPv4Unspecified(), HostPort: 5353, ContainerPort: 53, Protocol: "UDP"},
		{HostIP: netip.IPv6Unspecified(), HostPort: 5353, ContainerPort: 53, Protocol: "UDP"},
		{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 65535, ContainerPort: 80, Protocol: "TCP"},
	}
	if got := hostPorts(spec, true); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := hostPorts(spec, false), append(want[:2:2], want[3]); !slices.Equal(got, want) {
		t.Errorf("without IPv6: got %v, want %v", got, want)
	}
}

func TestKeptNamesFit(t *testing.T) {
	id := ID(strings.Repeat("c", 63), 1<<31-1)
	for _, s := range streams {
		for end := range pipeEnds(&logs.Pipes{}) {
			if name := keptName(id, s, end); len(name) > 127 {
				t.Errorf("%q has %d bytes", name, len(name))
			}
		}
	}
}

func TestFailuresHaveTheirReasons(t *testing.T) {
	var f *pod.Failure
	err := configFailure(fmt.Errorf("create: %w", &runtime.ConfigError{Text: "no such user"}))
	if !errors.As(err, &f) || f.Reason != "CreateContainerConfigError" || f.Error() != "no such user" {
		t.Errorf("got %v, want a CreateContainerConfigError", err)
	}
	if err := configFailure(os.ErrPermission); !errors.Is(err, os.ErrPermission) || errors.As(err, &f) {
		t.Errorf("got %v, want it unchanged", err)
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{os.ErrPermission, "ErrImagePull"},
		{&image.PullError{Reason: "InvalidImageName"}, "InvalidImageName"},
	} {
		if err := imageFailure(test.err); !errors.As(err, &f) || f.Reason != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestTakePulledOnce(t *testing.T) {
	m := containers{&monitor{record: &state.Record{}, pulled: map[string]bool{}, pod: &v1.Pod{Spec: v1.PodSpec{InitContainers: []v1.Container{{Name: "i"}}, Containers: []v1.Container{{Name: "a"}}}}}}
	m.markPulled()
	for _, name := range []string{"i", "a"} {
		if !m.takePulled(name) || m.takePulled(name) {
			t.Errorf("%s: want it to count as pulled for its first start only", name)
		}
	}
	if m.takePulled("b") {
		t.Error("b counts as pulled")
	}
}

func TestWriteOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	for _, content := range []string{"first", "second"} {
		if err := writeOnce(path, func() ([]byte, error) { return []byte(content), nil }); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "first" {
		t.Errorf("got %q, %v, want what was there", got, err)
	}
	if err := writeOnce(path+"2", func() ([]byte, error) { return nil, os.ErrPermission }); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v, want the error of the content", err)
	}
}

// The limits are the kubelet's. The file is the container's: it may be anything.
func TestTerminationMessage(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"none", func(string) error { return nil }, ""},
		{"short", func(path string) error { return os.WriteFile(path, []byte("why"), 0o600) }, "why"},
		{"long: its end", func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("x", 10)+strings.Repeat("y", maxMessage)), 0o600)
		}, strings.Repeat("y", maxMessage)},
		{"a link", func(path string) error { return os.Symlink("/etc/hostname", path) }, ""},
		{"a pipe", func(path string) error { return unix.Mkfifo(path, 0o600) }, ""},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o700) }, ""},
	} {
		s := newStore(t)
		m := containers{&monitor{store: s, record: newRecord(s), pod: &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "a"}}}}}}
		a := m.newAttempt("a", 0)
		if err := os.MkdirAll(m.rootDir(a.id), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := test.make(m.messageFile(a.id)); err != nil {
			t.Fatal(err)
		}
		if got := m.terminationMessage(a, runtime.Exit{Code: 1}); got != test.want {
			t.Errorf("%s: got %q (%d bytes), want %q", test.name, got[:min(len(got), 20)], len(got), test.want[:min(len(test.want), 20)])
		}
	}
}

func TestTerminationMessageFromTheLog(t *testing.T) {
	s := newStore(t)
	m := containers{&monitor{store: s, record: newRecord(s), pod: &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{
		{Name: "a", TerminationMessagePolicy: v1.TerminationMessageFallbackToLogsOnError},
	}}}}}
	a := m.newAttempt("a", 0)
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "2026-01-02T03:04:05.000000000Z stderr F line %d\n", i)
	}
	for path, content := range map[string]string{m.messageFile(a.id): "", filepath.Join(m.logPath("a"), "0.log"): text.String()} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := state.WriteFile(path, []byte(content), 0o600, state.Volatile); err != nil {
			t.Fatal(err)
		}
	}
	got := m.terminationMessage(a, runtime.Exit{Code: 1})
	if !strings.HasSuffix(got, "line 199\n") || strings.Count(got, "\n") > maxMessageLines || len(got) > maxMessageLog {
		t.Errorf("got %d bytes in %d lines: %q", len(got), strings.Count(got, "\n"), got)
	}
	if got := m.terminationMessage(a, runtime.Exit{}); got != "" {
		t.Errorf("of a container that ended well: got %q, want nothing", got)
	}
}

// TestTerminationMessagesShareTheStatus: the kubelet cuts at the end what it took from the end.
func TestTerminationMessagesShareTheStatus(t *testing.T) {
	s := newStore(t)
	spec := v1.PodSpec{InitContainers: make([]v1.Container, 3), Containers: []v1.Container{{Name: "a"}, {}, {}}}
	m := containers{&monitor{store: s, record: newRecord(s), pod: &v1.Pod{Spec: spec}}}
	a := m.newAttempt("a", 0)
	if err := os.MkdirAll(m.rootDir(a.id), 0o700); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 100) + strings.Repeat("y", 2048) + strings.Repeat("z", 2048)
	if err := os.WriteFile(m.messageFile(a.id), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := m.terminationMessage(a, runtime.Exit{}); got != strings.Repeat("y", 2048) {
		t.Errorf("got %d bytes that begin with %.1s, want 2048 of y", len(got), got)
	}
}

func TestReadSome(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer write.Close()
		for range 100 {
			if _, err := write.Write([]byte(strings.Repeat("z", 1000) + "\n")); err != nil {
				return
			}
		}
	}()
	if got := readSome(read); len(got) != maxProbeOutput {
		t.Errorf("got %d bytes, want the first %d", len(got), maxProbeOutput)
	}
}

func TestBandwidth(t *testing.T) {
	for _, c := range []struct {
		in, out string // "": no annotation
		want    netns.Bandwidth
		err     string
	}{
		{"", "", netns.Bandwidth{}, ""},
		{"10M", "", netns.Bandwidth{Ingress: 10e6}, ""},
		{"1k", "1P", netns.Bandwidth{Ingress: 1e3, Egress: 1e15}, ""},
		{"", "1Mi", netns.Bandwidth{Egress: 1 << 20}, ""},
		{"999", "", netns.Bandwidth{}, `read annotation kubernetes.io/ingress-bandwidth: "999" is not between 1k and 1P`},
		{"", "2P", netns.Bandwidth{}, `read annotation kubernetes.io/egress-bandwidth: "2P" is not between`},
		{"", "-1M", netns.Bandwidth{}, "kubernetes.io/egress-bandwidth"},
		{"10Mbit", "", netns.Bandwidth{}, `"10Mbit" is no quantity`},
	} {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"other": "x"}}}
		for name, text := range map[string]string{ingressBandwidth: c.in, egressBandwidth: c.out} {
			if text != "" {
				p.Annotations[name] = text
			}
		}
		got, err := bandwidthOf(p)
		if c.err == "" && (err != nil || got != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%q, %q: got %v, %v; want %v %s", c.in, c.out, got, err, c.want, c.err)
		}
		p.Spec.HostNetwork = true
		if got, err := bandwidthOf(p); err != nil || got != (netns.Bandwidth{}) {
			t.Errorf("with hostNetwork: got %v, %v", got, err)
		}
	}
}

func TestShadowedPorts(t *testing.T) {
	all := netns.Port{HostIP: netip.IPv4Unspecified(), HostPort: 80, Protocol: "TCP"}
	for name, c := range map[string]struct {
		change func(*netns.Port)
		want   bool
	}{
		"one of all addresses":     {func(*netns.Port) {}, true},
		"of the other family":      {func(p *netns.Port) { p.HostIP = netip.IPv6Loopback() }, false},
		"of another protocol":      {func(p *netns.Port) { p.Protocol = "UDP" }, false},
		"of another port":          {func(p *netns.Port) { p.HostPort = 81 }, false},
		"all addresses themselves": {func(p *netns.Port) { p.HostIP = all.HostIP }, false},
	} {
		p := netns.Port{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 80, Protocol: "TCP"}
		c.change(&p)
		if got := shadowed(p, []netns.Port{p, all}); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
