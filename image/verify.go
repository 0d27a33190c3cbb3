package image

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

// writeInventory writes the inventory of the layer in the directory dir to the
// file path, compressed, and returns the digest of that file.
func writeInventory(dir, path string) (sum v1.Hash, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hasher := sha256.New()
	z, err := zstd.NewWriter(io.MultiWriter(f, hasher), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10))
	if err != nil {
		return sum, err
	}
	err = walk(dir, func(path, fields string) error {
		_, err := io.WriteString(z, line(path, fields))
		return err
	})
	if err := errors.Join(err, z.Close()); err != nil {
		return sum, fmt.Errorf("take the inventory of %s: %w", dir, err)
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(hasher.Sum(nil))}, nil
}

// damage is an error that tells what of the store is not as it was stored.
type damage struct{ what string }

func (d *damage) Error() string { return d.what }

func damagef(format string, args ...any) error { return &damage{fmt.Sprintf(format, args...)} }

// verifyTree holds the layer in the directory dir against its inventory. What is
// found to differ first is a *damage; other errors are of the search.
func verifyTree(dir, inventory string, want v1.Hash) error {
	f, err := os.Open(inventory)
	if errors.Is(err, os.ErrNotExist) {
		return damagef("its inventory is missing")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	hasher := sha256.New()
	if _, err := io.Copy(hasher, f); err != nil {
		return err
	}
	if hex.EncodeToString(hasher.Sum(nil)) != want.Hex {
		return damagef("its inventory is not what was written")
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	lines, stop, err := readInventory(f)
	if err != nil {
		return err
	}
	defer stop()
	return compare(dir, lines)
}

func readInventory(f io.Reader) (lines *bufio.Reader, stop func(), err error) {
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, nil, err
	}
	return bufio.NewReaderSize(z, 64<<10), z.Close, nil
}

// compare walks the layer beside its inventory. The time of a directory, which goes
// with what is in it, is told only where nothing else differs.
func compare(dir string, inventory *bufio.Reader) error {
	var touched error
	err := walk(dir, func(path, fields string) error {
		want, err := inventory.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return damagef("%s was added", path)
		}
		if err != nil {
			return err
		}
		if want == line(path, fields) {
			return nil
		}
		if isTouched(want, path, fields) {
			touched = cmp.Or(touched, damagef("%s has changed: its time", path))
			return nil
		}
		return difference(dir, want, path, fields)
	})
	if err != nil {
		return err
	}
	rest, err := inventory.ReadString('\n')
	if errors.Is(err, io.EOF) {
		return touched
	}
	if err != nil {
		return err
	}
	name, _ := splitLine(rest)
	return damagef("%s is missing", name)
}

// splitLine takes a line of an inventory apart.
func splitLine(text string) (path, fields string) {
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return text, ""
	}
	path, _ = strconv.Unquote(quoted)
	return path, strings.TrimSpace(text[len(quoted):])
}

// isTouched tells whether of a directory only the time differs.
func isTouched(wanted, path, fields string) bool {
	name, want := splitLine(wanted)
	got, expected := strings.Fields(fields), strings.Fields(want)
	if name != path || got[0] != "directory" || len(expected) != len(fileFields) {
		return false
	}
	expected[timeField] = got[timeField]
	return slices.Equal(got, expected)
}

// difference says what the first file is that differs, and how.
func difference(dir, wanted, path, fields string) error {
	name, want := splitLine(wanted)
	if name != path {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		if _, err := root.Lstat(name); err != nil {
			return damagef("%s is missing", name)
		}
		return damagef("%s was added", path)
	}
	got, expected := strings.Fields(fields), strings.Fields(want)
	if len(expected) != len(fileFields) {
		return damagef("%s has changed", path)
	}
	for i, field := range fileFields {
		if got[i] == expected[i] || i == timeField { // that goes with the others
			continue
		}
		if field == "content" || field == "attributes" {
			return damagef("%s has changed: its %s", path, field)
		}
		return damagef("%s has changed: its %s is %s, and was %s", path, field, got[i], expected[i])
	}
	return damagef("%s has changed: its time", path)
}
