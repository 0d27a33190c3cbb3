// Attack is what hostile containers run in the tests of escapes. Its subcommands try
// one thing each, and print what came of it, a line a try:
//
//	probe              system calls that no container needs: "NAME ERRNO", and "NAME done" for one that worked
//	write FILE...      opens each file for writing and writes a byte: "FILE ERRNO" or "FILE done"
//	devices            makes nodes of the machine's devices, and reads them
//	hunt [-for 10s]    waits for processes that run what is not of this image, and writes to their programs through /proc/PID/exe
//	exchange A B       exchanges two names for ever (renameat2, RENAME_EXCHANGE); prints "exchanging"
//	where FILE         the working directory, and whether FILE of the machine can be reached from it
//	frames KIND ...    sends frames that no honest pod sends: see network.go
//	connect NETWORK ADDRESS...   "ADDRESS ERRNO" or "ADDRESS done"
//	talk KIND          prints for ever: see talk.go
//	stop               stops every process but the first and itself, for ever
package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

var commands = map[string]func(args []string) error{
	"probe": probe, "write": writeFiles, "devices": devices, "hunt": hunt, "exchange": exchange, "where": where,
	"frames": frames, "connect": connect, "talk": talk, "stop": stop,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "attack: name a subcommand")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

// result is how a try ended, in one word.
func result(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return "error"
}
