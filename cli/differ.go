package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"podrun/state"
)

// differences names the fields in which two manifests of a pod differ.
func differences(old, new *state.Record) []string {
	var paths []string
	compare(&paths, "", comparable(old), comparable(new))
	return paths
}

// comparable is what the user gave of a record, as plain JSON values.
func comparable(r *state.Record) any {
	p := r.Pod.DeepCopy()
	p.UID = ""
	data, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"labels": p.Labels, "annotations": p.Annotations},
		"spec":     p.Spec,
	})
	if err != nil {
		return nil
	}
	var v any
	if json.Unmarshal(data, &v) != nil {
		return nil
	}
	return v
}

func compare(paths *[]string, path string, a, b any) {
	if reflect.DeepEqual(a, b) {
		return
	}
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if aok && bok {
		keys := slices.Sorted(maps.Keys(am))
		for k := range bm {
			if _, ok := am[k]; !ok {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			compare(paths, strings.TrimPrefix(path+"."+k, "."), am[k], bm[k])
		}
		return
	}
	al, aok := a.([]any)
	bl, bok := b.([]any)
	if aok && bok && len(al) == len(bl) {
		for i := range al {
			compare(paths, fmt.Sprintf("%s[%d]", path, i), al[i], bl[i])
		}
		return
	}
	*paths = append(*paths, path+": "+show(a)+" -> "+show(b))
}

// show is a value, if it is a short one.

func show(v any) string {
	if v == nil {
		return "(unset)"
	}
	text, err := json.Marshal(v)
	if err != nil || len(text) > 60 {
		return "(long)"
	}
	return string(text)
}

func changedError(name string, diff []string) error {
	return fmt.Errorf("pod %s runs with another manifest:\n  %s\nuse --replace to take it down and make it anew", name, strings.Join(diff, "\n  "))
}
