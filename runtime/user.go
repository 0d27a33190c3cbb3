package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/tree"
)

// Identity is who a process in the container is, in the container's own numbers.
type Identity struct {
	UID    int   `json:"uid"`
	GID    int   `json:"gid"`
	Groups []int `json:"groups,omitempty"`
}

// identity resolves the user in the image's own files: runAsUser and runAsGroup
// before the image's USER, groups of /etc/group (unless the pod's policy is Strict)
// and supplementalGroups added.
func (s *Spec) identity(sc v1.SecurityContext) (Identity, error) {
	spec := s.Image.User
	if sc.RunAsUser != nil {
		spec = strconv.FormatInt(*sc.RunAsUser, 10)
	}
	passwd, err := readInRoot(s.Rootfs, "etc/passwd")
	if err != nil {
		return Identity{}, err
	}
	group, err := readInRoot(s.Rootfs, "etc/group")
	if err != nil {
		return Identity{}, err
	}
	found, err := user.GetExecUser(spec, nil, bytes.NewReader(passwd), bytes.NewReader(group))
	if err != nil {
		return Identity{}, &ConfigError{fmt.Sprintf("user %q is not in the image's /etc/passwd and /etc/group: %v", spec, err)}
	}
	id := Identity{UID: found.Uid, GID: found.Gid, Groups: found.Sgids}
	if s.strictGroups() {
		id.Groups = nil
	}
	if sc.RunAsGroup != nil {
		id.GID = int(*sc.RunAsGroup)
	}
	if pod := s.Pod.Spec.SecurityContext; pod != nil {
		if pod.FSGroup != nil {
			id.Groups = append(id.Groups, int(*pod.FSGroup))
		}
		for _, g := range pod.SupplementalGroups {
			id.Groups = append(id.Groups, int(g))
		}
	}
	// As containerd: setgroups(2) with the supplementary groups alone would take
	// the primary one off the list, and with it what a file denies to that group
	// (CVE-2023-25173). In order and once each, as the status shows them.
	id.Groups = append(id.Groups, id.GID)
	slices.Sort(id.Groups)
	id.Groups = slices.Compact(id.Groups)
	return id, s.checkNonRoot(sc, id)
}

// withHome gives the environment the home directory that the image's passwd file has
// for the user, "/" where it has none (runc, getUserHome). Left out, libcontainer would
// look it up in the container at every start of a process there, and wait for ever
// where a container has put a fifo in the place of the file.
func (s *Spec) withHome(env []string, id Identity) ([]string, error) {
	env = slices.DeleteFunc(env, func(entry string) bool { return entry == "HOME=" }) // as libcontainer
	if slices.ContainsFunc(env, func(entry string) bool { return strings.HasPrefix(entry, "HOME=") }) {
		return env, nil
	}
	passwd, err := readInRoot(s.Rootfs, "etc/passwd")
	if err != nil {
		return nil, err
	}
	home := "/"
	found, err := user.ParsePasswdFilter(bytes.NewReader(passwd), func(u user.User) bool { return u.Uid == id.UID })
	if err == nil && len(found) > 0 && found[0].Home != "" {
		home = found[0].Home
	}
	return append(env, "HOME="+home), nil
}

// strictGroups: the groups that the image's /etc/group gives its user do not count.
func (s *Spec) strictGroups() bool {
	pod := s.Pod.Spec.SecurityContext
	return pod != nil && pod.SupplementalGroupsPolicy != nil && *pod.SupplementalGroupsPolicy == v1.SupplementalGroupsPolicyStrict
}

// checkNonRoot applies runAsNonRoot with the kubelet's words.
func (s *Spec) checkNonRoot(sc v1.SecurityContext, id Identity) error {
	if !isTrue(sc.RunAsNonRoot) {
		return nil
	}
	name, _, _ := strings.Cut(s.Image.User, ":")
	_, numeric := strconv.Atoi(name)
	switch {
	case sc.RunAsUser != nil && *sc.RunAsUser == 0:
		return &ConfigError{fmt.Sprintf("container's runAsUser breaks non-root policy (pod: %s)", s.podRef())}
	case sc.RunAsUser != nil:
		return nil
	case name != "" && numeric != nil:
		return &ConfigError{fmt.Sprintf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root (pod: %s)", name, s.podRef())}
	case id.UID == 0:
		return &ConfigError{fmt.Sprintf("container has runAsNonRoot and image will run as root (pod: %s)", s.podRef())}
	}
	return nil
}

// An image's passwd is read into memory; one beyond this size is an attack.
const maxPasswd = 4 << 20

// readInRoot reads a regular file of the container's root, following links only
// inside it; nothing else is opened (CVE-2024-9676). A missing file is empty.
func readInRoot(root, name string) ([]byte, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(dir)
	f, err := tree.OpenRegular(dir, name, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	unfit := &ConfigError{fmt.Sprintf("/%s of the image is no regular file of at most %d MiB", name, maxPasswd>>20)}
	if errors.Is(err, tree.ErrNotRegular) {
		return nil, unfit
	}
	if err != nil {
		return nil, fmt.Errorf("open /%s of the image: %w", name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxPasswd {
		return nil, unfit
	}
	return io.ReadAll(io.LimitReader(f, maxPasswd))
}
