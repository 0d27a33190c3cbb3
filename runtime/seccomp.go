package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
)

// seccompFilter is RuntimeDefault where nothing is said, as under a kubelet
// with seccompDefault. A privileged container has none (containerd,
// GenerateSeccompSpecOpts).
func (s *Spec) seccompFilter(sc v1.SecurityContext, names []string) (*configs.Seccomp, error) {
	kind := v1.SeccompProfileTypeRuntimeDefault
	if sc.SeccompProfile != nil {
		kind = sc.SeccompProfile.Type
	}
	if isTrue(sc.Privileged) || kind == v1.SeccompProfileTypeUnconfined {
		return nil, nil
	}
	caps := &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
	process := &specs.Spec{Process: &specs.Process{Capabilities: caps}}
	if kind == v1.SeccompProfileTypeLocalhost {
		return s.localhostFilter(sc.SeccompProfile, process)
	}
	return defaultFilter(process)
}

// filters are those of RuntimeDefault, by the capabilities that they depend on.
// libcontainer holds a container's filter, some 40 kB, as long as that runs, and
// changes nothing in it; most containers of a pod have the same.
var filters sync.Map

func defaultFilter(process *specs.Spec) (*configs.Seccomp, error) {
	key := strings.Join(process.Process.Capabilities.Bounding, " ")
	if made, ok := filters.Load(key); ok {
		return made.(*configs.Seccomp), nil
	}
	profile, err := seccomp.GetDefaultProfile(process)
	if err != nil {
		return nil, fmt.Errorf("build the RuntimeDefault seccomp profile: %w", err)
	}
	// The profile's rules for x32 are left out: that ABI is off in the kernels of
	// the distributions, and libseccomp needs half of its 11 ms, at every start and
	// every exec, to compile them. A program that uses x32 all the same is killed,
	// as by a filter of one architecture.
	profile.Architectures = slices.DeleteFunc(profile.Architectures, func(a specs.Arch) bool { return a == specs.ArchX32 })
	filter, err := specconv.SetupSeccomp(profile)
	if err != nil {
		return nil, fmt.Errorf("build the RuntimeDefault seccomp profile: %w", err)
	}
	filters.Store(key, filter)
	return filter, nil
}

// localhostFilter reads a profile of the machine: JSON as in the OCI's runtime
// specification (config-linux.md, Seccomp), or with docker's archMap, includes
// and excludes.
func (s *Spec) localhostFilter(p *v1.SeccompProfile, process *specs.Spec) (*configs.Seccomp, error) {
	var name string
	if p.LocalhostProfile != nil {
		name = *p.LocalhostProfile
	}
	path, text, err := s.findProfile(name)
	if err != nil {
		return nil, fmt.Errorf("load seccomp profile %q: %w", name, err)
	}
	profile, err := seccomp.LoadProfile(string(text), process)
	if err != nil {
		return nil, fmt.Errorf("load seccomp profile %s: %w", path, err)
	}
	if profile == nil {
		return nil, fmt.Errorf("load seccomp profile %s: it has neither a defaultAction nor syscalls", path)
	}
	filter, err := specconv.SetupSeccomp(profile)
	if err != nil {
		return nil, fmt.Errorf("load seccomp profile %s: %w", path, err)
	}
	return filter, nil
}

// findProfile reads the file of that name in the first directory that has it. A
// name stays below its directory, whatever validation let pass; links there are
// the machine's own.
func (s *Spec) findProfile(name string) (path string, text []byte, err error) {
	if name == "" || !filepath.IsLocal(name) {
		return "", nil, errors.New("the name must be that of a file below the directory of profiles")
	}
	for _, dir := range s.SeccompDirs {
		path = filepath.Join(dir, name)
		text, err = os.ReadFile(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return path, text, err
		}
	}
	if len(s.SeccompDirs) > 0 {
		err = fmt.Errorf("%w; put the profile at %s", err, filepath.Join(s.SeccompDirs[0], name))
	}
	return path, nil, err
}
