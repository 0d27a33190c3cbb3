package manifest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"podrun/manifest/document"
)

// TestTableNamesRealFields finds a rule for a field that the API does not have, which would never be used.
func TestTableNamesRealFields(t *testing.T) {
	real := map[string]bool{}
	for _, object := range []any{v1.Pod{}, v1.ConfigMap{}, v1.Secret{}, v1.PersistentVolumeClaim{}} {
		for _, p := range document.Patterns(reflect.TypeOf(object)) {
			real[p] = true
		}
	}
	for _, table := range []fieldTable{podFields(), objectFields(), claimFields()} {
		for p := range table {
			if !real[p] {
				t.Errorf("%s is no field of the API", p)
			}
		}
	}
}

// TestFieldClasses pins how many fields are in which class, and which ones are refused: a new version of
// the API shows here which fields it brought, and refuses them until somebody decides.
func TestFieldClasses(t *testing.T) {
	var out strings.Builder
	for _, k := range []struct {
		object any
		fields fieldTable
	}{
		{v1.Pod{}, podFields()},
		{v1.ConfigMap{}, objectFields()},
		{v1.Secret{}, objectFields()},
		{v1.PersistentVolumeClaim{}, claimFields()},
	} {
		typ := reflect.TypeOf(k.object)
		lists := map[class][]string{}
		above := map[string]bool{} // honoured fields, below which the table is asked
		for _, p := range document.Patterns(typ) {
			if i := strings.LastIndex(p, "."); i >= 0 && !above[strings.TrimSuffix(p[:i], "[]")] {
				continue
			}
			c := k.fields.rule(p).class
			above[p] = c == honoured
			lists[c] = append(lists[c], p)
		}
		fmt.Fprintf(&out, "%s: %d honoured, %d ignored, %d refused\n", typ.Name(), len(lists[honoured]), len(lists[ignored]), len(lists[refused]))
		for _, c := range []class{ignored, refused} {
			slices.Sort(lists[c])
			for _, p := range lists[c] {
				if !strings.HasPrefix(p, "spec.initContainers[].") {
					fmt.Fprintf(&out, "  %s %s\n", map[class]string{ignored: "ignored", refused: "refused"}[c], p)
				}
			}
		}
	}
	golden(t, "testdata/fields.txt", out.String())
}

func TestHarmlessValuesAreNotRefused(t *testing.T) {
	for _, tc := range []struct {
		spec    string
		refused bool
	}{
		{"hostPID: false", false},
		{"hostPID: true", true},
		{"shareProcessNamespace: false", false},
		{"shareProcessNamespace: true", true},
		{"hostUsers: true", false},
		{"hostUsers: false", true},
		{"securityContext: {supplementalGroupsPolicy: Merge}", false},
		{"securityContext: {supplementalGroupsPolicy: Strict}", true},
		{"activeDeadlineSeconds: 0", true},
		{"volumes: [{name: v, projected: {}}]", true}, // a kind of volume, however empty
		{"hostPID: maybe", false},                     // wrong, which is complaint enough
		{"shareProcessNamespace: maybe", false},
	} {
		data := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: i}]\n  " + tc.spec
		_, err := Parse([]Source{{"f", []byte(data)}}, Options{})
		if got := err != nil && strings.Contains(err.Error(), "is not supported by podrun"); got != tc.refused {
			t.Errorf("%s: refused %t, want %t (%v)", tc.spec, got, tc.refused, err)
		}
	}
}
