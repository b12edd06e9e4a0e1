package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A site is a storage location: a bucket, and the proxies on the way to it.
type site struct {
	name string
	http *servertest.HTTPProxy // before the bucket
	tcp  *servertest.Proxy     // before that; the registry knows this one
}

// sites makes n locations on one S3 server, and the fields of the
// configuration that name them. All replicate to all.
func sites(t *testing.T, n int) (all []*site, config map[string]any) {
	t.Helper()
	server := servertest.S3(t)
	engines := map[string]any{}
	var names []string
	for i := range n {
		s := &site{name: []string{"us", "eu", "ap"}[i]}
		s.http = servertest.NewHTTPProxy(t, strings.TrimPrefix(server.URL(), "http://"))
		s.tcp = servertest.NewProxy(t, s.http.Addr())
		engines[s.name] = []any{"S3Storage", map[string]any{"endpoint_url": "http://" + s.tcp.Addr(), "s3_bucket": server.Bucket(t),
			"s3_access_key": server.AccessKey, "s3_secret_key": server.SecretKey, "s3_region": servertest.Region, "storage_path": "/registry"}}
		all, names = append(all, s), append(names, s.name)
	}
	config = map[string]any{"DISTRIBUTED_STORAGE_CONFIG": engines, "DISTRIBUTED_STORAGE_PREFERENCE": names, "FEATURE_PROXY_STORAGE": true,
		"DB_URI": storetest.EmptyURI(t, storetest.Postgres)}
	if n > 1 {
		config["DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS"], config["FEATURE_STORAGE_REPLICATION"] = names, true
	}
	return all, config
}

// answer has the location answer everything with a status, as S3 does.
func (s *site) answer(status int, code string) {
	s.http.Hook(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the client reads the answer
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>on command</Message></Error>", code)
	})
}

// full refuses what is written.
func (s *site) full() {
	s.http.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method == http.MethodPut || r.Method == http.MethodPost && !r.URL.Query().Has("delete") {
			_, _ = io.Copy(io.Discard, r.Body) // so that the client reads the answer
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusInsufficientStorage)
			_, _ = io.WriteString(w, "<Error><Code>InsufficientStorage</Code><Message>on command</Message></Error>")
			return
		}
		server.ServeHTTP(w, r)
	})
}

// lie changes a byte of every object that is read.
func (s *site) lie() {
	s.http.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/sha256/") && !strings.Contains(r.URL.Path, "/uploads/") {
			server.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, r)
		b := rec.Body.Bytes()
		if len(b) > 0 && rec.Code < 300 && !bytes.HasPrefix(b, []byte("<?xml")) {
			b[len(b)/2] ^= 1
		}
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(b)
	})
}

func (s *site) heal() {
	s.http.Hook(nil)
	s.tcp.Heal()
}

// backlog asks the API how much each location waits for.
func (s *stage) backlog() (blobs int64) {
	cl := s.fleet.client(new(tally))
	a, err := cl.do("GET", "/api/v1/superuser/storage", nil, "Authorization", "Bearer "+s.fleet.first.AccessToken)
	if err != nil || a.status != 200 {
		s.t.Errorf("the ledger: %d %s %v", a.status, a.body, err)
		return -1
	}
	var v struct {
		Locations []struct {
			Lag int64 `json:"lag_blobs"`
		}
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		s.t.Error(err)
		return -1
	}
	for _, l := range v.Locations {
		blobs += l.Lag
	}
	return blobs
}

// caughtUp waits until every location has everything.
func (s *stage) caughtUp() {
	s.t.Helper()
	began := time.Now()
	was := s.backlog()
	s.soon(10*time.Minute, "every location has everything", func() bool { return s.backlog() == 0 })
	s.note("a backlog of %d blobs was caught up in %.1f s", was, time.Since(began).Seconds())
}

// several has the judge know the blobs that only one location has yet: while
// it fails, nobody can give them. They wait for replication, which is a few
// seconds behind.
func (s *stage) several(config map[string]any) {
	db := storetest.Open(s.t, storetest.Postgres, store.Options{URI: config["DB_URI"].(string)})
	s.copies = func(digest string) int64 {
		d, err := gantry.ParseDigest(digest)
		if err != nil {
			return 0
		}
		return storetest.Get(s.t, db, `SELECT COUNT(*) FROM placements p JOIN blobs b ON b.id = p.blob_id WHERE b.digest = ? AND p.state <> 'wanted'`, d.Bytes())
	}
}

// everywhere waits until n locations have what the readers read.
func (s *stage) everywhere(n int64) {
	s.t.Helper()
	for _, r := range s.crowd.readers {
		for _, b := range r.image.blobs {
			s.until("what the readers read is everywhere", func() bool { return s.copies(digestOf(b)) == n })
		}
	}
}

