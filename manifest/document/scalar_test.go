package document

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// upstream is what Kubernetes' own reader makes of a YAML text, through JSON.
func upstream(text string) (any, error) {
	j, err := sigsyaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	var v any
	d := json.NewDecoder(strings.NewReader(string(j)))
	d.UseNumber()
	return v, d.Decode(&v)
}

// ours is the same by this package.
func ours(t *testing.T, text string) (any, error) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	j, err := jsonText(doc.Content[0])
	if err != nil {
		return nil, err
	}
	var v any
	d := json.NewDecoder(strings.NewReader(string(j)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v, nil
}

func TestScalarMeansWhatUpstreamMakesOfIt(t *testing.T) {
	for _, text := range []string{
		"yes", "Yes", "YES", "yEs", "y", "n", "on", "off", "OFF", "no", "true", "True", "tRue", "false",
		"null", "~", "Null", "nUll", "''", `"yes"`, "'0644'", "|\n  yes\n", ">\n  1\n",
		"0", "-0", "+1", "0644", "0o644", "0x1A", "0b101", "-0b11", "1_000", "_1", "08", "09.5", "1e3", "1E-3", "5.0", ".5", "5.",
		"9223372036854775807", "9223372036854775808", "18446744073709551616", "-9223372036854775809",
		"1e400", "1__0", "0x", "0b2", "0x1p4", "infinity", "+.5", "-.5", "1.2.3", "1:30", "12e03", ".e3", "1_0.5",
		"2001-12-14", "2001-12-14T21:59:43Z", "2001-12-14 21:59:43.10",
		"!!str yes", "!!int '5'", "!!float 5", "!!bool 'yes'", "!!null ''", "!custom 5", "!!binary aGVsbG8=", "!!timestamp 2001-12-14",
		"{yes: 1, 5: 2, 0x10: 3, 1.5: 4, null-ish: 5}",
		"{a: &x 1, b: *x}", "{a: &x {b: 1}, c: {<<: *x, d: 2}}", "{<<: [{a: 1}, {a: 2, b: 3}], b: 4}", `{"<<": 1}`,
	} {
		want, wantErr := upstream(text)
		got, gotErr := ours(t, text)
		if (gotErr != nil) != (wantErr != nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v (%v), want %v (%v)", text, got, gotErr, want, wantErr)
		}
	}
}

func TestScalarRefuses(t *testing.T) {
	for _, text := range []string{
		"!!int 5.5",     // contradicts its tag
		"!!bool maybe",  // contradicts its tag
		"!!binary '%%'", // no base64
		".nan",          // JSON has no such number
		"-.inf",         // JSON has no such number
		"{[a]: 1}",      // a key that is a list
		"{~: 1}",        // a key that is nothing
	} {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		v := Value{file: "t", node: doc.Content[0]}
		var into map[string]string
		if doc.Content[0].Kind == yaml.ScalarNode {
			if _, err := jsonText(doc.Content[0]); err == nil {
				t.Errorf("%q: accepted", text)
			}
		} else if len(v.Decode(&into)) == 0 {
			t.Errorf("%q: accepted", text)
		}
	}
}

func FuzzScalar(f *testing.F) {
	for _, s := range []string{"yes", "0644", "1_000", "-0b11", "1e400", "0x_1", "~", ".5e3", "2001-1-1", "+", "-", "<<"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._~<") != "" {
			return // not a plain scalar for certain
		}
		text := "- " + s + "\n"
		want, wantErr := upstream(text)
		got, gotErr := ours(t, text)
		if (gotErr != nil) != (wantErr != nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v (%v), want %v (%v)", text, got, gotErr, want, wantErr)
		}
	})
}
