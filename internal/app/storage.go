package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
)

// The kinds of jobs of storage, besides store.JobFill.
const (
	jobEvacuate   = "storage.evacuate"
	jobVerifyAt   = "storage.verify"
	jobRepair     = "storage.repair"
	jobSweepParts = "storage.sweep"
)

// standEvery is how often the health of locations becomes metrics.
const standEvery = 5 * time.Second

// standings shows how the locations stand.
func (s *Server) standings(ctx context.Context) {
	value := map[content.BreakerState]float64{content.BreakerClosed: 0, content.BreakerHalfOpen: 1, content.BreakerOpen: 2}
	every(ctx, standEvery, func(context.Context) {
		for _, p := range s.places {
			at := p.Health.Standing()
			s.metrics.StorageBreaker.WithLabelValues(p.Name, "reads").Set(value[at.Reads])
			s.metrics.StorageBreaker.WithLabelValues(p.Name, "writes").Set(value[at.Writes])
			s.metrics.StorageLatency.WithLabelValues(p.Name).Set(at.Latency.Seconds())
		}
	})
}

// replicator returns a replicator with the configuration of now.
func (c *core) replicator() *content.Replicator {
	o := replicateOptions(c.live.Current())
	o.Store, o.Locations, o.Defaults, o.Logger, o.Metrics = c.db, locations(c.places), c.defaults(), c.log, c.metrics
	return content.NewReplicator(o)
}

// defaults are the locations that every blob is copied to.
func (c *core) defaults() (ids []int64) {
	for _, p := range c.places {
		if p.Fallback {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// replicates copies blobs between locations. All instances do; each copy is
// claimed by one.
func (s *Server) replicates(ctx context.Context) {
	s.while(ctx, copies, func(ctx context.Context) {
		if !s.live.Current().Features.StorageReplication {
			// Who does not follow the journal must not hold it back.
			if err := s.db.DropReader(ctx, store.CopiesReader); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "leave the journal", "error", err)
			}
		}
		s.replicator().Loop(ctx)
	})
}

// lags measures how far locations are behind. A count that takes long is made
// less often.
func (s *Server) lags(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		if len(s.places) > 1 {
			list, err := s.db.Lags(ctx)
			switch {
			case err == nil:
				for _, p := range s.places {
					var l store.Lag
					if i := slices.IndexFunc(list, func(l store.Lag) bool { return l.Location == p.ID }); i >= 0 {
						l = list[i]
					}
					age := 0.0
					if l.Copies > 0 {
						age = max(s.db.Now().Sub(l.Oldest).Seconds(), 0)
					}
					s.metrics.CopyLagBlobs.WithLabelValues(p.Name).Set(float64(l.Copies))
					s.metrics.CopyLagBytes.WithLabelValues(p.Name).Set(float64(l.Bytes))
					s.metrics.CopyLagSeconds.WithLabelValues(p.Name).Set(age)
				}
			case ctx.Err() == nil:
				s.log.WarnContext(ctx, "measure the lag of replication", "error", err)
			}
		}
		pause(ctx, max(countEvery, 500*time.Since(began)))
	}
}

// A StorageRequest asks for work on storage.
type StorageRequest struct {
	// Kind is fill, evacuate, verify or repair.
	Kind     string `json:"kind"`
	Location string `json:"location,omitempty"` // "" = all; evacuate needs one
	Gone     bool   `json:"gone,omitempty"`     // evacuate: its objects are lost
	Lose     bool   `json:"lose,omitempty"`     // evacuate: forget what has no whole copy
	Repair   bool   `json:"repair,omitempty"`   // verify
	Rate     int64  `json:"rate,omitempty"`     // verify: bytes a second; 0 = GANTRY_SCRUB_RATE, negative = no bound
}

// A StorageJob is work on storage, and how far it is.
type StorageJob struct {
	ID       int64      `json:"id"`
	Kind     string     `json:"kind"`
	Location string     `json:"location,omitempty"`
	State    string     `json:"state"` // ready, running, done, failed or cancelled
	Done     int64      `json:"done"`
	Total    int64      `json:"total"` // 0 = not known
	Unit     string     `json:"unit"`
	Bytes    int64      `json:"bytes"`
	Waiting  int64      `json:"waiting,omitempty"` // evacuate: blobs that wait for their copy elsewhere
	Lost     int64      `json:"lost,omitempty"`    // of which there is no whole copy
	Damaged  int64      `json:"damaged,omitempty"` // verify and repair
	Repaired int64      `json:"repaired,omitempty"`
	Error    string     `json:"error,omitempty"` // of the last attempt
	Created  time.Time  `json:"created"`
	Started  time.Time  `json:"started"`
	Ended    *time.Time `json:"ended,omitempty"`
}