// within has a location fail for a while, and notes how soon the readers go on,
// and pushes by clients that come one a second after it began to fail.
func (s *stage) within(away time.Duration, fail func()) {
	s.t.Helper()
	before := s.crowd.reads()
	began := time.Now()
	fail()
	var pushed atomic.Int64 // of the first push that was done: how soon
	var read time.Duration
	var pushes sync.WaitGroup
	defer pushes.Wait()
	over := func() bool { return pushed.Load() > 0 || time.Since(began) > away }
	for n := 0; time.Since(began) < away; time.Sleep(20 * time.Millisecond) {
		if read == 0 && s.crowd.reads() >= before+2*int64(s.readers) { // those that began before are done
			read = time.Since(began)
		}
		if !over() && time.Since(began) >= time.Duration(n)*time.Second {
			cl := s.fleet.client(&s.crowd.tally)
			i := newImage(rand.New(rand.NewPCG(uint64(n), 9)), user+"/app0", fmt.Sprint("new-", n), nil)
			n++
			pushes.Go(func() {
				if cl.push(i, over) == nil {
					pushed.CompareAndSwap(0, int64(time.Since(began)))
					s.crowd.mu.Lock()
					defer s.crowd.mu.Unlock()
					s.crowd.pushed = append(s.crowd.pushed, i)
				}
			})
		}
	}
	tell := func(what string, d time.Duration) {
		if d == 0 || d > away {
			s.note("%s took longer than %.0f s", what, away.Seconds())
			return
		}
		s.note("%s after %.1f s", what, d.Seconds())
	}
	tell("pulls of what has copies went on", read)
	tell("a new push was done", time.Duration(pushed.Load()))
	s.note("%d such pulls meanwhile", s.crowd.reads()-before)
}

// tellOneCopy notes the reads of what only one location had.
func (s *stage) tellOneCopy() {
	if n := s.crowd.tally.oneCopyErrors.Load(); n > 0 {
		s.note("put off (503), for there was no second copy yet: %d reads", n)
	}
}

// oneLocation is a scenario of three locations of which the nearest fails, for
// so long.
func oneLocation(name, what string, short bool, away time.Duration, fail func(*site)) scenario {
	return scenario{name: name, what: what, short: short, run: func(t *testing.T, s *stage) {
		all, config := sites(t, 3)
		f := newFleet(t, 2, config)
		// Wrong bytes are known at the end of a read, which breaks off then.
		s.noPullErrors = name != "LocationLies"
		s.several(config)
		s.readers = 2
		s.play(f, 4, func() {
			s.everywhere(3)
			s.within(long(away), func() { fail(all[0]) })
			all[0].heal()
		})
		s.tellOneCopy()
		s.caughtUp()
		// The others have all of it.
		all[0].tcp.Cut()
		if lost := s.crowd.verify(); len(lost) > 0 {
			t.Errorf("%d images are not at the other locations, such as %s", len(lost), lost[0])
		}
		all[0].heal()
	}}
}

