package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func signals(args []string) error {
	f := flags("signals")
	last := f.String("exit-on", "TERM", "")
	code := f.Int("code", 0, "")
	f.Parse(args)
	came := make(chan os.Signal, 64)
	signal.Notify(came)
	fmt.Println("ready")
	for s := range came {
		if s == unix.SIGURG { // of the Go runtime itself
			continue
		}
		name := signalName(s.(syscall.Signal))
		fmt.Println("signal", name)
		if name == *last {
			os.Exit(*code)
		}
	}
	return nil
}

// The real-time signals as glibc counts them: the first two are its own.
const sigRTMin = 34

// signalName is without SIG; real-time signals are RTMIN+n.
func signalName(s syscall.Signal) string {
	if s >= sigRTMin {
		return fmt.Sprintf("RTMIN+%d", s-sigRTMin)
	}
	return strings.TrimPrefix(unix.SignalName(s), "SIG")
}

func printEnv(args []string) error {
	wait := len(args) > 0 && args[0] == "-wait"
	for i, a := range args {
		fmt.Printf("arg %d: %s\n", i, a)
	}
	for _, e := range os.Environ() {
		fmt.Println(e)
	}
	if wait {
		select {}
	}
	return nil
}

func address(args []string) error {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	six := len(args) > 0 && args[0] == "-6"
	for _, a := range all {
		ip := a.(*net.IPNet).IP
		if ip.IsGlobalUnicast() && (ip.To4() == nil) == six {
			fmt.Println(ip)
			return nil
		}
	}
	return fmt.Errorf("none of %v", all)
}

func duration(args []string) (time.Duration, error) {
	if len(args) != 1 {
		return 0, errors.New("want a duration")
	}
	return time.ParseDuration(args[0])
}

func sleep(args []string) error {
	d, err := duration(args)
	if err == nil {
		time.Sleep(d)
	}
	return err
}

// endOnTERM: PID 1 of a namespace ends by a signal only if it asks for it.
func endOnTERM() {
	came := make(chan os.Signal, 1)
	signal.Notify(came, unix.SIGTERM)
	go func() {
		<-came
		os.Exit(128 + int(unix.SIGTERM))
	}()
}

// middle marks the process between fork's caller and what it leaves behind.
const middle = "PEER_FORK"

func fork(args []string) error {
	stay := len(args) > 0 && args[0] == "-stay"
	if stay {
		args = args[1:]
	}
	d, err := duration(args)
	if err != nil {
		return err
	}
	if os.Getenv(middle) != "" {
		child := exec.Command("/proc/self/exe", "sleep", d.String())
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			return err
		}
		fmt.Println(child.Process.Pid)
		return nil
	}
	parent := exec.Command("/proc/self/exe", "fork", d.String())
	parent.Env = append(os.Environ(), middle+"=1")
	parent.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := parent.Output()
	fmt.Print(string(out))
	if stay && err == nil {
		time.Sleep(d)
	}
	return err
}

func exit(args []string) error {
	code, err := strconv.Atoi(strings.Join(args, " "))
	if err == nil {
		os.Exit(code)
	}
	return err
}

func exists(args []string) error {
	_, err := os.Stat(strings.Join(args, " "))
	return err
}

func touch(args []string) error {
	for _, name := range args {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

func remove(args []string) error {
	for _, name := range args {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

func printText(args []string) error {
	f := flags("print")
	stderr := f.Bool("err", false, "")
	file := f.String("append", "", "")
	f.Parse(args)
	to := os.Stdout
	if *stderr {
		to = os.Stderr
	}
	if *file != "" {
		var err error
		if to, err = os.OpenFile(*file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
			return err
		}
		defer to.Close()
	}
	_, err := fmt.Fprintln(to, strings.Join(f.Args(), " "))
	return err
}

func printIDs([]string) error {
	_, err := fmt.Printf("uid %d euid %d\n", os.Getuid(), os.Geteuid())
	return err
}
