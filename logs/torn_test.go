package logs

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A power cut has torn the last line of a log that goes on: what follows is whole,
// and a reader gets all of both.
func TestLogGoesOnAfterATornLine(t *testing.T) {
	whole := string(appendHeader(nil, Stdout, time.Unix(1, 0))) + "before\n"
	for _, torn := range []string{whole[:len(whole)-3], whole[:10], "\x00\x00\x00"} {
		path := filepath.Join(t.TempDir(), "0.log")
		if err := os.WriteFile(path, []byte(whole+torn), 0o640); err != nil {
			t.Fatal(err)
		}
		w := newWriter(t, path, newPosition(t), Options{})
		write, pipes := newStream(t)
		write.WriteString("after\n")
		write.Close()
		if err := w.Copy(Stdout, pipes); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rest, ok := bytes.CutPrefix(content, []byte(whole+torn+"\n"))
		if !ok || !bytes.HasSuffix(rest, []byte(" stdout F after\n")) || bytes.Count(rest, []byte("\n")) != 1 {
			t.Errorf("after %q the log is %q", torn, content)
		}
		var out bytes.Buffer
		if err := Read(context.Background(), filepath.Dir(path), ReadOptions{Tail: All}, &out); err != nil {
			t.Errorf("read after %q: %v", torn, err)
		}
		if !bytes.HasPrefix(out.Bytes(), []byte("before\n")) || !bytes.HasSuffix(out.Bytes(), []byte("\nafter\n")) {
			t.Errorf("after %q a reader gets %q", torn, out.String())
		}
	}
}