// stores are storage locations that fail.
var stores = []scenario{
	oneLocation("LocationKilled", "the nearest of three storage locations is unplugged", true, 20*time.Second, func(s *site) { s.tcp.Cut() }),
	oneLocation("LocationSilent", "the nearest of three storage locations answers nothing; packets vanish", false, time.Minute, func(s *site) { s.tcp.Stall() }),
	oneLocation("LocationSlow", "the nearest of three storage locations sends 1 KiB a second", false, time.Minute, func(s *site) { s.tcp.Slow(1 << 10) }),
	oneLocation("LocationErrors", "the nearest of three storage locations answers 500", false, 20*time.Second, func(s *site) { s.answer(500, "InternalError") }),
	oneLocation("LocationLies", "the nearest of three storage locations returns wrong bytes", false, 20*time.Second, func(s *site) { s.lie() }),
	oneLocation("LocationFull", "the nearest of three storage locations has no space left", false, 20*time.Second, func(s *site) { s.full() }),
	{name: "OnlyLocationAway", what: "the only storage location is away", run: func(t *testing.T, s *stage) {
		all, config := sites(t, 1)
		f := newFleet(t, 2, config)
		s.maxGivenUp = 4 // each client's image, when it is away for long
		s.play(f, 4, func() {
			all[0].tcp.Cut()
			time.Sleep(long(2 * time.Minute))
			all[0].heal()
		})
	}},
	{name: "Backlog", what: "one of two locations is away while much is pushed (an hour's work of a team), and comes back", run: func(t *testing.T, s *stage) {
		all, config := sites(t, 2)
		f := newFleet(t, 2, config)
		s.noPullErrors = true
		s.several(config)
		s.play(f, 6, func() {
			all[1].tcp.Cut()
			time.Sleep(long(2 * time.Minute))
			all[1].heal()
		})
		s.caughtUp()
		all[0].tcp.Cut()
		if lost := s.crowd.verify(); len(lost) > 0 {
			t.Errorf("%d images are not at the location that was away, such as %s", len(lost), lost[0])
		}
		all[0].heal()
	}},
	{name: "RedirectsKilled", what: "clients are redirected to three storage locations; the nearest is unplugged", run: func(t *testing.T, s *stage) {
		all, config := sites(t, 3)
		config["FEATURE_PROXY_STORAGE"] = false
		f := newFleet(t, 2, config)
		s.readers = 2
		s.several(config)
		s.play(f, 4, func() {
			s.everywhere(3)
			all[0].tcp.Cut()
			began := time.Now()
			before := s.crowd.reads()
			s.until("redirected pulls go on", func() bool { return s.crowd.reads() >= before+4 })
			s.note("redirected pulls went on %.1f s after it was unplugged", time.Since(began).Seconds())
			time.Sleep(long(20 * time.Second))
			all[0].heal()
		})
		s.caughtUp()
	}},
	{name: "BackfillKilled", what: "a second location is added to a registry that is in use, and both instances are killed (SIGKILL), several times, while it is filled", run: func(t *testing.T, s *stage) {
		all, config := sites(t, 2)
		bin, err := binary()
		if err != nil {
			t.Fatal(err)
		}
		engines := config["DISTRIBUTED_STORAGE_CONFIG"].(map[string]any)
		f := newFleet(t, 2, map[string]any{"DB_URI": config["DB_URI"], "FEATURE_PROXY_STORAGE": true, "DISTRIBUTED_STORAGE_PREFERENCE": []string{"us"},
			"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"us": engines["us"]}})
		s.play(f, 4, func() {
			time.Sleep(long(20 * time.Second))
			f.configure(config)
			all[1].tcp.Slow(200 << 10) // it is still filled when they are killed
			for _, in := range f.instances {
				in.restart()
			}
			backfill := func() error {
				return servertest.Run(f.dir, nil, bin, "storage", "backfill", "eu", "--config", f.dir, "--data", f.instances[0].data())
			}
			asked := make(chan error, 1)
			go func() { asked <- backfill() }()
			s.until("copies wait", func() bool { return s.backlog() > 10 })
			var left []int64
			for i := range 4 {
				time.Sleep(long(3 * time.Second))
				left = append(left, s.backlog())
				in := f.instances[i%2]
				in.proc.Kill()
				in.start()
			}
			if slices.Min(left) == 0 {
				t.Error("the location had everything before an instance was killed")
			}
			s.note("at the 4 kills %s copies were still to be made", strings.Join(strings.Fields(strings.Trim(fmt.Sprint(left), "[]")), ", "))
			if err := <-asked; err != nil { // its server was killed
				s.until("the backfill is asked for again", func() bool { return backfill() == nil })
			}
			all[1].heal()
		})
		s.caughtUp()
		all[0].tcp.Cut()
		if lost := s.crowd.verify(); len(lost) > 0 {
			t.Errorf("%d images are not at the new location, such as %s", len(lost), lost[0])
		}
		all[0].heal()
	}},
	{name: "FarLocation", what: "two regions 100 ms apart: the pull comes from the near one", run: func(t *testing.T, s *stage) {
		all, config := sites(t, 2)
		f := prepareFleet(t, 2, config)
		f.instances[0].env = []string{"QUAY_DISTRIBUTED_STORAGE_PREFERENCE=us eu"}
		f.instances[1].env = []string{"QUAY_DISTRIBUTED_STORAGE_PREFERENCE=eu us"}
		f.begin()
		s.play(f, 2, func() {})
		s.caughtUp()
		all[0].tcp.Delay(50 * time.Millisecond) // us is far from the second instance, which we ask
		us, eu := all[0].http.Requests(), all[1].http.Requests()
		cl := f.client(new(tally))
		cl.bases = cl.bases[1:]
		cl.at = 0
		began := time.Now()
		n := 0
		for _, i := range s.crowd.pushed[:min(20, len(s.crowd.pushed))] {
			if err := cl.pull(i, func() bool { return true }); err != nil {
				t.Error(err)
			}
			n++
		}
		far, near := all[0].http.Requests()-us, all[1].http.Requests()-eu
		s.note("%d pulls beside it took %.0f ms each: %d requests went to the near location, %d to the far one (probes)",
			n, time.Since(began).Seconds()*1000/float64(max(n, 1)), near, far)
		if near < int64(n) || far > near/4 {
			t.Errorf("the near location had %d requests, the far one %d", near, far)
		}
		all[0].heal()
	}},
}
