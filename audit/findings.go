package audit

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"podrun/pod"
	"podrun/state"
)

// stale is the age at which a file that is being written is one that was left: it
// takes milliseconds.
const stale = time.Minute

// Findings compares what there was, and asks nobody.
func (s *Snapshot) Findings() []Finding {
	var all []Finding
	for _, uid := range slices.Sorted(maps.Keys(s.Pods)) {
		all = append(all, s.ofPod(uid, s.Pods[uid])...)
	}
	all = append(all, s.ofUsers()...)
	all = append(all, s.ofNetwork()...)
	all = append(all, s.ofFiles()...)
	all = append(all, s.ofVolumes()...)
	all = append(all, s.ofOthers()...)
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Where, b.Where)) })
	return all
}

// known: there is a pod of this uid, or somebody is at work on one.
func (s *Snapshot) known(uid string) bool {
	p := s.Pods[uid]
	return p != nil && (p.Kept || p.Directory || len(p.Names) > 0)
}

func (p *Pod) ref(uid string) state.Ref {
	switch {
	case len(p.Names) > 0:
		return p.Names[0]
	case p.Record != nil:
		return state.Ref{Namespace: p.Record.Pod.Namespace, Name: p.Record.Pod.Name, UID: uid}
	}
	return state.Ref{UID: uid}
}

// title is a pod as its owner knows it.
func title(ref state.Ref) string {
	if ref.Name == "" {
		return ref.UID
	}
	return ref.Namespace + "/" + ref.Name
}

func (s *Snapshot) ofPod(uid string, p *Pod) []Finding {
	ref := p.ref(uid)
	found := Finding{Kind: "pod", Where: title(ref), ref: ref}
	if p.Kept {
		return s.ofKept(p, found)
	}
	var all []Finding
	add := func(change func(*Finding)) {
		f := found
		change(&f)
		all = append(all, f)
	}
	for _, other := range p.Names[min(1, len(p.Names)):] {
		add(func(f *Finding) {
			f.Where, f.What = title(other), fmt.Sprintf("the name leads to pod %s, which has another", title(ref))
			f.Advice = "remove " + other.Namespace + "/" + other.Name + " below names in --root"
		})
	}
	switch {
	case p.Damage != nil:
		add(func(f *Finding) {
			f.What = fmt.Sprintf("its record cannot be read: %v", p.Damage)
			f.Advice = "'podrun down --force' removes the pod; 'podrun up' its manifest again then"
		})
	case p.Record == nil:
		add(func(f *Finding) {
			f.What = "there is no record of it: " + p.leftovers(s, uid)
			f.Repair, f.action = "remove what is left", removePod
		})
	case len(p.Names) == 0 && p.Taken:
		add(func(f *Finding) {
			f.Where, f.What = uid, fmt.Sprintf("another pod has its name, %s", title(ref))
			f.Advice = fmt.Sprintf("take that pod down, then 'podrun system check --repair' gives this one its name; or remove %s below pods in --root", uid)
		})
	case len(p.Names) == 0:
		add(func(f *Finding) {
			f.What, f.Repair, f.action = "nothing leads from its name to it", "claim the name", claimName
		})
	case p.Status.NotMade != "" || p.Status.Removing():
		add(func(f *Finding) {
			f.What, f.Repair, f.action = "its removal was interrupted", "finish it", removePod
		})
	default:
		all = append(all, s.ofRecorded(uid, p, found)...)
	}
	return all
}

// ofRecorded are the findings of a pod that has a name and a record, and nobody
// who keeps it.
func (s *Snapshot) ofRecorded(uid string, p *Pod, found Finding) []Finding {
	var all []Finding
	if p.BadStatus != nil {
		f := found
		f.What = fmt.Sprintf("its status cannot be read: %v", p.BadStatus)
		f.Repair, f.action = "remove it: the pod begins anew with the next 'podrun up'", dropStatus
		return append(all, f)
	}
	left := p.leftovers(s, uid)
	lost, suspended := !p.Status.Ended, pod.Suspended(&p.Status.Status)
	if lost && !(suspended && len(p.Containers) == 0) { // that waits for resume, as it was told to
		f := found
		f.What = "it is recorded as " + strings.ToLower(cmp.Or(string(p.Status.Status.Phase), "Pending")) + ", and nothing keeps it"
		if suspended {
			f.What = "it is suspended"
		}
		if len(p.Containers) > 0 {
			f.What += fmt.Sprintf("; %d of its processes run on", len(p.Containers))
		}
		f.Advice = fmt.Sprintf("'podrun resume -n %[1]s %[2]s' or 'podrun up' starts it again, 'podrun down -n %[1]s %[2]s' removes it", f.ref.Namespace, f.ref.Name)
		all = append(all, f)
	}
	if left != "" && !(lost && len(p.Containers) > 0) {
		f := found
		f.What, f.Repair, f.action = "of its sandbox, which is gone, there is left: "+left, "remove what is left", sweepPod
		all = append(all, f)
	}
	for _, m := range p.Missing {
		if lost {
			f := found
			f.What, f.Advice = m, "'podrun up' of a manifest that has it"
			all = append(all, f)
		}
	}
	return all
}

