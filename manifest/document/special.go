package document

import (
	"encoding/json"
	"strings"

	"gopkg.in/yaml.v3"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// unmarshal decodes a node into a type that has its own JSON form.
func (d *decoder) unmarshal(n *yaml.Node, into json.Unmarshaler, path *field.Path) {
	if want := wantedSpecial(into); want != "" && n.Kind != yaml.ScalarNode {
		d.mismatch(n, path, want)
		return
	}
	text, err := jsonText(n)
	if err != nil {
		d.complain(n, path, "%v", err)
		return
	}
	switch into.(type) {
	case *resource.Quantity:
		if !quantityIsCheap(string(text)) || into.UnmarshalJSON(text) != nil {
			d.complain(n, path, "must be a quantity such as 500m, 0.5, 128Mi or 2Gi, found %s%s", describe(n), quantityHint(n.Value))
		}
		return
	case *intstr.IntOrString, *metav1.Time, *metav1.MicroTime:
		if into.UnmarshalJSON(text) != nil {
			d.mismatch(n, path, wantedSpecial(into))
		}
		return
	}
	if err := into.UnmarshalJSON(text); err != nil {
		d.complain(n, path, "%v", err)
	}
}

// wantedSpecial names the form of a scalar type; "" for types that decode mappings or lists.
func wantedSpecial(into json.Unmarshaler) string {
	switch into.(type) {
	case *resource.Quantity:
		return "a quantity such as 500m, 0.5, 128Mi or 2Gi"
	case *intstr.IntOrString:
		return "a whole number or a name"
	case *metav1.Time, *metav1.MicroTime:
		return "a time such as 2006-01-02T15:04:05Z"
	}
	return ""
}

// quantityIsCheap keeps numbers away from resource.ParseQuantity that would keep it busy for minutes:
// it writes 1e-100000000 out. No quantity that a machine can have is longer, or has an exponent of five digits.
func quantityIsCheap(text string) bool {
	if len(text) > 64 {
		return false
	}
	at := strings.LastIndexAny(text, "eE")
	if at < 0 {
		return true
	}
	digits := strings.TrimLeft(strings.Trim(text[at+1:], `"`), "+-0")
	return len(digits) <= 4
}

// quantityHint puts the near misses right: other tools write megabytes as 128MB, 128mb or 128mi.
func quantityHint(text string) string {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	if number == "" || number == text {
		return ""
	}
	suffixes := map[string]string{
		"kb": "k", "kib": "Ki", "ki": "Ki", "mb": "M", "mib": "Mi", "mi": "Mi",
		"gb": "G", "gib": "Gi", "gi": "Gi", "g": "G", "tb": "T", "tib": "Ti", "ti": "Ti", "b": "",
	}
	suffix, ok := suffixes[strings.ToLower(strings.TrimSpace(text[len(number):]))]
	if !ok {
		return ""
	}
	if _, err := resource.ParseQuantity(number + suffix); err != nil || len(number) > 32 {
		return ""
	}
	return `, did you mean "` + number + suffix + `"?`
}
