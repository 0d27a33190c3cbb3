package audit

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"podrun/monitor"
	"podrun/netns"
	"podrun/pod"
	"podrun/state"
)

var host = netns.Host{Instance: "0123abcd", LinkPrefix: "t-"}

func ref(name string) state.Ref {
	return state.Ref{Namespace: "default", Name: name, UID: "uid-" + name}
}

func record(name string) *state.Record {
	return &state.Record{Pod: &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)}}}
}

// whole is a pod that runs, and has all that such a pod has.
func whole(s *Snapshot) *Pod {
	p := &Pod{
		Names: []state.Ref{ref("web")}, Record: record("web"), Directory: true, RunDir: true,
		Kept: true, Keepers: []int{10, 11}, Containers: []int{12}, Cgroups: true,
		Status: monitor.Status{Checkpoint: pod.Checkpoint{Status: v1.PodStatus{Phase: v1.PodRunning}}},
	}
	s.Pods["uid-web"] = p
	s.Network.Claims["uid-web"], s.Network.Claims["10.0.0.2"] = "10.0.0.2", "uid-web"
	s.Network.Rules = []string{"uid-web"}
	s.Network.Links = []string{host.LinkName("uid-web"), host.LinkName("gateway of " + host.Instance)}
	s.Network.Tables = true
	return p
}

// gone takes from the pod what goes with its processes.
func gone(p *Pod) { p.Kept, p.Keepers, p.Containers = false, nil, nil }

