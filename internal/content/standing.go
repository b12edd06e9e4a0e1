package content

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// A LocationStatus is what is to be known of a location.
type LocationStatus struct {
	Name       string `json:"name"`
	State      string `json:"state"`      // active, draining or removed
	Configured bool   `json:"configured"` // false: DISTRIBUTED_STORAGE_CONFIG names it no more
	Default    bool   `json:"default"`    // one of DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS
	// Preference is 1 for the location that this instance writes first; 0 = not
	// configured.
	Preference int `json:"preference"`
	// Of this instance's experience.
	Reads     BreakerState `json:"reads"`
	Writes    BreakerState `json:"writes"`
	LatencyMS float64      `json:"latency_ms"`
	LastError string       `json:"last_error,omitempty"`
	LastFail  *time.Time   `json:"last_failure,omitempty"`
	// What is to be copied there.
	LagBlobs   int64      `json:"lag_blobs"`
	LagBytes   int64      `json:"lag_bytes"`
	LagSeconds int64      `json:"lag_oldest_seconds"`
	Oldest     *time.Time `json:"lag_oldest,omitempty"`
}

// LocationStatuses returns the status of all locations that were ever named,
// those that are configured first, in order of preference. Every one of
// locations is configured.
func LocationStatuses(ctx context.Context, db *store.DB, locations []Location) ([]LocationStatus, error) {
	rows, err := db.StorageLocations(ctx)
	if err != nil {
		return nil, err
	}
	lags, err := db.Lags(ctx)
	if err != nil {
		return nil, err
	}
	behind := map[int64]store.Lag{}
	for _, l := range lags {
		behind[l.Location] = l
	}
	now := db.Now()
	list := make([]LocationStatus, 0, len(rows))
	add := func(row store.StorageLocation, rank int, l Location) {
		at, lag := l.Health.Standing(), behind[row.ID]
		v := LocationStatus{Name: row.Name, State: cmp.Or(row.State, store.LocationActive), Configured: rank > 0, Preference: rank, Default: l.Fallback,
			Reads: at.Reads, Writes: at.Writes, LatencyMS: float64(at.Latency.Microseconds()) / 1000, LastError: at.Last,
			LagBlobs: lag.Copies, LagBytes: lag.Bytes}
		if !at.LastAt.IsZero() {
			v.LastFail = &at.LastAt
		}
		if lag.Copies > 0 {
			v.Oldest, v.LagSeconds = &lag.Oldest, int64(max(now.Sub(lag.Oldest), 0)/time.Second)
		}
		list = append(list, v)
	}
	configured := map[int64]bool{}
	for i, l := range locations {
		configured[l.ID] = true
		for _, row := range rows {
			if row.ID == l.ID {
				add(row, i+1, l)
			}
		}
	}
	for _, row := range rows {
		if !configured[row.ID] {
			add(row, 0, Location{})
		}
	}
	return list, nil
}

// WishesOf makes wishes of names of locations. The error is Invalid on
// "location" for one that there is not.
func WishesOf(all []store.StorageLocation, also, not []string) (w store.Wishes, err error) {
	find := func(names []string) (ids []int64, err error) {
		for _, name := range names {
			i := slices.IndexFunc(all, func(l store.StorageLocation) bool { return l.Name == name })
			if i < 0 {
				return nil, gantry.Errorf(gantry.Invalid, "location", "there is no storage location %.80q", name)
			}
			ids = append(ids, all[i].ID)
		}
		return ids, nil
	}
	if w.Also, err = find(also); err != nil {
		return w, err
	}
	w.Not, err = find(not)
	return w, err
}

// NamesOf are the names of the locations of wishes; none is nil.
func NamesOf(all []store.StorageLocation, w store.Wishes) (also, not []string) {
	also, not = []string{}, []string{}
	for _, l := range all {
		if slices.Contains(w.Also, l.ID) {
			also = append(also, l.Name)
		}
		if slices.Contains(w.Not, l.ID) {
			not = append(not, l.Name)
		}
	}
	return also, not
}
