package redis

import (
	"bytes"
	"testing"

	"github.com/gantry-registry/gantry/internal/bus"
)

func FuzzFrame(f *testing.F) {
	f.Add("p:m:x", "g12345678payload")
	f.Add("p:c:", "g12345678")
	f.Add("p:w:jobs", "")
	b := &Bus{o: Options{Prefix: "p"}}
	f.Fuzz(func(t *testing.T, name, data string) {
		if kind, topic, ok := b.topic(name); ok {
			if b.name(kind, topic) != name {
				t.Errorf("channel %q became %c %q", name, kind, topic)
			}
			if kind != kindControl && bus.CheckTopic(topic) != nil {
				t.Errorf("topic %q", topic)
			}
		}
		origin, payload, ok := unseal(data)
		if !ok {
			return
		}
		if len(payload) > bus.MaxPayload || !bytes.Equal(seal(origin, []byte(payload)), []byte(data)) {
			t.Errorf("frame %q became %q", data, payload)
		}
	})
}

// TestStrangers: what somebody else puts on our channels is no message.
func TestStrangers(t *testing.T) {
	for _, data := range []string{"", "g", "g1234567", "x12345678y", "g12345678" + string(make([]byte, bus.MaxPayload+1))} {
		if _, _, ok := unseal(data); ok {
			t.Errorf("%.20q is taken for a frame", data)
		}
	}
	b := &Bus{o: Options{Prefix: "p"}}
	for _, name := range []string{"", "p:", "p:m", "p:mx", "p:m:", "p:w:a b", "p:c:x", "p:z:x", "q:m:x"} {
		if _, _, ok := b.topic(name); ok {
			t.Errorf("%q is taken for a channel", name)
		}
	}
}
