package manifest

import (
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"podrun/manifest/document"
)

// scripts are sessions at the shell, each with its manifests.
const scripts = "../testdata/script/*.txtar"

// declared is a line of a script that names a field which no manifest can set, such as one of a debug container.
var declared = regexp.MustCompile(`(?m)^# field: (\S+)$`)

// placeholder is a complaint about a value that the script puts in with sed, such as PORT.
var placeholder = regexp.MustCompile(`must be a .*, found the string "[A-Z_]+"|Invalid value: "[A-Z_]+"`)

// TestEveryHonouredFieldIsTested wants a script whose manifest sets the field, for each field that is honoured. That
// the script checks what the field does is for whoever writes it.
func TestEveryHonouredFieldIsTested(t *testing.T) {
	files, err := filepath.Glob(scripts)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts at %s: %v", scripts, err)
	}
	tested := map[string]bool{} // "Pod spec.os.name"
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllStringSubmatch(string(archive.Comment), -1) {
			tested["Pod "+m[1]] = true
		}
		for _, f := range archive.Files {
			if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(strings.TrimSuffix(f.Name, ".in"))) {
				fieldsSet(f.Data, tested)
			}
		}
	}
	for _, k := range knownKinds {
		for p := range k.fields() {
			if k.fields().rule(p).class == honoured && !tested[k.name+" "+p] {
				t.Errorf("%s: %s is honoured, but no sound manifest in testdata/script/*.txtar sets it: write a script that checks what it does", k.name, p)
			}
		}
	}
}

// fieldsSet notes which fields the objects of a manifest set. One with mistakes is left out: it tests what is said of them.
func fieldsSet(data []byte, tested map[string]bool) {
	if _, err := Parse([]Source{{"f", data}}, Options{}); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !placeholder.MatchString(line) {
				return
			}
		}
	}
	values, _ := document.Read("f", data)
	for _, v := range values {
		noteObject(v, tested)
	}
}

func noteObject(v document.Value, tested map[string]bool) {
	for _, item := range v.Field("items").Items() {
		noteObject(item, tested)
	}
	for _, k := range knownKinds {
		if v.Field("kind").Text() != k.name {
			continue
		}
		object := reflect.New(k.typ).Interface()
		v.Decode(object)
		v.Walk(object, func(f document.Field) bool {
			p := f.Pattern
			if _, own := k.fields()[p]; !own {
				for _, list := range []string{"spec.initContainers[", "spec.ephemeralContainers["} {
					if rest, ok := strings.CutPrefix(p, list); ok {
						p = "spec.containers[" + rest
					}
				}
			}
			tested[k.name+" "+p] = true
			return true
		})
	}
}
