package edit

import (
	"io/fs"
	"testing"
)

// TestFiles: a map of files is read as a file system.
func TestFiles(t *testing.T) {
	m := Files{"config.yaml": []byte("a"), "extra_ca_certs/b": []byte("bb")}
	if data, err := fs.ReadFile(m, "extra_ca_certs/b"); err != nil || string(data) != "bb" {
		t.Errorf("%q %v", data, err)
	}
	list, err := fs.ReadDir(m, ".")
	if err != nil || len(list) != 2 || list[0].Name() != "config.yaml" || !list[1].IsDir() {
		t.Errorf("%v %v", list, err)
	}
	if st, err := fs.Stat(m, "extra_ca_certs"); err != nil || !st.IsDir() {
		t.Errorf("%v %v", st, err)
	}
	for _, name := range []string{"extra", "extra_ca_certs/c"} {
		if _, err := fs.Stat(m, name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
}
