package image

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// variants lists, for each architecture that has variants, what a machine of a
// variant runs: itself and what comes after it. The empty variant means the
// default, containerd's rule (platforms.Normalize).
var variants = map[string][]string{
	"arm":   {"v8", "v7", "v6", "v5"},
	"arm64": {"v8"},
	"amd64": {"v1"},
}

var defaultVariant = map[string]string{"arm": "v7", "arm64": "v8", "amd64": "v1"}

// machineVariant is the variant of this machine. A 64-bit ARM machine runs the
// one arm64 there is; a 32-bit one says what it is (uname -m: armv6l, armv7l).
// The levels above amd64's first are not told apart: images for them alone are
// refused.
func machineVariant(arch string) string {
	if arch != "arm" {
		return defaultVariant[arch]
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return defaultVariant[arch]
	}
	machine := unix.ByteSliceToString(u.Machine[:])
	if strings.HasPrefix(machine, "armv6") || strings.HasPrefix(machine, "armv5") {
		return machine[3:5]
	}
	return defaultVariant[arch]
}

// rank says how well an image for p runs on a machine: 0 is best, negative not at all.
func rank(p, machine v1.Platform) int {
	if p.OS != machine.OS || p.Architecture != machine.Architecture {
		return -1
	}
	order := variants[machine.Architecture]
	if order == nil {
		return 0
	}
	variant := func(p v1.Platform) int {
		if p.Variant == "" {
			return slices.Index(order, defaultVariant[p.Architecture])
		}
		return slices.Index(order, p.Variant)
	}
	has, runs := variant(p), variant(machine)
	if has < 0 || has < runs {
		return -1
	}
	return has - runs
}

// pickPlatform chooses the manifest that fits the machine best, the first of
// equals.
func pickPlatform(index *v1.IndexManifest, machine v1.Platform) (v1.Descriptor, error) {
	best, bestRank := v1.Descriptor{}, -1
	var offered []string
	for _, d := range index.Manifests {
		p := d.Platform
		if p == nil {
			// Not said, as in layouts of one image: its config is checked later.
			p = &machine
		}
		if p.OS != "unknown" { // buildkit's attestations
			offered = append(offered, platformName(*p))
		}
		if r := rank(*p, machine); r >= 0 && (bestRank < 0 || r < bestRank) && !isAttestation(d) {
			best, bestRank = d, r
		}
	}
	if bestRank < 0 {
		return best, wrongPlatform(offered, machine)
	}
	return best, nil
}

func isAttestation(d v1.Descriptor) bool {
	return d.Annotations["vnd.docker.reference.type"] == "attestation-manifest"
}

// checkPlatform refuses an image whose config names another platform; one that
// names none is taken at its word by whoever runs it.
func checkPlatform(c *v1.ConfigFile, machine v1.Platform) error {
	p := v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}
	if p.OS == "" {
		p.OS = machine.OS
	}
	if p.Architecture == "" || rank(p, machine) >= 0 {
		return nil
	}
	return wrongPlatform([]string{platformName(p)}, machine)
}

func wrongPlatform(offered []string, machine v1.Platform) error {
	slices.Sort(offered)
	list := strings.Join(slices.Compact(offered), ", ")
	if list == "" {
		list = "no platform at all"
	}
	return fmt.Errorf("there is no image for this machine, %s; it exists for %s", platformName(machine), list)
}

// platformName is os/architecture, with the variant where it is not the default.
func platformName(p v1.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" && p.Variant != defaultVariant[p.Architecture] {
		s += "/" + p.Variant
	}
	return s
}
