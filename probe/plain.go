package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// oneShot sends a request of plain http on a connection of its own. An
// http.Transport would start two goroutines for it and keep what a pool needs:
// with a hundred probes a second that is half of what a probe costs.
// Of https it knows nothing; that is for the transport behind it.
type oneShot struct {
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	secure *http.Transport
}

// maxAnswer bounds an answer with its header.
const maxAnswer = 1 << 20

// RoundTrip implements http.RoundTripper. The connection ends with the body.
func (o *oneShot) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "http" {
		return o.secure.RoundTrip(req)
	}
	if err := checkHeader(req.Header); err != nil {
		return nil, err
	}
	ctx := req.Context()
	port := req.URL.Port()
	if port == "" {
		port = "80"
	}
	conn, err := o.dial(ctx, "tcp", net.JoinHostPort(req.URL.Hostname(), port))
	if err != nil {
		return nil, inTime(ctx, err)
	}
	undo := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	res, err := converse(conn, req)
	if err != nil {
		undo()
		conn.Close()
		return nil, inTime(ctx, err)
	}
	res.Body = &body{res.Body, conn, undo}
	return res, nil
}

// checkHeader refuses what Request.Write would change in silence. The names were
// validated with the manifest.
func checkHeader(h http.Header) error {
	for name, values := range h {
		for _, v := range values {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return fmt.Errorf("net/http: invalid header field value for %q", name)
			}
		}
	}
	return nil
}

func converse(conn net.Conn, req *http.Request) (*http.Response, error) {
	closing := *req
	closing.Close = true
	if err := closing.Write(conn); err != nil {
		return nil, err
	}
	in := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	for {
		res, err := http.ReadResponse(in, req)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, io.EOF // as a transport says it
		}
		if err != nil || res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, err
		}
	}
}

type body struct {
	io.ReadCloser
	conn net.Conn
	undo func() bool
}

func (b *body) Close() error {
	b.undo()
	return errors.Join(b.ReadCloser.Close(), b.conn.Close())
}

// timeoutError is what http.Client says when its Timeout is over.
type timeoutError struct{ error }

func (t timeoutError) Error() string {
	return t.error.Error() + " (Client.Timeout exceeded while awaiting headers)"
}

func (t timeoutError) Unwrap() error { return t.error }

// inTime tells the end of the time from what went wrong because of it.
func inTime(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return timeoutError{ctx.Err()}
	}
	return err
}
