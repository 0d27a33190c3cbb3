package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// GRPCTarget is what a grpc probe asks for.
type GRPCTarget struct {
	Address string // host:port
	Service string // may be empty
	Timeout time.Duration
}

// The gRPC module would cost every start of the binary more than the whole
// protocol that a probe needs of it: one call over HTTP/2 without TLS
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md) of
// grpc.health.v1.Health/Check, whose request and answer have one field each.

// GRPC asks the server's health service, as the kubelet's pkg/probe/grpc does.
// It never returns an error: whatever is wrong is the container's failure.
func (p *Prober) GRPC(ctx context.Context, t GRPCTarget) (Result, string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	conn, err := p.persist(ctx, t)
	if err != nil {
		return Failure, fmt.Sprintf("timeout: failed to connect service %q within %v: %v", t.Address, t.Timeout, err), nil
	}
	defer conn.Close()
	serving, err := checkHealth(ctx, conn, t)
	var status *grpcStatus
	switch {
	case errors.As(err, &status) && status.code == grpcUnimplemented:
		return Failure, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): " + status.message, nil
	case errors.As(err, &status) && status.code == grpcDeadlineExceeded, err != nil && ctx.Err() != nil:
		return Failure, fmt.Sprintf("timeout: health rpc did not complete within %v", t.Timeout), nil
	case err != nil:
		return Failure, fmt.Sprintf("error: health rpc probe failed: %v", err), nil
	case serving != serviceServing:
		return Failure, fmt.Sprintf("service unhealthy (responded with %q)", servingName(serving)), nil
	}
	return Success, "service healthy", nil
}

// redial is how long gRPC waits before it tries a connection again.
const redial = time.Second

// persist connects, and tries again while there is time, as gRPC does.
func (p *Prober) persist(ctx context.Context, t GRPCTarget) (net.Conn, error) {
	for {
		conn, err := p.dial(t.Timeout)(ctx, "tcp", t.Address)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(redial):
		}
	}
}

// checkHealth makes the call on a connection that is used for nothing else.
func checkHealth(ctx context.Context, conn net.Conn, t GRPCTarget) (serving uint64, err error) {
	transport := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		Protocols:          new(http.Protocols),
		DisableCompression: true,
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	u := url.URL{Scheme: "http", Host: t.Address, Path: "/grpc.health.v1.Health/Check"}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(healthRequest(t.Service)))
	if err != nil {
		return 0, &grpcStatus{grpcInternal, err.Error()}
	}
	req.Header = http.Header{
		"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {userAgent},
		"Grpc-Timeout": {strconv.FormatInt(max(t.Timeout.Milliseconds(), 1), 10) + "m"},
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return 0, &grpcStatus{grpcUnavailable, err.Error()}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return 0, &grpcStatus{grpcUnavailable, err.Error()}
	}
	if err := statusOf(res); err != nil {
		return 0, err
	}
	return healthAnswer(body)
}

// statusOf reads the status of a call, which is in the trailer, or in the header
// of an answer that has nothing else.
func statusOf(res *http.Response) error {
	text, message := res.Trailer.Get("Grpc-Status"), res.Trailer.Get("Grpc-Message")
	if text == "" {
		text, message = res.Header.Get("Grpc-Status"), res.Header.Get("Grpc-Message")
	}
	if text == "" {
		return httpStatus(res.StatusCode)
	}
	code, err := strconv.Atoi(text)
	if err != nil {
		return &grpcStatus{grpcInternal, fmt.Sprintf("malformed grpc-status: %q", text)}
	}
	if code == grpcOK {
		return nil
	}
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	return &grpcStatus{code, message}
}

// healthRequest is a HealthCheckRequest{service = 1} in gRPC's frame: a zero for
// no compression and the length.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service)))
		message = append(message, service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

var errAnswer = &grpcStatus{grpcInternal, "the server sent no HealthCheckResponse"}

// healthAnswer reads status = 1 of a HealthCheckResponse. A field left out is 0,
// and fields of later versions are passed over.
func healthAnswer(frame []byte) (status uint64, err error) {
	if len(frame) < 5 || frame[0] != 0 || int(binary.BigEndian.Uint32(frame[1:5])) != len(frame)-5 {
		return 0, errAnswer
	}
	for m := frame[5:]; len(m) > 0; {
		key, n := binary.Uvarint(m)
		if n <= 0 {
			return 0, errAnswer
		}
		m = m[n:]
		value, n := uint64(0), 0
		switch key & 7 {
		case 0:
			value, n = binary.Uvarint(m)
		case 1:
			n = 8
		case 2:
			if value, n = binary.Uvarint(m); n > 0 && value <= uint64(len(m)) {
				n += int(value)
			} else {
				n = 0
			}
		case 5:
			n = 4
		}
		if n <= 0 || n > len(m) {
			return 0, errAnswer
		}
		m = m[n:]
		if key == 1<<3 {
			status = value
		}
	}
	return status, nil
}
