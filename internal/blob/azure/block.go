package azure

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"
)

// What an upload consists of is in the ids of its blocks, of which the service
// keeps a list until the blob is committed. Each block names the one before
// it, so the last one names them all: a state has the last one alone. Each
// Upload, in whatever process, marks its blocks with a number that it drew, so
// blocks that a slow process adds meanwhile belong to no chain but its own.

// maxBlocks is how many blocks a blob can have.
const maxBlocks = 50_000

// A mark is what an Upload draws for its blocks.
type mark [8]byte

func newMark() (m mark) {
	_, _ = rand.Read(m[:]) // never fails
	return m
}

// A blockID is where a block stands in an upload.
type blockID struct {
	Seq    uint32 // 1 is the first
	Mark   mark
	Before mark  // mark of the block before it; zero for the first
	Begun  int64 // when the Upload was opened, in Unix seconds
}

const blockIDSize = 1 + 4 + 8 + 8 + 8

// String is the id as the service has it.
func (b blockID) String() string {
	raw := make([]byte, 0, blockIDSize)
	raw = append(raw, 'g')
	raw = binary.BigEndian.AppendUint32(raw, b.Seq)
	raw = append(raw, b.Mark[:]...)
	raw = append(raw, b.Before[:]...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(b.Begun)) //nolint:gosec // read back the same way
	return base64.StdEncoding.EncodeToString(raw)
}

// parseBlockID reads an id; false: it is not one of ours.
func parseBlockID(s string) (b blockID, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(raw) != blockIDSize || raw[0] != 'g' {
		return b, false
	}
	b.Seq = binary.BigEndian.Uint32(raw[1:])
	copy(b.Mark[:], raw[5:])
	copy(b.Before[:], raw[13:])
	b.Begun = int64(binary.BigEndian.Uint64(raw[21:])) //nolint:gosec // written the same way
	return b, b.Seq > 0 && b.Seq <= maxBlocks
}

// A state is what goes on from a Sync.
type state struct {
	Seq    uint32 `json:"n"`           // blocks; 0 = none yet
	Mark   mark   `json:"m"`           // of the last one
	Offset int64  `json:"o"`           // bytes in them
	Found  string `json:"f,omitempty"` // ETag of the blob that the upload replaces; "" = there is none
}

func (s state) bytes() ([]byte, error) { return json.Marshal(s) }

func parseState(b []byte) (s state, err error) {
	if len(b) > 4096 {
		return s, errors.New("the state is too long")
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, errors.New("the state cannot be read")
	}
	if s.Seq > maxBlocks || s.Offset < 0 || (s.Seq == 0) != (s.Offset == 0) {
		return s, errors.New("the state contradicts itself")
	}
	return s, nil
}

// A listed is a block of the service's list.
type listed struct {
	id   string
	size int64
}

// chain returns the ids of the upload that s goes on with, in order; an error
// if the list does not have all of it.
func chain(s state, list []listed) ([]string, error) {
	type place struct {
		seq  uint32
		mark mark
	}
	type block struct {
		listed
		before mark
	}
	at := make(map[place]block, len(list))
	for _, l := range list {
		if b, ok := parseBlockID(l.id); ok {
			at[place{b.Seq, b.Mark}] = block{l, b.Before}
		}
	}
	ids := make([]string, s.Seq)
	var size int64
	for p := (place{s.Seq, s.Mark}); p.seq > 0; p.seq-- {
		b, ok := at[p]
		if !ok {
			return nil, errors.New("a block of it is gone")
		}
		ids[p.seq-1] = b.id
		size += b.size
		p.mark = b.before
	}
	if size != s.Offset {
		return nil, errors.New("its blocks have another size")
	}
	return ids, nil
}

// begunLast returns when the youngest of the uploads that blocks belong to was
// opened; false: none of them is ours.
func begunLast(list []listed) (last time.Time, ok bool) {
	for _, l := range list {
		if b, ours := parseBlockID(l.id); ours {
			if at := time.Unix(b.Begun, 0); !ok || at.After(last) {
				last, ok = at, true
			}
		}
	}
	return last, ok
}
