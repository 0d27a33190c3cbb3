package tree

import (
	"testing"

	"podrun/fence"
)

func TestMain(m *testing.M) { fence.OwnMounts(m, "tree") }

var (
	ok         = fence.NoError
	write      = fence.Write
	read       = fence.Read
	checkGone  = fence.WantGone
	checkError = fence.WantError
)

func must[T any](value T, err error) func(testing.TB) T { return fence.Must(value, err) }
