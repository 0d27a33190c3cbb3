package manifest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"podrun/manifest/document"
)

// TestEveryFieldIsClassified finds a field of the API that the tables lack, one that a new version brought, and a line
// for a field that the API does not have.
func TestEveryFieldIsClassified(t *testing.T) {
	for _, k := range knownKinds {
		fields := k.fields()
		unused := maps.Clone(fields)
		for _, p := range document.Patterns(k.typ) {
			delete(unused, p)
			if r := fields.rule(p); r.class == unclassified {
				t.Errorf("%s: %s has no line in the tables of fields.go: say whether it is honoured, ignored or refused", k.name, p)
			} else if r.class == refused && r.reason == "" {
				t.Errorf("%s: %s is refused without a reason: fields.go shall say what to use instead", k.name, p)
			}
		}
		for p := range unused {
			t.Errorf("%s: fields.go has a line for %s, which is no field of the API", k.name, p)
		}
	}
}

// TestClassesOfTheContract holds the two lists that say what is not honoured. Whatever else a Pod's spec has is honoured.
func TestClassesOfTheContract(t *testing.T) {
	want := map[string]class{}
	for c, list := range map[class]string{
		ignored: `nodeName nodeSelector affinity tolerations topologySpreadConstraints schedulerName priority priorityClassName preemptionPolicy
			overhead serviceAccountName serviceAccount automountServiceAccountToken enableServiceLinks schedulingGroup`,
		refused: `resourceClaims resources.claims containers[].resources.claims containers[].volumeDevices runtimeClassName schedulingGates
			securityContext.windowsOptions containers[].securityContext.windowsOptions
			volumes[].projected.sources[].serviceAccountToken volumes[].projected.sources[].clusterTrustBundle volumes[].projected.sources[].podCertificate
			volumes[].awsElasticBlockStore volumes[].azureDisk volumes[].azureFile volumes[].cephfs volumes[].cinder volumes[].csi volumes[].fc
			volumes[].flexVolume volumes[].flocker volumes[].gcePersistentDisk volumes[].gitRepo volumes[].glusterfs volumes[].iscsi volumes[].nfs
			volumes[].photonPersistentDisk volumes[].portworxVolume volumes[].quobyte volumes[].rbd volumes[].scaleIO volumes[].storageos volumes[].vsphereVolume`,
	} {
		for name := range strings.FieldsSeq(list) {
			want["spec."+name] = c
		}
	}
	fields := podFields()
	for p, c := range want {
		if r := fields.rule(p); r.class != c {
			t.Errorf("%s: got %s, want %s", p, r.class, c)
		}
	}
	for p, r := range fields {
		claim := strings.HasPrefix(p, "spec.volumes[].ephemeral.volumeClaimTemplate.")
		if strings.HasPrefix(p, "spec.") && r.class != honoured && want[p] == unclassified && !claim {
			t.Errorf("%s: got %s, want it honoured", p, r.class)
		}
	}
}

// TestFieldsPage makes docs/fields.md.
func TestFieldsPage(t *testing.T) {
	var out strings.Builder
	out.WriteString(`# What podrun makes of each field

Made from the tables in manifest/fields.go by "go generate ./manifest". "podrun explain FIELD" prints a row.

- **honoured**: means what Kubernetes ` + apiVersion(t) + ` says;
- **no meaning here**: accepted, and named by "up"; "up -v" says why;
- **refused**: a manifest that sets it is not run; the reason says what to use instead.

A field that is not honoured stands for all fields below it. Init and ephemeral containers have the fields of containers.
`)
	for _, k := range knownKinds {
		k.page(&out)
	}
	golden(t, filepath.Join("..", "docs", "fields.md"), out.String())
}

// apiVersion is the version of Kubernetes whose API module is used.
func apiVersion(t *testing.T) string {
	data, err := os.ReadFile(filepath.Join("..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`k8s.io/api v0\.([0-9]+)`).FindSubmatch(data)
	if version == nil {
		t.Fatal("go.mod names no version of k8s.io/api")
	}
	return "1." + string(version[1])
}

func (k knownKind) page(out *strings.Builder) {
	fmt.Fprintf(out, "\n## %s\n\n", k.name)
	var rows strings.Builder
	counts := map[class]int{}
	for _, p := range document.Patterns(k.typ) {
		r, ok := k.fields().own(p)
		around := strings.LastIndex(p, ".")
		if around > 0 && k.fields().rule(strings.TrimSuffix(p[:around], "[]")).class != honoured {
			continue
		}
		_, own := k.fields()[p]
		if !own && ok { // the row of containers stands for it
			continue
		}
		counts[r.class]++
		fmt.Fprintf(&rows, "| `%s` | %s | %s |\n", p, r.class, r.reason)
	}
	fmt.Fprintf(out, "%d honoured, %d with no meaning here, %d refused, %d unclassified.\n\n| field | class | why |\n| --- | --- | --- |\n%s",
		counts[honoured], counts[ignored], counts[refused], counts[unclassified], rows.String())
}

func TestHarmlessValuesAreNotRefused(t *testing.T) {
	for _, tc := range []struct {
		spec    string
		refused bool
	}{
		{"schedulingGates: []", false},
		{"schedulingGates: ~", false},
		{"schedulingGates: [{name: a.b/c}]", true},
		{"securityContext: {windowsOptions: {}}", false},
		{"securityContext: {windowsOptions: {hostProcess: true}}", true},
		{"runtimeClassName: kata", true},
		{"volumes: [{name: v, flocker: {}}]", true}, // a kind of volume, however empty
		{"runtimeClassName: [a]", false},            // wrong, which is complaint enough
	} {
		data := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: i}]\n  " + tc.spec
		_, err := Parse([]Source{{"f", []byte(data)}}, Options{})
		if got := err != nil && strings.Contains(err.Error(), "is not supported by podrun"); got != tc.refused {
			t.Errorf("%s: refused %t, want %t (%v)", tc.spec, got, tc.refused, err)
		}
	}
}

func TestHarmless(t *testing.T) {
	for _, tc := range []struct {
		value any
		named string // by the table
		want  bool
	}{
		{false, "", true},
		{true, "", false},
		{new(false), "", true},
		{new(true), "", false},
		{new(true), "true", true},
		{new(false), "true", false},
		{"Merge", "Merge", true},
		{"Strict", "Merge", false},
		{new(int64(0)), "", false}, // the root group is a value, not its absence
		{new(""), "", false},
		{[]string{}, "", true},
		{map[string]string{"a": "b"}, "", false},
		{&struct{ A string }{}, "", false},
		{&struct{ A string }{}, "{}", true},
		{&struct{ A string }{"a"}, "{}", false},
	} {
		if got := harmless(reflect.ValueOf(tc.value), rule{harmless: tc.named}); got != tc.want {
			t.Errorf("%#v, where %q is harmless: got %t, want %t", tc.value, tc.named, got, tc.want)
		}
	}
}
