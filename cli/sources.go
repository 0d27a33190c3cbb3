package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/manifest"
	"podrun/state"
)

const (
	maxManifest     = 16 << 20 // bytes of one file; package manifest has a tighter limit of its own
	downloadTimeout = 30 * time.Second
)

// manifestEndings are those that kubectl takes from a directory.
var manifestEndings = []string{".yaml", ".yml", ".json"}

// readManifests reads and checks all that the arguments name.
func (a *app) readManifests(ctx context.Context, args []string, o manifest.Options) (*manifest.Objects, error) {
	sources, err := a.readSources(ctx, args)
	if err != nil {
		return nil, err
	}
	objects, err := manifest.Parse(sources, o)
	if err != nil {
		return nil, &exitError{exitUsage, complaint{err}}
	}
	var long []error
	for _, p := range objects.Pods {
		long = append(long, checkNames(p))
	}
	if err := errors.Join(long...); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return objects, nil
}

// checkNames: the directory of a pod's logs is named after namespace, name and
// uid, in the kubelet's way, and so limits what the API would allow.
func checkNames(p *v1.Pod) error {
	const longest = unix.NAME_MAX
	dir := filepath.Base(state.LogPath("", state.Ref{Namespace: p.Namespace, Name: p.Name, UID: state.NewUID()}))
	if over := len(dir) - longest; over > 0 {
		return fmt.Errorf("pod %q: metadata.name and metadata.namespace are %d bytes too long together: no log directory can be made for them", p.Name, over)
	}
	return nil
}

// complaint starts on a line of its own: it has many.
type complaint struct{ err error }

func (c complaint) Error() string {
	text := c.err.Error()
	if strings.Contains(text, "\n") {
		return "the manifest has problems:\n" + text
	}
	return text
}

func (c complaint) Unwrap() error { return c.err }

// readSources reads files, directories, standard input (-) and URLs.
func (a *app) readSources(ctx context.Context, args []string) ([]manifest.Source, error) {
	var sources []manifest.Source
	for _, arg := range args {
		read, err := a.readSource(ctx, arg)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		sources = append(sources, read...)
	}
	return sources, nil
}

func (a *app) readSource(ctx context.Context, arg string) ([]manifest.Source, error) {
	switch {
	case arg == "-":
		data, err := readLimited(a.In, "standard input")
		return []manifest.Source{{Name: "-", Data: data}}, err
	case isURL(arg):
		data, err := download(ctx, arg)
		return []manifest.Source{{Name: redacted(arg), Data: data}}, err
	}
	info, err := os.Stat(arg)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file or directory; name a manifest, a directory, a URL, or - for standard input", arg)
	}
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return readDirectory(arg)
	}
	return readFile(arg)
}

func readFile(path string) ([]manifest.Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readLimited(f, path)
	return []manifest.Source{{Name: path, Data: data}}, err
}

// readDirectory reads the manifests in a directory, not below it, by name.
func readDirectory(dir string) ([]manifest.Source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var sources []manifest.Source
	for _, e := range entries {
		if e.IsDir() || !slices.Contains(manifestEndings, filepath.Ext(e.Name())) {
			continue
		}
		read, err := readFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		sources = append(sources, read...)
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("%s: the directory has no .yaml, .yml or .json file", dir)
	}
	return sources, nil
}

func readLimited(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxManifest {
		return nil, fmt.Errorf("%s is larger than %d MiB: is it a manifest?", name, maxManifest>>20)
	}
	return data, nil
}

func isURL(arg string) bool {
	return strings.HasPrefix(arg, "http://") || strings.HasPrefix(arg, "https://")
}

func download(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", redacted(url), withoutURL(err))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", redacted(url), withoutURL(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("download %s: the server answered %s", redacted(url), response.Status)
	}
	return readLimited(response.Body, redacted(url))
}

// withoutURL is an error of net/http or net/url, which name the URL, too.
func withoutURL(err error) error {
	var named *neturl.Error
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}

// redacted is a URL without its password, if it has one.
func redacted(url string) string {
	u, err := neturl.Parse(url)
	if err != nil {
		return "the URL"
	}
	return u.Redacted()
}

// looksLikeFile tells a manifest from the name of a pod, where a command takes both.
func looksLikeFile(arg string) bool {
	if arg == "-" || isURL(arg) || strings.Contains(arg, "/") || slices.Contains(manifestEndings, filepath.Ext(arg)) {
		return true
	}
	_, err := os.Stat(arg)
	return err == nil
}

// tellNotes prints what a manifest has that is skipped or has no meaning here; -v says why.
func (a *app) tellNotes(o *manifest.Objects) {
	for _, s := range o.Skipped {
		a.notef("%s:%d: %s %q is skipped: podrun runs Pods\n", s.File, s.Line, s.Kind, s.Name)
	}
	var served []manifest.Note // the first of each object
	for _, n := range o.Ignored {
		if setByServer(n.Path) {
			last := len(served) - 1
			if last < 0 || served[last].File != n.File || slices.Contains(strings.Split(served[last].Path, ", "), n.Path) {
				served = append(served, n)
			} else {
				served[last].Path += ", " + n.Path
			}
			continue
		}
		why := ""
		if a.verbose {
			why = ": " + n.Text
		}
		a.notef("%s: %s: has no meaning on one machine%s\n", n.Position, n.Path, why)
	}
	for _, n := range served {
		a.notef("%s: %s: what only a server sets is ignored\n", n.Position, n.Path)
	}
}

// setByServer: the field comes with what 'get -o yaml' prints.
func setByServer(path string) bool {
	switch path {
	case "status", "metadata.uid", "metadata.resourceVersion", "metadata.generation", "metadata.selfLink", "metadata.creationTimestamp",
		"metadata.deletionTimestamp", "metadata.deletionGracePeriodSeconds", "metadata.managedFields":
		return true
	}
	return false
}
