package chaos

import (
	"fmt"
	"path/filepath"
	"testing"
)

var anyone = quickPod("%[1]s", `
  restartPolicy: Never
  containers: [{name: main, image: %[1]s, imagePullPolicy: Never, command: [id]}]
`)

// TestEscapesByUsers runs images whose user is a number that overflows to root
// (CVE-2024-40635), or a name that stands for one in a passwd file of the image's.
func TestEscapesByUsers(t *testing.T) {
	a := newAttacker(t)
	tar := filepath.Join(a.Dir, "user.tar")
	passwd := entry{name: "etc/passwd", content: "4294967296:x:4294967296:0::/:/bin/sh\nbig:x:18446744073709551616:0::/:/bin/sh\n", mode: 0o644}
	if err := withMore(attackImage(t), tar, passwd); err != nil {
		t.Fatal(err)
	}
	for i, user := range []string{"4294967296", "4294967296:4294967296", "2147483648", "big", "-1", "0x0:99999999999999999999"} {
		name := fmt.Sprintf("user-%d", i)
		a.load(name, tar, "USER "+user)
		tried(t, "user "+user, holding(a.attempt(name, anyone), "uid=0("))
	}
}
