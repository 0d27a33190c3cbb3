package image

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestNormalize(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	for reference, want := range map[string]string{
		"busybox":                         "docker.io/library/busybox:latest",
		"busybox:1.36":                    "docker.io/library/busybox:1.36",
		"me/app":                          "docker.io/me/app:latest",
		"a--b/c_d__e.f":                   "docker.io/a--b/c_d__e.f:latest",
		"docker.io/busybox":               "docker.io/library/busybox:latest",
		"index.docker.io/library/a:1":     "docker.io/library/a:1",
		"localhost/a":                     "localhost/a:latest",
		"localhost:5000/a/b:c":            "localhost:5000/a/b:c",
		"registry.k8s.io/pause:3.10":      "registry.k8s.io/pause:3.10",
		"[::1]:5000/a":                    "[::1]:5000/a:latest",
		"busybox@" + digest:               "docker.io/library/busybox@" + digest,
		"localhost:5000/a:gone@" + digest: "localhost:5000/a@" + digest,
	} {
		got, err := Normalize(reference)
		if err != nil || got != want {
			t.Errorf("Normalize(%q) = %q, %v; want %q", reference, got, err, want)
			continue
		}
		if again, err := Normalize(got); err != nil || again != got {
			t.Errorf("Normalize(%q) = %q, %v; want it as it is", got, again, err)
		}
	}
	for reference, why := range map[string]string{
		"": "empty", " busybox": "blank", "Busybox": "upper case", "a//b": "empty part", "http://a/b": "scheme", "a:": "empty tag", "a@sha256:1": "short digest",
		"../../etc": "dots", "localhost/..": "dots", "a/-b": "leading dash", "a.": "trailing dot", "a..b": "two dots", "a:.b": "tag with a leading dot", "a___b": "three underscores", "a\x00b": "NUL", "a:b/c:d@": "no digest", "a%2fb": "escape",
	} {
		_, err := Normalize(reference)
		var pullErr *PullError
		if !errors.As(err, &pullErr) || pullErr.Reason != ReasonInvalidImageName {
			t.Errorf("Normalize(%q) = %v, want InvalidImageName: %s", reference, err, why)
		}
	}
}

func TestSplit(t *testing.T) {
	for reference, want := range map[string][2]string{
		"docker.io/library/a:1":      {"docker.io/library/a", "1"},
		"localhost:5000/a:b":         {"localhost:5000/a", "b"},
		"localhost:5000/a@sha256:00": {"localhost:5000/a", ""},
		"":                           {"", ""},
	} {
		if repository, tag := Split(reference); repository != want[0] || tag != want[1] {
			t.Errorf("Split(%q) = %q, %q; want %q", reference, repository, tag, want)
		}
	}
}

// FuzzNormalize: whatever is taken for a reference becomes a plain file name,
// and its full form means the same.
func FuzzNormalize(f *testing.F) {
	f.Add("busybox")
	f.Add("localhost:5000/a/b:c@sha256:" + strings.Repeat("0", 64))
	f.Fuzz(func(t *testing.T, reference string) {
		full, err := Normalize(reference)
		if err != nil {
			return
		}
		if again, err := Normalize(full); err != nil || again != full {
			t.Errorf("Normalize(%q) = %q, whose full form is %q, %v", reference, full, again, err)
		}
		name := recordName(full)
		if strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") || len(name) > 255 {
			t.Errorf("record of %q is %q", full, name)
		}
	})
}

