package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
)

// serveRegistry has one image under every name and tag: a few layers of files
// that cannot be compressed (OCI distribution and image specifications).
func serveRegistry(args []string) error {
	f := flags("registry")
	address := f.String("listen", ":5000", "address")
	layers := f.Int("layers", 4, "layers of the image")
	size := f.Int("size", 4, "megabytes of each")
	if err := f.Parse(args); err != nil {
		return err
	}
	blobs, manifest, err := makeImage(*layers, *size<<20)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, q *http.Request) {
		content, kind := []byte("{}"), "application/json"
		last := q.URL.Path[strings.LastIndexByte(q.URL.Path, '/')+1:]
		switch {
		case strings.Contains(q.URL.Path, "/manifests/"):
			content, kind = manifest, ociManifest
			w.Header().Set("Docker-Content-Digest", digest(manifest))
		case strings.Contains(q.URL.Path, "/blobs/"):
			content, kind = blobs[last], "application/octet-stream"
			if content == nil {
				http.NotFound(w, q)
				return
			}
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		if q.Method != http.MethodHead {
			w.Write(content)
		}
	})
	l, err := listen("tcp", *address)
	if err != nil {
		return err
	}
	return http.Serve(l, mux)
}

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	ociLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

func digest(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// makeImage returns the blobs by their digests, and the manifest.
func makeImage(layers, size int) (blobs map[string][]byte, manifest []byte, err error) {
	blobs = make(map[string][]byte)
	add := func(kind string, content []byte) descriptor {
		blobs[digest(content)] = content
		return descriptor{kind, digest(content), len(content)}
	}
	var descriptors []descriptor
	var contents []string
	for n := range layers {
		archive, err := makeLayer(n, size)
		if err != nil {
			return nil, nil, err
		}
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
		if err != nil {
			return nil, nil, err
		}
		if _, err := z.Write(archive); err != nil {
			return nil, nil, err
		}
		if err := z.Close(); err != nil {
			return nil, nil, err
		}
		descriptors = append(descriptors, add(ociLayer, packed.Bytes()))
		contents = append(contents, digest(archive))
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Cmd": []string{"/none"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": contents},
	})
	if err != nil {
		return nil, nil, err
	}
	manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ociManifest, "config": add(ociConfig, config), "layers": descriptors,
	})
	return blobs, manifest, err
}

// makeLayer is the archive of sixteen files; the same numbers make the same bytes.
func makeLayer(number, size int) ([]byte, error) {
	const files = 16
	random := rand.NewChaCha8([32]byte{byte(number)})
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	content := make([]byte, size/files)
	for n := range files {
		if _, err := random.Read(content); err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("layer%d/file%d", number, n), Mode: 0o644, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return archive.Bytes(), w.Close()
}
