package main

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// floors are those of docs/architecture.md: a room knows those below it only.
var floors = map[string]int{
	"cli": 6, "audit": 5, "monitor": 4, "pod": 3,
	"sandbox": 2, "runtime": 2, "netns": 2, "volumes": 2, "image": 2, "logs": 2, "probe": 2,
	"manifest": 1, "dns": 1, "firewall": 1, "claims": 1, "state": 1, "kernel": 0, "thread": 0, "tree": 0, "step": -1,
}

// outside are packages that look at podrun from outside.
var outside = map[string]bool{"bench": true, "conformance": true, "ground": true, "fence": true, "chaos": true, "vmtest": true}

func TestRoomsKnowThoseBelow(t *testing.T) {
	files, err := filepath.Glob("*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		room := filepath.Dir(file)
		if outside[room] || strings.HasSuffix(file, "_test.go") {
			continue
		}
		floor, known := floors[room]
		if !known {
			t.Errorf("%s: docs/architecture.md has no room %s", file, room)
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			other, own := strings.CutPrefix(path, "podrun/")
			if other, _, _ = strings.Cut(other, "/"); own && other != room && floors[other] >= floor {
				t.Errorf("%s: %s is not below %s", file, other, room)
			}
		}
	}
}
