package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"podrun/ground"
)

// The machine loses its power, and resume starts what was up.
func walkBoot(s *session) {
	s.exits(0, "up", "pod.yaml")
	s.wrote("web", "main", 0, 100)
	s.endAll()
	s.shell("rm -rf %s/*", s.g.Store.RunRoot)
	s.exits(0, "resume")
	s.runs("web", "main")
	s.begins("web", "main", 100)
	s.serves()
	s.exits(0, "down", "pod.yaml")
}

// endAll kills all processes of all pods.
func (s *session) endAll() {
	s.Helper()
	s.until("the end of all processes", func() bool {
		all, err := ground.Processes()
		if err != nil {
			s.Fatal(err)
		}
		left := 0
		for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
			left = 0
			for _, p := range all {
				if strings.Contains(p.Cgroups, "/podrun/"+s.g.Store.Instance) {
					syscall.Kill(p.PID, signal)
					left++
				}
			}
		}
		return left == 0
	})
}

// An up that was killed before it had a name has left something, and a down that
// was killed after it had given one up: the next command removes it.
func walkHalf(s *session) {
	s.dies("up/claim name/1/before", "up", "pod.yaml")
	s.exits(0, "up", "pod.yaml")
	s.dies("monitor/release name/1/after", "down", "pod.yaml")
	s.exits(0, "up", "pod.yaml")
	s.runs("web", "main")
	s.exits(0, "down", "pod.yaml")
}

// An up that was killed as it wrote an object has left a part of a file.
func walkUnfinished(s *session) {
	s.dies("up/fill file/1/after", "up", "pod.yaml")
	s.exits(0, "up", "pod.yaml")
	s.runs("web", "main", "other")
	s.wrote("web", "main", 0, 100)
	s.exits(0, "down", "pod.yaml")
}

// A pod whose record cannot be read is taken down without it.
func walkForced(s *session) {
	s.exits(0, "up", "pod.yaml")
	s.loses("web")
	s.shell("echo '{cut' >$PODRUN_ROOT/pods/$(readlink $PODRUN_ROOT/names/default/web)/pod.json")
	s.begin()
	s.until("the end of the pod", func() bool {
		r, _ := s.try("down", "--force", "pod.yaml")
		return r.Code == 0
	})
}

// dies runs a command with an order to kill that every session has here, before the
// one that it may have besides.
func (s *session) dies(step string, args ...string) {
	s.Helper()
	s.begin()
	own, err := os.ReadFile(s.g.order())
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	if err := os.WriteFile(s.g.order(), []byte(step+"\n"+string(own)), 0o600); err != nil {
		s.Fatal(err)
	}
	s.try(args...)
	if left, _ := os.ReadFile(s.g.order()); strings.HasPrefix(string(left), step+"\n") {
		s.Fatalf("nobody was killed at %s", step)
	}
}

// Somebody else removes parts of a pod, whose monitor makes them again. The machine
// has a network of its own, where docker is.
func walkHands(s *session) {
	s.shell("ip netns add %s; ip -n %[1]s link set lo up", s.network())
	defer s.shell("ip netns del %s", s.network())
	s.through = []string{"nsenter", "--net=/run/netns/" + s.network()}
	s.shell(`nsenter --net=/run/netns/%s sh -ec 'iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-USER; iptables-nft -P FORWARD DROP'`, s.network())
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main")
	uid, err := s.g.UID("web")
	if err != nil {
		s.Fatal(err)
	}
	s.begin()
	s.until("somebody who looks after the pod", func() bool { return s.watched("web") })
	run, address := s.g.Store.RunDir(uid), filepath.Join(s.g.Store.AddressDir(), uid)
	for _, file := range []string{filepath.Join(run, "lock"), filepath.Join(run, "control"), address} {
		s.shell("rm %s", file)
		s.until(file+" again", func() bool { return exists(file) })
	}
	table := "podrun-" + s.g.Store.Instance
	s.shell("nsenter --net=/run/netns/%s nft delete table ip %s", s.network(), table)
	s.until("the firewall table", func() bool {
		return strings.Contains(s.shell("nsenter --net=/run/netns/%s nft list tables", s.network()), "table ip "+table)
	})
	shm := filepath.Join(s.g.Store.PodDir(uid), "shm")
	s.unmount(shm)
	s.until("/dev/shm of the pod", func() bool { return s.mounted(shm) })
	s.same(before, s.runs("web", "main"))
	s.restarts("web", "main", 0)
	s.wrote("web", "main", 0, 100)
	s.exits(0, "down", "pod.yaml")
	if left := s.shell("nsenter --net=/run/netns/%s nft list ruleset", s.network()); strings.Contains(left, table) || strings.Contains(left, s.g.Host.LinkPrefix) {
		s.Errorf("left in the firewall:\n%s", left)
	}
}

