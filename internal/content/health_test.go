package content

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
)

func TestReadOrder(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for name, c := range map[string]struct {
		all  []candidate
		want []int
	}{
		"by preference":                       {[]candidate{{latency: ms(30)}, {latency: ms(10)}, {}}, []int{0, 1, 2}},
		"the one that is down last":           {[]candidate{{down: true}, {}, {}}, []int{1, 2, 0}},
		"all down: by preference":             {[]candidate{{down: true}, {down: true}}, []int{0, 1}},
		"far slower":                          {[]candidate{{latency: ms(900)}, {latency: ms(10)}, {latency: ms(20)}}, []int{1, 2, 0}},
		"slower, but not much in itself":      {[]candidate{{latency: ms(150)}, {latency: ms(1)}}, []int{0, 1}},
		"slower, but not than another by far": {[]candidate{{latency: ms(900)}, {latency: ms(300)}}, []int{0, 1}},
		"slow before down":                    {[]candidate{{down: true}, {latency: ms(2000)}, {latency: ms(10)}}, []int{2, 1, 0}},
		"suspect bytes after everything":      {[]candidate{{suspect: true}, {down: true}}, []int{1, 0}},
		"one that is down is no measure":      {[]candidate{{latency: ms(900)}, {latency: ms(1), down: true}}, []int{0, 1}},
	} {
		if got := readOrder(c.all); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v; want %v", name, got, c.want)
		}
	}
}

func TestWriteOrder(t *testing.T) {
	for name, c := range map[string]struct {
		all  []candidate
		want []int
	}{
		"the preferred first, then defaults": {[]candidate{{}, {}, {fallback: true}}, []int{0, 2, 1}},
		"the preferred is down":              {[]candidate{{down: true}, {}, {fallback: true}}, []int{2, 1, 0}},
		"draining":                           {[]candidate{{refused: true}, {}, {fallback: true}}, []int{1, 2}},
		"all down":                           {[]candidate{{down: true}, {down: true}, {down: true, fallback: true}}, []int{0, 2, 1}},
		"none takes it":                      {[]candidate{{refused: true}}, nil},
		"the preferred crawls":               {[]candidate{{latency: time.Second}, {latency: time.Millisecond}, {down: true}}, []int{1, 0, 2}},
		"the preferred is far, not slow":     {[]candidate{{latency: 150 * time.Millisecond}, {latency: time.Millisecond}}, []int{0, 1}},
		"all are far":                        {[]candidate{{latency: time.Second}, {latency: 500 * time.Millisecond}}, []int{0, 1}},
		"only the one that crawls takes it":  {[]candidate{{latency: time.Second}, {latency: time.Millisecond, refused: true}}, []int{0}},
	} {
		if got := writeOrder(c.all); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v; want %v", name, got, c.want)
		}
	}
}

func TestBreaker(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	h := NewHealth(func() time.Time { return now })
	is := func(reads, writes BreakerState) {
		t.Helper()
		if s := h.Standing(); s.Reads != reads || s.Writes != writes {
			t.Fatalf("reads %s, writes %s; want %s, %s", s.Reads, s.Writes, reads, writes)
		}
	}
	broken := errors.New("broken")
	is(BreakerClosed, BreakerClosed)
	h.Reads(0, context.Canceled) // the client's doing
	h.Reads(0, broken)
	h.Reads(time.Millisecond, blob.NoObject(nil)) // an answer
	h.Reads(0, broken)
	is(BreakerClosed, BreakerClosed)
	h.Reads(0, broken)
	is(BreakerOpen, BreakerOpen)
	if up, _ := h.up(true); up {
		t.Error("a location that answers no read is written")
	}
	h.Reads(time.Millisecond, nil) // of a call that began before
	is(BreakerOpen, BreakerOpen)
	h.Writes(0, blob.DiskFull(io.ErrShortWrite)) // one is enough
	is(BreakerOpen, BreakerOpen)
	// Each failed trial doubles the pause, up to mostOpen, a fifth more or less.
	for trial, pause := 0, firstOpen; trial < 8; trial++ {
		now = now.Add(pause * 7 / 10)
		is(BreakerOpen, BreakerOpen)
		now = now.Add(pause * 6 / 10)
		is(BreakerHalfOpen, BreakerHalfOpen)
		h.Reads(0, broken)
		h.Writes(0, broken)
		is(BreakerOpen, BreakerOpen)
		pause = min(2*pause, mostOpen)
	}
	now = now.Add(2 * mostOpen)
	h.Reads(time.Millisecond, nil)
	is(BreakerClosed, BreakerHalfOpen)
	h.Writes(0, nil)
	is(BreakerClosed, BreakerClosed)
	if up, latency := h.up(false); !up || latency != time.Millisecond {
		t.Errorf("up %v, latency %v", up, latency)
	}
}

