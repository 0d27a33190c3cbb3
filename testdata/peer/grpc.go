package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// statuses are those of grpc.health.v1.HealthCheckResponse.
var statuses = map[string]byte{"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3}

// The status codes of gRPC that are used here.
const (
	grpcOK            = "0"
	grpcNotFound      = "5"
	grpcUnimplemented = "12"
)

func serveGRPC(args []string) error {
	f := flags("grpc")
	address := f.String("listen", ":5000", "")
	var services list
	f.Var(&services, "service", "NAME=STATUS")
	missing := f.Bool("unimplemented", false, "the server has no health service")
	h := healthFlags(f)
	f.Parse(args)
	l, err := listen("tcp", *address)
	if err != nil {
		return err
	}
	status := func(service string) (byte, bool) {
		for _, s := range services {
			name, value, _ := strings.Cut(s, "=")
			if code, known := statuses[value]; name == service && known {
				return code, true
			}
		}
		if service == "" && h.good() {
			return statuses["SERVING"], true
		}
		return statuses["NOT_SERVING"], service == ""
	}
	mux := http.NewServeMux()
	if !*missing {
		mux.HandleFunc("/grpc.health.v1.Health/Check", func(w http.ResponseWriter, r *http.Request) { check(w, r, status) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, grpcUnimplemented, "unknown method "+r.URL.Path)
	})
	server := http.Server{Handler: told(mux), Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	return server.Serve(l)
}

// check answers a HealthCheckRequest, whose only field is 1, the service's name.
func check(w http.ResponseWriter, r *http.Request, status func(string) (byte, bool)) {
	frame, err := io.ReadAll(io.LimitReader(r.Body, 4096))
	service := ""
	if err == nil && len(frame) > 7 && frame[5] == 1<<3|2 {
		service = string(frame[7:])
	}
	fmt.Printf("check %q\n", service)
	code, known := status(service)
	if !known {
		answer(w, nil, grpcNotFound, "unknown service")
		return
	}
	answer(w, []byte{1 << 3, code}, grpcOK, "")
}

// answer sends a message, if there is one, and the status in the trailer.
func answer(w http.ResponseWriter, message []byte, status, text string) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	if message != nil {
		w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
	}
	w.Header().Set("Grpc-Status", status)
	w.Header().Set("Grpc-Message", text)
}