// ofKept are those of a pod that somebody keeps. Its monitor mends them within
// half a minute, so what is found is in its way.
func (s *Snapshot) ofKept(p *Pod, found Finding) []Finding {
	const advice = "its monitor mends that within half a minute; 'podrun events' says what is in its way"
	var all []Finding
	for _, one := range []struct {
		wrong bool
		what  string
	}{
		{p.Record == nil && p.Damage == nil, "it runs, and has no record"},
		{p.Damage != nil, fmt.Sprintf("it runs, and its record cannot be read: %v", p.Damage)},
		{p.BadStatus != nil, fmt.Sprintf("it runs, and its status cannot be read: %v", p.BadStatus)},
		{len(p.Names) == 0, "it runs, and nothing leads from its name to it"},
		{p.BadUsers != nil, fmt.Sprintf("it runs, and nothing tells which user ids it has: %v", p.BadUsers)},
		{p.Users > 0 && !p.Reserved, fmt.Sprintf("it runs, and its user ids from %d on are not reserved: another pod may be given them", p.Users)},
		{len(p.Residue) > 0, "of containers that are gone there is left: " + strings.Join(p.Residue, ", ")},
	} {
		if one.wrong && len(p.Keepers) > 0 { // else it is being made or removed
			f := found
			f.What, f.Advice = one.what, advice
			all = append(all, f)
		}
	}
	for _, m := range p.Missing {
		f := found
		f.What, f.Advice = m, "'podrun up' of a manifest that has it"
		all = append(all, f)
	}
	return all
}

// ofUsers are pods that run with the same user ids, of which each can do to the
// other what its root can.
func (s *Snapshot) ofUsers() []Finding {
	var all []Finding
	users := map[int]string{}
	for _, uid := range slices.Sorted(maps.Keys(s.Pods)) {
		p := s.Pods[uid]
		if !p.Kept || p.Users == 0 {
			continue
		}
		other, taken := users[p.Users]
		if !taken {
			users[p.Users] = uid
			continue
		}
		all = append(all, Finding{
			Kind: "pod", Where: title(p.ref(uid)), What: fmt.Sprintf("it has the same user ids as pod %s, from %d on", title(s.Pods[other].ref(other)), p.Users),
			Advice: "take one of the two down and up again",
		})
	}
	return all
}

// leftovers are what a pod has only while it runs, in words.
func (p *Pod) leftovers(s *Snapshot, uid string) string {
	var list []string
	note := func(there bool, what string) {
		if there {
			list = append(list, what)
		}
	}
	note(p.RunDir, "run directory")
	note(p.Cgroups, "cgroups")
	if n := len(p.Keepers) + len(p.Containers); n > 0 {
		note(true, fmt.Sprintf("%d processes", n))
	}
	_, claimed := s.Network.Claims[uid]
	note(claimed, "address "+s.Network.Claims[uid])
	note(slices.Contains(s.Network.Links, s.Host.LinkName(uid)), "link "+s.Host.LinkName(uid))
	note(slices.Contains(s.Network.Rules, uid), "firewall rules")
	note(p.Status.Ended && p.Roots > 0, fmt.Sprintf("%d root file systems", p.Roots))
	if p.Record == nil {
		note(p.Directory, "directory")
		note(len(p.Names) > 0, "name")
	}
	return strings.Join(list, ", ")
}

