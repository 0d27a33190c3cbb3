package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"podrun/step"
)

// A pod with a user namespace of its own has 65536 ids of the machine (the
// kubelet's idsPerPod), from a range that nobody else gives out: beyond those of
// systemd's containers (524288 to 1879048191), of useradd's /etc/subuid and of a
// kubelet, and below 2^31, where some file systems end (systemd.io, UIDS-GIDS).
const (
	UsersPerPod = 1 << 16
	firstUsers  = 1879048192 // 0x70000000
	lastUsers   = 2147352576 // 0x7ffe0000, systemd's foreign ids, is not ours any more
)

// usersFile is the same for all roots on the machine, so that no two of them
// give out the same ids. Each pod holds a lock on one byte of it.
const usersFile = "/run/podrun.users"

// Users are the ids of one pod: First is root there. Nobody else has them as long
// as the reservation is open.
type Users struct {
	First    int
	reserved *os.File
}

// ReserveUsers takes ids that no other pod has and that no account of the machine
// has been given: the preferred ones if they are free, or if 0 any.
func ReserveUsers(preferred int) (*Users, error) {
	defer step.Change("reserve users")()
	u, err := reserveUsers(usersFile, preferred)
	if err != nil {
		return nil, fmt.Errorf("reserve %d user ids: %w", UsersPerPod, err)
	}
	return u, nil
}

func reserveUsers(file string, preferred int) (*Users, error) {
	taken, err := accounts("/etc")
	if err != nil {
		return nil, err
	}
	mapped, err := mappedHere("/proc/self")
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	usable := func(first int) bool {
		return first >= firstUsers && first < lastUsers && first%UsersPerPod == 0 && !taken.meets(first) && mapped.holds(first)
	}
	if usable(preferred) && lockUsers(f, preferred) == nil {
		return &Users{First: preferred, reserved: f}, nil
	}
	for first := firstUsers; first < lastUsers; first += UsersPerPod {
		if !usable(first) {
			continue
		}
		err := lockUsers(f, first)
		if err == nil {
			return &Users{First: first, reserved: f}, nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
			return nil, errors.Join(err, f.Close())
		}
	}
	return nil, errors.Join(fmt.Errorf("all ids from %d to %d are taken, or are not mapped in this user namespace", firstUsers, lastUsers-1), f.Close())
}

// lockUsers locks the byte of a range for the open file, and for all copies of it
// (fcntl(2), open file description locks).
func lockUsers(f *os.File, first int) error {
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{
		Type: unix.F_WRLCK, Whence: io.SeekStart, Start: int64((first - firstUsers) / UsersPerPod), Len: 1,
	})
	return os.NewSyscallError("fcntl", err)
}

// KeepReserved makes sure that the ids of a pod that runs are still reserved for it:
// who removes the file of reservations lets them be given out twice. It returns
// a new reservation, for pause to keep, or nil where the old one is good.
func KeepReserved(first int) (*os.File, error) { return keepReserved(usersFile, first) }

func keepReserved(file string, first int) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if held, err := isLocked(f, first); held || err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := lockUsers(f, first); err != nil {
		return nil, errors.Join(fmt.Errorf("reserve the user ids from %d again: another pod has them: %w", first, err), f.Close())
	}
	return f, nil
}

// Reserved tells whether somebody has the ids from first on.
func Reserved(first int) (bool, error) { return reserved(usersFile, first) }

func reserved(file string, first int) (bool, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	return isLocked(f, first)
}

// isLocked tells whether another open file has the byte of a range locked.
func isLocked(f *os.File, first int) (bool, error) {
	probe := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: int64((first - firstUsers) / UsersPerPod), Len: 1}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &probe)
	return probe.Type != unix.F_UNLCK, os.NewSyscallError("fcntl", err)
}

// Close gives up the reservation, unless pause has a copy of it.
func (u *Users) Close() error { return u.reserved.Close() }

// ranges are ids from the first number to before the second.
type ranges [][2]int

// meets tells whether any id of the pod range is in one of the ranges.
func (r ranges) meets(first int) bool {
	for _, one := range r {
		if one[0] < first+UsersPerPod && first < one[1] {
			return true
		}
	}
	return false
}

// holds tells whether all ids of the pod range are in one of the ranges.
func (r ranges) holds(first int) bool {
	for _, one := range r {
		if one[0] <= first && first+UsersPerPod <= one[1] {
			return true
		}
	}
	return false
}

// accounts are the ids that the machine's files give to users, groups and their
// own containers.
func accounts(etc string) (ranges, error) {
	var all ranges
	for _, name := range []string{"passwd", "group"} {
		err := eachLine(etc+"/"+name, func(fields []string) {
			if id, err := strconv.Atoi(at(fields, 2)); err == nil {
				all = append(all, [2]int{id, id + 1})
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"subuid", "subgid"} {
		err := eachLine(etc+"/"+name, func(fields []string) {
			first, err := strconv.Atoi(at(fields, 1))
			count, cerr := strconv.Atoi(at(fields, 2))
			if err == nil && cerr == nil {
				all = append(all, [2]int{first, first + count})
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func at(fields []string, n int) string {
	if n < len(fields) {
		return fields[n]
	}
	return ""
}

// longestLine bounds a line of the account files: a group with very many members
// is longer than a Scanner takes by itself.
const longestLine = 16 << 20

func eachLine(path string, f func(fields []string)) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		f(strings.Split(lines.Text(), ":"))
	}
	return lines.Err()
}

// mappedHere are the ids that this process's own user namespace has: of a podrun
// inside a container not all.
func mappedHere(proc string) (ranges, error) {
	var both ranges
	for i, name := range []string{"uid_map", "gid_map"} {
		data, err := os.ReadFile(proc + "/" + name)
		if err != nil {
			return nil, err
		}
		var all ranges
		for line := range strings.Lines(string(data)) {
			var inside, outside, count int
			if _, err := fmt.Sscan(line, &inside, &outside, &count); err == nil {
				all = append(all, [2]int{inside, inside + count})
			}
		}
		if i == 0 {
			both = all
		} else {
			both = both.common(all)
		}
	}
	return both, nil
}

// common are the ids that are in both.
func (r ranges) common(others ranges) ranges {
	var all ranges
	for _, a := range r {
		for _, b := range others {
			if first, end := max(a[0], b[0]), min(a[1], b[1]); first < end {
				all = append(all, [2]int{first, end})
			}
		}
	}
	return all
}
