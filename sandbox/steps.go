//go:build steps

package sandbox

// The marks in C are compiled in (step.h).

/*
#cgo CFLAGS: -DPODRUN_STEPS
*/
import "C"
