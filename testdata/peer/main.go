// Peer is the program of the image peer:latest, which the script tests have
// beside busybox: the image holds /peer, its entrypoint, and an empty /tmp, and
// nothing else. Its subcommands are servers, clients and processes that behave
// in ways worth testing. Servers listen on IPv4 and IPv6 unless -listen names an
// address, print "listening NETWORK ADDRESS" when they do, and one line for all
// that comes. Several run in one process with a "+" in between:
//
//	peer http -listen :8080 + grpc -listen :5000 + tcp -listen :7000
//
// All but signals end by SIGTERM with code 143.
//
// Servers:
//
//	http [-listen ADDR] [-tls] [-quiet] [HEALTH]   HTTP, with -tls a self-signed certificate; HTTP/2 with TLS
//	    /              "peer"
//	    /healthz       200 while healthy, else 503
//	    /status/CODE   that status, with a body that names it
//	    /redirect?to=URL[&code=302]
//	    /circle        redirects to itself
//	    /headers       request line, Host and headers, a line each
//	    /clientip      the address that the request came from
//	    /slow?for=5s   answers after that time
//	    /body?size=N   N bytes
//	grpc [-listen ADDR] [-service NAME=STATUS]... [-unimplemented] [HEALTH]
//	               the health protocol over HTTP/2 without TLS; the service "" is SERVING while healthy
//	tcp [-listen ADDR]    tells each connection its address, "you are ADDR", and echoes
//	udp [-listen ADDR]    answers each datagram with "ADDR: " and the datagram
//	registry [-listen ADDR] [-layers N] [-size MB]   one image under every name, of incompressible files
//	sctp [-listen ADDR]   as tcp; fails where the kernel has no SCTP
//	HEALTH is any of: -health-file FILE (healthy while it exists),
//	    -healthy-after 3s, -healthy-for 10s (since the start)
//
// Clients:
//
//	get [-timeout 3s] [-H 'NAME: VALUE']... URL      prints the body; a status over 299 fails; certificates are not verified
//	send [-timeout 3s] tcp|udp|sctp ADDR TEXT   prints what comes back to TEXT: for tcp and sctp both lines
//
// Processes:
//
//	signals [-exit-on TERM] [-code 0]   prints "ready", then the name of every signal; ends with the one named
//	env [-wait]        prints its arguments and its environment, a line each; -wait: then stays
//	ids                prints who runs it: "uid 1000 euid 0"
//	sleep DURATION
//	fork DURATION      leaves behind a process of a session of its own, whose parent has ended, that sleeps; prints its pid; ends
//	fork -stay DURATION   the same, and sleeps beside it
//	address [-6]       prints the first address that is not the loopback's or link-local
//	exit CODE
//	exists FILE        fails unless the file exists
//	touch FILE...      makes them
//	rm FILE...
//	lines [-count N] [-length BYTES] [-rate MB] [-slowest FILE]   prints numbered lines; FILE gets the milliseconds of its slowest write
//	print TEXT...      prints the words, and with -err to standard error; -append FILE: into the file
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// commands are the subcommands. A server's function returns only on failure.
var commands = map[string]func(args []string) error{
	"http": serveHTTP, "grpc": serveGRPC, "tcp": serveTCP, "udp": serveUDP, "sctp": serveSCTP, "registry": serveRegistry,
	"get": get, "send": send,
	"signals": signals, "env": printEnv, "ids": printIDs, "address": address, "sleep": sleep, "fork": fork, "exit": exit,
	"exists": exists, "touch": touch, "rm": remove, "print": printText, "lines": lines,
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "peer: name a subcommand; testdata/peer/main.go lists them")
		os.Exit(2)
	}
	if !slices.Contains(os.Args, "signals") {
		endOnTERM()
	}
	failed := make(chan error)
	running := 0
	for words := os.Args[1:]; len(words) > 0; {
		n := 0
		for n < len(words) && words[n] != "+" {
			n++
		}
		command, args := commands[words[0]], words[1:n]
		if command == nil {
			fmt.Fprintf(os.Stderr, "peer: unknown subcommand %q\n", words[0])
			os.Exit(2)
		}
		name := words[0]
		running++
		go func() {
			err := command(args)
			if err != nil {
				err = fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
			}
			failed <- err
		}()
		words = words[min(n+1, len(words)):]
	}
	for range running {
		if err := <-failed; err != nil {
			fmt.Fprintln(os.Stderr, "peer:", err)
			os.Exit(1)
		}
	}
}
