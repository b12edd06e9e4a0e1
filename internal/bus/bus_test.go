package bus_test

import (
	"sync/atomic"
	"testing"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/bus/bustest"
)

func TestLocal(t *testing.T) {
	bustest.Run(t, func(*testing.T) bus.Bus { return bus.New(bus.Options{}) })
}

func TestDroppedIsCounted(t *testing.T) {
	var n atomic.Int64
	b := bus.New(bus.Options{Dropped: func(d int) { n.Add(int64(d)) }})
	if _, _, err := b.Subscribe("x"); err != nil {
		t.Fatal(err)
	}
	for range bus.Buffer + 3 {
		if err := b.Publish(t.Context(), "x", nil); err != nil {
			t.Fatal(err)
		}
	}
	if n.Load() != 3 {
		t.Errorf("%d dropped, want 3", n.Load())
	}
}

func TestMissed(t *testing.T) {
	b := bus.New(bus.Options{})
	c, cancel, err := b.Subscribe("x")
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	b.Missed("y")
	b.Missed("x")
	if err := b.Publish(t.Context(), "x", []byte("m")); err != nil {
		t.Fatal(err)
	}
	if m := <-c; !m.Notice || m.Lost != 1 || m.Payload != nil || m.Topic != "x" {
		t.Errorf("%+v", m)
	}
	if m := <-c; m.Notice || m.Lost != 0 || string(m.Payload) != "m" {
		t.Errorf("%+v", m)
	}
}

func BenchmarkWake(b *testing.B) {
	l := bus.New(bus.Options{})
	_, cancel, err := l.Waiter("x")
	if err != nil {
		b.Fatal(err)
	}
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		l.Wake("x")
	}
}

// TestHeard: nobody makes a message for a topic that has no subscriber.
func TestHeard(t *testing.T) {
	b := bus.New(bus.Options{})
	if b.Heard("a") {
		t.Error("a topic is heard before anybody subscribes")
	}
	_, cancel, err := b.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	if !b.Heard("a") || b.Heard("b") {
		t.Error("the subscribed topic alone should be heard")
	}
	cancel()
	if b.Heard("a") {
		t.Error("a topic is heard after its last subscriber left")
	}
}
