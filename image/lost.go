package image

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Lost names a file that is gone from a layer of the image, or that is not of the
// kind or the size that it was, with what to do. It is a glance for one who has just
// failed to run something of the image: it reads no file, as Check does, and is
// empty where it sees nothing, or cannot see.
func (img *Image) Lost() string {
	for _, layer := range img.Layers {
		if name := lostFile(layer); name != "" {
			return fmt.Sprintf("%s of layer %s of the image is not what was stored; %s", name, filepath.Base(layer), repairHint)
		}
	}
	return ""
}

// lostFile is the first of the layer's inventory that is not in its place; empty if
// all are.
func lostFile(layer string) string {
	f, err := os.Open(layer + inventorySuffix)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines, stop, err := readInventory(f)
	if err != nil {
		return ""
	}
	defer stop()
	for {
		text, err := lines.ReadString('\n')
		if err != nil {
			return ""
		}
		name, rest := splitLine(text)
		fields := strings.Fields(rest)
		if len(fields) != len(fileFields) {
			return ""
		}
		info, err := os.Lstat(filepath.Join(layer, name))
		if err != nil || !looksLike(info, fields[0], fields[3]) {
			return name
		}
	}
}

func looksLike(info fs.FileInfo, kind, size string) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && kindOf(stat.Mode) == kind && (size == "-" || size == strconv.FormatInt(stat.Size, 10))
}
