package volumes

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"

	"podrun/claims"
)

func BenchmarkMount(b *testing.B) {
	data := map[string]string{"a": "text", "b": "text", "c": "text"}
	secrets := map[string]*v1.Secret{"data": {Data: map[string][]byte{"key": []byte("hidden")}}}
	for _, bench := range []struct {
		name    string
		volumes []v1.Volume
	}{
		{"none", nil},
		{"emptyDir", []v1.Volume{emptyDir("data")}},
		{"memory", []v1.Volume{memory("data")}},
		{"configMap", []v1.Volume{configMap("data")}},
		{"secret", []v1.Volume{secret("data")}},
		{"claim", []v1.Volume{claim("data")}},
	} {
		s := newSpec(b, bench.volumes...)
		s.ConfigMaps, s.Secrets = configMaps("data", data), secrets
		ok(b, os.MkdirAll(s.Dir, 0o700))
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				must(Mount(s))(b)
				b.StopTimer()
				releasePoint(filepath.Join(s.Dir, "data")) // a tmpfs
				ok(b, Remove(s.Dir))
				ok(b, claims.Remove(filepath.Join(s.Claims, "data")))
				ok(b, os.MkdirAll(s.Dir, 0o700))
				b.StartTimer()
			}
		})
	}
}

func BenchmarkSubPath(b *testing.B) {
	s := newSpec(b, emptyDir("data"))
	set := must(Mount(s))(b)
	c := container(v1.VolumeMount{Name: "data", MountPath: "/d", SubPath: "a/b"})
	for b.Loop() {
		must(set.Binds(c, "c-0"))(b)
		ok(b, set.Release("c-0"))
	}
}

func BenchmarkRemove(b *testing.B) {
	s := newSpec(b, emptyDir("data"))
	for b.Loop() {
		b.StopTimer()
		must(Mount(s))(b)
		for n := range 1000 {
			write(b, fmt.Sprintf("%s/data/%d", s.Dir, n), "")
		}
		b.StartTimer()
		ok(b, Remove(s.Dir))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/file")
}
