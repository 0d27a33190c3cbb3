package conformance

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// scalars are written in ways that YAML's versions and readers take for different things.
var scalars = strings.Split(`x|yes|Yes|YES|no|on|off|y|n|Y|true|True|TRUE|tRUE|false|null|Null|NULL|~||"yes"|'5'|"5"|5|05|08|0o17|0x1F|0b11|1_000|-5|+5|5.0|5.5|.5|5.|-0|1e3|1E3|1e-3|5e|.inf|-.inf|.nan|NaN|inf|12345678901|99999999999999999999|0.1Mi|1Mi|1mi|1 Mi|500m|1e400|2026-01-01|2026-01-01T00:00:00Z|2026-01-01T00:00:00.123456789Z|12:30:45|1:20|<<|=|!!str 5|!!int "5"|!!bool "yes"|!!float 5|!!null x|!!binary aGVsbG8=|"a\tb"|"\x41"|'it''s'|"é"|é|[5]|[yes, no]|{a: b}|{}|[]|"80"|http|" 5"|"5 "|--- x|a: b|- a|#x|a #b|&a x|*a|? x|@x|%x|"a
  b"|0.|1.0e+2|1__0|0777|0xG|infinity|_1|1_|TrUe|Off|N|NO`, "|")

// places are where scalars go: a string, a map's value, a list's, whole numbers, booleans, quantities and other types.
var places = []string{
	"metadata: {name: p}\nspec:\n  schedulerName: %s\n  containers: [{name: c, image: i}]\n",
	"metadata: {name: p, annotations: {a: %s}}\nspec: {containers: [{name: c, image: i}]}\n",
	"metadata: {name: p, annotations: {%s: a}}\nspec: {containers: [{name: c, image: i}]}\n",
	"metadata: {name: p}\nspec: {containers: [{name: c, image: i, command: [%s]}]}\n",
	"metadata: {name: p}\nspec:\n  terminationGracePeriodSeconds: %s\n  containers: [{name: c, image: i}]\n",
	"metadata: {name: p}\nspec:\n  priority: %s\n  containers: [{name: c, image: i}]\n",
	"metadata: {name: p}\nspec:\n  hostNetwork: %s\n  containers: [{name: c, image: i}]\n",
	"metadata: {name: p}\nspec:\n  hostUsers: %s\n  containers: [{name: c, image: i}]\n",
	"metadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: i\n    resources:\n      limits:\n        memory: %s\n",
	"metadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: i\n    livenessProbe:\n      tcpSocket:\n        port: %s\n",
	"metadata:\n  name: p\n  creationTimestamp: %s\nspec: {containers: [{name: c, image: i}]}\n",
	"metadata: {name: p}\nspec:\n  nodeSelector: %s\n  containers: [{name: c, image: i}]\n",
	"metadata: {name: p}\nspec:\n  containers: [{name: c, image: i}]\n  %s: x\n",
}

// TestText holds documents as they are written: what a scalar means is YAML's business on both sides.
func TestText(t *testing.T) {
	c := newTally()
	for _, p := range places {
		for _, s := range scalars {
			if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "-.") || s == `"a\tb"` {
				if strings.Contains(p, "%s: ") { // keys that are no words: both complain, and each spells them in its way
					continue
				}
			}
			text := "apiVersion: v1\nkind: Pod\n" + fmt.Sprintf(p, s)
			c.hold(fmt.Sprintf("%q in %q", s, p), []byte(text))
		}
	}
	for _, text := range []string{ // names twice, which only JSON's reader tells with their paths
		`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"restartPolicy": "Always", "restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}}`,
		`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "b", "image": "c"}]}}`,
		`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"a": "b", "a": "c"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}}`,
		`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "b"}], "containers": []}}`,
		`{"apiVersion": "v1", "kind": "Pod", "Kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "b", "Image": "c"}]}}`,
	} {
		c.hold("names twice", []byte(text))
	}
	c.report(t)
}

func TestCorpusText(t *testing.T) {
	c := newTally()
	err := filepath.WalkDir(corpusDirectory(t), func(path string, _ fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err != nil || ext != ".yaml" && ext != ".yml" && ext != ".json" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		documents := yaml.NewDocumentDecoder(readCloser{bytes.NewReader(data)})
		for buffer := make([]byte, len(data)+1); ; {
			n, err := documents.Read(buffer)
			if err != nil {
				return nil
			}
			document := slices.Clone(buffer[:n])
			if bytes.HasPrefix(bytes.TrimSpace(document), []byte("{")) {
				continue // a server takes it for JSON, which kubectl has made of it
			}
			if list, _ := objects(path, document); len(list) == 1 && !strings.HasSuffix(list[0].name, "(template)") {
				c.hold(path, document)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c.report(t)
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }
