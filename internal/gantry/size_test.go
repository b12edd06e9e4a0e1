package gantry

import "testing"

func TestBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "102400000": 102400000, "10GiB": 10 << 30, "10Gi": 10 << 30, "10 g": 10 << 30, "1.5 TB": 1_500_000_000_000, "7b": 7, " 1k ": 1024,
		"": -1, "x": -1, "-1": -1, "10 Gib/s": -1, "10XB": -1, "1e3": -1, "99999999999999999999": -1, "9000000 PiB": -1, "10GiB10": -1,
	} {
		n, ok := ParseBytes(text)
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", text, n, ok, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 10 << 30: "10 GiB", 3 << 19: "1.5 MiB", 102400000: "97.7 MiB", 1 << 62: "4 EiB", -2048: "-2 KiB"} {
		if got := FormatBytes(n); got != want {
			t.Errorf("FormatBytes(%d) = %q, want %q", n, got, want)
		}
	}
}
