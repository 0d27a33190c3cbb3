package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runc/libcontainer/configs"
	v1 "k8s.io/api/core/v1"
)

// TestLocalhostProfile reads profiles of both forms, in the order of their
// directories, and from nowhere else.
func TestLocalhostProfile(t *testing.T) {
	top := t.TempDir()
	own, kubelet := filepath.Join(top, "own"), filepath.Join(top, "kubelet")
	for path, text := range map[string]string{
		"own/oci.json":       `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}`,
		"own/deep/oci.json":  `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod"], "action": "SCMP_ACT_ERRNO"}]}`,
		"kubelet/oci.json":   `{"defaultAction": "SCMP_ACT_LOG"}`,
		"kubelet/other.json": `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}}, {"name": "chown", "action": "SCMP_ACT_ERRNO"}]}`,
		"own/empty.json":     `{}`,
		"own/broken.json":    `{"defaultAction": `,
		"own/action.json":    `{"defaultAction": "SCMP_ACT_PERHAPS"}`,
		"outside.json":       `{"defaultAction": "SCMP_ACT_ALLOW"}`,
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(top, path)), 0o755))
		must(t, os.WriteFile(filepath.Join(top, path), []byte(text), 0o644))
	}
	tests := []struct{ why, name, want, err string }{
		{"the OCI's form", "oci.json", "mkdir", ""},
		{"in a directory below", "deep/oci.json", "chmod", ""},
		{"docker's form, and only the kubelet's directory has it", "other.json", "mount chown", ""},
		{"missing", "none.json", "", "put the profile at " + own + "/none.json"},
		{"empty", "empty.json", "", "neither a defaultAction nor syscalls"},
		{"no JSON", "broken.json", "", "own/broken.json"},
		{"no action of seccomp", "action.json", "", "own/action.json"},
		{"a name that climbs", "../outside.json", "", "below the directory of profiles"},
		{"a whole path", top + "/outside.json", "", "below the directory of profiles"},
		{"no name", "", "", "below the directory of profiles"},
	}
	s := &Spec{SeccompDirs: []string{own, kubelet}}
	for _, test := range tests {
		sc := v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeLocalhost, LocalhostProfile: &test.name}}
		filter, err := s.seccompFilter(sc, defaultCapabilities)
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got error %v, want %q", test.why, err, test.err)
			continue
		}
		if got := refusedCalls(filter); got != test.want {
			t.Errorf("%s: refuses %q, want %q", test.why, got, test.want)
		}
	}
	filter, err := s.seccompFilter(v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{
		Type: v1.SeccompProfileTypeLocalhost, LocalhostProfile: ptr("other.json"),
	}}, []string{"CAP_SYS_ADMIN"})
	if got := refusedCalls(filter); err != nil || got != "chown" {
		t.Errorf("with the capability that the profile excludes: refuses %q (%v), want chown", got, err)
	}
}

func refusedCalls(filter *configs.Seccomp) string {
	if filter == nil {
		return ""
	}
	var names []string
	for _, call := range filter.Syscalls {
		if call.Action == configs.Errno && !slices.Contains(names, call.Name) {
			names = append(names, call.Name)
		}
	}
	return strings.Join(names, " ")
}
