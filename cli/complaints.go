package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"

	"podrun/image"
	"podrun/manifest"
)

// complaints are the errors that errors.Join put together, each to be printed for itself.
func complaints(err error) []error {
	if exit, ok := err.(*exitError); ok && exit.err != nil {
		err = exit.err
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	var texts []string
	for _, e := range joined.Unwrap() {
		list = append(list, complaints(e)...)
		texts = append(texts, e.Error())
	}
	if strings.Join(texts, "\n") != err.Error() {
		return []error{err} // of several causes in one sentence
	}
	return list
}

// flagComplaint says in podrun's words what is wrong with a flag. What package flag
// says has one dash for every flag.
func flagComplaint(flags []cli.Flag, text string) string {
	badValue := regexp.MustCompile(`^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-(\S+): `)
	needsValue := regexp.MustCompile(`^flag needs an argument: -(\S+)$`)
	unknownFlag := regexp.MustCompile(`^flag provided but not defined: -(\S+)$`)
	if m := badValue.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%s %s: want %s", dashed(m[2]), m[1], wantedValue(find(flags, m[2])))
	}
	if m := needsValue.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("flag %s needs an argument", dashed(m[1]))
	}
	if m := unknownFlag.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("there is no flag %s", dashed(m[1]))
	}
	return text
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func wantedValue(f cli.Flag) string {
	switch f.(type) {
	case *cli.DurationFlag:
		return "a duration such as 30s, 5m or 1h"
	case *cli.BoolFlag:
		return "true or false"
	case *cli.IntFlag, *cli.Int64Flag:
		return "a whole number"
	}
	return "another value"
}

// imageNames complains of images that no registry and no machine can have, where their manifest names them. An
// API server takes any text.
func imageNames(o *manifest.Objects, p *v1.Pod) manifest.Problems {
	var problems manifest.Problems
	check := func(reference, format string, args ...any) {
		var bad *image.PullError
		if _, err := image.Normalize(reference); errors.As(err, &bad) {
			problems = append(problems, o.ProblemAt(p, fmt.Sprintf(format, args...), fmt.Sprintf("%q: %s", reference, bad.Message)))
		}
	}
	for i := range p.Spec.InitContainers {
		check(p.Spec.InitContainers[i].Image, "spec.initContainers[%d].image", i)
	}
	for i := range p.Spec.Containers {
		check(p.Spec.Containers[i].Image, "spec.containers[%d].image", i)
	}
	for i, v := range p.Spec.Volumes {
		if v.Image != nil {
			check(v.Image.Reference, "spec.volumes[%d].image.reference", i)
		}
	}
	return problems
}
