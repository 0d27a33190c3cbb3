package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// fixedIn are the versions of what podrun is made of in which a known hole is closed.
// What is raised stays raised: nothing here may go back below.
var fixedIn = []struct{ module, version, why string }{
	{"go", "v1.26.1", "CVE-2026-27139: os.Root told of files outside; CVE-2025-58183: archive/tar took memory without bound"},
	{"github.com/opencontainers/runc", "v1.5.0", "CVE-2019-5736, CVE-2024-21626, CVE-2024-45310, CVE-2025-31133, CVE-2025-52565, CVE-2025-52881, CVE-2026-41579"},
	{"github.com/opencontainers/selinux", "v1.13.0", "CVE-2025-52881: labels written to where a link led"},
	{"github.com/containerd/containerd/v2", "v2.3.2", "CVE-2025-47290: layers unpacked through links; CVE-2024-40635: users that overflow; CVE-2026-47262: group files without end"},
	{"golang.org/x/net", "v0.38.0", "CVE-2023-44487, CVE-2023-45288: HTTP/2 without bounds; CVE-2025-22872"},
	{"golang.org/x/text", "v0.3.8", "CVE-2022-32149"},
	{"gopkg.in/yaml.v3", "v3.0.1", "CVE-2022-28948: a manifest that ends the parser"},
	{"go.yaml.in/yaml/v2", "v2.2.8", "CVE-2019-11253, CVE-2019-11254: bombs of aliases"},
	{"google.golang.org/protobuf", "v1.33.0", "CVE-2024-24786"},
	{"google.golang.org/grpc", "v1.56.3", "CVE-2023-44487"},
	{"github.com/gogo/protobuf", "v1.3.2", "CVE-2021-3121: records that end the reader"},
	{"github.com/sirupsen/logrus", "v1.9.3", "CVE-2025-65637"},
	{"github.com/docker/cli", "v20.10.9", "CVE-2021-41092: credentials sent to another registry"},
	{"github.com/opencontainers/image-spec", "v1.0.2", "GHSA-77vh-xpmg-72qh: a manifest that is two things"},
}

// TestDependenciesHaveTheFixes holds go.mod against the list.
func TestDependenciesHaveTheFixes(t *testing.T) {
	have := map[string]string{}
	f, err := os.Open("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(strings.TrimPrefix(lines.Text(), "require "))
		switch {
		case len(fields) >= 2 && fields[0] == "go":
			have["go"] = "v" + fields[1]
		case len(fields) >= 2 && strings.HasPrefix(fields[1], "v"):
			have[fields[0]] = fields[1]
		case len(fields) >= 3 && fields[0] == "replace":
			t.Errorf("go.mod replaces %s: its version says nothing", fields[1])
		}
	}
	for _, want := range fixedIn {
		got, used := have[want.module]
		if !used {
			t.Errorf("%s is not used any more: take it off the list", want.module)
			continue
		}
		if slices.Compare(numbers(t, got), numbers(t, want.version)) < 0 {
			t.Errorf("%s is %s, and has to be %s or later: %s", want.module, got, want.version, want.why)
		}
	}
}

// numbers are those of a version, without what comes behind them.
func numbers(t *testing.T, version string) []int {
	t.Helper()
	n := make([]int, 3)
	if got, err := fmt.Sscanf(version, "v%d.%d.%d", &n[0], &n[1], &n[2]); got < 2 {
		t.Fatalf("read version %q: %v", version, err)
	}
	return n
}
