package redis

import (
	"strings"

	"github.com/gantry-registry/gantry/internal/bus"
)

// A frame is what travels through Redis: the version, the process that sent
// it, and the payload.
const (
	frameVersion = 'g'
	originSize   = 8
	frameHead    = 1 + originSize
)

// The kinds of channels. A name is prefix, ":", kind, ":", topic.
const (
	kindMessage = 'm'
	kindWake    = 'w'
	kindControl = 'c' // some messages of the sender did not leave; its topic is ""
)

// name is that of a channel.
func (b *Bus) name(kind byte, topic string) string {
	return b.o.Prefix + ":" + string(kind) + ":" + topic
}

// topic is the kind and topic of a channel; false: it is none of ours.
func (b *Bus) topic(name string) (kind byte, topic string, ok bool) {
	rest, ok := strings.CutPrefix(name, b.o.Prefix+":")
	if !ok || len(rest) < 2 || rest[1] != ':' {
		return 0, "", false
	}
	kind, topic = rest[0], rest[2:]
	switch kind {
	case kindMessage, kindWake:
		return kind, topic, bus.CheckTopic(topic) == nil
	case kindControl:
		return kind, topic, topic == ""
	}
	return 0, "", false
}

// seal makes a frame.
func seal(origin [originSize]byte, payload []byte) []byte {
	f := make([]byte, 0, frameHead+len(payload))
	f = append(f, frameVersion)
	f = append(f, origin[:]...)
	return append(f, payload...)
}

// unseal reads a frame; false: it is none, or larger than a message may be.
func unseal(f string) (origin [originSize]byte, payload string, ok bool) {
	if len(f) < frameHead || f[0] != frameVersion || len(f) > frameHead+bus.MaxPayload {
		return origin, "", false
	}
	copy(origin[:], f[1:frameHead])
	return origin, f[frameHead:], true
}
