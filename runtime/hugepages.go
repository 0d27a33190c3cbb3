package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/cgroups"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// hugePagesDir has a directory for each size of huge pages that the kernel has.
const hugePagesDir = "/sys/kernel/mm/hugepages"

// HugePages is how many huge pages of a size, such as 2Mi, the machine has.
func HugePages(size resource.Quantity) (pages int64) {
	data, err := os.ReadFile(filepath.Join(hugePagesDir, "hugepages-"+strconv.FormatInt(size.Value()>>10, 10)+"kB", "nr_hugepages"))
	if err != nil {
		return 0
	}
	pages, _ = strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return pages
}

// HugePageSize is the page size in the name of a resource such as hugepages-2Mi.
func HugePageSize(name v1.ResourceName) (resource.Quantity, bool) {
	size, ok := strings.CutPrefix(string(name), v1.ResourceHugePagesPrefix)
	if !ok {
		return resource.Quantity{}, false
	}
	q, err := resource.ParseQuantity(size)
	return q, err == nil
}

// containerHugePages are the container's limits, those of the pod where it has
// none of its own for a size, and nothing of any other size (kubelet,
// GetHugepageLimitsFromResources).
func containerHugePages(p *v1.Pod, c *v1.Container) []*cgroups.HugepageLimit {
	asked := v1.ResourceList{}
	if p.Spec.Resources != nil {
		for name, q := range p.Spec.Resources.Limits {
			asked[name] = q
		}
	}
	for name, q := range c.Resources.Limits {
		asked[name] = q
	}
	return hugePages(asked)
}

// hugePages are the limits for every page size of a machine that has huge pages
// to give away. Elsewhere there is nothing to limit.
func hugePages(asked v1.ResourceList) []*cgroups.HugepageLimit {
	if !hugePagesExist() {
		return nil
	}
	var list []*cgroups.HugepageLimit
	for _, size := range cgroups.HugePageSizes() {
		list = append(list, &cgroups.HugepageLimit{Pagesize: size, Limit: askedOf(asked, size)})
	}
	return list
}

// askedOf is the amount of one page size, named as the kernel's cgroup files name it.
func askedOf(asked v1.ResourceList, size string) uint64 {
	for name, q := range asked {
		page, ok := HugePageSize(name)
		if ok && cgroupSize(page.Value()) == size {
			return uint64(q.Value())
		}
	}
	return 0
}

// cgroupSize is a size as in hugetlb.2MB.max: mm/hugetlb_cgroup.c, mem_fmt.
func cgroupSize(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return strconv.FormatInt(bytes>>30, 10) + "GB"
	case bytes >= 1<<20:
		return strconv.FormatInt(bytes>>20, 10) + "MB"
	}
	return strconv.FormatInt(bytes>>10, 10) + "KB"
}

// hugePagesExist reports whether the machine has, or may make, huge pages, and
// its cgroups can limit them.
var hugePagesExist = sync.OnceValue(func() bool {
	return anyHugePages(hugePagesDir) && HasController("hugetlb")
})

func anyHugePages(dir string) bool {
	for _, name := range []string{"nr_hugepages", "nr_overcommit_hugepages"} {
		files, _ := filepath.Glob(filepath.Join(dir, "*", name))
		for _, f := range files {
			if data, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(data)) != "0" {
				return true
			}
		}
	}
	return false
}

// HasController reports whether the machine's cgroups have a controller, such as
// pids or hugetlb, where libcontainer uses it: on cgroup v1 that is a hierarchy
// of its own.
func HasController(name string) bool {
	const top = "/sys/fs/cgroup"
	if cgroups.IsCgroup2UnifiedMode() {
		data, err := os.ReadFile(filepath.Join(top, "cgroup.controllers"))
		return err == nil && slices.Contains(strings.Fields(string(data)), name)
	}
	_, err := os.Stat(filepath.Join(top, name))
	return err == nil
}
