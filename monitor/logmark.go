package monitor

import (
	"os"
	"path/filepath"

	"podrun/state"
	"podrun/step"
)

// logMark is a file in the directory of a pod's logs that names the instance:
// kubelets, and podruns with another root, make directories beside it whose names
// look the same. Those who ship logs look for files in directories below.
const logMark = ".podrun"

// markLogs makes the directory of the pod's logs, as this instance's.
func (m *monitor) markLogs() error {
	dir := m.record.LogPath()
	if _, err := os.Lstat(filepath.Join(dir, logMark)); err == nil {
		return nil
	}
	return m.writeLogMark()
}

func (m *monitor) writeLogMark() error {
	dir := m.record.LogPath()
	defer step.Change("mark logs")()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return state.WriteFile(filepath.Join(dir, logMark), []byte(m.store.Instance+"\n"), 0o644, state.Volatile)
}

// LogsOf is the instance whose pod wrote the logs in a directory; empty where
// nobody knows.
func LogsOf(dir string) string {
	mark, err := os.ReadFile(filepath.Join(dir, logMark))
	if err != nil || len(mark) == 0 {
		return ""
	}
	return string(mark[:len(mark)-1])
}
