package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// lines prints numbered lines as fast as it is told, in writes of about 64 KiB, and
// leaves in a file for how long the slowest write was held up.
func lines(args []string) error {
	set := flag.NewFlagSet("lines", flag.ExitOnError)
	count := set.Int("count", 1000, "lines")
	length := set.Int("length", 1000, "bytes of a line, its newline included")
	rate := set.Int("rate", 100, "megabytes a second")
	slowest := set.String("slowest", "", "file for the milliseconds that the slowest write took")
	if err := set.Parse(args); err != nil {
		return err
	}
	var worst time.Duration
	start, sent := time.Now(), 0
	for n := 0; n < *count; {
		var batch strings.Builder
		for ; n < *count && batch.Len() < 64<<10; n++ {
			number := fmt.Sprintf("%09d ", n)
			batch.WriteString(number + strings.Repeat("x", max(0, *length-len(number)-1)) + "\n")
		}
		// A held up writer catches up, as one with a queue of its own does.
		time.Sleep(time.Until(start.Add(time.Duration(sent) * time.Second / time.Duration(*rate*1_000_000))))
		began := time.Now()
		if _, err := os.Stdout.WriteString(batch.String()); err != nil {
			return err
		}
		worst = max(worst, time.Since(began))
		sent += batch.Len()
	}
	if *slowest == "" {
		return nil
	}
	return os.WriteFile(*slowest, fmt.Appendf(nil, "%d", worst.Milliseconds()), 0o644)
}
