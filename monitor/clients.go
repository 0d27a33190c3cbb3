package monitor

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Whoever has podrun's rights may be a script that has gone wrong. It must not
// cost the pod its monitor, or the monitor its descriptors and memory.
const (
	// maxClients at once; the one that has been there the longest has to ask again.
	maxClients = 256
	// requestTime is how long a client may take to say what it wants.
	requestTime = 5 * time.Second
	// A request has one pod at most, which the API limits to 1.5 MiB; what is longer is no request.
	maxRequest = 4 << 20
)

// clients are the connections of the control socket, the oldest first.
type clients struct {
	mu   sync.Mutex
	list []net.Conn
}

func (c *clients) admit(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, conn)
	if len(c.list) > maxClients {
		c.list[0].Close()
		c.list = slices.Delete(c.list, 0, 1)
	}
}

func (c *clients) leave(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.list, conn); i >= 0 {
		c.list = slices.Delete(c.list, i, i+1)
	}
}

// readRequest reads the one line that a client has to say. The reader has what
// came behind it.
func readRequest(from io.Reader) (Request, *bufio.Reader, error) {
	var r Request
	in := bufio.NewReader(io.LimitReader(from, maxRequest))
	line, err := in.ReadBytes('\n')
	if err != nil {
		return r, nil, fmt.Errorf("read the request: %w", err)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, nil, fmt.Errorf("read the request: %w", err)
	}
	return r, in, nil
}

// hungUp is closed when the client is gone. What it says meanwhile nobody hears.
func hungUp(conn io.Reader) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		io.Copy(io.Discard, conn)
	}()
	return gone
}

// ownPeer refuses anybody but root and the monitor's own user, whatever the mode
// of the socket's directory has become. Root of another user namespace is another
// user here (unix(7), SO_PEERCRED).
func ownPeer(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var cred *unix.Ucred
	var errno error
	if err := raw.Control(func(fd uintptr) {
		cred, errno = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || errno != nil {
		return false
	}
	return cred.Uid == 0 || int(cred.Uid) == os.Geteuid()
}
