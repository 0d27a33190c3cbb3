package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// field TIMEOUT POD PATH PATTERN waits until a field of `podrun ps -o json POD`
// matches: status.phase, status.containerStatuses[0].ready, or
// status.conditions[type=Ready].reason for the element with that value. Strings
// are bare, what is missing is empty, and all else is JSON. When the time is up
// it shows what the field is.
func field(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 4, "field TIMEOUT POD PATH PATTERN")
	pattern, err := regexp.Compile(args[3])
	ts.Check(err)
	poll(ts, args[0], func() bool {
		if ts.Exec("podrun", "ps", "-o", "json", args[1]) != nil {
			return false
		}
		var p any
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &p))
		value := valueOf(p, args[2])
		ts.Setenv("FIELD", value)
		return pattern.MatchString(value)
	})
}

// step is one part of a path: a name, maybe with a selector.
var step = regexp.MustCompile(`([^.\[]+)(?:\[([^\]]*)\])?\.?`)

func valueOf(v any, path string) string {
	for _, part := range step.FindAllStringSubmatch(path, -1) {
		object, _ := v.(map[string]any)
		v = object[part[1]]
		if part[2] != "" {
			list, _ := v.([]any)
			v = element(list, part[2])
		}
	}
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// element is the list's n-th, or the one with key=value.
func element(list []any, selector string) any {
	if key, value, found := strings.Cut(selector, "="); found {
		i := slices.IndexFunc(list, func(e any) bool { return valueOf(e, key) == value })
		if i < 0 {
			return nil
		}
		return list[i]
	}
	n, err := strconv.Atoi(selector)
	if err != nil || n >= len(list) {
		return nil
	}
	return list[n]
}
