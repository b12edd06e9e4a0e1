// Package bustest is the contract of bus.Bus as a test suite.
package bustest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/bus"
)

// patience bounds the wait for what must happen; it is no measure of speed.
const patience = 20 * time.Second

// Run runs the suite. open makes a new bus, or a new connection to a shared
// one, whose topics nobody else uses.
func Run(t *testing.T, open func(t *testing.T) bus.Bus) {
	t.Run("publish", func(t *testing.T) { testPublish(t, open(t)) })
	t.Run("slow subscriber", func(t *testing.T) { testSlow(t, open(t)) })
	t.Run("wake", func(t *testing.T) { testWake(t, open(t)) })
	t.Run("bad input", func(t *testing.T) { testBad(t, open(t)) })
	t.Run("close", func(t *testing.T) { testClose(t, open(t)) })
	t.Run("races", func(t *testing.T) { testRaces(t, open(t)) })
}

func subscribe(t *testing.T, b bus.Bus, topic string) (<-chan bus.Message, func()) {
	t.Helper()
	c, cancel, err := b.Subscribe(topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	return c, cancel
}

func receive(t *testing.T, c <-chan bus.Message) (bus.Message, bool) {
	t.Helper()
	select {
	case m, ok := <-c:
		return m, ok
	case <-time.After(patience):
		t.Fatal("no message came")
		return bus.Message{}, false
	}
}

func publish(t *testing.T, b bus.Bus, topic, payload string) {
	t.Helper()
	if err := b.Publish(t.Context(), topic, []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

func testPublish(t *testing.T, b bus.Bus) {
	defer closeBus(t, b)
	publish(t, b, "none", "nobody listens")
	c1, cancel1 := subscribe(t, b, "a/1")
	if !b.Heard("a/1") {
		t.Error("a topic with a subscriber has none")
	}
	c2, _ := subscribe(t, b, "a/1")
	other, _ := subscribe(t, b, "a/2")
	for i := range 100 {
		publish(t, b, "a/1", fmt.Sprint(i))
	}
	publish(t, b, "a/2", "x")
	for _, c := range []<-chan bus.Message{c1, c2} {
		for i := range 100 {
			if m, ok := receive(t, c); !ok || m.Topic != "a/1" || string(m.Payload) != fmt.Sprint(i) || m.Lost != 0 {
				t.Fatalf("message %d is %q %q, lost %d, open %v", i, m.Topic, m.Payload, m.Lost, ok)
			}
		}
	}
	if m, _ := receive(t, other); string(m.Payload) != "x" {
		t.Errorf("the other topic got %q", m.Payload)
	}
	cancel1()
	cancel1()
	if _, ok := receive(t, c1); ok {
		t.Error("a cancelled subscription still receives")
	}
	publish(t, b, "a/1", "after")
	if m, ok := receive(t, c2); !ok || string(m.Payload) != "after" {
		t.Error("cancelling one subscription ended another")
	}
}

// testSlow: who does not read loses messages, is told how many, and holds
// nobody up.
func testSlow(t *testing.T, b bus.Bus) {
	defer closeBus(t, b)
	c, _ := subscribe(t, b, "slow")
	const n = bus.Buffer*2 + 10
	for i := range n {
		publish(t, b, "slow", fmt.Sprint(i))
	}
	got, lost, last := 0, 0, -1
	for got+lost < n {
		m, ok := receive(t, c)
		if !ok {
			t.Fatal("the channel was closed")
		}
		var i int
		if _, err := fmt.Sscan(string(m.Payload), &i); err != nil || i <= last {
			t.Fatalf("message %q after %d", m.Payload, last)
		}
		last = i
		got++
		lost += m.Lost
	}
	if last != n-1 || lost == 0 || got+lost != n {
		t.Errorf("got %d, lost %d of %d, last %d", got, lost, n, last)
	}
}

func testWake(t *testing.T, b bus.Bus) {
	defer closeBus(t, b)
	b.Wake("none")
	w1, cancel1, err := b.Waiter("jobs")
	if err != nil {
		t.Fatal(err)
	}
	w2, cancel2, err := b.Waiter("jobs")
	if err != nil {
		t.Fatal(err)
	}
	defer cancel2()
	for range 1000 {
		b.Wake("jobs")
	}
	for _, w := range []<-chan struct{}{w1, w2} {
		select {
		case <-w:
		case <-time.After(patience):
			t.Fatal("a waiter was not woken")
		}
	}
	cancel1()
	cancel1()
	b.Wake("jobs")
	select {
	case <-w2:
	case <-time.After(patience):
		t.Fatal("the other waiter was not woken")
	}
}

func testBad(t *testing.T, b bus.Bus) {
	defer closeBus(t, b)
	for _, topic := range []string{"", "a b", "a\n", "ä", "a*", strings.Repeat("x", bus.MaxTopic+1)} {
		if err := b.Publish(t.Context(), topic, nil); err == nil {
			t.Errorf("published on topic %q", topic)
		}
		if _, _, err := b.Subscribe(topic); err == nil {
			t.Errorf("subscribed to topic %q", topic)
		}
		if _, _, err := b.Waiter(topic); err == nil {
			t.Errorf("waits for topic %q", topic)
		}
		b.Wake(topic)
	}
	if err := b.Publish(t.Context(), "x", make([]byte, bus.MaxPayload+1)); err == nil {
		t.Error("a message that is too long was taken")
	}
}

func testClose(t *testing.T, b bus.Bus) {
	c, cancel := subscribe(t, b, "x")
	_, cancelWait, err := b.Waiter("x")
	if err != nil {
		t.Fatal(err)
	}
	closeBus(t, b)
	closeBus(t, b)
	if _, ok := receive(t, c); ok {
		t.Error("a message came from a closed bus")
	}
	cancel()
	cancelWait()
	b.Wake("x")
	if err := b.Publish(t.Context(), "x", nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Publish: %v", err)
	}
	if _, _, err := b.Subscribe("x"); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Subscribe: %v", err)
	}
	if _, _, err := b.Waiter("x"); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Waiter: %v", err)
	}
}

// testRaces uses everything at once; the race detector and the lack of a
// panic or a hang are the test.
func testRaces(t *testing.T, b bus.Bus) {
	var wg sync.WaitGroup
	for i := range 4 {
		topic := fmt.Sprint("t", i%2)
		wg.Go(func() {
			for range 200 {
				if err := b.Publish(t.Context(), topic, []byte("x")); err != nil && !errors.Is(err, bus.ErrClosed) {
					t.Error(err)
				}
				b.Wake(topic)
			}
		})
		wg.Go(func() {
			for range 50 {
				c, cancel, err := b.Subscribe(topic)
				if err != nil {
					return // closed
				}
				select {
				case <-c:
				default:
				}
				_, cancelWait, err := b.Waiter(topic)
				if err == nil {
					cancelWait()
				}
				cancel()
			}
		})
	}
	wg.Go(func() { closeBus(t, b) })
	wg.Wait()
}

func closeBus(t *testing.T, b bus.Bus) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
