package document

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	sigsjson "sigs.k8s.io/json"
	sigsyaml "sigs.k8s.io/yaml"
)

type inner struct {
	Deep string `json:"deep"`
}

type sample struct {
	inner    `json:",inline"`
	Text     string                       `json:"text"`
	Bool     *bool                        `json:"bool"`
	Int      int32                        `json:"int"`
	Long     *int64                       `json:"long"`
	List     []inner                      `json:"list"`
	Map      map[string]string            `json:"map"`
	Bytes    map[string][]byte            `json:"bytes"`
	Quantity map[string]resource.Quantity `json:"quantity"`
	Time     *metav1.Time                 `json:"time"`
	Port     intstr.IntOrString           `json:"port"`
	Raw      *metav1.FieldsV1             `json:"raw"`
	Hidden   string                       `json:"-"`
}

func decodeSample(t *testing.T, text string) (sample, Problems) {
	t.Helper()
	values, problems := Read("f", []byte(text))
	if len(problems) > 0 || len(values) != 1 {
		t.Fatalf("read %q: %v", text, problems)
	}
	var s sample
	return s, values[0].Decode(&s)
}

func TestDecodeComplains(t *testing.T) {
	for _, tc := range []struct{ why, text, want string }{
		{"misspelt", "txet: a", `f:1:1: txet: unknown field, did you mean "text"?`},
		{"wrong case", "Text: a", `f:1:1: Text: unknown field, did you mean "text"?`},
		{"nothing near", "zzzzzz: a", `f:1:1: zzzzzz: unknown field`},
		{"not a json field", "Hidden: a", `f:1:1: Hidden: unknown field`},
		{"in a list", "list:\n- deep: a\n- depe: b", `f:3:3: list[1].depe: unknown field, did you mean "deep"?`},
		{"twice", "text: a\nint: 1\ntext: b", `f:3:1: text: duplicate key "text", first set in line 1`},
		{"twice in a map", "map: {a: b, a: c}", `f:1:13: map.a: duplicate key "a", first set in line 1`},
		{"bool for text", "text: yes", `f:1:7: text: must be a string, found the boolean yes: write "yes", in quotes`},
		{"number for text", "text: 0644", `f:1:7: text: must be a string, found the number 0644: write "0644", in quotes`},
		{"list for text", "text: [a]", `f:1:7: text: must be a string, found a list`},
		{"text for bool", "bool: 'true'", `f:1:7: bool: must be true or false, found the string "true": write true, without quotes`},
		{"text for number", "int: '80'", `f:1:6: int: must be a whole number, found the string "80": write 80, without quotes`},
		{"word for number", "int: many", `f:1:6: int: must be a whole number, found the string "many"`},
		{"fraction for number", "int: 1.5", `f:1:6: int: must be a whole number, found the number 1.5`},
		{"too large", "int: 2147483648", `f:1:6: int: the number 2147483648 is out of range`},
		{"far too large", "long: 18446744073709551615", `f:1:7: long: the number 18446744073709551615 is out of range`},
		{"one for many", "list: a", `f:1:7: list: must be a list, found the string "a"`},
		{"mapping for list", "list: {deep: a}", `f:1:7: list: must be a list, found a mapping`},
		{"list for mapping", "map: [a]", `f:1:6: map: must be a mapping, found a list`},
		{"map value", "map: {a: 5}", `f:1:10: map[a]: must be a string, found the number 5: write "5", in quotes`},
		{"a key that is no text in YAML", "map: {on: yes}", `f:1:11: map[on]: must be a string, found the boolean yes: write "yes", in quotes`},
		{"no base64", "bytes: {a: '%'}", `f:1:12: bytes[a]: must be base64: illegal base64 data at input byte 0`},
		{"number for base64", "bytes: {a: 5}", `f:1:12: bytes[a]: must be base64 text, found the number 5`},
		{"megabytes of other tools", "quantity: {a: 128MB}", `f:1:15: quantity[a]: must be a quantity such as 500m, 0.5, 128Mi or 2Gi, found the string "128MB", did you mean "128M"?`},
		{"small letters", "quantity: {a: 2gib}", `f:1:15: quantity[a]: must be a quantity such as 500m, 0.5, 128Mi or 2Gi, found the string "2gib", did you mean "2Gi"?`},
		{"no quantity", "quantity: {a: lots}", `f:1:15: quantity[a]: must be a quantity such as 500m, 0.5, 128Mi or 2Gi, found the string "lots"`},
		{"a quantity that takes minutes", "quantity: {a: '1e-100000000'}", `f:1:15: quantity[a]: must be a quantity such as 500m, 0.5, 128Mi or 2Gi, found the string "1e-100000000"`},
		{"bool quantity", "quantity: {a: yes}", `f:1:15: quantity[a]: must be a quantity such as 500m, 0.5, 128Mi or 2Gi, found the boolean yes`},
		{"list quantity", "quantity: {a: [1]}", `f:1:15: quantity[a]: must be a quantity such as 500m, 0.5, 128Mi or 2Gi, found a list`},
		{"no time", "time: today", `f:1:7: time: must be a time such as 2006-01-02T15:04:05Z, found the string "today"`},
		{"bool port", "port: yes", `f:1:7: port: must be a whole number or a name, found the boolean yes`},
		{"fraction port", "port: 1.5", `f:1:7: port: must be a whole number or a name, found the number 1.5`},
		{"key that is a list", "? [a]\n: b", `f:1:3: a key must be a plain word, found a list`},
		{"merge of a text", "<<: a", `f:1:5: << merges mappings, found the string "a"`},
		{"merge of texts", "<<: [a]", `f:1:6: << merges mappings, found the string "a"`},
		{"all at once", "txet: a\nint: x\nmap: 5", "f:1:1: txet: unknown field, did you mean \"text\"?\nf:2:6: int: must be a whole number, found the string \"x\"\nf:3:6: map: must be a mapping, found the number 5"},
		{"a line break in a key", `"a\nb": c`, `f:1:1: a\nb: unknown field`},
	} {
		t.Run(tc.why, func(t *testing.T) {
			_, problems := decodeSample(t, tc.text)
			if got := problems.Sort().Error(); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestDecodeAgreesWithUpstream holds what is accepted against what an API server makes of the same text.
func TestDecodeAgreesWithUpstream(t *testing.T) {
	for _, text := range []string{
		"text: a\nbool: on\nint: 0644\nlong: 1e3\ndeep: x",
		"text: ~\nbool: null\nint:\nlist:\nmap: ~\nbytes: null\ntime: null\nport: ~\nraw: ~",
		"list: [{deep: a}, ~, {}]\nmap: {1: a, yes: b, c: ~, 1.5: d}",
		"bytes: {a: aGVsbG8=, b: '', c: ~, d: \"aGVs\\nbG8=\"}",
		"quantity: {a: 1, b: 0.5, c: 100m, d: '1e3', e: 1Gi, f: ~, g: 1e3, h: 0x10, i: +1}",
		"time: 2006-01-02T15:04:05Z\nport: 80",
		"port: http\nraw: {f:a: {}, 'f:b': [1, yes, x, ~, 1.5]}",
		"int: 5.0\nlong: -0\nport: 5.0",
		"x-unused: &a {deep: b}\nlist: [*a, {<<: *a}]",
		"list: []\nmap: {}\nquantity: {}",
		`{"text": "a", "list": [{"deep": "b"}]}`,
	} {
		text = strings.Replace(text, "x-unused: &a {deep: b}\nlist: [", "list: [&a {deep: b}, ", 1)
		got, problems := decodeSample(t, text)
		if len(problems) > 0 {
			t.Errorf("%q: %v", text, problems)
		}
		var want sample
		j, err := sigsyaml.YAMLToJSONStrict([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if strict, err := sigsjson.UnmarshalStrict(j, &want); err != nil || len(strict) > 0 {
			t.Fatalf("%q: %v %v", text, err, strict)
		}
		if gotJSON, wantJSON := mustJSON(t, got), mustJSON(t, want); gotJSON != wantJSON {
			t.Errorf("%q:\ngot  %s\nwant %s", text, gotJSON, wantJSON)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	j, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(j)
}

func TestLocate(t *testing.T) {
	values, _ := Read("f", []byte(`metadata:
  labels:
    a.b/c: x
spec:
  containers:
  - name: a
    image:
  - &second
    name: b
    args: [x, y]
  - *second
`))
	for path, want := range map[string]string{
		"metadata.labels[a.b/c]":      "f:3:12", // the value
		"metadata.labels[none]":       "f:2:3",  // the nearest part that is there
		"spec.containers":             "f:5:3",
		"spec.containers[0]":          "f:6:5",
		"spec.containers[0].image":    "f:7:5", // nothing is there: the key
		"spec.containers[0].command":  "f:6:5",
		"spec.containers[1].args[1]":  "f:10:15",
		"spec.containers[2].name":     "f:9:11", // where the anchor's value stands
		"spec.containers[9].name":     "f:5:3",
		"status":                      "f:1:1",
		"spec.containers[0].name.x.y": "f:6:11",
	} {
		if got := values[0].Locate(path).String(); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	fields := []string{"args", "command", "containers", "image", "imagePullPolicy", "name", "tty"}
	for word, want := range map[string]string{
		"comand": "command", "commnad": "command", "Command": "command", "image-pull-policy": "imagePullPolicy",
		"conatiners": "containers", "container": "containers", "nmae": "name", "tt": "tty",
		"foo": "", "x": "", "": "", strings.Repeat("name", 50): "",
	} {
		if got := Suggest(word, fields); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestPatterns(t *testing.T) {
	got := Patterns(reflect.TypeFor[sample]())
	want := "bool bytes deep int list list[].deep long map port quantity raw text time"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// FuzzDecode looks for a text that crashes, and for one that is accepted with another meaning than upstream's.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a, creationTimestamp: ~}\nspec:\n  containers:\n  - name: x\n    image: y\n    resources: {limits: {cpu: 0.5}}\n",
		"spec: &a {containers: [{ports: [{containerPort: 0x50}], livenessProbe: {httpGet: {port: web}}}]}",
		`{"spec": {"volumes": [{"configMap": {"defaultMode": 0644}}]}}`,
		"spec:\n containers:\n  -",
		"metadata: {labels: {a: b, <<: {c: d}}, managedFields: [{fieldsV1: {a: [1, {b: yes}]}}]}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		values, problems := Read("f", []byte(s))
		for _, v := range values {
			var got v1.Pod
			problems = append(problems, v.Decode(&got)...)
			v.Walk(&got, func(Field) bool { return true })
			v.Locate("spec.containers[0].env[x].y")
			if len(values) != 1 || len(problems) > 0 || strings.Contains(s, "!") || strings.Contains(s, `\`) {
				continue // tags and escapes are where yaml.v3 and upstream's reader differ
			}
			compare(t, s, &got)
		}
		_ = problems.Sort().Error()
	})
}

func compare(t *testing.T, text string, got *v1.Pod) {
	j, err := sigsyaml.YAMLToJSON([]byte(text))
	if err != nil {
		return // what only yaml.v3 can parse is no matter
	}
	var want v1.Pod
	if strict, err := sigsjson.UnmarshalStrict(j, &want); err != nil || len(strict) > 0 {
		t.Fatalf("%q: accepted, but not upstream: %v %v", text, err, strict)
	}
	if gotJSON, wantJSON := mustJSON(t, got), mustJSON(t, want); gotJSON != wantJSON {
		t.Fatalf("%q:\ngot  %s\nwant %s", text, gotJSON, wantJSON)
	}
}
