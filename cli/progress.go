package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"podrun/image"
)

// progress shows pulls: of is what one image tells, finish leaves the terminal
// as it was found.
type progress interface {
	of(reference string) image.Progress
	finish()
}

// newProgress draws bars on a terminal, and writes lines elsewhere.
func (a *app) newProgress() progress {
	if f, ok := a.Err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &bars{out: f, layers: map[string]*mpb.Bar{}}
	}
	return &lines{out: visibleWriter{a.Err}, sizes: map[string]int64{}}
}

type silent struct{}

func (silent) of(string) image.Progress { return nil }
func (silent) finish()                  {}

// lines writes one line for each image and each layer that was downloaded.
type lines struct {
	mu    sync.Mutex
	out   io.Writer
	sizes map[string]int64
}

func (l *lines) of(reference string) image.Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, "pulling %s\n", reference)
	return func(e image.Event) {
		l.mu.Lock()
		defer l.mu.Unlock()
		key := reference + e.Layer
		switch e.Stage {
		case image.StageWaiting:
			fmt.Fprintf(l.out, "%s: layer %s: another process is at it\n", reference, shortDigest(e.Layer))
		case image.StageDownloading:
			l.sizes[key] = e.Total
		case image.StageDone:
			fmt.Fprintf(l.out, "%s: layer %s: done, %s\n", reference, shortDigest(e.Layer), humanSize(l.sizes[key]))
		}
	}
}

func (l *lines) finish() {}

// bars draws one bar for each layer that is downloaded.
type bars struct {
	mu       sync.Mutex
	out      io.Writer
	progress *mpb.Progress // made with the first bar
	layers   map[string]*mpb.Bar
}

func (b *bars) of(reference string) image.Progress {
	return func(e image.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		key := reference + e.Layer
		bar := b.layers[key]
		if e.Stage == image.StageDownloading {
			if bar == nil {
				bar = b.add(reference, e)
				b.layers[key] = bar
			}
			bar.SetCurrent(e.Done)
		}
	}
}

func (b *bars) add(reference string, e image.Event) *mpb.Bar {
	if b.progress == nil {
		b.progress = mpb.New(mpb.WithOutput(b.out), mpb.WithWidth(64))
	}
	return b.progress.AddBar(max(e.Total, 1),
		mpb.PrependDecorators(
			decor.Name(reference+" "+shortDigest(e.Layer), decor.WCSyncSpaceR),
			decor.CountersKiloByte("%.1f / %.1f", decor.WCSyncSpace),
		),
		mpb.AppendDecorators(decor.OnComplete(decor.Percentage(decor.WC{W: 5}), " done")),
	)
}

func (b *bars) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, bar := range b.layers {
		bar.Abort(false) // leaves alone one that is complete
	}
	if b.progress != nil {
		b.progress.Wait()
	}
}

func shortDigest(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(len(digest), shortID)]
}

// humanSize is a number of bytes with three digits, in powers of 1000 as docker
// shows it.
func humanSize(bytes int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	size, unit := float64(bytes), 0
	for size >= 999.5 && unit < len(units)-1 {
		size /= 1000
		unit++
	}
	if size >= 999.5 {
		return fmt.Sprintf("%.0f%s", size, units[unit])
	}
	return fmt.Sprintf("%.3g%s", size, units[unit])
}
