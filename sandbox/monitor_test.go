package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// monitorTitle is the first argument that makes this program a monitor.
const monitorTitle = "podrun: test monitor"

// facts are what a monitor finds when it starts.
type facts struct {
	PID, Session  int
	Files         map[int]string
	Env           []string
	Namespaces    map[string]string
	Cwd, Hostname string
	Blocked       string // signals
}

// answer is a monitor's reply to a test.
type answer struct {
	Err    string
	Errno  syscall.Errno // as pause sent it
	Text   string
	Names  []string
	Exits  []Exited
	PID    int
	Facts  facts
	Cgroup string
}

var namespaceKinds = []string{"net", "ipc", "uts", "mnt", "pid", "user", "cgroup"}

func findFacts() facts {
	f := facts{PID: os.Getpid(), Files: map[int]string{}, Env: os.Environ(), Namespaces: map[string]string{}}
	files, _ := os.ReadDir("/proc/self/fd")
	for _, e := range files {
		number, _ := strconv.Atoi(e.Name())
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			f.Files[number] = target
		}
	}
	for _, kind := range namespaceKinds {
		f.Namespaces[kind], _ = os.Readlink("/proc/self/ns/" + kind)
	}
	f.Session, _ = unix.Getsid(0)
	f.Cwd, _ = os.Getwd()
	f.Hostname, _ = os.Hostname()
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(status), "SigBlk:\t")
	f.Blocked, _, _ = strings.Cut(after, "\n")
	return f
}

// monitorMain is told the mode, the leaf cgroup and the test's directory.
func monitorMain(args []string) int {
	f := findFacts() // before anything else is opened
	mode, leaf, dir := args[0], args[1], args[2]
	if mode == "cgroups" {
		return showCgroups(leaf)
	}
	if mode == "die" {
		starts, err := os.OpenFile(filepath.Join(dir, "starts"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err == nil {
			fmt.Fprintln(starts, time.Now().UnixNano())
		}
		return 1
	}
	died := make(chan os.Signal, 1)
	signal.Notify(died, PauseDied)
	go func() {
		<-died
		os.WriteFile(filepath.Join(dir, "pause-died"), nil, 0o600)
		os.Exit(0)
	}()
	if err := serveTest(f, leaf); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// showCgroups joins a group, tells where it is, leaves it and tells again.
func showCgroups(path string) int {
	for _, step := range []func(string) error{JoinLeaf, LeaveCgroup} {
		if err := step(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		data, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Printf("%s\x00", data)
	}
	return 0
}

func serveTest(f facts, leaf string) error {
	if err := JoinLeaf(leaf); err != nil {
		return err
	}
	client, err := Connect()
	if err != nil {
		return err
	}
	control, err := client.Take("control")
	if err != nil {
		return err
	}
	listener, err := net.FileListener(control)
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		var words []string
		if err := json.NewDecoder(conn).Decode(&words); err != nil {
			conn.Close()
			continue
		}
		a, err := serveOne(client, words[0], words[1:])
		a.Facts = f
		if err != nil {
			a.Err = err.Error()
			errors.As(err, &a.Errno)
		}
		json.NewEncoder(conn).Encode(a)
		conn.Close()
	}
}

func serveOne(c *Client, op string, args []string) (a answer, err error) {
	switch op {
	case "facts":
		data, err := os.ReadFile("/proc/self/cgroup")
		return answer{Cgroup: string(data)}, err
	case "keep": // NAME CONTENT
		fd, err := unix.MemfdCreate("kept", unix.MFD_CLOEXEC)
		if err != nil {
			return a, err
		}
		f := os.NewFile(uintptr(fd), "kept")
		defer f.Close()
		f.WriteString(args[1])
		return a, c.Keep(args[0], f)
	case "take":
		f, err := c.Take(args[0])
		if err != nil {
			return a, err
		}
		defer f.Close()
		data := make([]byte, 100)
		n, _ := f.ReadAt(data, 0)
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
		if flags&unix.FD_CLOEXEC == 0 {
			err = errors.Join(err, errors.New("what was taken is not close-on-exec"))
		}
		return answer{Text: string(data[:n])}, err
	case "drop":
		return a, c.Drop(args[0])
	case "hold": // NAME FIFO
		fifo, err := os.OpenFile(args[1], unix.O_PATH, 0)
		if err != nil {
			return a, err
		}
		return a, errors.Join(c.Hold(args[0], fifo), fifo.Close())
	case "names":
		a.Names, err = c.Names()
		return a, err
	case "exits":
		a.Exits, err = c.Exits()
		return a, err
	case "forget": // PID START-TIME
		pid, _ := strconv.Atoi(args[0])
		start, _ := strconv.ParseUint(args[1], 10, 64)
		return a, c.Forget(Exited{Pid: pid, StartTime: start})
	case "quit":
		return a, c.Quit()
	case "spawn": // a child that nobody waits for
		cmd := exec.Cmd{Path: args[0], Args: args[1:]}
		err := cmd.Start()
		if err == nil {
			a.PID = cmd.Process.Pid
		}
		return a, err
	case "mount":
		return a, unix.Mount("test", args[0], "tmpfs", 0, "")
	case "raw": // BYTES [fd]: a packet that no Client sends
		return a, sendRaw(c, []byte(args[0]), args[1:])
	}
	return a, errors.New("no such operation: " + op + " " + strings.Join(args, " "))
}

func sendRaw(c *Client, packet []byte, with []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var rights []byte
	if len(with) > 0 {
		rights = unix.UnixRights(2)
	}
	if _, _, err := c.conn.WriteMsgUnix(packet, rights, nil); err != nil {
		return err
	}
	_, _, err := c.receive()
	return err
}
