package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// unreadable says why a source cannot be YAML at all, or "".
func unreadable(data []byte) string {
	start := bytes.TrimLeft(data, " \t\r\n\ufeff")
	switch {
	case len(start) == 0:
		return "the file is empty"
	case len(data) > MaxBytes:
		return fmt.Sprintf("the file has %d bytes, more than the %d that Kubernetes takes", len(data), MaxBytes)
	case start[0] == '<' && !bytes.HasPrefix(start, []byte("<<:")):
		return "is not YAML but HTML or XML; does the address lead to a web page instead of the raw file?"
	case isUTF16(data):
		return ""
	case bytes.IndexByte(data, 0) >= 0:
		return "is not YAML but a binary file"
	}
	return ""
}

func isUTF16(data []byte) bool {
	return bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff})
}

// badText finds the first byte that no YAML may hold. yaml.v3 refuses it too, but does not say where it is.
func badText(data []byte) (Problem, bool) {
	if isUTF16(data) {
		return Problem{}, false
	}
	line, column := 1, 1
	for rest := data; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			return Problem{Position{"", line, column}, "", fmt.Sprintf("is not UTF-8 text: found the byte 0x%02x", rest[0])}, true
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return Problem{Position{"", line, column}, "", fmt.Sprintf("found the control character 0x%02x, which YAML does not allow", r)}, true
		case r == '\n':
			line, column = line+1, 0
		case r == '\ufeff':
			column--
		}
		column++
		rest = rest[size:]
	}
	return Problem{}, false
}

// yamlEscapes rewrites what JSON may hold in a string and yaml.v3 does not know: an escaped slash, and a
// character spelled as two \u escapes, as most programs write emoji. Lines stay as they are.
func yamlEscapes(data []byte) []byte {
	special := bytes.Contains(data, []byte(`\/`)) || bytes.Contains(data, []byte(`\ud`)) || bytes.Contains(data, []byte(`\uD`))
	if !special || !json.Valid(data) {
		return data
	}
	var out bytes.Buffer
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' { // a backslash in valid JSON is never the last byte
			out.WriteByte(data[i])
			continue
		}
		r, ok := escaped(data[i:])
		switch {
		case ok && utf16.IsSurrogate(r):
			second, _ := escaped(data[i+6:])
			if joined := utf16.DecodeRune(r, second); joined != utf8.RuneError {
				fmt.Fprintf(&out, `\U%08x`, joined)
				i += 11
			} else {
				out.WriteString(`\ufffd`)
				i += 5
			}
		case data[i+1] == '/':
			out.WriteByte('/')
			i++
		default:
			out.Write(data[i : i+2])
			i++
		}
	}
	return out.Bytes()
}

// escaped reads a \uXXXX at the start of data.
func escaped(data []byte) (rune, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	r, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return rune(r), err == nil
}

// syntaxProblem turns an error of yaml.v3, which names at best the line where the surrounding block
// began, into a complaint with the place and what to do about it.
func syntaxProblem(file string, data []byte, err error) Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, message, _ := strings.Cut(rest, ": ")
		line, _ = strconv.Atoi(number)
		text = message
	}
	lines := strings.Split(string(data), "\n")
	column := 0
	switch text {
	case "did not find expected ',' or ']'", "did not find expected ',' or '}'":
		line++ // yaml.v3's parser, unlike its scanner, counts lines from 0
		text += ": is a bracket or a comma missing?"
	case "did not find expected node content":
		line++
		text += ": is a value or a bracket missing?"
	case "did not find expected key", "did not find expected '-' indicator", "did not find expected <document start>":
		line = firstFailure(lines, text, line+1)
		if at, bracket := surplusBracket(lines, line, text); at > 0 {
			column = at
			text = fmt.Sprintf("is there one %s too many?", bracket)
		} else if at, quote := openQuote(lines, line-1); at > 0 {
			text += fmt.Sprintf(": is the quote %s that line %d opens never closed?", quote, line-1)
		} else {
			text += ": does the indentation match the lines above?"
		}
	case "found unexpected end of stream":
		at, quote := openQuote(lines, line)
		if at == 0 { // yaml.v3 tells the end of the text instead of the first line
			if at, quote = openQuote(lines, 1); at > 0 {
				line = 1
			}
		}
		if at > 0 {
			column = at
			text = fmt.Sprintf("the quote %s that opens here is never closed", quote)
		}
	case "found a tab character that violates indentation", "found character that cannot start any token":
		if at := indentingTab(lines, line); at > 0 {
			line, column = at, strings.IndexByte(lines[at-1], '\t')+1
			text = "found a tab in the indentation: YAML is indented with spaces only"
		} else {
			text += ": a text that begins with @, % or a backquote must be in quotes"
		}
	case "mapping values are not allowed in this context":
		text += `: is the indentation right, or does a text that contains ": " want quotes?`
	}
	if name, ok := unknownAnchor(text); ok {
		line, column = find(lines, "*"+name)
		text = fmt.Sprintf("alias *%s has no anchor &%s before it", name, name)
	}
	line = min(max(line, 1), len(lines))
	if column == 0 {
		l := lines[line-1]
		column = len(l) - len(strings.TrimLeft(l, " \ufeff")) + 1
	}
	return Problem{Position: Position{file, line, column}, Text: text}
}

