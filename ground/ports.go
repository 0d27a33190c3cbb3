package ground

import (
	"fmt"
	"net"
)

// portsEach is how many ports a ground may use.
const portsEach = 40

// FreePort returns a port of the machine that no other ground uses and nobody
// listens on.
func (g *Ground) FreePort() (int, error) {
	first := 20000 + portsEach*int(g.Host.Subnet.Addr().As4()[2])
	for g.ports < portsEach {
		port := first + g.ports
		g.ports++
		if bindable(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d", first, first+portsEach-1)
}

func bindable(port int) bool {
	l, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
