package image

import (
	"bytes"
	"errors"
	"fmt"
)

// What the store says of images and layers is kept sealed: a line of JSON and a
// line with its digest, so that one changed byte is told from another truth. A
// file without the second line is taken as it is.

// errDamaged is what a sealed file is that does not match its seal.
var errDamaged = errors.New("it is not what was written")

// repairHint is the next step wherever the store is found to be damaged.
const repairHint = "'podrun image check --repair' mends the store"

func seal(data []byte) []byte {
	return fmt.Appendf(nil, "%s\n%s\n", data, sha256Of(data))
}

func unseal(data []byte) ([]byte, error) {
	body, line, sealed := bytes.Cut(data, []byte{'\n'})
	if sealed && string(line) != sha256Of(body).String()+"\n" {
		return nil, errDamaged
	}
	return body, nil
}
