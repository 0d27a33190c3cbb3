package manifest

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// Expand replaces $(NAME) in a container's command or args by the variables of its Environment. A name that
// is not among them stays as it is written; $$(NAME) stands for the text $(NAME).
func Expand(words []string, env []v1.EnvVar) []string {
	lookup := lookupIn(env)
	var out []string
	for _, w := range words {
		out = append(out, expand(w, lookup))
	}
	return out
}

func lookupIn(env []v1.EnvVar) func(name string) (string, bool) {
	values := make(map[string]string, len(env))
	for _, e := range env {
		values[e.Name] = e.Value
	}
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

// ExpandSubPaths gives a container's volumeMounts with each subPathExpr turned into a subPath by the variables
// of its Environment. A variable that is not there, or empty, is an error in the kubelet's words: the mount
// would be another one than was meant. What the subPaths lead to is not looked at.
func ExpandSubPaths(mounts []v1.VolumeMount, env []v1.EnvVar) ([]v1.VolumeMount, error) {
	if !slices.ContainsFunc(mounts, func(m v1.VolumeMount) bool { return m.SubPathExpr != "" }) {
		return mounts, nil
	}
	lookup := lookupIn(env)
	mounts = slices.Clone(mounts)
	for i := range mounts {
		m := &mounts[i]
		if m.SubPathExpr == "" {
			continue
		}
		var missing []string
		m.SubPath = expand(m.SubPathExpr, func(name string) (string, bool) {
			value, ok := lookup(name)
			if value == "" {
				missing = append(missing, name)
			}
			return value, ok
		})
		if len(missing) > 0 {
			slices.Sort(missing)
			return nil, fmt.Errorf("missing value for %s", strings.Join(slices.Compact(missing), ", "))
		}
		m.SubPathExpr = ""
	}
	return mounts, nil
}

// maxString is the longest argument or variable that execve takes (MAX_ARG_STRLEN of the kernel).
const maxString = 128 << 10

// expand is the rule for one text, the kubelet's: $$ is a dollar sign, wherever it stands; a $( that is
// never closed and a $ before anything else stay. Past maxString nothing more is put in: execve refuses the
// text anyway, and a few variables that each double the one before would fill the memory.
func expand(text string, lookup func(string) (string, bool)) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		text = after
		switch {
		case strings.HasPrefix(after, "$"):
			out.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "("):
			name, rest, closed := strings.Cut(after[1:], ")")
			if !closed {
				out.WriteByte('$')
				continue
			}
			text = rest
			if value, ok := lookup(name); ok && out.Len() <= maxString {
				out.WriteString(value)
			} else {
				out.WriteString("$(" + name + ")")
			}
		default:
			out.WriteByte('$')
		}
	}
}
