package cli

import (
	"bytes"
	"testing"
)

func TestVisibleShowsWhatATerminalWouldObey(t *testing.T) {
	for _, c := range []struct{ text, want, why string }{
		{"line\n\tnext äöü 世界 🙂", "line\n\tnext äöü 世界 🙂", "text is text in every script"},
		{"\x1b]0;owned\x07", "^[]0;owned^G", "the title of the window"},
		{"\x1b[31mred", "^[[31mred", "what podrun says has no colours"},
		{"ok\rpod/other running", "ok^Mpod/other running", "a line written over another"},
		{"\u009b2J", "<U+009B>2J", "CSI in one character (C1)"},
		{"\x9b2J", "<9B>2J", "CSI of a terminal of 8 bits"},
		{"a\x00b\x08\x7f", "a^@b^H^?", "NUL, backspace, delete"},
		{"safe\u202egpj.exe", "safe<U+202E>gpj.exe", "text that runs backwards"},
	} {
		if got := visible(c.text); got != c.want {
			t.Errorf("%s: got %q, want %q", c.why, got, c.want)
		}
	}
	if got := printable(" two\nlines\tand \x1b[2J "); got != "two lines and ^[[2J" {
		t.Errorf("one cell became %q", got)
	}
}

func TestColoursPassesColoursOnly(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"\x1b[1;31mred\x1b[0m\n", "\x1b[1;31mred\x1b[0m\n"},
		{"\x1b[38:2:10:20:30mrgb\x1b[m\n", "\x1b[38:2:10:20:30mrgb\x1b[m\n"},
		{"\x1b[2J\x1b[1;1Hspoof\n", "^[[2J^[[1;1Hspoof\n"},
		{"\x1b]52;c;ZWNobyBvd25lZAo=\x07\n", "^[]52;c;ZWNobyBvd25lZAo=^G\n"},
		{"\x1b[6n\x1bP$qm\x1b\\\n", "^[[6n^[P$qm^[\\\n"},
		{"a terminal's line\r\n10%\r20%\n", "a terminal's line\r\n10%^M20%\n"},
		{"\x1b[?1049h\n", "^[[?1049h\n"},
		{"\xff\xfe\u009b0c\n", "<FF><FE><U+009B>0c\n"},
		{"\x1b[" + string(bytes.Repeat([]byte("1;"), 100)) + "m\n", "^[[" + string(bytes.Repeat([]byte("1;"), 100)) + "m\n"},
		{"äöü 世界\n", "äöü 世界\n"},
	} {
		for _, size := range []int{1, 2, 3, 7, 4096} { // however the text is cut
			var out bytes.Buffer
			w := &colours{out: &out}
			for rest := []byte(c.text); len(rest) > 0; {
				n := min(size, len(rest))
				if wrote, err := w.Write(rest[:n]); err != nil || wrote != n {
					t.Fatalf("Write returned %d, %v", wrote, err)
				}
				rest = rest[n:]
			}
			if out.String() != c.want {
				t.Errorf("%q in pieces of %d: got %q, want %q", c.text, size, out.String(), c.want)
			}
		}
	}
}
