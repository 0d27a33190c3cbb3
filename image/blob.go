package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// digestReader reads a blob to its end only if it is what its descriptor says:
// before io.EOF nothing that came from it is to be trusted.
type digestReader struct {
	inner io.ReadCloser
	want  v1.Descriptor
	sum   hash.Hash
	left  int64
}

func newDigestReader(inner io.ReadCloser, want v1.Descriptor) *digestReader {
	return &digestReader{inner: inner, want: want, sum: sha256.New(), left: want.Size}
}

func (d *digestReader) Read(p []byte) (int, error) {
	n, err := d.inner.Read(p)
	d.sum.Write(p[:n])
	d.left -= int64(n)
	if d.left < 0 {
		return 0, fmt.Errorf("%w: blob %s is longer than the %d bytes that the manifest says", errForged, d.want.Digest, d.want.Size)
	}
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if d.left > 0 {
		return n, fmt.Errorf("blob %s ends %d bytes before the size that the manifest says", d.want.Digest, d.left)
	}
	if got := hex.EncodeToString(d.sum.Sum(nil)); got != d.want.Digest.Hex {
		return n, fmt.Errorf("%w: blob %s has the content of sha256:%s", errForged, d.want.Digest, got)
	}
	return n, io.EOF
}

func (d *digestReader) Close() error { return d.inner.Close() }

// blobReader downloads one blob. Where the connection breaks or stalls, it goes
// on from that byte over another one.
type blobReader struct {
	ctx    context.Context
	remote *remote
	want   v1.Descriptor
	report func(Stage, int64, int64)

	offset   int64
	failures int // since the last byte
	reported time.Time

	body   io.ReadCloser // nil: not connected
	cancel context.CancelCauseFunc
	stall  *time.Timer
}

const (
	maxFailures    = 5
	firstPause     = 100 * time.Millisecond // four times as long after each failure: 8.5 s in all
	reportInterval = 100 * time.Millisecond
)

var errStalled = fmt.Errorf("no byte arrived in %s", stallTimeout)

// openBlob starts a download; an error of the registry comes here.
func (r *remote) openBlob(ctx context.Context, d v1.Descriptor, report func(Stage, int64, int64)) (io.ReadCloser, error) {
	b := &blobReader{ctx: ctx, remote: r, want: d, report: report}
	if err := b.connect(); err != nil {
		return nil, err
	}
	report(StageDownloading, 0, d.Size)
	return newDigestReader(b, d), nil
}

// connect asks for what is missing.
func (b *blobReader) connect() error {
	ctx, cancel := context.WithCancelCause(b.ctx)
	req, err := b.remote.request(ctx, "blobs", b.want.Digest.String())
	if err != nil {
		cancel(nil)
		return err
	}
	if b.offset > 0 {
		// Some registries refuse a range without an end.
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.offset, b.want.Size-1))
	}
	resp, err := b.remote.client.Do(req)
	if err == nil {
		err = transport.CheckError(resp, http.StatusOK, http.StatusPartialContent)
		if err != nil {
			resp.Body.Close()
		}
	}
	if err != nil {
		cancel(nil)
		return err
	}
	b.body, b.cancel = resp.Body, cancel
	b.stall = time.AfterFunc(stallTimeout, func() { cancel(errStalled) })
	if resp.StatusCode == http.StatusOK && b.offset > 0 {
		// The registry does not do ranges. The digest covers what was read first.
		if _, err := io.CopyN(io.Discard, b.body, b.offset); err != nil {
			b.disconnect()
			return err
		}
	}
	return nil
}

func (b *blobReader) disconnect() {
	if b.body != nil {
		b.stall.Stop()
		b.cancel(nil)
		b.body.Close()
		b.body = nil
	}
}

func (b *blobReader) Close() error {
	b.disconnect()
	return nil
}

func (b *blobReader) Read(p []byte) (int, error) {
	for {
		if b.body == nil {
			if err := b.connect(); err != nil {
				if err := b.failed(err); err != nil {
					return 0, err
				}
				continue
			}
		}
		n, err := b.body.Read(p)
		if n > 0 {
			b.took(n)
		}
		if err == nil || b.offset >= b.want.Size {
			return n, err
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err := b.failed(err); err != nil || n > 0 {
			return n, err
		}
	}
}

func (b *blobReader) took(n int) {
	b.offset += int64(n)
	b.failures = 0
	b.stall.Reset(stallTimeout)
	if now := time.Now(); now.Sub(b.reported) > reportInterval || b.offset == b.want.Size {
		b.reported = now
		b.report(StageDownloading, b.offset, b.want.Size)
	}
}

// failed drops the connection, and returns nil if it is worth another one.
func (b *blobReader) failed(err error) error {
	b.disconnect()
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	b.failures++
	var refused *transport.Error
	if b.failures >= maxFailures || errors.As(err, &refused) && !refused.Temporary() {
		return fmt.Errorf("download at byte %d of %d: %w", b.offset, b.want.Size, err)
	}
	select {
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	case <-time.After(firstPause << (2 * (b.failures - 1))):
		return nil
	}
}