func unknownAnchor(text string) (string, bool) {
	name, ok := strings.CutPrefix(text, "unknown anchor '")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "' referenced")
}

func find(lines []string, text string) (line, column int) {
	for i, l := range lines {
		if at := strings.Index(l, text); at >= 0 {
			return i + 1, utf8.RuneCountInString(l[:at]) + 1
		}
	}
	return 1, 1
}

// indentingTab is the first line from the given one on that has a tab before its text, or 0.
func indentingTab(lines []string, line int) int {
	for i := max(line-1, 0); i < len(lines) && i <= line; i++ { // the tab may be one line on
		if strings.Contains(lines[i][:len(lines[i])-len(strings.TrimLeft(lines[i], " \t"))], "\t") {
			return i + 1
		}
	}
	return 0
}

// surplusBracket is the column of the last closing bracket of a line without which the line would not break
// the block structure; 0 if there is none.
func surplusBracket(lines []string, line int, text string) (column int, bracket string) {
	if line > len(lines) {
		return 0, ""
	}
	l := lines[line-1]
	at := strings.LastIndexAny(l, "]}")
	if at < 0 {
		return 0, ""
	}
	without := strings.Join(lines[:line-1], "\n") + "\n" + l[:at] + l[at+1:]
	if err := yaml.Unmarshal([]byte(without), new(yaml.Node)); err != nil && strings.HasSuffix(err.Error(), text) {
		return 0, ""
	}
	return utf8.RuneCountInString(l[:at]) + 1, l[at : at+1]
}

// openQuote is the column of the quote that a line opens and does not close; 0 if there is none.
func openQuote(lines []string, line int) (column int, quote string) {
	if line < 1 || line > len(lines) {
		return 0, ""
	}
	l := lines[line-1]
	open := -1
	for i := 0; i < len(l); i++ {
		switch c := l[i]; {
		case open < 0 && (c == '"' || c == '\'') && (i == 0 || strings.IndexByte(" \t[{,:", l[i-1]) >= 0):
			open = i
		case open < 0:
		case c == '\\' && l[open] == '"', c == '\'' && l[open] == c && strings.HasPrefix(l[i+1:], "'"):
			i++ // what follows is text
		case c == l[open]:
			open = -1
		}
	}
	if open < 0 {
		return 0, ""
	}
	return utf8.RuneCountInString(l[:open]) + 1, l[open : open+1]
}

// firstFailure finds the line that broke the block structure: the last one of the shortest run of lines
// that fails as the whole does. yaml.v3 itself only names the line where the broken block began.
func firstFailure(lines []string, text string, from int) int {
	const cheap = 10_000 // a file of more lines is parsed once, not a dozen times
	if from > len(lines) || len(lines) > cheap {
		return from
	}
	fails := func(i int) bool {
		err := yaml.Unmarshal([]byte(strings.Join(lines[:from+i], "\n")), new(yaml.Node))
		return err != nil && strings.HasSuffix(err.Error(), text)
	}
	return min(from+sort.Search(len(lines)-from, fails), len(lines))
}
