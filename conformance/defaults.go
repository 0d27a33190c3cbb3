package conformance

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"

	"podrun/manifest"
)

// differences are the fields that an object which both sides take has on one side only, or with another value, once
// the defaults are filled in. An imagePullPolicy that is left out is podrun's own.
func differences(data []byte) []string {
	object, _, err := strictCodecs.UniversalDecoder(core.SchemeGroupVersion, runtimeInternal).Decode(data, nil, nil)
	if err != nil {
		panic(err)
	}
	theirs, err := legacyscheme.Scheme.ConvertToVersion(object, v1.SchemeGroupVersion)
	if err != nil {
		panic(err)
	}
	o, _ := manifest.Parse([]manifest.Source{{Name: "f", Data: data}}, manifest.Options{})
	var own any
	switch {
	case len(o.Pods) > 0:
		own = o.Pods[0].Spec
	case len(o.ConfigMaps) > 0:
		own = o.ConfigMaps[0]
	case len(o.Secrets) > 0:
		own = o.Secrets[0]
	case len(o.Claims) > 0:
		own = o.Claims[0].Spec
	}
	switch t := theirs.(type) {
	case *v1.Pod:
		return unequal(generic(t.Spec), generic(own), "spec")
	case *v1.PersistentVolumeClaim:
		return unequal(generic(t.Spec), generic(own), "spec")
	}
	var list []string
	for _, f := range []string{"data", "binaryData", "type", "immutable"} {
		list = append(list, unequal(generic(theirs).(map[string]any)[f], generic(own).(map[string]any)[f], f)...)
	}
	return list
}

func generic(object any) any {
	data, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	var o any
	if err := json.Unmarshal(data, &o); err != nil {
		panic(err)
	}
	return o
}

// unequal are the paths at which two values differ.
func unequal(a, b any, path string) []string {
	if reflect.DeepEqual(a, b) {
		return nil
	}
	x, isMap := a.(map[string]any)
	y, both := b.(map[string]any)
	var list []string
	if isMap && both {
		for key := range x {
			if key != "imagePullPolicy" && key != "pullPolicy" {
				list = append(list, unequal(x[key], y[key], path+"."+key)...)
			}
		}
		for key := range y {
			if _, known := x[key]; !known {
				list = append(list, path+"."+key)
			}
		}
		slices.Sort(list)
		return list
	}
	s, isList := a.([]any)
	t, both := b.([]any)
	if isList && both && len(s) == len(t) {
		for i := range s {
			list = append(list, unequal(s[i], t[i], fmt.Sprintf("%s[%d]", path, i))...)
		}
		return list
	}
	return []string{path}
}
