package cli

import (
	"errors"
	"fmt"
	"strings"

	"podrun/monitor"
	"podrun/runtime"
	"podrun/sandbox"
)

// admit refuses what a kubelet would before it makes anything of a pod: what the
// manifest may say, but not to this machine.
func (u *up) admit(fresh []*launch) error {
	// The kubelet's flag is a list with commas.
	var patterns []string
	for _, list := range u.options.sysctls.Value() {
		patterns = append(patterns, strings.Split(list, ",")...)
	}
	allowed, err := sandbox.AllowSysctls(patterns)
	if err != nil {
		return usagef("--allowed-unsafe-sysctls: %v", err)
	}
	var errs []error
	for _, l := range fresh {
		if l.kept {
			continue
		}
		notes, err := runtime.CheckModules(l.record.Pod)
		if err != nil {
			errs = append(errs, fmt.Errorf("pod %s cannot be made: %w", l.name(), err))
		}
		reached, err := monitor.ReviewHostPaths(u.store, l.record.Pod)
		if err != nil {
			errs = append(errs, fmt.Errorf("pod %s cannot be made: %w", l.name(), err))
		}
		for _, w := range reached {
			u.notef("warning: pod %s: %s\n", l.name(), w)
		}
		for _, n := range notes {
			u.notef("pod %s: %s\n", l.name(), n)
		}
		if err := allowed.Check(&l.record.Pod.Spec); err != nil {
			errs = append(errs, fmt.Errorf("pod %s cannot be made: %w%s", l.name(), err, howToAllow(err)))
		}
	}
	return errors.Join(errs...)
}

func howToAllow(err error) string {
	var f *sandbox.ForbiddenSysctl
	if !errors.As(err, &f) || !f.Allowable {
		return ""
	}
	return "; allow it with 'podrun up --allowed-unsafe-sysctls=" + f.Name + "'"
}
