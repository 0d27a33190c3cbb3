package volumes

import (
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func huge(medium v1.StorageMedium) v1.Volume {
	return source(v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: medium}}, "huge")
}

// asksFor is a pod whose containers request one huge page of each size.
func asksFor(s Spec, sizes ...string) Spec {
	requests := v1.ResourceList{}
	for _, size := range sizes {
		requests[v1.ResourceName(v1.ResourceHugePagesPrefix+size)] = resource.MustParse(size)
	}
	s.Pod.Spec.Containers[0].Resources.Requests = requests
	return s
}

func TestHugePages(t *testing.T) {
	for _, medium := range []v1.StorageMedium{"HugePages", "HugePages-2Mi"} {
		for _, group := range []bool{false, true} {
			s := asksFor(newSpec(t, huge(medium)), "2Mi")
			want := "0 755"
			if group {
				s, want = withGroup(s, ""), "4321 2775"
			}
			inPod(t, func() {
				for range 2 {
					if _, err := Mount(s); err != nil {
						t.Error(err)
						return
					}
					var fs unix.Statfs_t
					if err := unix.Statfs(s.Dir+"/huge", &fs); err != nil {
						t.Error(err)
					}
					if fs.Type != unix.HUGETLBFS_MAGIC || fs.Bsize != 2<<20 {
						t.Errorf("%s: got file system %x with pages of %d bytes", medium, fs.Type, fs.Bsize)
					}
					if got := stat(t, s.Dir+"/huge"); got != want {
						t.Errorf("%s: got %s, want %s", medium, got, want)
					}
				}
			})
		}
	}
}

func TestHugePagesErrors(t *testing.T) {
	tests := []struct {
		medium v1.StorageMedium
		asked  []string
		want   string
	}{
		{"HugePages", nil, `medium HugePages: hugePages storage requested, but there is no resource request for huge pages`},
		{"HugePages-2Mi", []string{"1Gi"}, `medium HugePages-2Mi: hugePages storage requested, but there is no resource request for huge pages`},
		{"HugePages", []string{"2Mi", "1Gi"}, `medium: HugePages can't be used if container requests multiple huge page sizes`},
		{"HugePages-3Mi", []string{"3Mi"}, `medium HugePages-3Mi: this machine has no huge pages of 3Mi`},
		{"HugePages-much", []string{"2Mi"}, `medium HugePages-much: read the page size`},
		{"Disk", nil, `unknown storage medium "Disk"`},
	}
	for _, test := range tests {
		s := asksFor(newSpec(t, huge(test.medium)), test.asked...)
		inPod(t, func() {
			_, err := Mount(s)
			checkError(t, err, `mount volume "huge": `+test.want)
		})
	}
}
