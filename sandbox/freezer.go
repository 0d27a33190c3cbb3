package sandbox

import (
	"io/fs"
	"os"
	"path/filepath"

	"podrun/step"
)

// Thaw lets the processes of the group go on whom somebody has frozen. On cgroup
// v1 one that is frozen does not die of a SIGKILL before it goes on
// (freezer-subsystem.rst), on v2 it does. What holds a container and its pod is
// thawed; groups above belong to others too.
func Thaw(path string) {
	defer step.Change("thaw cgroup")()
	if pod := filepath.Dir(path); filepath.Dir(filepath.Dir(pod)) == cgroupTop {
		for _, dir := range directories(pod) {
			thaw(dir)
		}
	}
	for _, dir := range directories(path) {
		filepath.WalkDir(dir, func(sub string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				thaw(sub)
			}
			return nil
		})
	}
}

// thaw writes where there is something to write: v1's freezer is one hierarchy of several.
func thaw(dir string) {
	if f, err := os.OpenFile(filepath.Join(dir, "freezer.state"), os.O_WRONLY, 0); err == nil {
		f.WriteString("THAWED")
		f.Close()
	}
}
