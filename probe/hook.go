package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const hookAgent = "kube-lifecycle/1.36"

// PlainAnswer tells of a hook that asked for https and was answered in plain
// http. It was called again that way, and has succeeded.
type PlainAnswer struct{ Host string }

func (p *PlainAnswer) Error() string {
	return fmt.Sprintf("request to %s over https got an http response", p.Host)
}

// Hook sends the request of an httpGet hook. Whatever the server answers is a
// success; there is no limit of time but the context's (pkg/kubelet/lifecycle).
func (p *Prober) Hook(ctx context.Context, t HTTPTarget) error {
	req, err := request(ctx, t, hookAgent)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DialContext:     p.dial(0),
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: sameHost}
	if err = send(&client, req); !isPlainAnswer(err) {
		return err
	}
	again := req.Clone(ctx)
	again.URL.Scheme = "http"
	again.Header.Del("Authorization") // it was meant for an encrypted connection
	if send(&client, again) != nil {
		return err
	}
	return &PlainAnswer{Host: req.URL.Host}
}

func send(client *http.Client, req *http.Request) error {
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	io.CopyN(io.Discard, res.Body, maxBody) // so that the server has told all it wanted to
	return nil
}

// isPlainAnswer: net/http has no value of its own for it.
func isPlainAnswer(err error) bool {
	var u *url.Error
	return errors.As(err, &u) && strings.Contains(u.Err.Error(), "server gave HTTP response to HTTPS client")
}