// Over reports whether the job has ended.
func (j *StorageJob) Over() bool { return j.Ended != nil }

// StorageStatus is where all locations are.
type StorageStatus struct {
	Replication bool                     `json:"replication"` // FEATURE_STORAGE_REPLICATION
	Locations   []content.LocationStatus `json:"locations"`
	Jobs        []StorageJob             `json:"jobs"` // that have not ended
}

// NamespaceStorage is where a namespace has its blobs kept.
type NamespaceStorage struct {
	Namespace string   `json:"namespace"`
	Locations []string `json:"locations"` // besides the default ones
	Excluded  []string `json:"excluded"`
	Set       bool     `json:"set,omitempty"` // change it, else show it
}

// A storageMark is the checkpoint of a job of storage.
type storageMark struct {
	At                               gantry.BlobID
	Since                            time.Time
	Bytes, Waiting, Lost             int64
	Damaged, Repaired, Objects, Left int64
}

// addStorage adds the jobs of storage. They go on where they were.
func (s *Server) addStorage(kinds map[string]jobs.Kind) {
	for name, k := range s.storageKinds() {
		kinds[name] = k
	}
}

func (c *core) storageKinds() map[string]jobs.Kind {
	return map[string]jobs.Kind{
		store.JobFill: {Handle: c.fill},
		jobEvacuate:   {Handle: c.evacuate, Limit: 2},
		jobVerifyAt:   {Handle: c.verifyAt},
		jobRepair:     {Handle: c.repair},
		jobSweepParts: {Handle: func(ctx context.Context, _ *jobs.Run) error {
			n, err := c.collector().SweepAll(ctx)
			if n > 0 {
				c.log.InfoContext(ctx, "uploads that nobody went on with were removed from storage", "uploads", n)
			}
			return err
		}},
	}
}

// fill makes wanted what is missing anywhere.
func (c *core) fill(ctx context.Context, r *jobs.Run) error {
	var at storageMark
	if _, err := r.Checkpoint(&at); err != nil {
		return err
	}
	return content.Fill(ctx, content.FillOptions{Store: c.db, Defaults: c.defaults(), After: at.At}, func(p content.FillProgress) error {
		at.At = p.At
		return r.Save(ctx, store.Progress{Done: int64(p.At), Total: int64(p.Last), Unit: "blobs"}, at)
	})
}

// evacuate empties a location.
func (c *core) evacuate(ctx context.Context, r *jobs.Run) error {
	var in StorageRequest
	if err := r.Payload(&in); err != nil {
		return err
	}
	var before, at storageMark
	if _, err := r.Checkpoint(&before); err != nil {
		return err
	}
	id, err := c.locationID(ctx, in.Location)
	if err != nil {
		return jobs.Permanent(err)
	}
	saved := time.Time{}
	e := content.NewEvacuation(content.EvacuateOptions{Store: c.db, Locations: locations(c.places), Location: id, Gone: in.Gone, Lose: in.Lose})
	err = e.Run(ctx, func(p content.EvacuateProgress) error {
		at = storageMark{Left: before.Left + p.Left, Bytes: before.Bytes + p.Bytes, Waiting: p.Waiting, Lost: p.Lost}
		if time.Since(saved) < time.Second {
			return nil
		}
		saved = time.Now()
		return r.Save(ctx, store.Progress{Done: at.Left, Unit: "blobs"}, at)
	})
	if saveErr := r.Save(context.WithoutCancel(ctx), store.Progress{Done: at.Left, Unit: "blobs"}, at); err == nil {
		err = saveErr
	}
	if gantry.Is(err, gantry.Conflict) && ctx.Err() == nil {
		return jobs.Permanent(err)
	}
	return err
}

// verifyAt reads the objects of a location, or of all.
func (c *core) verifyAt(ctx context.Context, r *jobs.Run) error {
	var in StorageRequest
	if err := r.Payload(&in); err != nil {
		return err
	}
	var before storageMark
	if ok, err := r.Checkpoint(&before); err != nil {
		return err
	} else if !ok {
		before.Since = c.db.Now()
	}
	o := content.VerifyOptions{Rate: max(in.Rate, 0), Since: before.Since, Repair: in.Repair}
	if in.Rate == 0 {
		o.Rate = c.live.Current().GC.ScrubRate
	}
	if in.Location != "" {
		id, err := c.locationID(ctx, in.Location)
		if err != nil {
			return jobs.Permanent(err)
		}
		o.Only = []int64{id}
	}
	at, saved := before, time.Time{}
	save := func(ctx context.Context) error {
		return r.Save(ctx, store.Progress{Done: at.Objects, Unit: "objects"}, at)
	}
	o.Told = func(v content.VerifyReport) error {
		at = storageMark{Since: before.Since, Objects: before.Objects + int64(v.Objects), Bytes: before.Bytes + v.Bytes,
			Damaged: before.Damaged + int64(v.Damaged), Repaired: before.Repaired + int64(v.Repaired), Lost: before.Lost + int64(v.Lost)}
		if time.Since(saved) < time.Second {
			return nil
		}
		saved = time.Now()
		return save(ctx)
	}
	_, err := c.collector().Verify(ctx, o)
	return errors.Join(err, save(context.WithoutCancel(ctx)))
}

