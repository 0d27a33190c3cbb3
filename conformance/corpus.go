package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// corpusVariable names the directory of other people's manifests.
const corpusVariable = "PODRUN_CORPUS"

// corpusDir is where they are, "" if nowhere.
func corpusDir() string {
	for _, dir := range []string{os.Getenv(corpusVariable), "../../shared/corpus", "../../../shared/corpus"} {
		if info, err := os.Stat(dir); dir != "" && err == nil && info.IsDir() {
			return dir
		}
	}
	return ""
}

// kinds are the objects that podrun reads.
var kinds = []string{"Pod", "ConfigMap", "Secret", "PersistentVolumeClaim"}

type sample struct {
	name   string
	object map[string]any
}

// corpus reads the objects of all manifests below a directory that podrun knows, and makes Pods of the templates of
// the others.
func corpus(dir string) ([]sample, error) {
	var samples []sample
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err != nil || ext != ".yaml" && ext != ".yml" && ext != ".json" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found, err := objects(path, data)
		samples = append(samples, found...)
		return err
	})
	return samples, err
}

// objects are those of one file; a document that is no YAML is left out.
func objects(name string, data []byte) ([]sample, error) {
	var samples []sample
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var o map[string]any
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			return samples, nil
		} else if err != nil || o == nil {
			var syntax yaml.YAMLSyntaxError
			if err != nil && !errors.As(err, &syntax) {
				return samples, nil
			}
			continue
		}
		if kind, _ := o["kind"].(string); o["apiVersion"] == "v1" && slices.Contains(kinds, kind) {
			samples = append(samples, sample{name, o})
		} else if t := template(o); t != nil {
			samples = append(samples, sample{name + " (template)", t})
		}
	}
}

// template makes a Pod of the template of a Deployment and the like.
func template(o map[string]any) map[string]any {
	at := o
	for _, step := range []string{"spec", "jobTemplate", "spec", "template"} {
		if next, ok := at[step].(map[string]any); ok {
			at = next
		}
	}
	if spec, ok := at["spec"].(map[string]any); !ok || spec["containers"] == nil {
		return nil
	}
	meta, _ := at["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
	}
	meta["name"] = "template"
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": at["spec"]}
}

// clone is a deep copy.
func clone(o map[string]any) map[string]any {
	data, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		panic(err)
	}
	return c
}
