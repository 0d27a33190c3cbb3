package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"

	// Device rules register themselves; nsenter is the C half of container init.
	_ "github.com/opencontainers/cgroups/devices"
	_ "github.com/opencontainers/runc/libcontainer/nsenter"
)

// A container's init is this same program, executed by libcontainer.
func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != "" {
		libcontainer.Init()
	}
}

// floor measures what one container costs without anything around it.
func (b *bench) floor() (err error) {
	rootfs := filepath.Join(b.dir, "rootfs")
	if err := b.unpack(rootfs); err != nil {
		return err
	}
	spec := specconv.Example()
	spec.Root = &specs.Root{Path: rootfs}
	config, err := specconv.CreateLibcontainerConfig(&specconv.CreateOpts{CgroupName: "podrun-bench-floor", Spec: spec})
	if err != nil {
		return fmt.Errorf("make a container's config: %w", err)
	}
	process := &libcontainer.Process{Args: []string{"/bin/sleep", "1000"}, Env: []string{"PATH=/bin"}, Cwd: "/", Init: true}
	begin := time.Now()
	c, err := libcontainer.Create(filepath.Join(b.dir, "floor"), "floor", config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Destroy()) }()
	if err := c.Run(process); err != nil {
		return err
	}
	b.results.add(rowFloor, "", time.Since(begin).Seconds())
	if err := process.Signal(os.Kill); err != nil {
		return err
	}
	process.Wait() // the error is that it was killed
	return nil
}

// unpack makes the root file system, once.
func (b *bench) unpack(dir string) error {
	if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	out, err := exec.Command("sh", "-c", `"$0" | tar -x -C "$1"`, b.image, dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("unpack the image: %w: %s", err, out)
	}
	return nil
}
