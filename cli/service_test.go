package cli

import (
	"strings"
	"testing"

	"podrun/state"
)

func TestUnit(t *testing.T) {
	u := unit{
		binary: "/opt/my tools/podrun", flags: []string{"--root=/srv/100%/$x", "--subnet=10.1.0.0/16"},
		config:      state.Config{Root: "/srv/100%/$x", RunRoot: "/run/podrun", LogDir: "/var/log/pods"},
		environment: []string{"HOME=/root", "PATH=/bin", "REGISTRY_AUTH_FILE=/a b"},
	}
	text := u.text()
	for _, line := range []string{
		`ExecStart=-"/opt/my tools/podrun" "--root=/srv/100%%/$$x" --subnet=10.1.0.0/16 resume`,
		`ExecStop="/opt/my tools/podrun" "--root=/srv/100%%/$$x" --subnet=10.1.0.0/16 suspend --all`,
		`RequiresMountsFor="/opt/my tools/podrun" "/srv/100%%/$x" /var/log/pods`,
		`Environment=HOME=/root`, `Environment="REGISTRY_AUTH_FILE=/a b"`,
		`Type=oneshot`, `RemainAfterExit=yes`, `KillMode=process`, `WantedBy=multi-user.target`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the unit lacks %q:\n%s", line, text)
		}
	}
	if strings.Contains(text, "PATH=") {
		t.Errorf("the unit has the caller's PATH:\n%s", text)
	}
}
