package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"podrun/image"
	"podrun/runtime"
	"podrun/sandbox"
	"podrun/state"
	"podrun/step"
	"podrun/volumes"
)

// podUsers is a user namespace of the pod's own (hostUsers: false, or --userns=auto).
type podUsers struct {
	first     int      // the machine's id that is root there
	namespace *os.File // kept by pause
	stage     string   // where the root file systems are mounted
}

// usersFile holds the first of the pod's ids, so that it has the same in every
// sandbox.
func usersFile(s *state.Store, uid string) string { return filepath.Join(s.PodDir(uid), "users") }

// reserveUsers takes ids for the sandbox that is about to be made: those of the
// last one, unless another pod has them meanwhile. It returns nil for a pod with
// the machine's users.
func reserveUsers(s *state.Store, r *state.Record) (*sandbox.Users, error) {
	if !hasOwnUsers(r) {
		return nil, nil
	}
	file := usersFile(s, r.UID())
	before, _ := readUsers(file)
	users, err := sandbox.ReserveUsers(before)
	if err != nil || users.First == before {
		return users, err
	}
	if err := writeUsers(file, users.First); err != nil {
		return nil, errors.Join(err, users.Close())
	}
	return users, nil
}

func writeUsers(file string, first int) error {
	return state.WriteFile(file, []byte(strconv.Itoa(first)+"\n"), 0o600, state.Volatile)
}

func readUsers(file string) (int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// OwnUsers tells which ids a pod with users of its own has, the first of them, and
// whether they are reserved; 0 for a pod with the machine's users.
func OwnUsers(s *state.Store, r *state.Record) (first int, reserved bool, err error) {
	if !hasOwnUsers(r) {
		return 0, false, nil
	}
	if first, err = readUsers(usersFile(s, r.UID())); err != nil {
		return 0, false, err
	}
	reserved, err = sandbox.Reserved(first)
	return first, reserved, err
}

// findUsers takes over what pause keeps of the user namespace.
func (m *monitor) findUsers() error {
	if !hasOwnUsers(m.record) {
		return nil
	}
	u := &podUsers{}
	var err error
	if u.first, err = readUsers(usersFile(m.store, m.uid())); err != nil {
		return fmt.Errorf("find the pod's user ids: %w", err)
	}
	if u.namespace, err = m.pause.Take("users"); err != nil {
		return err
	}
	m.users = u
	return nil
}

// stages are directories that every user can reach, and that machines have for
// the mounts of their administrators.
var stages = []string{"/mnt", "/media", "/srv", "/opt", "/home", "/boot"}

// makeStage covers one of them, in the pod's mount namespace alone, with a tmpfs
// for the mounts of root file systems. Root of the pod has to reach them by their
// path, and --root may be below directories that are closed to all but root. None
// is taken that the pod or podrun has a use for.
func (m *monitor) makeStage() error {
	if m.users == nil {
		return nil
	}
	own := "podrun-" + m.uid()
	used := m.usedPaths()
	for _, dir := range stages {
		stage := filepath.Join(dir, own)
		if info, err := os.Stat(stage); err == nil && info.IsDir() {
			m.users.stage = stage
			return nil
		}
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() || overlaps(dir, used) {
			continue
		}
		defer step.Change("make stage")()
		if err := unix.Mount("podrun", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m,mode=755"); err != nil {
			return &os.PathError{Op: "mount tmpfs", Path: dir, Err: err}
		}
		m.users.stage = stage
		defer step.Change("make directory in stage")()
		return os.Mkdir(stage, 0o711)
	}
	return fmt.Errorf("hostUsers: false needs a directory to mount on in the pod's mount namespace: none of %s exists and is unused by the pod; make one", strings.Join(stages, ", "))
}

// usedPaths are those that this monitor reaches by name.
func (m *monitor) usedPaths() []string {
	list := []string{m.store.Root, m.store.RunRoot, m.store.LogDir}
	if program, err := os.Readlink("/proc/self/exe"); err == nil {
		list = append(list, program)
	}
	for _, name := range []string{"HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if path := os.Getenv(name); filepath.IsAbs(path) {
			list = append(list, path) // for a pull
		}
	}
	for _, v := range m.pod.Spec.Volumes {
		if v.HostPath != nil {
			list = append(list, v.HostPath.Path)
		}
	}
	for i, path := range list {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			list[i] = real
		}
	}
	return list
}

// overlaps tells whether dir is above or below one of the paths.
func overlaps(dir string, paths []string) bool {
	for _, p := range paths {
		if below(p, dir) || below(dir, p) {
			return true
		}
	}
	return false
}

func below(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// rootfs is where an attempt's root file system is mounted.
func (m containers) rootfs(id string) string {
	if m.users != nil {
		return filepath.Join(m.users.stage, id)
	}
	return filepath.Join(m.rootDir(id), "rootfs")
}

// mountRoot mounts the image for an attempt.
func (m containers) mountRoot(img *image.Image, id string) error {
	defer step.Change("mount root")()
	rootfs := m.rootfs(id)
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		return err
	}
	if m.users == nil {
		return image.Mount(img, rootfs, m.rootDir(id))
	}
	return image.MountFor(image.Owner{Namespace: m.users.namespace, Root: m.users.first}, img, rootfs, m.rootDir(id))
}

// mountPlaces are where this monitor has mounted what the pod's containers share.
func (m *monitor) mountPlaces() []string {
	places := []string{m.store.PodDir(m.uid()), m.store.RunDir(m.uid())}
	if m.users != nil && m.users.stage != "" {
		places = append(places, m.users.stage)
	}
	return places
}

// rootID is the machine's id that is root in the pod.
func (m *monitor) rootID() int {
	if m.users == nil {
		return 0
	}
	return m.users.first
}

// runtimeUsers is the pod's user namespace as the runtime joins it.
func (m *monitor) runtimeUsers() *runtime.Users {
	if m.users == nil {
		return nil
	}
	return &runtime.Users{
		Namespace: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), m.users.namespace.Fd()),
		First:     m.users.first, Count: sandbox.UsersPerPod,
	}
}

// checkMappable refuses a volume whose ids cannot be mapped, by its name.
func (m *monitor) checkMappable(list []volumes.Bind) error {
	if m.users == nil {
		return nil
	}
	for _, b := range list {
		if b.Unmapped {
			continue
		}
		if err := volumes.Mappable(b.Source, m.users.namespace); err != nil {
			return &runtime.ConfigError{Text: fmt.Sprintf("hostUsers: false: map the ids of volume %q: %v", b.Volume, err)}
		}
	}
	return nil
}
