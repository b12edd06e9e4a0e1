package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// The topics of what pages show while it happens. Each message is a Beat; who
// may see it is decided where it is read.
const (
	LiveJobs    = "live:jobs"
	LiveMirrors = "live:mirrors" // runs of mirrors, all of them
)

// LiveMirror is the topic of the runs of one mirror.
func LiveMirror(repo gantry.RepoID) string {
	return "live:mirror:" + strconv.FormatInt(int64(repo), 10)
}

// LiveOrgMirror is the topic of an organization's mirror: of its discoveries
// and of the runs of its repositories.
func LiveOrgMirror(org gantry.AccountID) string {
	return "live:orgmirror:" + strconv.FormatInt(int64(org), 10)
}

// LiveUploads is the topic of the blobs that a repository receives.
func LiveUploads(repo gantry.RepoID) string {
	return "live:uploads:" + strconv.FormatInt(int64(repo), 10)
}

// A Beat is how far something is that goes on, or, with Changed, the word that
// its record is another now and is to be read again.
type Beat struct {
	ID      string           `json:"id,omitempty"` // of the job, of the run, or of the upload
	Name    *gantry.RepoName `json:"name,omitempty"`
	Attempt int              `json:"attempt,omitempty"` // of a job
	Changed bool             `json:"changed,omitempty"`
	Done    int64            `json:"done"`
	Total   int64            `json:"total"` // 0 = not known
	Unit    string           `json:"unit,omitempty"`
	Bytes   int64            `json:"bytes,omitempty"` // that came, where Done counts something else
	Rate    float64          `json:"rate"`            // of Done, or of Bytes where there are any, a second; 0 = not known
	Left    int64            `json:"left"`            // seconds, as it goes now; -1 = not known
	Figures map[string]int64 `json:"figures,omitempty"`
}

// Tell publishes a beat on those of the topics that somebody may hear. b may
// be nil.
func Tell(ctx context.Context, b Bus, beat *Beat, topics ...string) error {
	if b == nil {
		return nil
	}
	var payload []byte
	for _, topic := range topics {
		if !b.Heard(topic) {
			continue
		}
		if payload == nil {
			var err error
			if payload, err = json.Marshal(beat); err != nil {
				return fmt.Errorf("tell of %s: %w", topic, err)
			}
		}
		if err := b.Publish(ctx, topic, payload); err != nil {
			return fmt.Errorf("tell of %s: %w", topic, err)
		}
	}
	return nil
}

// A Pace is how fast something goes on: an average in which a second counts
// the less the longer ago it is. The zero value is ready.
type Pace struct {
	from, at time.Time // of the first and the last note; zero = there was none
	done     int64
	rate     float64
}

// memory is how long ago a second counts a third of the present one.
const memory = 5 * time.Second

// Note takes how much is done by now and returns how much that is a second;
// 0 = not known yet. Who begins anew, with less done, is measured anew.
func (p *Pace) Note(now time.Time, done int64) float64 {
	took := now.Sub(p.at)
	switch {
	case p.at.IsZero() || done < p.done:
		*p = Pace{at: now, done: done, from: now}
		return 0
	case took <= 0:
		return p.rate
	}
	weight := 1 - math.Exp(-took.Seconds()/memory.Seconds())
	if all := now.Sub(p.from); all < memory || p.at.Equal(p.from) { // at first it is the plain average
		weight = took.Seconds() / all.Seconds()
	}
	p.rate += weight * (float64(done-p.done)/took.Seconds() - p.rate)
	p.at, p.done = now, done
	return p.rate
}

// Left is how many seconds what is left takes at a rate; -1 = nobody knows.
func Left(done, total int64, rate float64) int64 {
	if total < done || total == 0 || rate <= 0 {
		return -1
	}
	left := float64(total-done) / rate
	if left > 1e9 {
		return -1
	}
	return int64(math.Ceil(left))
}
