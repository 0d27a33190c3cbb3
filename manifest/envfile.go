package manifest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxEnvFile is how much of a file of variables is looked at, in bytes. A container writes it, and must not keep
// its reader busy.
const maxEnvFile = 16 << 20

// envFile is the value that a file of variables has for the key, or "" (kubelet, pkg/kubelet/util/env). The
// file is a subset of a shell's: NAME='value', where the value is taken as it stands and may have several
// lines; blank lines and comments lie between. A blank before the quote makes the value empty, as in a shell;
// nothing after the key is looked at.
func envFile(from io.Reader, key string) (string, error) {
	f := envLines{scanner: bufio.NewScanner(from)}
	for f.next() {
		line := strings.TrimLeft(f.line, " \t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, err := f.assignment(line)
		if err != nil {
			return "", err
		}
		if name == key {
			return value, nil
		}
	}
	return "", f.scanner.Err()
}

type envLines struct {
	scanner *bufio.Scanner // refuses a line of more than 64 KiB
	line    string
	number  int
}

func (f *envLines) next() bool {
	if !f.scanner.Scan() {
		return false
	}
	f.line = f.scanner.Text()
	f.number++
	return true
}

func (f *envLines) complain(text string) error {
	return fmt.Errorf("invalid environment variable format at line %d: %s", f.number, text)
}

// assignment reads NAME='value', which may go on over further lines.
func (f *envLines) assignment(line string) (name, value string, err error) {
	name, rest, found := strings.Cut(line, "=")
	switch {
	case !found:
		return "", "", f.complain("missing '='")
	case strings.Trim(name, " \t") == "":
		return "", "", f.complain("empty variable name")
	case strings.HasSuffix(name, " "), strings.HasSuffix(name, "\t"):
		return "", "", f.complain("whitespace before '=' is not allowed")
	case strings.HasPrefix(rest, " "), strings.HasPrefix(rest, "\t"):
		return name, "", nil
	}
	rest, quoted := strings.CutPrefix(rest, "'")
	if !quoted {
		return "", "", f.complain("value must be enclosed in single quotes")
	}
	value, err = f.quoted(rest)
	return name, value, err
}

// quoted reads up to the closing quote, and what is left of its line.
func (f *envLines) quoted(rest string) (string, error) {
	var value strings.Builder
	start := f.number
	for {
		text, after, closed := strings.Cut(rest, "'")
		value.WriteString(text)
		if closed {
			after = strings.TrimLeft(after, " \t")
			if after != "" && !strings.HasPrefix(after, "#") {
				return "", f.complain("unexpected content after closing quote")
			}
			return value.String(), nil
		}
		value.WriteByte('\n')
		if value.Len() > maxString { // the file is a container's: it must not fill the memory
			return "", errors.New("the value is longer than a variable can be")
		}
		if !f.next() {
			return "", fmt.Errorf("invalid environment variable format starting at line %d: unclosed single quote", start)
		}
		rest = f.line
	}
}
