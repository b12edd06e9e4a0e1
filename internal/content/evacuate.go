package content

import (
	"cmp"
	"context"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// EvacuateOptions say which location to empty, and how. Store, Locations and
// Location are required.
type EvacuateOptions struct {
	Store     *store.DB
	Locations []Location    // those that are configured, in order of preference
	Location  int64         // which must be draining
	Gone      bool          // its objects are lost: they are forgotten
	Lose      bool          // forget blobs of which there is no whole copy
	Pause     time.Duration // between two passes; 0 = 2 s
}

// EvacuateProgress is how far an evacuation is.
type EvacuateProgress struct {
	Left    int64 `json:"left"`    // placements that left the location
	Bytes   int64 `json:"bytes"`   // of these
	Waiting int64 `json:"waiting"` // blobs that wait for their copy elsewhere
	Lost    int64 `json:"lost"`    // of which there is no whole copy
	Passes  int   `json:"passes"`
}

// An Evacuation empties a location. Replicators make the copies that it needs.
type Evacuation struct{ o EvacuateOptions }

// NewEvacuation returns an Evacuation. It starts nothing.
func NewEvacuation(o EvacuateOptions) *Evacuation {
	o.Pause = cmp.Or(o.Pause, 2*time.Second)
	return &Evacuation{o}
}

// Run works until nothing is left at the location, and makes it removed. What
// still has no copy elsewhere is copied first; uploads that go on there end
// first. told, unless nil, is called after each step; its error ends Run. It
// may be interrupted and run again. The error is Conflict on "location" when
// blobs are left of which there is no whole copy.
func (e *Evacuation) Run(ctx context.Context, told func(EvacuateProgress) error) error {
	if told == nil {
		told = func(EvacuateProgress) error { return nil }
	}
	var p EvacuateProgress
	for {
		rules, err := e.o.Store.StorageRules(ctx)
		if err != nil {
			return err
		}
		if rules.Active(e.o.Location) {
			return gantry.Errorf(gantry.Conflict, "location", "the location takes new objects again: its evacuation has ended")
		}
		step := store.Evacuation{Location: e.o.Location, Gone: e.o.Gone, Lose: e.o.Lose}
		for _, l := range e.o.Locations {
			if l.ID != e.o.Location && rules.Active(l.ID) {
				step.Targets = append(step.Targets, l.ID)
			}
		}
		if len(step.Targets) == 0 && !e.o.Gone {
			return gantry.Errorf(gantry.Conflict, "location", "there is no other location that takes objects: add one to DISTRIBUTED_STORAGE_CONFIG first")
		}
		p.Passes++
		p.Waiting = 0
		lost := int64(0) // those that stay
		for after := gantry.BlobID(0); ; {
			out, err := e.o.Store.Evacuate(ctx, step, after, 200)
			if err != nil {
				return err
			}
			p.Left += int64(out.Left)
			p.Bytes += out.Bytes
			p.Waiting += int64(out.Waiting)
			if e.o.Lose {
				p.Lost += int64(out.Lost)
			} else {
				lost += int64(out.Lost)
				p.Lost = lost
			}
			if err := told(p); err != nil {
				return err
			}
			if out.Last == after {
				break
			}
			after = out.Last
		}
		if p.Waiting == 0 {
			if lost > 0 {
				return gantry.Errorf(gantry.Conflict, "location", "%d blobs have no whole copy anywhere else: bring one back, or say that they are lost (--lose-data)", lost)
			}
			if e.o.Gone {
				for {
					n, err := e.o.Store.ForgetTrash(ctx, e.o.Location, 500)
					if err != nil {
						return err
					}
					if n == 0 {
						break
					}
				}
			}
			use, err := e.o.Store.LocationUse(ctx, e.o.Location, 1)
			if err != nil {
				return err
			}
			if use.Placements == 0 && use.Uploads == 0 {
				return e.o.Store.SetLocationState(ctx, e.o.Location, store.LocationRemoved, gantry.Actor{Kind: gantry.ActorSystem, Name: "evacuation"})
			}
		}
		t := time.NewTimer(e.o.Pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// FillOptions say what Fill looks at. Store is required.
type FillOptions struct {
	Store    *store.DB
	Defaults []int64       // locations that every blob belongs to
	After    gantry.BlobID // go on after this one
	Batch    int           // blobs in one step; 0 = 500
}

// FillProgress is how far Fill is.
type FillProgress struct {
	At     gantry.BlobID `json:"at"`
	Last   gantry.BlobID `json:"last"` // where it ends
	Blobs  int64         `json:"blobs"`
	Wanted int64         `json:"wanted"`
}

// Fill makes every blob wanted wherever it belongs and is not. told, unless
// nil, is called after each step; its error ends Fill, which is gone on with by
// After.
func Fill(ctx context.Context, o FillOptions, told func(FillProgress) error) error {
	last, err := o.Store.LastBlob(ctx)
	if err != nil {
		return err
	}
	p := FillProgress{At: o.After, Last: last}
	for {
		f, err := o.Store.WantMissing(ctx, o.Defaults, p.At, cmp.Or(o.Batch, 500))
		if err != nil || f.Blobs == 0 {
			return err
		}
		p.At = f.Last
		p.Blobs += int64(f.Blobs)
		p.Wanted += int64(f.Wanted)
		if told != nil {
			if err := told(p); err != nil {
				return err
			}
		}
	}
}
