package claims

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzRemove: whatever is taken for the name of a claim, and whatever a disk has
// made of its owner's name, nothing beside it goes.
func FuzzRemove(f *testing.F) {
	for _, seed := range [][2]string{{"data", "uid"}, {"..", ""}, {".hidden", "a/b"}, {"a/../../x", "\x00"}, {"", "\n"}, {"a\x00b", "../../beside"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, owner string) {
		top := t.TempDir()
		beside := filepath.Join(top, "ns", "beside", Data)
		if err := os.MkdirAll(beside, 0o700); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(top, "ns", "claim")
		if err := os.MkdirAll(filepath.Join(dir, Data), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "owner"), []byte(owner), 0o600); err != nil {
			t.Fatal(err)
		}
		Owner(dir)
		if list, err := Owned(filepath.Join(top, "ns"), name, owner); err == nil {
			for _, found := range list {
				if CheckName(filepath.Base(found)) != nil {
					t.Errorf("%q is a claim", found)
				}
			}
		}
		if CheckName(name) != nil || name == "beside" {
			return
		}
		if filepath.Base(filepath.Join(top, name)) != name {
			t.Errorf("%q is a name", name)
		}
		Remove(filepath.Join(top, "ns", name))
		if _, err := os.Stat(beside); err != nil {
			t.Errorf("remove %q: %v", name, err)
		}
	})
}