// repair brings back what is known to be damaged, missing or in doubt.
func (c *core) repair(ctx context.Context, r *jobs.Run) error {
	var at storageMark
	v, err := c.replicator().Heal(ctx)
	at.Objects, at.Bytes, at.Damaged, at.Repaired, at.Lost = int64(v.Objects), v.Bytes, int64(v.Damaged), int64(v.Repaired), int64(v.Lost)
	return errors.Join(err, r.Save(context.WithoutCancel(ctx), store.Progress{Done: at.Objects, Unit: "objects"}, at))
}

// locationID finds a location that was ever named.
func (c *core) locationID(ctx context.Context, name string) (int64, error) {
	all, err := c.db.StorageLocations(ctx)
	if err != nil {
		return 0, err
	}
	for _, l := range all {
		if l.Name == name {
			return l.ID, nil
		}
	}
	return 0, gantry.Errorf(gantry.NotFound, "location", "there is no storage location %.80q: gantry storage status lists them", name)
}

func storageStatus(ctx context.Context, c *core, _ nothing) (any, error) {
	list, err := content.LocationStatuses(ctx, c.db, locations(c.places))
	if err != nil {
		return nil, err
	}
	out := StorageStatus{Replication: c.live.Current().Features.StorageReplication, Locations: list, Jobs: []StorageJob{}}
	for _, kind := range []string{store.JobFill, jobEvacuate, jobVerifyAt, jobRepair} {
		all, err := c.db.Jobs(ctx, store.JobFilter{Kind: kind})
		if err != nil {
			return nil, err
		}
		for _, j := range all {
			if v := storageJob(j); !v.Over() {
				out.Jobs = append(out.Jobs, v)
			}
		}
	}
	return out, nil
}

func storageJob(j store.Job) StorageJob {
	v := StorageJob{ID: j.ID, Kind: j.Kind, State: string(j.State), Done: j.Progress.Done, Total: j.Progress.Total, Unit: j.Progress.Unit,
		Error: j.Error, Created: j.Created, Started: j.Started}
	var in StorageRequest
	var at storageMark
	if json.Unmarshal(j.Payload, &in) == nil {
		v.Location = in.Location
	}
	if j.Checkpoint != nil && json.Unmarshal(j.Checkpoint, &at) == nil {
		v.Bytes, v.Waiting, v.Lost, v.Damaged, v.Repaired = at.Bytes, at.Waiting, at.Lost, at.Damaged, at.Repaired
	}
	if j.State == store.JobDone || j.State == store.JobFailed || j.State == store.JobCancelled {
		v.Ended = &j.Ended
	}
	return v
}

// startStorage queues a job, or finds the one that is at it.
func startStorage(ctx context.Context, c *core, in StorageRequest) (any, error) {
	kind := map[string]string{"fill": store.JobFill, "evacuate": jobEvacuate, "verify": jobVerifyAt, "repair": jobRepair}[in.Kind]
	if kind == "" {
		return nil, gantry.Errorf(gantry.Invalid, "job", "there is no such work on storage: %.20q", in.Kind)
	}
	if in.Location != "" || in.Kind == "evacuate" {
		id, err := c.locationID(ctx, in.Location)
		if err != nil {
			return nil, err
		}
		switch in.Kind {
		case "evacuate":
			left := false
			for _, p := range c.places {
				left = left || p.ID != id
			}
			if !left {
				return nil, gantry.Errorf(gantry.Conflict, "location", "%s is the only storage location: add another one to DISTRIBUTED_STORAGE_CONFIG first", in.Location)
			}
			err = c.db.SetLocationState(ctx, id, store.LocationDraining, system)
		case "fill": // a location that was emptied takes objects again
			err = c.db.SetLocationState(ctx, id, store.LocationActive, system)
		}
		if err != nil {
			return nil, err
		}
	}
	dedupe := cmp.Or(in.Location, "all")
	if in.Kind == "fill" {
		dedupe = "schedule " + store.JobFill // one is enough; if it runs, it runs once more
	}
	if _, err := c.db.Enqueue(ctx, store.NewJob{Kind: kind, Dedupe: dedupe, Rerun: in.Kind == "fill", MaxAttempts: 20, Payload: in}); err != nil {
		return nil, err
	}
	all, err := c.db.Jobs(ctx, store.JobFilter{Kind: kind})
	if err != nil {
		return nil, err
	}
	for _, j := range all {
		if v := storageJob(j); in.Kind == "fill" || v.Location == in.Location {
			return v, nil
		}
	}
	return nil, gantry.Errorf(gantry.NotFound, "job", "the job has ended and is forgotten already")
}

