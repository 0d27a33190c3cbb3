package volumes

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// refreshVariable makes the test binary refresh the volume of a Spec.Dir until it
// is killed.
const refreshVariable = "PODRUN_VOLUMES_TEST_REFRESH"

// generation is the nth data of the volume: its files say which, and of each two
// that follow each other every file differs, comes or goes.
func generation(n int) map[string]*v1.ConfigMap {
	text := strings.Repeat(fmt.Sprint(n%10), 5000)
	data := map[string]string{"a": text, "b": text, fmt.Sprint("c", n%2): text}
	return configMaps("config", data)
}

func generationSpec(dir string) Spec {
	v := configMap("config")
	return Spec{Dir: dir, Pod: &v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{v}, Containers: []v1.Container{
		{Name: "c", VolumeMounts: []v1.VolumeMount{{Name: "config", MountPath: "/config"}}},
	}}}}
}

func refreshForEver(dir string) error {
	s := generationSpec(dir)
	s.ConfigMaps = generation(0)
	set, err := Mount(s)
	for n := 0; err == nil; n++ {
		if err = set.Refresh(s.Pod, generation(n), nil); n == 0 {
			fmt.Println("ready")
		}
	}
	return err
}

// TestKilledRefresh kills what refreshes a volume at any moment. Whoever reads
// meanwhile finds one whole generation, and the next monitor makes it its own.
func TestKilledRefresh(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pod/volumes")
	volume := filepath.Join(dir, "config")
	for n := range 60 {
		child := exec.Command("/proc/self/exe")
		child.Env = append(os.Environ(), refreshVariable+"="+dir)
		child.Stderr = os.Stderr
		out := must(child.StdoutPipe())(t)
		ok(t, child.Start())
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("the child says %q, %v", line, err)
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		ok(t, child.Process.Kill())
		child.Wait()

		a := read(t, filepath.Join(volume, dataLink, "a"))
		if b := read(t, filepath.Join(volume, dataLink, "b")); len(a) != 5000 || a != b {
			t.Fatalf("round %d: got %d bytes of %.1s beside %.1s, want one generation", n, len(a), a, b)
		}
		s := generationSpec(dir)
		s.ConfigMaps = generation(n)
		must(Mount(s))(t)
		want := []string{must(os.Readlink(filepath.Join(volume, dataLink)))(t), dataLink, "a", "b", fmt.Sprint("c", n%2)}
		if got := names(t, volume); !slices.Equal(got, want) {
			t.Fatalf("round %d: got %q, want %q", n, got, want)
		}
		for _, file := range want[2:] {
			if got := read(t, filepath.Join(volume, file)); got != s.ConfigMaps["config"].Data[file] {
				t.Fatalf("round %d: %s has %.1s", n, file, got)
			}
		}
	}
	ok(t, Remove(dir))
}