func TestFindings(t *testing.T) {
	now := time.Unix(100000, 0)
	tests := []struct {
		why  string
		be   func(s *Snapshot, p *Pod)
		want []string // kind, place, part of what is wrong, part of what repair does
	}{
		{"nothing is wrong", func(*Snapshot, *Pod) {}, nil},
		{"nobody keeps it", func(s *Snapshot, p *Pod) { gone(p) }, []string{
			"pod default/web it is recorded as running, and nothing keeps it; ",
			"pod default/web of its sandbox, which is gone, there is left: run directory, cgroups, address 10.0.0.2, link t-; remove what is left",
		}},
		{"nobody keeps it, and its containers run: nothing is killed", func(s *Snapshot, p *Pod) { gone(p); p.Containers = []int{12} }, []string{
			"pod default/web nothing keeps it; 1 of its processes run on; ",
		}},
		{"it is being made", func(s *Snapshot, p *Pod) { *p = Pod{Kept: true, RunDir: true} }, nil},
		{"it is being removed", func(s *Snapshot, p *Pod) { gone(p); p.Record, p.Kept = nil, true }, nil},
		{"half made", func(s *Snapshot, p *Pod) { gone(p); p.Record = nil }, []string{
			"pod default/web there is no record of it: run directory, cgroups; remove what is left",
		}},
		{"its removal was interrupted", func(s *Snapshot, p *Pod) { gone(p); p.Status.Stop = &pod.Stop{} }, []string{
			"pod default/web its removal was interrupted; finish it",
		}},
		{"it could not be made, and its removal was interrupted", func(s *Snapshot, p *Pod) { gone(p); p.Status.NotMade = "why" }, []string{
			"pod default/web its removal was interrupted; finish it",
		}},
		{"it is suspended", func(s *Snapshot, p *Pod) {
			gone(p)
			p.Status.Stop, p.Status.Status.Reason = &pod.Stop{Resume: true}, "Terminated"
			clean(s, p)
		}, nil},
		{"it is suspended, and some of it runs on", func(s *Snapshot, p *Pod) {
			gone(p)
			p.Status.Stop, p.Status.Status.Reason, p.Containers = &pod.Stop{Resume: true}, "Terminated", []int{12}
		}, []string{"pod default/web it is suspended; 1 of its processes run on; "}},
		{"it is suspended, and something of its sandbox is left", func(s *Snapshot, p *Pod) {
			gone(p)
			p.Status.Stop, p.Status.Status.Reason = &pod.Stop{Resume: true}, "Terminated"
		}, []string{"pod default/web of its sandbox, which is gone; remove what is left"}},
		{"it has ended, and root file systems are left", func(s *Snapshot, p *Pod) {
			gone(p)
			clean(s, p)
			p.Status.Ended, p.Roots = true, 2
		}, []string{"pod default/web there is left: 2 root file systems; remove what is left"}},
		{"those of a pod that goes on with them", func(s *Snapshot, p *Pod) { p.Roots = 2 }, nil},
		{"something of earlier attempts is left", func(s *Snapshot, p *Pod) { p.Residue = []string{"main.0", "main.1"} }, []string{
			"pod default/web there is left: main.0, main.1; ",
		}},
		{"its user ids are its own", func(s *Snapshot, p *Pod) { p.Users, p.Reserved = 1879048192, true }, nil},
		{"its user ids are not reserved", func(s *Snapshot, p *Pod) { p.Users = 1879048192 }, []string{
			"pod default/web its user ids from 1879048192 on are not reserved; ",
		}},
		{"nobody knows its user ids", func(s *Snapshot, p *Pod) { p.BadUsers = errors.New("cut short") }, []string{
			"pod default/web nothing tells which user ids it has: cut short; ",
		}},
		{"two pods have the same user ids", func(s *Snapshot, p *Pod) {
			p.Users, p.Reserved = 1879048192, true
			other := *p
			other.Names, other.Record = []state.Ref{ref("a")}, record("a")
			s.Pods["uid-a"] = &other
			gone := other
			gone.Kept = false
			gone.Names, gone.Record, gone.Status.Ended = []state.Ref{ref("gone")}, record("gone"), true
			gone.Keepers, gone.Containers, gone.RunDir, gone.Cgroups = nil, nil, false, false
			s.Pods["uid-gone"] = &gone
		}, []string{"pod default/web it has the same user ids as pod default/a; "}},
		{"it has ended, and nothing of its sandbox is left", func(s *Snapshot, p *Pod) {
			*p = Pod{Names: p.Names, Record: p.Record, Directory: true, Status: monitor.Status{Ended: true}}
			s.Network = netns.Holdings{}
		}, nil},
		{"it has ended, and something is left", func(s *Snapshot, p *Pod) {
			gone(p)
			p.Status.Ended = true
		}, []string{"pod default/web of its sandbox, which is gone; remove what is left"}},
		{"the claim of its name is gone", func(s *Snapshot, p *Pod) { gone(p); p.Names = nil }, []string{
			"pod default/web nothing leads from its name to it; claim the name",
		}},
		{"another has its name", func(s *Snapshot, p *Pod) { gone(p); p.Names, p.Taken = nil, true }, []string{
			"pod uid-web another pod has its name; ",
		}},
		{"two names", func(s *Snapshot, p *Pod) {
			gone(p)
			p.Status.Ended = true
			p.Names = append(p.Names, ref("other"))
			clean(s, p)
		}, []string{
			"pod default/other the name leads to pod default/web; ",
		}},
		{"its record cannot be read", func(s *Snapshot, p *Pod) { gone(p); p.Record, p.Damage = nil, errors.New("cut short") }, []string{
			"pod default/web its record cannot be read: cut short; ",
		}},
		{"its status cannot be read", func(s *Snapshot, p *Pod) { gone(p); p.BadStatus = errors.New("cut short") }, []string{
			"pod default/web its status cannot be read: cut short; remove it",
		}},
		{"it runs without a record, and its monitor does not mend that", func(s *Snapshot, p *Pod) { p.Record = nil }, []string{
			"pod default/web it runs, and has no record; ",
		}},
		{"what it refers to is gone", func(s *Snapshot, p *Pod) { p.Missing = []string{"configmap a"} }, []string{
			"pod default/web configmap a; ",
		}},
		{"an address without its pod's claim", func(s *Snapshot, p *Pod) { s.Network.Claims["10.0.0.9"] = "uid-x" }, []string{
			"address 10.0.0.9 it is claimed for pod uid-x; release it",
		}},
		{"a link that no pod has", func(s *Snapshot, p *Pod) { s.Network.Links = append(s.Network.Links, "t-strange") }, []string{
			"link t-strange no pod has it; remove it",
		}},
		{"a table without a pod", func(s *Snapshot, p *Pod) {
			delete(s.Pods, "uid-web")
			s.Network = netns.Holdings{Tables: true, Links: []string{host.LinkName("gateway of " + host.Instance)}}
		}, []string{"rules podrun-0123abcd without a pod; remove them"}},
		{"a file that is being written", func(s *Snapshot, p *Pod) {
			s.Files = []File{{Path: "/r/.pod.json.1", Part: true, Mode: 0o600, Changed: now.Add(-time.Second)}}
		}, nil},
		{"one that was left", func(s *Snapshot, p *Pod) {
			s.Files = []File{{Path: "/r/.pod.json.1", Part: true, Mode: 0o600, Changed: now.Add(-time.Hour)}}
		}, []string{"file /r/.pod.json.1 it was being written; remove it"}},
		{"modes", func(s *Snapshot, p *Pod) {
			s.Files = []File{{Path: "/r/a", Mode: 0o640, Most: 0o600}, {Path: "/r/b", Mode: 0o400, Most: 0o600}, {Path: "/r/c", Mode: 0o600, Most: 0o600, Owner: 7}}
		}, []string{"file /r/a its mode is 0640; set 0600", "file /r/c it belongs to user 7; "}},
		{"claims that ended with a pod", func(s *Snapshot, p *Pod) {
			s.Volumes = []Volume{
				{Volume: state.Volume{Namespace: "d", Name: "kept"}, Owner: "uid-web"},
				{Volume: state.Volume{Namespace: "d", Name: "gone"}, Owner: "uid-x"},
				{Volume: state.Volume{Namespace: "d", Name: "used"}, Owner: "uid-x", InUse: true},
				{Volume: state.Volume{Namespace: "d", Name: ".half.uid-x"}, Owner: "uid-x", Hidden: "/v/.half.uid-x"},
				{Volume: state.Volume{Namespace: "d", Name: ".half.uid-web"}, Owner: "uid-web", Hidden: "/v/.half.uid-web"},
			}
		}, []string{"volume /v/.half.uid-x interrupted; remove it", "volume d/gone is gone; remove it", "volume d/used another uses it; "}},
		{"logs", func(s *Snapshot, p *Pod) { s.Logs = []Log{{"/l/a", "uid-web"}, {"/l/b", "uid-x"}} }, []string{
			"logs /l/b their pod does not exist; remove them",
		}},
		{"a mount in a pod that nobody keeps", func(s *Snapshot, p *Pod) {
			s.Mounts = []string{"/r/pods/uid-web/volumes/x", "/r/pods/uid-x/volumes/y"}
		}, []string{"mount /r/pods/uid-x/volumes/y nobody keeps; unmount it"}},
	}
	for _, test := range tests {
		s := &Snapshot{Host: host, Pods: map[string]*Pod{}, Now: now, Network: netns.Holdings{Claims: map[string]string{}}}
		test.be(s, whole(s))
		check(t, test.why, s.Findings(), test.want)
	}
}