func storageJobOf(ctx context.Context, c *core, in StorageJob) (any, error) {
	j, err := c.db.Job(ctx, in.ID)
	return storageJob(j), err
}

func namespaceStorage(ctx context.Context, c *core, in NamespaceStorage) (any, error) {
	a, err := c.account(ctx, in.Namespace, gantry.User, gantry.Organization)
	if err != nil {
		return nil, err
	}
	all, err := c.db.StorageLocations(ctx)
	if err != nil {
		return nil, err
	}
	if in.Set {
		w, err := content.WishesOf(all, in.Locations, in.Excluded)
		if err != nil {
			return nil, err
		}
		if err := c.db.SetNamespaceLocations(ctx, a.ID, w, system); err != nil {
			return nil, err
		}
		if _, err := startStorage(ctx, c, StorageRequest{Kind: "fill"}); err != nil {
			return nil, err
		}
	}
	w, err := c.db.NamespaceLocations(ctx, a.ID)
	also, not := content.NamesOf(all, w)
	return NamespaceStorage{Namespace: a.Name, Locations: also, Excluded: not}, err
}

// StorageStatus says where the locations are.
func (a *Admin) StorageStatus(ctx context.Context) (StorageStatus, error) {
	return run[StorageStatus](ctx, a, "storage.status", nil)
}

// NamespaceStorage shows, or with Set changes, where a namespace has its blobs
// kept.
func (a *Admin) NamespaceStorage(ctx context.Context, n NamespaceStorage) (NamespaceStorage, error) {
	return run[NamespaceStorage](ctx, a, "storage.namespace", n)
}

// StartStorage queues work on storage and returns its job, without waiting.
func (a *Admin) StartStorage(ctx context.Context, r StorageRequest) (StorageJob, error) {
	return run[StorageJob](ctx, a, "storage.start", r)
}

// Storage has work on storage done, and tells how far it is every second. The
// job goes on when the command is killed, in the server of the data folder, or
// in any instance on the database; with neither, this process does it, and the
// next one goes on.
func (a *Admin) Storage(ctx context.Context, r StorageRequest, told func(StorageJob)) (j StorageJob, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return j, err
	}
	ask := func(name string, in any) error {
		j, err = run[StorageJob](ctx, a, name, in)
		return err
	}
	if _, served, _ := askServer(ctx, a.o.data(), "storage.status", []byte("{}")); !served {
		if err := a.exists(); err != nil {
			return j, err
		}
		c, err := openCore(ctx, coreOptions{Options: a.o})
		if err != nil {
			return j, err
		}
		defer func() { err = errors.Join(err, c.close(context.WithoutCancel(ctx))) }()
		runner, err := jobs.New(ctx, jobs.Options{Store: c.db, Logger: c.log, Kinds: c.storageKinds(), Poll: time.Second, Grace: interruptJobs})
		if err != nil {
			return j, err
		}
		copying, stop := context.WithCancel(ctx)
		copied := make(chan struct{})
		go func() { defer close(copied); c.replicator().Loop(copying) }()
		defer func() {
			stop()
			<-copied
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopJobs)
			defer cancel()
			err = errors.Join(err, runner.Stop(last))
		}()
		ops := operations()
		ask = func(name string, in any) error {
			body, err := json.Marshal(in)
			if err != nil {
				return err
			}
			answer, err := c.perform(ctx, ops[name], body)
			if err != nil {
				return err
			}
			j = StorageJob{}
			return json.Unmarshal(answer, &j)
		}
	}
	if err := ask("storage.start", json.RawMessage(body)); err != nil {
		return j, err
	}
	for !j.Over() {
		told(j)
		pause(ctx, time.Second)
		if ctx.Err() != nil {
			return j, ctx.Err()
		}
		if err := ask("storage.job", StorageJob{ID: j.ID}); err != nil {
			return j, err
		}
	}
	told(j)
	return j, nil
}
