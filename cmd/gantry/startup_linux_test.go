package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestGiveBack: the program goes on when its pages are given back, and has
// fewer of them.
func TestGiveBack(t *testing.T) {
	if from, to, ok := fixed("00400000-02248000 r-xp 00000000 fe:00 9978030                            /bin/gantry", "/bin/gantry"); !ok || from != 0x400000 || to != 0x2248000 {
		t.Errorf("%x %x %v", from, to, ok)
	}
	for _, line := range []string{"", "x", "00400000-02248000 rw-p 0 fe:00 1 /bin/gantry", "00400000-02248000 r-xp 0 fe:00 1 /lib/other", "zz-02248000 r-xp 0 fe:00 1 /bin/gantry", "02248000-00400000 r-xp 0 fe:00 1 /bin/gantry"} {
		if _, _, ok := fixed(line, "/bin/gantry"); ok {
			t.Errorf("%q is taken for the program", line)
		}
	}
	mapped := func() (kb int) { // of files on a disk, and of such in memory, where tests may lie
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"RssFile:", "RssShmem:"} {
			_, rest, _ := strings.Cut(string(text), name)
			n, err := strconv.Atoi(strings.Fields(rest + " -")[0])
			if err != nil {
				t.Fatalf("%s of /proc/self/status: %v", name, err)
			}
			kb += n
		}
		return kb
	}
	before := mapped()
	giveBack()
	if after := mapped(); after >= before {
		t.Errorf("before: %d kB, after: %d kB", before, after)
	}
}
