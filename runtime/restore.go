package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"podrun/step"
)

// stateFile is libcontainer's name for what Load reads.
const stateFile = "state.json"

// Restore writes the state directory of a running container again where somebody
// has removed or changed what is in it, and tells whether it had to. Without it
// neither exec nor the next monitor would find the container. One at a time may
// call it.
func (c *Container) Restore() (restored bool, err error) {
	path := filepath.Join(c.dir, stateFile)
	now := stamp(path) + stamp(filepath.Join(c.dir, processFile))
	if now != "" && now == c.whole {
		return false, nil
	}
	if c.stateIsWhole(path) {
		c.whole = now
		return false, nil
	}
	defer step.Change("restore container state")()
	state, err := c.lc.State()
	if err != nil {
		return false, fmt.Errorf("restore the state of container %s: %w", c.lc.ID(), err)
	}
	data, err := json.Marshal(state)
	if err != nil {
		return false, fmt.Errorf("restore the state of container %s: %w", c.lc.ID(), err)
	}
	if err := os.MkdirAll(filepath.Dir(c.dir), 0o700); err != nil {
		return false, err
	}
	if err := os.Mkdir(c.dir, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return false, err
	}
	for name, content := range map[string][]byte{
		processFile:  c.known,
		releasedFile: []byte(time.Now().Format(time.RFC3339Nano)), // nobody asks for it any more
	} {
		if _, err := os.Lstat(filepath.Join(c.dir, name)); errors.Is(err, os.ErrNotExist) && content != nil {
			if err := os.WriteFile(filepath.Join(c.dir, name), content, 0o600); err != nil {
				return false, err
			}
		}
	}
	partial := path + ".new"
	if err := os.WriteFile(partial, data, 0o600); err != nil {
		return false, err
	}
	return true, os.Rename(partial, path)
}

// stateIsWhole tells whether the file is this container's, with what goes with it.
func (c *Container) stateIsWhole(path string) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	var on struct {
		ID  string `json:"id"`
		PID int    `json:"init_process_pid"`
	}
	if json.Unmarshal(data, &on) != nil || on.ID != c.lc.ID() || on.PID != c.pid {
		return false
	}
	_, err = os.Lstat(filepath.Join(c.dir, processFile))
	return err == nil
}

// stamp changes with the file; it is empty where there is none.
func stamp(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %d\n", info.Size(), info.ModTime().UnixNano())
}
