package sandbox

import (
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
)

// SettleControllers comes before groups are made in parallel. On cgroup v1 the
// library finds out how a file of the blkio controller is called when it first
// sets limits, keeps that for all groups of the process, and takes no lock
// (fs/blkio.go, detectWeightFilenames). podrun sets no such weight.
func SettleControllers() {
	if cgroups.IsCgroup2UnifiedMode() {
		return
	}
	none := &cgroups.Resources{SkipDevices: true}
	m, err := fs.NewManager(&cgroups.Cgroup{Resources: none}, map[string]string{})
	if err != nil {
		return // making a group says why
	}
	m.Set(none)
}
