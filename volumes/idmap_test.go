package volumes

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMappable(t *testing.T) {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 70000, Size: 1000}}
	holder := exec.Command("sleep", "1000")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	users, err := os.Open("/proc/" + strconv.Itoa(holder.Process.Pid) + "/ns/user")
	holder.Process.Kill()
	holder.Wait()
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	for path, want := range map[string]string{
		t.TempDir():   "",
		"/proc/sys":   "(proc) cannot be id-mapped",
		"/sys/kernel": "(sysfs) cannot be id-mapped",
		"/no/such":    "no such file",
	} {
		err := Mappable(path, users)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}
