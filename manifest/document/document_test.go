package document

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestSyntax(t *testing.T) {
	for _, tc := range []struct{ name, data, want string }{
		{"empty", "", "f:1:1: the file is empty"},
		{"blank", " \n\n\t\n", "f:1:1: the file is empty"},
		{"only a byte order mark", "\ufeff", "f:1:1: the file is empty"},
		{"only comments", "# nothing\n---\n# here\n", "f:1:1: holds no object, only comments or blank lines"},
		{"a web page", "\n<!DOCTYPE html>\n<html></html>", "f:1:1: is not YAML but HTML or XML; does the address lead to a web page instead of the raw file?"},
		{"a program", "\x7fELF\x02\x01\x01\x00\x00", "f:1:1: is not YAML but a binary file"},
		{"an archive", "\x1f\x8b\x08\x08abc", "f:1:1: found the control character 0x1f, which YAML does not allow"},
		{"Latin-1", "a: 1\nb: caf\xe9\n", "f:2:7: is not UTF-8 text: found the byte 0xe9"},
		{"a bell", "a: \"x\ay\"\n", "f:1:6: found the control character 0x07, which YAML does not allow"},
		{"tab before a key", "a:\n\tb: 1\n", "f:2:1: found a tab in the indentation: YAML is indented with spaces only"},
		{"tab in deeper indentation", "a:\n  - name: x\n\t  image: b\n", "f:3:1: found a tab in the indentation: YAML is indented with spaces only"},
		{"tab after spaces", "a:\n  \tb: 1\n", "f:2:3: found a tab in the indentation: YAML is indented with spaces only"},
		{"two colons", "a: b: c\n", `f:1:1: mapping values are not allowed in this context: is the indentation right, or does a text that contains ": " want quotes?`},
		{"indented too much", "a: 1\n b: 2\n", `f:2:2: mapping values are not allowed in this context: is the indentation right, or does a text that contains ": " want quotes?`},
		{"indented too little", "top:\n  x: 1\n  list:\n    - a\n   y: 2\n", "f:5:4: did not find expected key: does the indentation match the lines above?"},
		{"key among items", "x:\n  - a\n  b: 1\n", "f:3:3: did not find expected '-' indicator: does the indentation match the lines above?"},
		{"open list", "x: 1\na: [1,2\nb: 3\n", "f:2:1: did not find expected ',' or ']': is a bracket or a comma missing?"},
		{"open mapping", "{a: 1\nb: 2", "f:2:1: did not find expected ',' or '}': is a bracket or a comma missing?"},
		{"open quote", "x: 1\na: \"foo\nb: 2\n", "f:2:4: the quote \" that opens here is never closed"},
		{"open quote in the first line", "a: ['it''s, b]\nb: 2\n", "f:1:5: the quote ' that opens here is never closed"},
		{"open quote behind others", "x: 1\na: [\"b\\\"\", 'c', \"foo]\nb: 2\n", "f:2:17: the quote \" that opens here is never closed"},
		{"open quote that the next one closes", "x: 1\na: \"foo\nb: \"bar\"\n", "f:3:1: did not find expected key: is the quote \" that line 2 opens never closed?"},
		{"one bracket too many", "x: 1\na: [1, 2]]\nb: 3\n", "f:2:10: is there one ] too many?"},
		{"one brace too many", "x:\n- a: {b: {}}}\n- c: 3\n", "f:2:13: is there one } too many?"},
		{"at sign", "a: 1\nb: @x\n", "f:2:1: found character that cannot start any token: a text that begins with @, % or a backquote must be in quotes"},
		{"no colon", "x: 1\nfoo\nbar: 1\n", "f:2:1: could not find expected ':'"},
		{"unknown anchor", "x: 1\ny: *nope\n", "f:2:4: alias *nope has no anchor &nope before it"},
		{"alias inside its anchor", "x: &a\n  - *a\n", "f:2:5: alias *a stands inside the value that it repeats"},
		{"aliases inside each other", "x: &a {k: &b [*a]}\n", "f:1:15: alias *a stands inside the value that it repeats"},
		{"another YAML", "%YAML 2.0\n---\na: 1\n", "f:1:1: found incompatible YAML document"},
		{"the second document", "a: 1\n---\nb: [\n", "f:4:1: did not find expected node content: is a value or a bracket missing?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, problems := Read("f", []byte(tc.data))
			if got := problems.Error(); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestReadsWhatOtherProgramsWrite(t *testing.T) {
	utf16le := func(s string) string {
		out := "\xff\xfe"
		for _, r := range s {
			out += string([]byte{byte(r), byte(r >> 8)})
		}
		return out
	}
	for _, tc := range []struct {
		name, data string
		documents  int
	}{
		{"byte order mark", "\ufeffa: x\n", 1},
		{"Windows line ends", "a: x\r\n---\r\na: x\r\n", 2},
		{"UTF-16 as PowerShell writes it", utf16le("a: x\r\n"), 1},
		{"comments between", "# c\n---\n# d\n---\na: x\n---\n# e\n---\na: x\n...\n", 2},
		{"no line end", "a: x", 1},
		{"JSON", `{"a": "x", "b": [1, null, true], "c": "a\/b"}`, 1},
		{"JSON with tabs", "{\n\t\"a\":\t\"x\"\n}", 1},
		{"JSON with an emoji in two escapes", `{"a":"x","b":"\ud83d\ude00"}`, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			values, problems := Read("f", []byte(tc.data))
			if len(problems) > 0 || len(values) != tc.documents {
				t.Fatalf("got %d documents and %v, want %d", len(values), problems, tc.documents)
			}
			for _, v := range values {
				if got := v.Field("a").Text(); got != "x" {
					t.Errorf("a: got %q, want x", got)
				}
			}
		})
	}
}

func TestJSONEscapes(t *testing.T) {
	values, problems := Read("f", []byte(`{"pair":"\ud83d\ude00","lone":"\ud83d!","escaped":"\\ud83d","last":"\ud83d","slash":"a\/b\\/"}`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for key, want := range map[string]string{"pair": "😀", "lone": "\ufffd!", "escaped": `\ud83d`, "last": "\ufffd", "slash": `a/b\/`} {
		if got := values[0].Field(key).Text(); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}

// TestHostile holds files that are made to cost more than they weigh: each must be answered in little time
// and memory, whatever the answer is.
func TestHostile(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'z'; c++ {
		prev := string(c - 1)
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+prev+",", 9), ","))
	}
	merges := "a: &a {k: v}\n"
	for c := 'b'; c <= 'z'; c++ {
		merges += fmt.Sprintf("%c: &%c {<<: [*%c, *%c, *%c]}\n", c, c, c-1, c-1, c-1)
	}
	for _, tc := range []struct{ name, data, want string }{
		{"alias bomb", bomb, "f:1:1: holds more than 250000 values once its aliases are expanded"},
		{"merge bomb", merges, "f:1:1: holds more than 250000 values once its aliases are expanded"},
		{"too large", "a: " + strings.Repeat("x", MaxBytes), "f:1:1: the file has 3145731 bytes, more than the 3145728 that Kubernetes takes"},
		{"very many values", strings.Repeat("- {}\n", MaxBytes/5), "f:1:1: holds more than 250000 values once its aliases are expanded"},
		{"nested too deep", strings.Repeat("[", 100_000), ""},
		{"nested deep", strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000), ""},
		{"nested in blocks", strings.Repeat("- ", 9_000) + "x", ""},
		{"one long line", "a: '" + strings.Repeat("\\", MaxBytes-10) + "'", ""},
		{"many documents", strings.Repeat("---\na: 1\n", MaxBytes/9), ""},
		{"many comments", strings.Repeat("# c\n", MaxBytes/4-4) + "a: 1\n", ""},
		{"many lines and then an error", strings.Repeat("a:\n", 500_000) + " - \n b\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			values, problems := Read("f", []byte(tc.data))
			for _, v := range values {
				var into struct {
					A []string `json:"a"`
				}
				v.Decode(&into)
			}
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated > 1500 || took > patience {
				t.Errorf("took %v and %d MiB", took, allocated)
			} else {
				t.Logf("took %v and %d MiB: %d documents, %d problems", took, allocated, len(values), len(problems))
			}
			if got := problems.Error(); tc.want != "" && got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
