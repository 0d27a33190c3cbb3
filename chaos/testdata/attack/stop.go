package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// stop stops every other process that it sees, but the first, as fast as it can.
func stop([]string) error {
	fmt.Println("stopping")
	proc, err := os.Open("/proc")
	if err != nil {
		return err
	}
	for {
		if _, err := proc.Seek(0, 0); err != nil {
			return err
		}
		names, err := proc.Readdirnames(-1)
		if err != nil {
			return err
		}
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil && pid != 1 && pid != os.Getpid() {
				unix.Kill(pid, unix.SIGSTOP)
			}
		}
	}
}
