package bus_test

import (
	"math"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/bus"
)

// TestTell: a beat goes to the topics that are heard, and nowhere without a bus.
func TestTell(t *testing.T) {
	b := bus.New(bus.Options{})
	got, cancel, err := b.Subscribe(bus.LiveMirror(7))
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	beat := &bus.Beat{ID: "x", Done: 1, Total: 2, Left: -1}
	if err := bus.Tell(t.Context(), b, beat, bus.LiveMirrors, bus.LiveMirror(7), bus.LiveMirror(8)); err != nil {
		t.Fatal(err)
	}
	if m := <-got; string(m.Payload) != `{"id":"x","done":1,"total":2,"rate":0,"left":-1}` || len(got) != 0 {
		t.Errorf("%s, and %d more", m.Payload, len(got))
	}
	if err := bus.Tell(t.Context(), nil, beat, bus.LiveJobs); err != nil {
		t.Error(err)
	}
	for _, topic := range []string{bus.LiveJobs, bus.LiveMirrors, bus.LiveMirror(math.MaxInt64), bus.LiveOrgMirror(1), bus.LiveUploads(1)} {
		if err := bus.CheckTopic(topic); err != nil {
			t.Error(err)
		}
	}
}

func TestPace(t *testing.T) {
	start := time.Unix(1000, 0)
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 0.05*want {
			t.Errorf("%s: %.2f, want about %.2f", what, got, want)
		}
	}
	var p bus.Pace
	if r := p.Note(start, 500); r != 0 {
		t.Errorf("after the first note: %f", r)
	}
	near("what was done before does not count", p.Note(start.Add(time.Second), 510), 10)
	near("at first the plain average", p.Note(start.Add(2*time.Second), 540), 20)
	if r := p.Note(start.Add(2*time.Second), 540); math.Abs(r-20) > 1 {
		t.Errorf("no time went by, and the rate is %f", r)
	}
	now, done, r := start.Add(2*time.Second), int64(540), 0.0
	for range 60 {
		now, done = now.Add(time.Second), done+100
		r = p.Note(now, done)
	}
	near("what is long ago is forgotten", r, 100)
	for range 60 {
		now = now.Add(time.Second)
		r = p.Note(now, done)
	}
	if r > 0.1 {
		t.Errorf("nothing moves, and the rate is %f", r)
	}
	var late bus.Pace
	late.Note(start, 0)
	near("the second note comes late", late.Note(start.Add(time.Minute), 600), 10)
	if r := p.Note(now.Add(time.Second), 3); r != 0 {
		t.Errorf("begun anew, and the rate is %f", r)
	}
}

func TestLeft(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		rate        float64
		want        int64
	}{{0, 0, 5, -1}, {10, 100, 0, -1}, {10, 100, 30, 3}, {10, 101, 30, 4}, {100, 100, 1, 0}, {5, 4, 1, -1}, {0, math.MaxInt64, 0.001, -1}} {
		if got := bus.Left(c.done, c.total, c.rate); got != c.want {
			t.Errorf("Left(%d, %d, %f) = %d, want %d", c.done, c.total, c.rate, got, c.want)
		}
	}
}
