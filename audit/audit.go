// Package audit finds what does not fit together: what an instance has left on the
// machine without a pod that needs it, and what its records say that is not so.
// It looks first, at everything at once, and finds by comparing, without touching
// anything; mending comes after that, one finding at a time, and looks again
// before it acts.
//
// What a pod that somebody keeps has lost is its monitor's to mend; the stores of
// images are checked by image.
package audit

import (
	"io/fs"
	"time"

	"podrun/netns"
	"podrun/state"
)

// Finding is one thing that does not fit.
type Finding struct {
	Kind  string `json:"kind"`  // of what: pod, cgroup, file, ...
	Where string `json:"where"` // its name or path
	What  string `json:"what"`  // is wrong
	// Repair is what mending does. Where it is empty that is nobody's to decide but
	// the owner's, and Advice says what they can do.
	Repair string `json:"repair,omitempty"`
	Advice string `json:"advice,omitempty"`

	action action
	ref    state.Ref
	target string
	mode   fs.FileMode // of restrict
}

// Mendable tells whether Mend does anything about it.
func (f *Finding) Mendable() bool { return f.Repair != "" }

// action is how a finding is mended.
type action int

const (
	leave       action = iota
	removePod          // all that there is of a uid
	sweepPod           // what a pod has only while it runs
	claimName          // of a pod that has a record
	dropStatus         // that cannot be read
	unclaim            // an address; ref.UID is what the link leads to
	removeLink         // of the network
	removeTable        // with its gateway
	unmount            // a path
	removeFile         // a path
	removeEmpty        // a directory
	removeTree         // a path that containers may have written to
	removeClaim        // a named volume that ended with its pod
	restrict           // the mode of a path
)

// Auditor looks at one instance.
type Auditor struct {
	Store *state.Store
	Host  netns.Host // with the settings of the command line
}

// secondLook is how long something has to be wrong to be a finding: what others are
// just making or removing does not fit for a moment.
const secondLook = 300 * time.Millisecond

// Check finds what does not fit.
func (a Auditor) Check() ([]Finding, error) {
	first, err := a.look()
	if err != nil {
		return nil, err
	}
	found := first.Findings()
	if len(found) == 0 {
		return nil, nil
	}
	time.Sleep(secondLook)
	second, err := a.look()
	if err != nil {
		return nil, err
	}
	return lasting(found, second.Findings()), nil
}

// lasting are the findings of the second look that the first one had too.
func lasting(before, now []Finding) []Finding {
	type key struct{ kind, where, what string }
	seen := map[key]bool{}
	for _, f := range before {
		seen[key{f.Kind, f.Where, f.What}] = true
	}
	var list []Finding
	for _, f := range now {
		if seen[key{f.Kind, f.Where, f.What}] {
			list = append(list, f)
		}
	}
	return list
}

// Removes tells whether mending removes something that nothing refers to.
func (f *Finding) Removes() bool {
	switch f.action {
	case leave, claimName, dropStatus, restrict:
		return false
	}
	return true
}