func (s *Snapshot) ofNetwork() []Finding {
	var all []Finding
	links := map[string]bool{}
	alive := false
	for uid, p := range s.Pods {
		links[s.Host.LinkName(uid)] = true
		alive = alive || p.Kept
	}
	for name, owner := range s.Network.Claims {
		if _, err := netip.ParseAddr(name); err != nil {
			continue // what a pod has claimed is the pod's finding
		}
		p := s.Pods[owner]
		if s.Network.Claims[owner] == name || p != nil && p.Kept {
			continue
		}
		all = append(all, Finding{
			Kind: "address", Where: name, What: fmt.Sprintf("it is claimed for pod %s, which has not claimed it", owner),
			Repair: "release it", action: unclaim, ref: state.Ref{UID: owner}, target: owner,
		})
	}
	for _, link := range s.Network.Links {
		if !links[link] && !s.Host.IsGateway(link) {
			all = append(all, Finding{Kind: "link", Where: link, What: "it leads to an address of the pods, and no pod has it", Repair: "remove it", action: removeLink, target: link})
		}
	}
	gateway := slices.ContainsFunc(s.Network.Links, s.Host.IsGateway)
	if (s.Network.Tables || gateway) && len(s.Network.Rules) == 0 && !alive {
		all = append(all, Finding{Kind: "rules", Where: "podrun-" + s.Host.Instance, What: "the firewall table and the gateway's link are there without a pod", Repair: "remove them", action: removeTable})
	}
	return all
}

func (s *Snapshot) ofFiles() []Finding {
	var all []Finding
	for _, f := range s.Files {
		switch {
		case f.Part && s.Now.Sub(f.Changed) > stale:
			all = append(all, Finding{Kind: "file", Where: f.Path, What: "it was being written when its writer was killed", Repair: "remove it", action: removeFile, target: f.Path})
		case f.Part:
		case f.Empty && s.Now.Sub(f.Changed) > stale:
			all = append(all, Finding{Kind: "directory", Where: f.Path, What: "it is empty", Repair: "remove it", action: removeEmpty, target: f.Path})
		case f.Owner != 0:
			all = append(all, Finding{Kind: "file", Where: f.Path, What: fmt.Sprintf("it belongs to user %d", f.Owner), Advice: "find out who did that; 'chown root:root' gives it back"})
		case f.Most != 0 && f.Mode&0o777&^f.Most != 0:
			all = append(all, Finding{
				Kind: "file", Where: f.Path, What: fmt.Sprintf("others may use it: its mode is %04o", f.Mode&0o777),
				Repair: fmt.Sprintf("set %04o", f.Mode&0o777&f.Most), action: restrict, target: f.Path, mode: f.Mode & 0o777 & f.Most,
			})
		}
	}
	return all
}

func (s *Snapshot) ofVolumes() []Finding {
	var all []Finding
	for _, v := range s.Volumes {
		name := v.Namespace + "/" + v.Name
		switch {
		case s.known(v.Owner):
		case v.Hidden != "":
			all = append(all, Finding{Kind: "volume", Where: v.Hidden, What: "its making or its removal was interrupted", Repair: "remove it", action: removeTree, target: v.Hidden})
		case v.InUse:
			all = append(all, Finding{Kind: "volume", Where: name, What: "the pod that it should have ended with is gone, and another uses it", Advice: "it goes with that pod"})
		default:
			all = append(all, Finding{
				Kind: "volume", Where: name, What: "the pod that it should have ended with is gone", Repair: "remove it",
				action: removeClaim, ref: state.Ref{Namespace: v.Namespace, Name: v.Name, UID: v.Owner},
			})
		}
	}
	return all
}

func (s *Snapshot) ofOthers() []Finding {
	var all []Finding
	for _, o := range s.Objects {
		all = append(all, Finding{Kind: "object", Where: o.Path, What: fmt.Sprintf("it cannot be read: %v", o.Err), Advice: "remove the file and 'podrun up' the object's manifest again"})
	}
	for _, l := range s.Logs {
		if !s.known(l.UID) {
			all = append(all, Finding{Kind: "logs", Where: l.Path, What: "their pod does not exist", Repair: "remove them", action: removeFile, target: l.Path})
		}
	}
	for _, point := range s.Mounts {
		uid := filepath.Base(podOf(point))
		if p := s.Pods[uid]; p == nil || !p.Kept {
			all = append(all, Finding{Kind: "mount", Where: point, What: "it is the machine's, inside of a pod that nobody keeps", Repair: "unmount it", action: unmount, target: point, ref: state.Ref{UID: uid}})
		}
	}
	return all
}

// podOf is the directory of the pod that a path is in.
func podOf(path string) string {
	for dir := path; dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		if filepath.Base(filepath.Dir(dir)) == "pods" {
			return dir
		}
	}
	return ""
}
