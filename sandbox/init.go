package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/opencontainers/runc/libcontainer/exeseal"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// initTitle is what containers see as the first process of their shared
// namespace: the name that it has under a kubelet.
const initTitle = "/pause"

// initSteps names the steps of init.c by their exit codes.
var initSteps = map[int]string{
	10: "read its arguments",
	11: "join the namespaces of the pod",
	12: "leave the machine's mounts",
	13: "make an empty root",
	14: "fork",
	15: "become nobody",
	16: "tell its number",
}

// Init is the first process of a PID namespace that a pod's containers share.
type Init struct {
	PID   int
	pidfd *os.File
	line  *os.File // until Keep
}

// StartInit starts one in the namespaces of the pause process, and in the user
// namespace unless that is nil. It ends with
// this process unless Keep is called, so that no process is left that nobody knows of.
func StartInit(pause int, users *os.File, tmp string) (_ *Init, err error) {
	program, err := exeseal.CloneSelfExe(tmp)
	if err != nil {
		return nil, fmt.Errorf("seal the program: %w", err)
	}
	defer program.Close()
	pauseFD, err := unix.PidfdOpen(pause, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	pauseFile := os.NewFile(uintptr(pauseFD), "pause")
	defer pauseFile.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	line, theirs := os.NewFile(uintptr(pair[0]), "init"), os.NewFile(uintptr(pair[1]), "init")
	defer theirs.Close()
	defer func() {
		if err != nil {
			line.Close()
		}
	}()
	cmd := exec.Cmd{
		Path: "/proc/self/fd/" + strconv.Itoa(int(program.Fd())), Args: []string{initTitle},
		Env: []string{"_PODRUN_INIT=1"}, Dir: "/",
		ExtraFiles: []*os.File{pauseFile, theirs},
	}
	if users != nil {
		cmd.Env, cmd.ExtraFiles = []string{"_PODRUN_INIT=2"}, append(cmd.ExtraFiles, users)
	}
	cmd.Env = append(cmd.Env, step.Environment()...)
	defer step.Change("start init")()
	if err := cmd.Run(); err != nil {
		return nil, explainInit(err)
	}
	theirs.Close()
	var pid int32
	if err := binary.Read(line, binary.NativeEndian, &pid); err != nil {
		return nil, fmt.Errorf("hear of the first process: %w", err)
	}
	// It is a child of this process, which reaps it nowhere: the number is its own.
	fd, err := unix.PidfdOpen(int(pid), unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return &Init{PID: int(pid), pidfd: os.NewFile(uintptr(fd), "pidfd"), line: line}, nil
}

func explainInit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if step, ok := initSteps[exit.ExitCode()]; ok {
			return fmt.Errorf("the first process of the shared PID namespace could not %s", step)
		}
	}
	return fmt.Errorf("start the first process of the shared PID namespace: %w", err)
}

// FoundInit is the process that an earlier monitor started and gave to pause.
// os.ErrProcessDone says that it has ended.
func FoundInit(pidfd *os.File) (*Init, error) {
	i := &Init{pidfd: pidfd}
	var info []byte
	err := i.control(func(fd int) (err error) {
		info, err = os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
		return err
	})
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(info), "\nPid:")
	line, _, _ := strings.Cut(rest, "\n")
	if i.PID, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		return nil, fmt.Errorf("read the number behind a pidfd: %w", err)
	}
	if i.PID <= 0 || i.Ended() {
		return nil, os.ErrProcessDone
	}
	return i, nil
}

// Keep gives the process to pause under the name, and lets it live on without
// this one.
func (i *Init) Keep(c *Client, name string) error {
	defer step.Change("keep init")()
	if err := c.Keep(name, i.pidfd); err != nil {
		return err
	}
	defer i.line.Close()
	_, err := i.line.Write([]byte{0})
	return err
}

// Wait returns when the process has ended.
func (i *Init) Wait() error {
	raw, err := i.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool { return readable(int(fd)) })
}

// Ended tells whether the process has, or whether nothing can be told of it.
func (i *Init) Ended() bool {
	ended := false
	err := i.control(func(fd int) error {
		ended = readable(fd)
		return nil
	})
	return ended || err != nil
}

func readable(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n == 1
}

// Kill ends the process, and with it all others of the namespace.
func (i *Init) Kill() error {
	defer step.Change("kill init")()
	err := i.control(func(fd int) error { return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) })
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return os.NewSyscallError("pidfd_send_signal", err)
}

// control calls f with the descriptor. Not File.Fd, which would make it block.
func (i *Init) control(f func(fd int) error) (err error) {
	raw, err := i.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := raw.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}
