package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// What containers, images, registries and manifests say may hold what a terminal
// obeys: to move the cursor and overwrite what podrun has said, to set the title or
// the clipboard, to answer as if the user had typed (CVE-2021-25743 of kubectl). In
// podrun's own texts, tables and complaints all of it is shown instead of sent. A
// log is the container's own text: a file or pipe gets it byte for byte, a terminal
// with its colours and nothing else that it would obey, as less -R has it; so does
// attach. What exec and attach -t connect with a terminal is passed on as it is.

// visible shows what a terminal would obey as cat -v and less do. Lines and tabs stay.
func visible(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, obeyed) {
		return text
	}
	var b []byte
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		b = appendVisible(b, r, []byte(text[:size]))
		text = text[size:]
	}
	return string(b)
}

// printable is visible for one cell of a table or one line, which no text may leave.
func printable(text string) string {
	return visible(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, strings.TrimSpace(text)))
}

// obeyed are the control characters of ASCII and of ISO 6429 (C1), and those that
// turn the direction of what follows.
func obeyed(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || unicode.Is(unicode.Bidi_Control, r)
}

func appendVisible(b []byte, r rune, raw []byte) []byte {
	switch {
	case r == utf8.RuneError && len(raw) == 1: // not UTF-8: a terminal of 8 bits may obey it
		return fmt.Appendf(b, "<%02X>", raw[0])
	case !obeyed(r):
		return append(b, raw...)
	case r < ' ' || r == 0x7f:
		return append(b, '^', byte(r)^0x40)
	}
	return fmt.Appendf(b, "<U+%04X>", r)
}

// visibleWriter makes what is written to it visible. A Write does not end within a
// character.
type visibleWriter struct{ out io.Writer }

func (v visibleWriter) Write(b []byte) (int, error) {
	if _, err := io.WriteString(v.out, visible(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// logTo is where logs go that are printed to out.
func logTo(out io.Writer) io.Writer {
	if isTerminal(out) {
		return &colours{out: out}
	}
	return out
}

// dataTo is where JSON and YAML go: into files as they are.
func dataTo(out io.Writer) io.Writer {
	if isTerminal(out) {
		return visibleWriter{out}
	}
	return out
}

// printJSON writes it indented.
func (a *app) printJSON(v any) error {
	encoder := json.NewEncoder(dataTo(a.Out))
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// colours passes text and the sequences that colour it (ECMA-48, SGR) to a terminal,
// and makes the rest visible.
type colours struct {
	out  io.Writer
	kept []byte // the begin of a sequence or a character, of which the rest is to come
}

// maxColour bounds a sequence that is waited for, in bytes.
const maxColour = 64

func (c *colours) Write(b []byte) (int, error) {
	text := append(c.kept, b...)
	shown := make([]byte, 0, len(text)+len(text)/8)
	for len(text) > 0 {
		if n, whole := colour(text); n > 0 {
			if !whole {
				break
			}
			shown = append(shown, text[:n]...)
			text = text[n:]
			continue
		}
		if !utf8.FullRune(text) {
			break
		}
		r, size := utf8.DecodeRune(text)
		switch {
		case r != '\r':
			shown = appendVisible(shown, r, text[:size])
		case len(text) == 1:
			c.kept = append(c.kept[:0], text...)
			return len(b), c.write(shown)
		case text[1] == '\n': // a line from the container's own terminal
			shown = append(shown, '\r')
		default:
			shown = append(shown, "^M"...)
		}
		text = text[size:]
	}
	c.kept = append(c.kept[:0], text...)
	return len(b), c.write(shown)
}

func (c *colours) write(shown []byte) error {
	_, err := c.out.Write(shown)
	return err
}

// colour is the length of the colour that text begins with, 0 for none; whole is
// false if the text may go on with the rest of it.
func colour(text []byte) (n int, whole bool) {
	const begin = "\x1b["
	if len(text) < len(begin) {
		if string(text) == begin[:len(text)] {
			return len(text), false
		}
		return 0, false
	}
	if string(text[:len(begin)]) != begin {
		return 0, false
	}
	for n = len(begin); n < len(text) && n < maxColour; n++ {
		switch b := text[n]; {
		case b == 'm':
			return n + 1, true
		case b != ';' && b != ':' && (b < '0' || b > '9'):
			return 0, false
		}
	}
	if n == maxColour {
		return 0, false
	}
	return n, false
}
