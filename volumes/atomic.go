package volumes

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"podrun/step"
	"podrun/tree"
)

// The layout is that of the kubelet's AtomicWriter, on which programs that
// watch their configuration rely:
//
//	..2026_01_02_15_04_05.123456789/   the files of one generation
//	..data -> ..2026_01_02_15_04_05.123456789
//	key    -> ..data/key               one link for each first name of a path
//
// A change writes a new generation and renames a new ..data over the old one,
// so that a reader sees all of the old data or all of the new. The old one is
// removed at once, as by the kubelet: whoever is just on the way through the
// link may find nothing there, and does on the next try.
const (
	dataLink    = "..data"
	newDataLink = "..data_tmp"
	stamp       = "..2006_01_02_15_04_05.000000000"
)

// writeAtomic makes the files, sorted by path, the contents of the directory.
// It changes nothing if they are, and completes or sweeps what a killed run
// left. An os.Root holds every name below the directory to it: a privileged
// container might have exchanged some.
func writeAtomic(dir string, files []projected) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	current, err := root.Readlink(dataLink)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the volume's data link: %w", err)
	}
	if current == "" || !holds(root, current, files) {
		if current, err = newGeneration(root, files); err != nil {
			return err
		}
	}
	return tidy(root, current, files)
}

// holds reports whether the generation consists of exactly these files. What it
// cannot read it takes for a difference: then the data is written anew.
func holds(root *os.Root, generation string, files []projected) bool {
	for _, f := range files {
		name := path.Join(generation, f.path)
		info, err := root.Lstat(name)
		if err != nil || info.Mode() != f.mode || info.Size() != int64(len(f.data)) {
			return false
		}
		if data, err := root.ReadFile(name); err != nil || !bytes.Equal(data, f.data) {
			return false
		}
	}
	count := 0
	err := fs.WalkDir(root.FS(), generation, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			count++
		}
		return err
	})
	return err == nil && count == len(files)
}

// newGeneration writes the files into a directory of their own, lets ..data
// refer to it, and returns its name.
func newGeneration(root *os.Root, files []projected) (name string, err error) {
	for name == "" || errors.Is(err, fs.ErrExist) {
		name = time.Now().UTC().Format(stamp)
		err = root.Mkdir(name, 0o755)
	}
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeIn(root, name))
		}
	}()
	if err := writeFiles(root, name, files); err != nil {
		return "", fmt.Errorf("write the volume's data: %w", err)
	}
	defer step.Change("show generation")()
	if err := root.Remove(newDataLink); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := root.Symlink(name, newDataLink); err != nil {
		return "", err
	}
	defer step.Change("replace data link")()
	return name, root.Rename(newDataLink, dataLink)
}

func writeFiles(root *os.Root, generation string, files []projected) error {
	defer step.Change("write generation")()
	sub, err := root.OpenRoot(generation)
	if err != nil {
		return err
	}
	defer sub.Close()
	// It hands the volume's group, if an fsGroup made one, on to what is in it.
	info, err := sub.Stat(".")
	if err != nil {
		return err
	}
	mode := 0o755 | info.Mode()&fs.ModeSetgid
	if err := sub.Chmod(".", mode); err != nil {
		return err
	}
	for _, f := range files {
		if err := makeParents(sub, f.path, mode); err != nil {
			return err
		}
		if err := writeFile(sub, f); err != nil {
			return err
		}
	}
	return nil
}

// makeParents makes the directories of the path, open to every user: the mode
// of an item is that of its file only.
func makeParents(root *os.Root, name string, mode fs.FileMode) error {
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		err := root.Mkdir(name[:i], 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := root.Chmod(name[:i], mode); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(root *os.Root, f projected) error {
	file, err := root.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(f.data)
	return errors.Join(err, file.Chmod(f.mode), file.Close())
}

// tidy makes the links that containers see, and removes those of dropped keys,
// older generations and what a killed run left. A directory in the place of a
// link stays: a subPath that named no key has made it, as under the kubelet.
func tidy(root *os.Root, current string, files []projected) error {
	defer step.Change("tidy projection")()
	wanted := make(map[string]bool, len(files))
	for _, f := range files {
		first, _, _ := strings.Cut(f.path, "/")
		wanted[first] = true
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	var failed []error
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case wanted[name]:
			delete(wanted, name)
		case name == dataLink || name == current:
		case strings.HasPrefix(name, ".."):
			failed = append(failed, removeIn(root, name))
		case entry.Type() == fs.ModeSymlink:
			failed = append(failed, root.Remove(name))
		}
	}
	for name := range wanted {
		failed = append(failed, root.Symlink(path.Join(dataLink, name), name))
	}
	return errors.Join(failed...)
}

// removeIn removes a file or a whole directory of the root.
func removeIn(root *os.Root, name string) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	return tree.RemoveEntry(dir, name)
}
