// Package state owns what podrun keeps on disk: the claims of pod names, the
// records of pods, their status, their events and their locks. Files appear
// whole or not at all. What the records mean is left to monitor and cli; what
// images, volumes and log files look like is left to image, volumes and logs.
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"podrun/step"
)

// Config names the three directories that podrun uses.
type Config struct {
	Root    string // survives a reboot: records, images, volumes
	RunRoot string // does not: locks, sockets, addresses
	LogDir  string // the kubelet's layout of container logs
}

// Store is podrun's state below one root. Its methods may be called by any
// number of processes at once.
type Store struct {
	Config
	// Instance tells one root's cgroups, links and tables from another's: the
	// first eight hex digits of the SHA-256 of the root's path.
	Instance string
	// Boot is the kernel's id of the present boot.
	Boot string
}

// Open makes the directories where they are missing, private to their owner,
// and removes from the run root what an earlier boot left behind.
func Open(c Config) (*Store, error) {
	for _, dir := range []*string{&c.Root, &c.RunRoot, &c.LogDir} {
		if *dir == "" {
			return nil, errors.New("a directory of podrun's has no name: is one of PODRUN_ROOT, PODRUN_RUN_ROOT, PODRUN_LOG_DIR set and empty?")
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return nil, fmt.Errorf("resolve %q: %w", *dir, err)
		}
		*dir = abs
	}
	for _, dir := range []*string{&c.Root, &c.RunRoot} {
		if err := os.MkdirAll(*dir, 0o700); err != nil {
			return nil, err
		}
		// One directory is one instance, by whatever way it was named; and the
		// kernel's mount table, in which podrun looks for its own, has no links.
		real, err := filepath.EvalSymlinks(*dir)
		if err != nil {
			return nil, err
		}
		*dir = real
	}
	sum := sha256.Sum256([]byte(c.Root))
	s := &Store{Config: c, Instance: hex.EncodeToString(sum[:4])}
	if err := s.checkBoot(); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", c.RunRoot, err)
	}
	return s, nil
}

// PodDir is where a pod's record, status and data live until it is removed.
func (s *Store) PodDir(uid string) string { return filepath.Join(s.Root, "pods", uid) }

// RunDir is where a pod's lock and control socket live until the next boot.
func (s *Store) RunDir(uid string) string { return filepath.Join(s.RunRoot, "pods", uid) }

// ImageDir is the image store's directory.
func (s *Store) ImageDir() string { return filepath.Join(s.Root, "images") }

// ClaimDir holds the named volumes of one namespace.
func (s *Store) ClaimDir(namespace string) string {
	return filepath.Join(s.Root, "volumes", namespace)
}

// Volume is a named volume: what a claim of its name shows.
type Volume struct{ Namespace, Name string }

// Volumes lists the named volumes of a namespace, or of all with "", sorted.
func (s *Store) Volumes(namespace string) ([]Volume, error) {
	namespaces := []string{namespace}
	if namespace == "" {
		var err error
		if namespaces, err = entries(filepath.Dir(s.ClaimDir("x"))); err != nil {
			return nil, err
		}
	}
	var list []Volume
	for _, ns := range namespaces {
		if !isEntry(ns) || strings.HasPrefix(ns, ".") {
			continue
		}
		names, err := entries(s.ClaimDir(ns))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if !strings.HasPrefix(name, ".") { // half made or half removed
				list = append(list, Volume{ns, name})
			}
		}
	}
	return list, nil
}

// AddressDir holds the addresses in use, one symlink each.
func (s *Store) AddressDir() string { return filepath.Join(s.RunRoot, "addresses") }

const bootIDPath = "/proc/sys/kernel/random/boot_id"

// checkBoot empties the run root when it was last used under another boot:
// on machines where /run is no tmpfs its locks and addresses would lie. Only
// what podrun makes is removed: --run-root may name a directory that holds more.
func (s *Store) checkBoot() error {
	boot, err := os.ReadFile(bootIDPath)
	if err != nil {
		return err
	}
	s.Boot = strings.TrimSpace(string(boot))
	file := filepath.Join(s.RunRoot, "boot-id")
	if seen, err := os.ReadFile(file); err == nil && string(seen) == string(boot) {
		return nil
	}
	lock, err := LockFile(filepath.Join(s.RunRoot, "boot-id.lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if seen, err := os.ReadFile(file); err == nil && string(seen) == string(boot) {
		return nil
	}
	defer step.Change("forget the last boot")()
	for _, dir := range []string{filepath.Join(s.RunRoot, "pods"), s.AddressDir()} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := RemovePartsOf(file); err != nil {
		return err
	}
	return WriteFile(file, boot, 0o600, Volatile)
}