// clean takes away what a sandbox leaves.
func clean(s *Snapshot, p *Pod) {
	p.RunDir, p.Cgroups = false, false
	s.Network = netns.Holdings{}
}

func check(t *testing.T, why string, got []Finding, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d findings %+v, want %q", why, len(got), got, want)
		return
	}
	for i, f := range got {
		head, repair, _ := strings.Cut(want[i], "; ")
		if at := strings.LastIndex(want[i], "; "); at >= 0 {
			head, repair = want[i][:at], want[i][at+2:]
		}
		place, what, _ := strings.Cut(strings.TrimPrefix(head, f.Kind+" "), " ")
		if f.Kind != strings.Fields(head)[0] || f.Where != place || !strings.Contains(f.What, what) || f.Repair != repair && !strings.HasPrefix(f.Repair, repair+":") {
			t.Errorf("%s: got %+v, want %q", why, f, want[i])
		}
		if (f.Repair == "") != (f.Advice != "") || f.Mendable() != (f.action != leave) {
			t.Errorf("%s: neither a repair nor advice, or both: %+v", why, f)
		}
	}
}

// What is there for a moment only is no finding.
func TestLasting(t *testing.T) {
	a, b, c := Finding{Kind: "link", Where: "a"}, Finding{Kind: "link", Where: "b"}, Finding{Kind: "link", Where: "b", What: "other"}
	got := lasting([]Finding{a, b}, []Finding{b, c})
	if !slices.Equal(got, []Finding{b}) {
		t.Errorf("got %+v", got)
	}
}
