package cli

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDetachReader(t *testing.T) {
	for _, test := range []struct {
		why, typed, want string
		detached         bool
	}{
		{"ordinary keys", "ls\r", "ls\r", false},
		{"the keys", "ls\r\x10\x11rm", "ls\r", true},
		{"history of a shell", "\x10\x10a", "\x10\x10a", false},
		{"the keys after the first one twice", "\x10\x10\x11", "\x10", true},
		{"the second key alone", "\x11a", "\x11a", false},
	} {
		for _, from := range []io.Reader{strings.NewReader(test.typed), iotest.OneByteReader(strings.NewReader(test.typed))} {
			got, err := io.ReadAll(&detachReader{from: from})
			if string(got) != test.want || errors.Is(err, errDetached) != test.detached {
				t.Errorf("%s: got %q, %v", test.why, got, err)
			}
		}
	}
}