func TestHealthBoundsWhoTriesADeadLocation(t *testing.T) {
	h := NewHealth(nil)
	h.Writes(0, errors.New("broken"))
	var leave []func()
	for range mostDesperate {
		l, ok := h.enter(true)
		if !ok {
			t.Fatal("refused early")
		}
		leave = append(leave, l)
	}
	if _, ok := h.enter(true); ok {
		t.Error("one too many")
	}
	if l, ok := h.enter(false); !ok { // reads are well
		t.Error("a read was refused")
	} else {
		l()
	}
	leave[0]()
	if _, ok := h.enter(true); !ok {
		t.Error("nobody left")
	}
}

// TestProbeDue: who is asked, and how often.
func TestProbeDue(t *testing.T) {
	timing := Timing{}.orDefaults()
	now := time.Unix(1_700_000_000, 0)
	well := Standing{Reads: BreakerClosed, Writes: BreakerClosed}
	sent, doubtful, open, half := well, well, well, well
	sent.SentAt = now.Add(-3 * time.Second)
	doubtful.Doubtful = true
	open.Reads, open.SentAt = BreakerOpen, now
	half.Reads, half.Due = BreakerHalfOpen, true
	for _, tt := range []struct {
		name    string
		at      Standing
		several bool
		ago     time.Duration
		want    bool
	}{
		{"the only one", well, false, time.Hour, false},
		{"one of several", well, true, 4 * time.Second, false},
		{"one of several, after a while", well, true, 5 * time.Second, true},
		{"clients are sent there", sent, true, time.Second, true},
		{"clients are sent there, asked a moment ago", sent, true, time.Second / 2, false},
		{"clients are sent to the only one", sent, false, time.Second, true},
		{"a read has failed", doubtful, true, 0, true},
		{"a read of the only one has failed", doubtful, false, time.Hour, false},
		{"an open breaker waits", open, true, time.Second, false},
		{"a half-open breaker", half, false, 0, true},
	} {
		if got := timing.due(tt.at, tt.several, tt.ago, now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// TestLies: some wrong bytes are a matter of their object, many one of the
// location, which is not asked for more than a minute after the last.
func TestLies(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	h := NewHealth(func() time.Time { return now })
	is := func(up bool) {
		t.Helper()
		if got, _ := h.up(true); got != up || h.trusted() != up {
			t.Fatalf("up %v, trusted %v; want %v", got, h.trusted(), up)
		}
		if got, _ := h.up(false); !got {
			t.Fatal("its breaker opened")
		}
	}
	for range 10 { // of one object
		h.lied("sha256:a")
	}
	h.lied("sha256:b")
	is(true)
	h.lied("sha256:c")
	is(false)
	if leave, ok := h.enter(true); !ok || len(h.desperate) > 0 {
		t.Error("where there is no other, it is used as before")
	} else {
		leave()
	}
	now = now.Add(liesFor)
	is(true)
	h.lied("sha256:d")
	is(true)
}
