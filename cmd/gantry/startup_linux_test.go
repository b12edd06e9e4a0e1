package main

import (
	"os"
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
	mapped := func() string {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "RssFile:")
		line, _, _ := strings.Cut(rest, "\n")
		return line
	}
	before := mapped()
	giveBack()
	if after := mapped(); len(strings.Fields(after)) != 2 || after == before {
		t.Errorf("before: %s, after: %s", before, after)
	}
}