// Somebody else removes the state of a container, which its monitor alone can write
// again: killed before, it has the container made anew.
func walkState(s *session) {
	s.exits(0, "up", "pod.yaml")
	s.runs("web", "main")
	uid, err := s.g.UID("web")
	if err != nil {
		s.Fatal(err)
	}
	s.begin()
	s.until("somebody who looks after the pod", func() bool { return s.watched("web") })
	s.shell("rm $PODRUN_RUN_ROOT/pods/%s/containers/main.0/state.json", uid)
	s.until("the state of a container", func() bool {
		found, _ := filepath.Glob(filepath.Join(s.g.Store.RunDir(uid), "containers/main.*/state.json"))
		return len(found) == 1
	})
	s.runs("web", "main")
	s.begins("web", "main", 100)
	s.exits(0, "exec", "web", "--", "true")
	s.exits(0, "down", "pod.yaml")
}

// network is the name of the ground's own.
func (s *session) network() string { return "podrun-walk-" + strings.Trim(s.g.Host.LinkPrefix, "-") }

// watched tells whether the monitor has begun to look after its pod.
func (s *session) watched(pod string) bool {
	s.Helper()
	m := s.find(pod, "monitor")
	if m == nil {
		return false
	}
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", m.PID))
	for _, link := range links {
		if target, _ := os.Readlink(link); target == "anon_inode:inotify" {
			return true
		}
	}
	return false
}

// unmount takes a mount out of the pod's namespace, whoever is in it.
func (s *session) unmount(path string) {
	s.Helper()
	s.shell("nsenter -t %d -m umount -l %s", s.find("web", "pause").PID, path)
}

func (s *session) mounted(path string) bool {
	table, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", s.find("web", "pause").PID))
	return strings.Contains(string(table), " "+path+" ")
}

// What is left of pods that nobody knows goes with a repair, and the pod that runs
// does not notice.
func walkRepairs(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main")
	s.shell("%s", leftovers)
	s.exits(0, "system", "check", "--repair")
	s.prints("nothing to complain of\n", "system", "check")
	s.shell("rmdir $PODRUN_ROOT/volumes/default 2>/dev/null || true") // goes with a check when it has been empty for a while
	s.same(before, s.runs("web", "main"))
	s.restarts("web", "main", 0)
	s.wrote("web", "main", 0, 100)
	s.exits(0, "down", "pod.yaml")
}

