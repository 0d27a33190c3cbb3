package netns

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// roles are what a child of the tests can be.
var roles = map[string]func(args []string) error{
	"allocate": allocateMany,
	"attach":   attachMany,
	"hold":     holdPort,
}

// allocateMany claims addresses for <name>-0, <name>-1 ... at once and prints them.
func allocateMany(args []string) error {
	h, name := childHost(args[0]), args[1]
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	type result struct {
		addr netip.Addr
		err  error
	}
	results := make(chan result)
	for i := range count {
		go func() {
			addr, err := h.Allocate(fmt.Sprintf("%s-%d", name, i))
			results <- result{addr, err}
		}()
	}
	for range count {
		r := <-results
		if r.err != nil {
			return r.err
		}
		fmt.Println(r.addr)
	}
	return nil
}

func TestAllocateFromManyProcesses(t *testing.T) {
	const processes, each = 4, 50
	h := childHost(t.TempDir())
	seen := map[string]bool{}
	var children []*exec.Cmd
	var outputs []*bufio.Scanner
	for i := range processes {
		c := self("allocate", h.Addresses, fmt.Sprint("p", i), strconv.Itoa(each))
		c.Stderr = os.Stderr
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		children, outputs = append(children, c), append(outputs, bufio.NewScanner(out))
	}
	for i, out := range outputs {
		for out.Scan() {
			if seen[out.Text()] {
				t.Errorf("%s was given twice", out.Text())
			}
			seen[out.Text()] = true
		}
		if err := children[i].Wait(); err != nil {
			t.Error(err)
		}
	}
	if len(seen) != processes*each {
		t.Errorf("got %d addresses, want %d", len(seen), processes*each)
	}
	for i := range processes {
		for j := range each {
			if err := h.Release(fmt.Sprintf("p%d-%d", i, j)); err != nil {
				t.Error(err)
			}
		}
	}
	wantNoAddresses(t, h)
}

func wantNoAddresses(t *testing.T, h Host) {
	t.Helper()
	if left, err := h.leftAddresses(); err != nil || len(left) > 0 {
		t.Errorf("addresses are left: %v, %q", err, left)
	}
}

// Killed at any moment, an allocation is completed by the next, and released.
func TestAllocateKilled(t *testing.T) {
	const each = 200
	h := childHost(t.TempDir())
	for round := range 5 {
		c := self("allocate", h.Addresses, "k", strconv.Itoa(each))
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2*time.Millisecond + rand.N(20*time.Millisecond))
		_ = c.Process.Kill()
		_ = c.Wait()
		seen := map[netip.Addr]bool{}
		for i := range each {
			addr, err := h.Allocate(fmt.Sprintf("k-%d", i))
			if err != nil || seen[addr] {
				t.Fatalf("round %d: got %v again, %v", round, addr, err)
			}
			seen[addr] = true
		}
		for i := range each {
			if err := h.Release(fmt.Sprintf("k-%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		wantNoAddresses(t, h)
	}
}

func TestAllocateAfterACut(t *testing.T) {
	link := func(h Host, name, target string) {
		if err := os.Symlink(target, h.file(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		cut  func(Host)
		want string
	}{
		{"nothing was done", func(Host) {}, "10.247.0.2"},
		{"between intent and claim", func(h Host) { link(h, "x", "10.247.0.9") }, "10.247.0.9"},
		{"between claim and note", func(h Host) { link(h, "x", "10.247.0.9"); link(h, "10.247.0.9", "x") }, "10.247.0.9"},
		{"another pod took the address", func(h Host) { link(h, "x", "10.247.0.2"); link(h, "10.247.0.2", "y") }, "10.247.0.3"},
		{"the subnet was changed before the claim", func(h Host) { link(h, "x", "10.99.0.9") }, "10.247.0.2"},
		{"the subnet was changed after the claim", func(h Host) { link(h, "x", "10.99.0.9"); link(h, "10.99.0.9", "x") }, "10.99.0.9"},
		{"the intent is no address", func(h Host) { link(h, "x", "what") }, "10.247.0.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := childHost(t.TempDir())
			c.cut(h)
			for range 2 {
				if got, err := h.Allocate("x"); err != nil || got.String() != c.want {
					t.Errorf("got %v, %v; want %s", got, err, c.want)
				}
			}
			for range 2 {
				if err := errors.Join(h.Release("x"), h.Release("y")); err != nil {
					t.Error(err)
				}
			}
			if owner, err := os.Readlink(h.file(c.want)); err == nil {
				t.Errorf("%s still belongs to %s", c.want, owner)
			}
		})
	}
}

func TestAllocateGoesOn(t *testing.T) {
	h := childHost(t.TempDir())
	h.Subnet = netip.MustParsePrefix("10.247.0.0/29") // .2 to .6
	allocate := func(uid, want string) {
		t.Helper()
		if got, err := h.Allocate(uid); err != nil || got.String() != want {
			t.Errorf("%s: got %v, %v; want %s", uid, got, err, want)
		}
	}
	release := func(uid string) {
		t.Helper()
		if err := h.Release(uid); err != nil {
			t.Error(err)
		}
	}
	allocate("a", "10.247.0.2")
	allocate("b", "10.247.0.3")
	release("b")
	allocate("c", "10.247.0.4") // not b's at once
	allocate("d", "10.247.0.5")
	allocate("e", "10.247.0.6")
	allocate("f", "10.247.0.3") // from the beginning again
	if _, err := h.Allocate("g"); !errors.Is(err, ErrSubnetExhausted) {
		t.Errorf("got %v, want ErrSubnetExhausted", err)
	}
	release("a")
	allocate("g", "10.247.0.2")
	for _, uid := range []string{"c", "d", "e", "f", "g", "never-was"} {
		release(uid)
	}
	wantNoAddresses(t, h)
}

func TestUsable(t *testing.T) {
	for _, c := range []struct{ subnet, first, last, reason string }{
		{"10.244.0.0/16", "10.244.0.2", "10.244.255.254", ""},
		{"10.244.3.7/24", "10.244.3.2", "10.244.3.254", "host bits are no matter"},
		{"10.244.0.4/30", "10.244.0.6", "10.244.0.6", "the smallest"},
		{"0.0.0.0/0", "0.0.0.2", "255.255.255.254", "the largest"},
		{"10.244.0.0/31", "", "", "no address besides network, gateway and broadcast"},
		{"10.244.0.0/32", "", "", "the same"},
		{"fd00::/64", "", "", "IPv6"},
	} {
		first, last, err := usable(netip.MustParsePrefix(c.subnet))
		if c.first == "" {
			if err == nil {
				t.Errorf("%s is usable (%s)", c.subnet, c.reason)
			}
			continue
		}
		if err != nil || first.String() != c.first || last.String() != c.last {
			t.Errorf("%s: got %v to %v, %v; want %s to %s", c.subnet, first, last, err, c.first, c.last)
		}
	}
	if _, _, err := usable(netip.Prefix{}); err == nil {
		t.Error("no subnet at all is usable")
	}
}

func TestUIDs(t *testing.T) {
	h := childHost(t.TempDir())
	for _, bad := range []string{"", ".", "..", ".last", "a/b", "10.247.0.2", "::1", "a b", "a\"b", "a\x00b", "é", string(make([]byte, 65))} {
		if _, err := h.Allocate(bad); err == nil {
			t.Errorf("allocated for uid %q", bad)
		}
		if err := h.Release(bad); err == nil {
			t.Errorf("released uid %q", bad)
		}
	}
}
