package main

import (
	"context"
	"time"
)

// boots is how often guest/systemd starts the machine: one reboot is in order, one not.
const boots = 3

// systemd boots Debian with systemd as init, three times from the same disk, and
// lets guest/systemd look at pods' units, and at what a reboot leaves of pods.
func systemd(ctx context.Context, b *bench) error {
	const name = "systemd"
	disk, err := b.newDisk(ctx, name)
	if err != nil {
		return err
	}
	return b.checks(ctx, plan{
		name: name, memory: 2048, limit: 10 * time.Minute, boots: boots,
		kernel: []string{"disk=yes", "first=/sbin/init", "job=systemd", "systemd.show_status=no"},
		drives: []string{"format=raw,cache=writeback,file=" + disk, b.payload()},
	})
}