const leftovers = `
ghost=11111111-2222-4333-8444-555555555555
net=${PODRUN_SUBNET%.0/24}
own=$(readlink $PODRUN_RUN_ROOT/addresses/$(readlink $PODRUN_ROOT/names/default/web))
other() { echo $net.$(( (${own##*.} + $1) % 240 + 5 )); } # an address that the pod has not
ln -s $ghost $PODRUN_ROOT/names/default/ghost
mkdir -p $PODRUN_ROOT/pods/$ghost/volumes $PODRUN_RUN_ROOT/pods/99999999-2222-4333-8444-555555555555
ln -s $ghost $PODRUN_RUN_ROOT/addresses/$(other 60)
ln -s $(other 120) $PODRUN_RUN_ROOT/addresses/abcdefab-2222-4333-8444-555555555555
for dir in /sys/fs/cgroup/podrun /sys/fs/cgroup/*/podrun; do
	if test -d $dir; then mkdir -p $dir/$INSTANCE/$ghost/main.0; fi
done
mkdir -p $PODRUN_LOG_DIR/default_ghost_$ghost/main
echo $INSTANCE >$PODRUN_LOG_DIR/default_ghost_$ghost/.podrun
ip link add ${PODRUN_LINK_PREFIX}xx1 type veth peer name ${PODRUN_LINK_PREFIX}xx2
ip link set ${PODRUN_LINK_PREFIX}xx1 up
ip link set ${PODRUN_LINK_PREFIX}xx2 up
ip route add $(other 180)/32 dev ${PODRUN_LINK_PREFIX}xx1
mkdir -p -m 700 $PODRUN_ROOT/volumes $PODRUN_ROOT/volumes/nobody $PODRUN_ROOT/volumes/default $PODRUN_ROOT/volumes/default/orphan
touch -d '1 hour ago' $PODRUN_ROOT/volumes/nobody
printf 33333333-2222-4333-8444-555555555555 >$PODRUN_ROOT/volumes/default/orphan/owner
mkdir $PODRUN_ROOT/pods/44444444-2222-4333-8444-555555555555
mount -t tmpfs none $PODRUN_ROOT/pods/44444444-2222-4333-8444-555555555555
cd $PODRUN_ROOT/pods/$(readlink $PODRUN_ROOT/names/default/web)
echo x >.status.json.1234
touch -d '1 hour ago' .status.json.1234
chmod 644 events.jsonl
`

// The status of a pod that nobody keeps is damaged, and its name is gone.
func walkDamagedStatus(s *session) {
	s.exits(0, "up", "pod.yaml")
	uid, err := s.g.UID("web")
	if err != nil {
		s.Fatal(err)
	}
	s.loses("web")
	s.shell("rm $PODRUN_ROOT/names/default/web; echo '{cut' >$PODRUN_ROOT/pods/%s/status.json", uid)
	s.begin()
	s.until("a repair", func() bool {
		r, _ := s.try("system", "check", "--repair")
		again, _ := s.try("system", "check")
		return r.Code >= 0 && !strings.Contains(again.Stdout, "cannot be read") && !strings.Contains(again.Stdout, "nothing leads from its name")
	})
	s.exits(0, "up", "pod.yaml")
	s.runs("web", "main")
	s.exits(0, "down", "pod.yaml")
}

// A pod that has ended, what is left of another, and an image that has lost its
// name go; what has names stays.
func walkPrune(s *session) {
	s.comesTo("up", "pod.yaml")
	s.untilPhase("web", "Failed")
	s.shell(`ln -s 11111111-2222-4333-8444-555555555555 $PODRUN_ROOT/names/default/ghost`)
	for _, change := range []string{"ENV WORD=one", "ENV WORD=two"} {
		s.g.Must(s.T, "image", "import", "--change", change, ground.Suite.Rootfs, "nobodys")
	}
	s.exits(0, "system", "prune", "--force")
	if r := s.g.Run("image", "check"); r.Code != 0 {
		s.Error(r)
	}
	s.g.Must(s.T, "image", "rm", "nobodys")
	s.prints("nothing to complain of\n", "system", "check")
	if r := s.g.Run("get", "pod", "web"); r.Code == 0 {
		s.Errorf("the pod that has ended is still there: %s", r)
	}
}

// The unit of systemd is written whole or not at all.
func walkService(s *session) {
	s.shell(`mkdir -p tools units; printf '#!/bin/sh\nexit 0\n' >tools/systemctl; chmod +x tools/systemctl`)
	defer s.shell("rm -rf tools units")
	s.through = []string{"env", "PATH=" + filepath.Join(s.g.Dir, "tools") + ":" + os.Getenv("PATH")}
	s.exits(0, "install-service", "--unit-dir", "units")
	if got := s.shell("ls -A units; grep -c '^ExecStart=.* resume$' units/podrun.service"); got != "podrun.service\n1\n" {
		s.Errorf("the units are %q", got)
	}
}
