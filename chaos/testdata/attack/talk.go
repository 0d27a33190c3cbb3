package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
)

// talk prints without end:
//
//	talk line       one line that never ends
//	talk fast       lines of 100 bytes as fast as it can
//	talk short      empty lines
//	talk -bytes N KIND   stops after N bytes
func talk(args []string) error {
	limit := int64(1 << 62)
	if args[0] == "-bytes" {
		if _, err := fmt.Sscan(args[1], &limit); err != nil {
			return err
		}
		args = args[2:]
	}
	chunk := bytes.Repeat([]byte("x"), 1<<16)
	switch args[0] {
	case "fast":
		chunk = bytes.Repeat([]byte(strings.Repeat("y", 99)+"\n"), 600)
	case "short":
		chunk = bytes.Repeat([]byte("\n"), 1<<16)
	}
	for limit > 0 {
		n, err := os.Stdout.Write(chunk[:min(int64(len(chunk)), limit)])
		if err != nil {
			return err
		}
		limit -= int64(n)
	}
	return nil
}

// readNeighbours is the ARP table.
func readNeighbours() (map[string]net.HardwareAddr, error) {
	f, err := os.Open("/proc/net/arp")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table := map[string]net.HardwareAddr{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			continue
		}
		if mac, err := net.ParseMAC(fields[3]); err == nil && fields[2] != "0x0" {
			table[fields[0]] = mac
		}
	}
	return table, nil
}