func TestApplyChange(t *testing.T) {
	tests := []struct {
		changes []string
		want    v1.Config
	}{
		{[]string{`CMD ["sh", "-c", "a, b"]`}, v1.Config{Cmd: []string{"sh", "-c", "a, b"}}},
		{[]string{"cmd echo $HOME"}, v1.Config{Cmd: []string{"/bin/sh", "-c", "echo $HOME"}}},
		{[]string{`ENTRYPOINT ["/init"]`, "CMD []"}, v1.Config{Entrypoint: []string{"/init"}, Cmd: []string{}}},
		{[]string{`ENV A=1 B="two words" C='x y' D=a\ b E="q\"q"`}, v1.Config{Env: []string{"A=1", "B=two words", "C=x y", "D=a b", `E=q"q`}}},
		{[]string{"ENV A=1", "ENV B=2", "ENV A=3"}, v1.Config{Env: []string{"A=3", "B=2"}}},
		{[]string{"ENV OLD some words"}, v1.Config{Env: []string{"OLD=some words"}}},
		{[]string{"ENV EMPTY="}, v1.Config{Env: []string{"EMPTY="}}},
		{[]string{"USER 1000:1000"}, v1.Config{User: "1000:1000"}},
		{[]string{"WORKDIR srv", "WORKDIR ../www/"}, v1.Config{WorkingDir: "/www"}},
		{[]string{"STOPSIGNAL int"}, v1.Config{StopSignal: "SIGINT"}},
		{[]string{"STOPSIGNAL 37"}, v1.Config{StopSignal: "37"}},
		{[]string{"STOPSIGNAL SIGRTMIN+3"}, v1.Config{StopSignal: "SIGRTMIN+3"}},
		{[]string{"VOLUME /a /b", `VOLUME ["/c d"]`}, v1.Config{Volumes: map[string]struct{}{"/a": {}, "/b": {}, "/c d": {}}}},
	}
	for _, tt := range tests {
		var got v1.Config
		for _, change := range tt.changes {
			if err := applyChange(&got, change); err != nil {
				t.Errorf("%q: %v", change, err)
			}
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q = %+v, want %+v", tt.changes, got, tt.want)
		}
	}
	for change, why := range map[string]string{
		"": "nothing", "CMD": "no value", "EXPOSE 80": "not one of those we take", "CMD ['sh']": "single quotes are no JSON", "CMD [1]": "a number",
		"ENV A": "no value", "ENV =x": "no name", `ENV A="x`: "open quote", "ENV A=1 B": "second without =", "STOPSIGNAL NOPE": "no signal", "STOPSIGNAL 65": "no signal",
		`ENV "" x`: "empty name",
	} {
		if err := applyChange(&v1.Config{}, change); err == nil {
			t.Errorf("%q was taken: %s", change, why)
		}
	}
}

func FuzzApplyChange(f *testing.F) {
	for _, seed := range []string{`CMD ["sh"]`, `ENV A="b c" D=e\ f`, "WORKDIR ..", `VOLUME ["/a"]`, "STOPSIGNAL 9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, change string) {
		var c v1.Config
		if applyChange(&c, change) != nil {
			return
		}
		if kept := keyValues(c.Env); len(kept) != len(c.Env) {
			t.Errorf("%q makes the environment %q", change, c.Env)
		}
		if c.WorkingDir != "" && c.WorkingDir[0] != '/' {
			t.Errorf("%q makes the working directory %q", change, c.WorkingDir)
		}
	})
}

func TestRank(t *testing.T) {
	platform := func(s string) v1.Platform {
		p, err := v1.ParsePlatform(s)
		if err != nil {
			t.Fatal(err)
		}
		return *p
	}
	for _, tt := range []struct {
		machine string
		best    string
		offered []string // in this order in the index
	}{
		{"linux/amd64", "linux/amd64", []string{"linux/arm64", "linux/amd64"}},
		{"linux/amd64", "linux/amd64", []string{"linux/amd64/v3", "linux/amd64"}},
		{"linux/amd64", "", []string{"linux/amd64/v3", "windows/amd64"}},
		{"linux/arm64/v8", "linux/arm64", []string{"linux/arm/v7", "linux/arm64"}},
		{"linux/arm64/v8", "linux/arm64/v8", []string{"linux/arm64/v8"}},
		{"linux/arm/v7", "linux/arm/v7", []string{"linux/arm/v5", "linux/arm/v6", "linux/arm/v7"}},
		{"linux/arm/v7", "linux/arm/v6", []string{"linux/arm/v5", "linux/arm/v6", "linux/arm/v8"}},
		{"linux/arm/v6", "linux/arm/v6", []string{"linux/arm/v7", "linux/arm/v6"}},
		{"linux/arm/v6", "", []string{"linux/arm"}}, // which is v7
		{"linux/riscv64", "linux/riscv64", []string{"linux/riscv64"}},
	} {
		index := &v1.IndexManifest{}
		for _, o := range tt.offered {
			p := platform(o)
			index.Manifests = append(index.Manifests, v1.Descriptor{Platform: &p})
		}
		got, err := pickPlatform(index, platform(tt.machine))
		switch {
		case tt.best == "" && (err == nil || !strings.Contains(err.Error(), "it exists for linux/")):
			t.Errorf("%v on %s: %v, want a list of what exists", tt.offered, tt.machine, err)
		case tt.best != "" && (err != nil || got.Platform.String() != tt.best):
			t.Errorf("%v on %s: %v, %v; want %s", tt.offered, tt.machine, got.Platform, err, tt.best)
		}
	}
}

func TestRepository(t *testing.T) {
	for reference, want := range map[string]string{
		"docker.io/library/busybox:latest":         "docker.io/library/busybox",
		"localhost:5000/a/b":                       "localhost:5000/a/b",
		"localhost:5000/a/b:1@sha256:0123456789ab": "localhost:5000/a/b",
		"quay.io/a@sha256:0123456789ab":            "quay.io/a",
	} {
		if got := Repository(reference); got != want {
			t.Errorf("%s: got %s, want %s", reference, got, want)
		}
	}
}
