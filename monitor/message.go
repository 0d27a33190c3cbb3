package monitor

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/logs"
	"podrun/runtime"
)

// Limits of a termination message in bytes (kubelet, MaxContainerTerminationMessage…,
// MaxPodTerminationMessageLogLength).
const (
	maxMessage      = 4096
	maxMessageLog   = 2048
	maxMessageLines = 80
	maxPodMessages  = 12 << 10 // of all containers together: each has an equal share
)

// terminationMessage is the end of what the container left in its file, or
// where the policy says so and it failed, the end of its log. Of that the
// container's share of the pod's status is kept (normalizeStatus).
func (m containers) terminationMessage(a *attempt, exit runtime.Exit) string {
	text := m.messageOf(a, exit)
	return text[:min(len(text), messageShare(&m.pod.Spec))]
}

func messageShare(spec *v1.PodSpec) int {
	return maxPodMessages / max(1, len(spec.Containers)+len(spec.InitContainers)+len(spec.EphemeralContainers))
}

func (m containers) messageOf(a *attempt, exit runtime.Exit) string {
	f, err := os.OpenFile(m.messageFile(a.id), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxMessage {
		f.Seek(-maxMessage, io.SeekEnd)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxMessage))
	if err == nil && len(text) == 0 && exit.Code != 0 && m.fallsBackToLogs(a.name) {
		return m.logTail(a)
	}
	return string(text)
}

func (m containers) messageFile(id string) string {
	return filepath.Join(m.rootDir(id), "termination-message")
}

// logTail is the end of the attempt's log, within the kubelet's limits.
func (m containers) logTail(a *attempt) string {
	var text strings.Builder
	o := logs.ReadOptions{Attempt: a.number, Tail: maxMessageLines}
	if err := logs.Read(context.Background(), m.logPath(a.name), o, &text); err != nil {
		return ""
	}
	tail := text.String()
	return tail[max(0, len(tail)-maxMessageLog):]
}

func (m containers) fallsBackToLogs(container string) bool {
	c := m.spec(container)
	return c != nil && c.TerminationMessagePolicy == v1.TerminationMessageFallbackToLogsOnError
}
