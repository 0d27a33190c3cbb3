package document

import (
	"encoding/base64"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

// yaml11Float is the form of a float in sigs.k8s.io/yaml: strconv alone would take "1_e5", "0x1p4" and "infinity".
var yaml11Float = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
})

// scalar is what a scalar node means: nil, bool, int64, uint64, float64 or string, as sigs.k8s.io/yaml reads
// it. That reader speaks YAML 1.1 (yes and on are booleans, 0644 is octal), yaml.v3 speaks a mixture, so
// the node's own tag only counts where the document writes one. A timestamp stays a string there and here.
func scalar(n *yaml.Node) (any, error) {
	tag := ""
	if n.Style&yaml.TaggedStyle != 0 {
		tag = n.ShortTag()
	} else if n.Style&^yaml.TaggedStyle != 0 {
		return n.Value, nil // quoted or a block: always a string
	}
	switch tag {
	case "":
		return plain(n.Value), nil
	case "!!bool", "!!int", "!!float", "!!null":
		return tagged(tag, n.Value)
	case "!!binary":
		b, err := base64.StdEncoding.DecodeString(n.Value)
		if err != nil {
			return nil, fmt.Errorf("must be base64 because of its tag !!binary: %w", err)
		}
		return string(b), nil
	}
	return n.Value, nil // !!str, !!timestamp and unknown tags leave the text alone
}

func tagged(tag, text string) (any, error) {
	v := plain(text)
	switch x := v.(type) {
	case nil:
		if tag == "!!null" {
			return nil, nil
		}
	case bool:
		if tag == "!!bool" {
			return v, nil
		}
	case int64:
		if tag == "!!float" {
			return float64(x), nil
		}
		if tag == "!!int" {
			return v, nil
		}
	case uint64:
		if tag == "!!int" {
			return v, nil
		}
	case float64:
		if tag == "!!float" {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%q is not what its tag %s says", text, tag)
}

func plain(s string) any {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return nil
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return true
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return false
	case ".nan", ".NaN", ".NAN":
		return math.NaN()
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF":
		return math.Inf(1)
	case "-.inf", "-.Inf", "-.INF":
		return math.Inf(-1)
	}
	switch c := s[0]; {
	case c == '.':
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	case c == '+', c == '-', '0' <= c && c <= '9':
		return number(s)
	}
	return s
}

func number(s string) any {
	digits := strings.ReplaceAll(s, "_", "")
	if i, err := strconv.ParseInt(digits, 0, 64); err == nil { // base 0: 0644, 0o644, 0x1a4 and 0b11 are numbers
		return i
	}
	if u, err := strconv.ParseUint(digits, 0, 64); err == nil {
		return u
	}
	if yaml11Float().MatchString(digits) {
		if f, err := strconv.ParseFloat(digits, 64); err == nil {
			return f
		}
	}
	return s
}

// keyText is the JSON key that sigs.k8s.io/yaml makes of a mapping's key.
func keyText(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", fmt.Errorf("a key must be a plain word, found %s", describe(n))
	}
	v, err := scalar(n)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 32), nil
	}
	return "", fmt.Errorf("a key must be a plain word, found %s", describe(n))
}

// kindOf names a node without what it says.
func kindOf(n *yaml.Node) string {
	switch text := describe(n); {
	case strings.HasPrefix(text, "the boolean "):
		return "a boolean"
	case strings.HasPrefix(text, "the string "):
		return "a string"
	case strings.HasPrefix(text, "the number "):
		return "a number"
	case strings.HasPrefix(text, "a ") || text == "nothing":
		return text
	}
	return "another value"
}

// describe names a node for a complaint: `the boolean yes`, `a list`.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	v, err := scalar(n)
	if err != nil {
		return strconv.Quote(shorten(n.Value))
	}
	switch v.(type) {
	case nil:
		return "nothing"
	case bool:
		return "the boolean " + n.Value
	case string:
		return "the string " + strconv.Quote(shorten(n.Value))
	}
	return "the number " + shorten(n.Value)
}

// shorten keeps a complaint on one line whatever the document holds.
func shorten(s string) string {
	const limit = 60
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
