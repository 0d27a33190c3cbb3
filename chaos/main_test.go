// Package chaos breaks podrun and the machine around it, one class of fault a
// file, and counts what is lost: `make chaos`. Each test leaves its ground as
// clean as it was.
package chaos

import (
	"os"
	"testing"

	"podrun/ground"
)

func TestMain(m *testing.M) {
	code := ground.Main(m)
	printTally(os.Stdout)
	os.Exit(code)
}
