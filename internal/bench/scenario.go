package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A scale is how big things are.
type scale struct {
	filler        int // bytes of shared random data
	layers        [2]int64
	chunk         [2]int64 // of a chunked upload of the layer beside it
	rangeSize     int64
	same          int64 // the blob that 8 clients push at once
	tags          []int
	page          int
	repos         int
	referrers     int
	mounts        [2]int // source blobs, destination repositories per round
	memory, large int64  // many pushes at once: number, size
	huge          int64
	million       int
}

var (
	fullScale = scale{
		filler: 64 << 20, layers: [2]int64{64 << 20, 512 << 20}, chunk: [2]int64{16 << 20, 32 << 20},
		rangeSize: 256 << 10, same: 16 << 20, tags: []int{1000, 10_000, 100_000}, page: 100, repos: 10_000,
		referrers: 50, mounts: [2]int{256, 100}, memory: 32, large: 256 << 20, huge: 10<<30 + 512<<20, million: 1_000_000,
	}
	shortScale = scale{
		filler: 1 << 20, layers: [2]int64{1 << 20, 2 << 20}, chunk: [2]int64{256 << 10, 512 << 10},
		rangeSize: 64 << 10, same: 256 << 10, tags: []int{40}, page: 10, repos: 40,
		referrers: 5, mounts: [2]int{8, 2}, memory: 4, large: 1 << 20, huge: 3 << 20, million: 40,
	}
)

// A scenario is one thing that is measured on every target.
type scenario struct {
	name  string
	doc   string // one line: what an operation is
	conns int
	bytes int64 // per operation, where MB/s is the figure; else 0
	aim   Aim

	fresh    bool     // on a server of its own, with an empty folder, that is removed afterwards
	writes   bool     // what others wrote goes to the disk before each window
	once     bool     // one operation on each connection, in one round
	ceilings []string // the machine's own ceilings to run beside

	setup func(ctx context.Context, r *run, t *Target) (load, error) // nil: ceilings only
}

// sizeName is "64MiB" for 64<<20.
func sizeName(n int64) string {
	switch {
	case n >= 1<<30:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/(1<<30)), ".0") + "GiB"
	case n >= 1<<20:
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return fmt.Sprintf("%dKiB", n>>10)
}

// scenarios lists what is measured, in the order of the report.
func (r *run) scenarios() []scenario {
	sc := r.scale
	list := []scenario{
		{name: "ceiling-sha256", doc: "hash a layer on one core (1,736 MB/s where the figures to be beaten were measured)", conns: 1,
			bytes: sc.layers[0], ceilings: []string{ceilingSHA256}},
		{name: "manifest-tag", doc: "GET a manifest by tag", conns: 8, setup: manifestLoad("GET", true),
			aim: Aim{Ratio: 2.5, CPU: 0.12, Beat: 3104, BeatCPU: 0.36}},
		{name: "manifest-digest", doc: "GET a manifest by digest", conns: 8, setup: manifestLoad("GET", false),
			aim: Aim{Ratio: 2.5, CPU: 0.12}},
		{name: "head-manifest", doc: "HEAD a manifest by tag", conns: 8, setup: manifestLoad("HEAD", true),
			aim: Aim{Ratio: 2.5, CPU: 0.12, Beat: 2590, BeatCPU: 0.40}},
		{name: "head-blob", doc: "HEAD a blob", conns: 8, setup: headBlob,
			aim: Aim{Ratio: 1.7, Beat: 4838, BeatCPU: 0.23}},
		{name: "pull-small", doc: "HEAD by tag, GET the manifest by digest, a config and 3 layers of 64 KiB", conns: 8, setup: pullSmall,
			aim: Aim{Ratio: 1.5, Beat: 260, BeatCPU: 6.1}},
		{name: "pull-cold-user", doc: "the same on a new connection, from GET /v2/ on, with a token for a user's password", conns: 8, setup: pullCold("user")},
		{name: "pull-cold-robot", doc: "the same with a robot account that may only read", conns: 8, setup: pullCold("robot")},
		{name: "pull-cold-anonymous", doc: "the same with an anonymous token, of a public repository", conns: 8, setup: pullCold("anonymous")},
		{name: "push-small", doc: "HEAD, POST, PATCH, PUT for a config and 3 new layers of 64 KiB, then PUT the manifest", conns: 8,
			fresh: true, writes: true, setup: pushSmall, aim: Aim{Ratio: 2, Beat: 126}},
		{name: "retag", doc: "PUT a manifest that is there under a new tag", conns: 8, writes: true, setup: retag,
			aim: Aim{Rate: 2000, Beat: 565, BeatCPU: 2.2}},
		{name: "mount", doc: "mount a blob into a repository that does not have it", conns: 8, writes: true, setup: mount,
			aim: Aim{Beat: 996}},
		{name: "range-" + sizeName(sc.rangeSize), doc: "GET a range of a layer", conns: 8, bytes: sc.rangeSize, setup: ranges},
		{name: "push-same-8", doc: "8 clients push the same new blob of " + sizeName(sc.same) + " at once", conns: 1, bytes: 8 * sc.same,
			fresh: true, writes: true, setup: pushSame},
	}
	for i, size := range sc.layers {
		for _, conns := range [][]int{{1, 4}, {1}}[i] { // four of the larger ones take long and say nothing new
			name := fmt.Sprintf("%s-%d", sizeName(size), conns)
			pull, put, stream := Aim{Ceiling: 0.95}, Aim{Ceiling: 0.9}, Aim{Ceiling: 0.9}
			if i == 0 && conns == 1 {
				pull.BeatMB, pull.BeatCPU, put.BeatMB, stream.BeatMB = 1554, 34, 544, 483
			}
			list = append(list,
				scenario{name: "pull-" + name, doc: "GET a layer", conns: conns, bytes: size, setup: pullLarge(size),
					ceilings: []string{ceilingSendfile}, aim: pull},
				scenario{name: "push-put-" + name, doc: "push a new layer by POST and one PUT", conns: conns, bytes: size, fresh: true, writes: true,
					ceilings: []string{ceilingWrite}, aim: put,
					setup: pushLarge(size, func(ctx context.Context, s session, c *Conn, b *Blob) error { return s.put(ctx, c, b) })},
				scenario{name: "push-stream-" + name, doc: "push a new layer by POST, one PATCH in chunked encoding, PUT", conns: conns, bytes: size,
					fresh: true, writes: true, ceilings: []string{ceilingWrite}, aim: stream,
					setup: pushLarge(size, func(ctx context.Context, s session, c *Conn, b *Blob) error { return s.stream(ctx, c, b) })},
				scenario{name: "push-chunked-" + name, doc: "push a new layer by POST, PATCHes of " + sizeName(sc.chunk[i]) + " with Content-Range, PUT",
					conns: conns, bytes: size, fresh: true, writes: true, ceilings: []string{ceilingWrite}, aim: Aim{Ceiling: 0.9},
					setup: pushLarge(size, func(ctx context.Context, s session, c *Conn, b *Blob) error {
						return s.chunked(ctx, c, b, sc.chunk[i])
					})},
			)
		}
	}
	for _, n := range sc.tags {
		for _, deep := range []bool{false, true} {
			name, doc := fmt.Sprintf("tags-%d-first", n), fmt.Sprintf("the first %d of %d tags", sc.page, n)
			aim := Aim{Rate: 2000}
			if deep {
				name, doc = fmt.Sprintf("tags-%d-deep", n), fmt.Sprintf("%d of %d tags, after nine tenths of them", sc.page, n)
			} else if beat, ok := map[int]float64{1000: 453, 10_000: 29}[n]; ok {
				aim.Beat = beat
			}
			list = append(list, scenario{name: name, doc: doc, conns: 8, aim: aim, setup: tagsLoad(n, deep)})
		}
	}
	for _, deep := range []bool{false, true} {
		name, doc := fmt.Sprintf("catalog-%d-first", sc.repos), fmt.Sprintf("the first %d of %d repositories", sc.page, sc.repos)
		if deep {
			name, doc = fmt.Sprintf("catalog-%d-deep", sc.repos), fmt.Sprintf("%d of %d repositories, after nine tenths of them", sc.page, sc.repos)
		}
		list = append(list, scenario{name: name, doc: doc, conns: 8, aim: Aim{Rate: 2000}, setup: catalogLoad(deep)})
	}
	list = append(list,
		scenario{name: fmt.Sprintf("referrers-%d", sc.referrers), doc: fmt.Sprintf("GET the %d referrers of a manifest", sc.referrers), conns: 8, setup: referrers},
		scenario{name: fmt.Sprintf("memory-%dx%s", sc.memory, sizeName(sc.large)), doc: fmt.Sprintf("%d streamed pushes of %s at once: peak memory", sc.memory, sizeName(sc.large)),
			conns: int(sc.memory), bytes: sc.large, fresh: true, writes: true, once: true, aim: Aim{Peak: 256 << 20},
			setup: pushLarge(sc.large, func(ctx context.Context, s session, c *Conn, b *Blob) error { return s.stream(ctx, c, b) })},
	)
	if r.Huge {
		list = append(list, scenario{name: "huge-" + sizeName(sc.huge), doc: "push one layer of " + sizeName(sc.huge) + ", streamed, and pull it: both ways, peak memory",
			conns: 1, bytes: 2 * sc.huge, fresh: true, writes: true, once: true, aim: Aim{Peak: 256 << 20}, setup: huge})
	}
	return list
}

// image pushes a new small image to bench/name under the tag "latest".
func (r *run) image(ctx context.Context, t *Target, name string) (session, *Image, error) {
	img := r.filler.Image()
	s, err := t.session(ctx, namespace+"/"+name)
	if err != nil {
		return s, nil, err
	}
	c, err := Dial(ctx, t.Addr)
	if err != nil {
		return s, nil, err
	}
	defer c.Close()
	return s, img, s.pushImage(ctx, c, "latest", img)
}

// sendAgain sends head again and again and wants the answers to be 200 and to
// have, unless length is negative, length bytes.
func sendAgain(head *[]byte, length int64) func(context.Context, *Conn, int) error {
	return func(ctx context.Context, c *Conn, _ int) error {
		res, err := c.Do(ctx, time.Now().Add(opTimeout), *head, nil, 0)
		if err != nil {
			return err
		}
		if res.Status != 200 {
			return expect(requestLine(*head), res, nil, 200)
		}
		if length >= 0 && res.Length != length {
			return fmt.Errorf("%s: %d bytes, want %d", requestLine(*head), res.Length, length)
		}
		return nil
	}
}

// again is a load of one request that is answered with 200, built before each
// round, that is checked by check.
func (t *Target) again(scopes []string, build func(auth string) []byte, length int64, check func(context.Context, *Conn, string) error) load {
	var head []byte
	var auth string
	renew := func(ctx context.Context) (err error) {
		auth, err = t.auth(ctx, scopes...)
		head = build(auth)
		return err
	}
	return load{
		round: renew,
		op:    sendAgain(&head, length),
		check: func(ctx context.Context, c *Conn) error {
			if err := renew(ctx); err != nil {
				return err
			}
			return check(ctx, c, auth)
		},
	}
}

func manifestLoad(method string, byTag bool) func(context.Context, *run, *Target) (load, error) {
	return func(ctx context.Context, r *run, t *Target) (load, error) {
		s, img, err := r.image(ctx, t, "manifests")
		if err != nil {
			return load{}, err
		}
		ref := img.Digest
		if byTag {
			ref = "latest"
		}
		length := int64(len(img.Manifest))
		if method == "HEAD" {
			length = 0
		}
		return t.again([]string{push(s.repo)}, func(auth string) []byte {
			s.auth = auth
			return s.head(method, "manifests/"+ref, accept)
		}, length, func(ctx context.Context, c *Conn, _ string) error {
			res, err := s.fetch(ctx, c, "manifests/"+ref, img.Digest, accept)
			if err == nil && res.Get("Docker-Content-Digest") != img.Digest {
				err = fmt.Errorf("Docker-Content-Digest is %q, want %s", res.Get("Docker-Content-Digest"), img.Digest)
			}
			return err
		}), nil
	}
}

func headBlob(ctx context.Context, r *run, t *Target) (load, error) {
	s, img, err := r.image(ctx, t, "blobs")
	if err != nil {
		return load{}, err
	}
	b := img.Blobs[1]
	return t.again([]string{push(s.repo)}, func(auth string) []byte {
		s.auth = auth
		return s.head("HEAD", "blobs/"+b.Digest)
	}, 0, func(ctx context.Context, c *Conn, _ string) error {
		res, err := s.do(ctx, c, s.head("HEAD", "blobs/"+b.Digest), nil, 200)
		if err == nil && res.Get("Content-Length") != fmt.Sprint(len(b.Data)) {
			err = fmt.Errorf("Content-Length is %q, want %d", res.Get("Content-Length"), len(b.Data))
		}
		return err
	}), nil
}

// checkImage pulls img and checks the digest of each part.
func (s session) checkImage(ctx context.Context, c *Conn, tag string, img *Image) error {
	if _, err := s.fetch(ctx, c, "manifests/"+tag, img.Digest, accept); err != nil {
		return err
	}
	for _, b := range img.Blobs {
		if _, err := s.fetch(ctx, c, "blobs/"+b.Digest, b.Digest); err != nil {
			return err
		}
	}
	return nil
}

func pullSmall(ctx context.Context, r *run, t *Target) (load, error) {
	s, img, err := r.image(ctx, t, "pulled")
	if err != nil {
		return load{}, err
	}
	p := s.puller("latest", img)
	return load{
		round: func(ctx context.Context) (err error) {
			if s, err = t.session(ctx, s.repo); err == nil {
				p = s.puller("latest", img)
			}
			return err
		},
		op:    func(ctx context.Context, c *Conn, _ int) error { return p.pull(ctx, c) },
		check: func(ctx context.Context, c *Conn) error { return s.checkImage(ctx, c, "latest", img) },
	}, nil
}

func pullCold(who string) func(context.Context, *run, *Target) (load, error) {
	return func(ctx context.Context, r *run, t *Target) (load, error) {
		s, img, err := r.image(ctx, t, "cold-"+who)
		if err != nil {
			return load{}, err
		}
		credentials := basic(namespace, password)
		switch {
		case !t.token:
		case who == "robot":
			var robot struct{ Name, Token string }
			if err := t.api(ctx, "PUT", "/api/v1/user/robots/puller", []byte("{}"), &robot); err != nil {
				return load{}, err
			}
			if err := t.api(ctx, "PUT", "/api/v1/repository/"+s.repo+"/permissions/user/"+robot.Name, []byte(`{"role":"read"}`), nil); err != nil {
				return load{}, err
			}
			credentials = basic(robot.Name, robot.Token)
		case who == "anonymous":
			credentials = ""
			if err := t.api(ctx, "POST", "/api/v1/repository/"+s.repo+"/changevisibility", []byte(`{"visibility":"public"}`), nil); err != nil {
				return load{}, err
			}
		}
		note := ""
		if !t.token {
			note = "no token to fetch"
		}
		cold := func(ctx context.Context, c *Conn) (session, error) {
			c.Close()
			mine := session{t: t, repo: s.repo}
			res, err := c.Do(ctx, time.Now().Add(opTimeout), t.head("GET", "/v2/", ""), nil, 0)
			if err := expect("GET /v2/", res, err, 200, 401); err != nil {
				return mine, err
			}
			if (res.Status == 401) != t.token {
				return mine, fmt.Errorf("GET /v2/ answers %d", res.Status)
			}
			if t.token {
				token, err := t.fetchToken(ctx, c, credentials, pull(s.repo))
				if err != nil {
					return mine, err
				}
				mine.auth = "Bearer " + token
			}
			return mine, nil
		}
		return load{
			note: note,
			op: func(ctx context.Context, c *Conn, _ int) error {
				mine, err := cold(ctx, c)
				if err != nil {
					return err
				}
				return mine.puller("latest", img).pull(ctx, c)
			},
			check: func(ctx context.Context, c *Conn) error {
				mine, err := cold(ctx, c)
				if err != nil {
					return err
				}
				return mine.checkImage(ctx, c, "latest", img)
			},
		}, nil
	}
}

func pushSmall(ctx context.Context, r *run, t *Target) (load, error) {
	s, err := t.session(ctx, namespace+"/pushed")
	if err != nil {
		return load{}, err
	}
	var seq atomic.Int64
	return load{
		round: func(ctx context.Context) (err error) {
			s, err = t.session(ctx, s.repo)
			return err
		},
		op: func(ctx context.Context, c *Conn, _ int) error {
			return s.pushImage(ctx, c, fmt.Sprintf("v%d", seq.Add(1)), r.filler.Image())
		},
		check: func(ctx context.Context, c *Conn) error {
			img := r.filler.Image()
			if err := s.pushImage(ctx, c, "check", img); err != nil {
				return err
			}
			return s.checkImage(ctx, c, "check", img)
		},
	}, nil
}

func retag(ctx context.Context, r *run, t *Target) (load, error) {
	s, img, err := r.image(ctx, t, "retagged")
	if err != nil {
		return load{}, err
	}
	return retags(t, s, img.Manifest), nil
}

// retags is pushes of a manifest that s has, each under a new tag, which comes
// after those of tagName.
func retags(t *Target, s session, data []byte) load {
	var seq atomic.Int64
	return load{
		round: func(ctx context.Context) (err error) {
			s, err = t.session(ctx, s.repo)
			return err
		},
		op: func(ctx context.Context, c *Conn, _ int) error {
			return s.putManifest(ctx, c, fmt.Sprintf("v%d", seq.Add(1)), data)
		},
		check: func(ctx context.Context, c *Conn) error {
			tag := fmt.Sprintf("w%d", seq.Add(1))
			if err := s.putManifest(ctx, c, tag, data); err != nil {
				return err
			}
			_, err := s.fetch(ctx, c, "manifests/"+tag, digestOf(data), accept)
			return err
		},
	}
}

func mount(ctx context.Context, r *run, t *Target) (load, error) {
	from, err := t.session(ctx, namespace+"/mount-from")
	if err != nil {
		return load{}, err
	}
	c, err := Dial(ctx, t.Addr)
	if err != nil {
		return load{}, err
	}
	defer c.Close()
	var sources []*Blob
	for range r.scale.mounts[0] {
		b := r.filler.Blob(1024)
		if err := from.put(ctx, c, b); err != nil {
			return load{}, err
		}
		sources = append(sources, b)
	}
	var repos []session
	var next atomic.Int64
	seq := 0
	one := func(ctx context.Context, c *Conn, s session, b *Blob) error {
		_, err := s.do(ctx, c, s.head("POST", "blobs/uploads/?mount="+b.Digest+"&from="+from.repo, "Content-Length: 0"), nil, 201)
		return err
	}
	dest := func(ctx context.Context) (session, error) {
		seq++
		return t.session(ctx, fmt.Sprintf("%s/mount-%d", namespace, seq), pull(from.repo))
	}
	return load{
		round: func(ctx context.Context) error {
			repos = repos[:0]
			next.Store(0)
			for range r.scale.mounts[1] {
				s, err := dest(ctx)
				if err != nil {
					return err
				}
				repos = append(repos, s)
			}
			return nil
		},
		op: func(ctx context.Context, c *Conn, _ int) error {
			n := int(next.Add(1)) - 1
			if n >= len(repos)*len(sources) {
				return errStop
			}
			return one(ctx, c, repos[n/len(sources)], sources[n%len(sources)])
		},
		check: func(ctx context.Context, c *Conn) error {
			s, err := dest(ctx)
			if err != nil {
				return err
			}
			if err := one(ctx, c, s, sources[0]); err != nil {
				return err
			}
			_, err = s.fetch(ctx, c, "blobs/"+sources[0].Digest, sources[0].Digest)
			return err
		},
	}, nil
}

// layer pushes a new layer to bench/name.
func (r *run) layer(ctx context.Context, t *Target, name string, size int64) (session, *Blob, error) {
	b := r.filler.Blob(size)
	s, err := t.session(ctx, namespace+"/"+name)
	if err != nil {
		return s, nil, err
	}
	c, err := Dial(ctx, t.Addr)
	if err != nil {
		return s, nil, err
	}
	defer c.Close()
	return s, b, s.put(ctx, c, b)
}

func ranges(ctx context.Context, r *run, t *Target) (load, error) {
	size, step := r.scale.layers[0], r.scale.rangeSize
	s, b, err := r.layer(ctx, t, "ranges", size)
	if err != nil {
		return load{}, err
	}
	var seq atomic.Int64
	get := func(ctx context.Context, c *Conn, from, keep int64) (Response, error) {
		head := s.head("GET", "blobs/"+b.Digest, fmt.Sprintf("Range: bytes=%d-%d", from, from+step-1))
		res, err := c.Do(ctx, time.Now().Add(opTimeout), head, nil, keep)
		if err := expect(requestLine(head), res, err, 206); err != nil {
			return res, err
		}
		if res.Length != step {
			return res, fmt.Errorf("a range of %d bytes, want %d", res.Length, step)
		}
		return res, nil
	}
	return load{
		round: func(ctx context.Context) (err error) {
			s, err = t.session(ctx, s.repo)
			return err
		},
		op: func(ctx context.Context, c *Conn, _ int) error {
			// Offsets that jump about: 2654435761 is odd, so all are met.
			at := seq.Add(1) * 2654435761 % (size/step - 1)
			_, err := get(ctx, c, at*step, 0)
			return err
		},
		check: func(ctx context.Context, c *Conn) error {
			res, err := get(ctx, c, size-step, step)
			if err != nil {
				return err
			}
			h := newDigester()
			for _, p := range b.span(nil, size-step, size) {
				h.Write(p)
			}
			if got := digestOf(res.Body); got != h.digest() {
				return fmt.Errorf("the range's bytes have digest %s, want %s", got, h.digest())
			}
			return nil
		},
	}, nil
}

func pullLarge(size int64) func(context.Context, *run, *Target) (load, error) {
	return func(ctx context.Context, r *run, t *Target) (load, error) {
		s, b, err := r.layer(ctx, t, "pulled-layer", size)
		if err != nil {
			return load{}, err
		}
		return pullLoad(s, b), nil
	}
}

// pullLoad is pulls of b through s.
func pullLoad(s session, b *Blob) load {
	return s.t.again([]string{push(s.repo)}, func(auth string) []byte {
		s.auth = auth
		return s.head("GET", "blobs/"+b.Digest)
	}, b.Size, func(ctx context.Context, c *Conn, _ string) error {
		_, err := s.fetch(ctx, c, "blobs/"+b.Digest, b.Digest)
		return err
	})
}

type pushFunc func(ctx context.Context, s session, c *Conn, b *Blob) error

func pushLarge(size int64, send pushFunc) func(context.Context, *run, *Target) (load, error) {
	return func(ctx context.Context, r *run, t *Target) (load, error) {
		s, err := t.session(ctx, namespace+"/layers")
		if err != nil {
			return load{}, err
		}
		return load{
			round: func(ctx context.Context) (err error) {
				s, err = t.session(ctx, s.repo)
				return err
			},
			op: func(ctx context.Context, c *Conn, _ int) error { return send(ctx, s, c, r.filler.Blob(size)) },
			check: func(ctx context.Context, c *Conn) error {
				b := r.filler.Blob(size)
				if err := send(ctx, s, c, b); err != nil {
					return err
				}
				_, err := s.fetch(ctx, c, "blobs/"+b.Digest, b.Digest)
				return err
			},
		}, nil
	}
}

func huge(ctx context.Context, r *run, t *Target) (load, error) {
	s, err := t.session(ctx, namespace+"/huge")
	if err != nil {
		return load{}, err
	}
	b := r.filler.Blob(r.scale.huge)
	return load{op: func(ctx context.Context, c *Conn, _ int) error {
		if err := s.stream(ctx, c, b); err != nil {
			return err
		}
		_, err := s.fetch(ctx, c, "blobs/"+b.Digest, b.Digest)
		return err
	}}, nil
}

func pushSame(ctx context.Context, r *run, t *Target) (load, error) {
	s, err := t.session(ctx, namespace+"/same")
	if err != nil {
		return load{}, err
	}
	var conns []*Conn
	var last *Blob
	l := load{
		round: func(ctx context.Context) (err error) {
			for _, c := range conns {
				c.Close() // dialled anew: it may have been silent for long
			}
			s, err = t.session(ctx, s.repo)
			return err
		},
		op: func(ctx context.Context, _ *Conn, _ int) error {
			b := r.filler.Blob(r.scale.same)
			errs := make([]error, len(conns))
			var wg sync.WaitGroup
			for i, c := range conns {
				wg.Go(func() { errs[i] = s.put(ctx, c, b) })
			}
			wg.Wait()
			last = b
			for _, err := range errs {
				if err != nil {
					return err
				}
			}
			return nil
		},
		check: func(ctx context.Context, c *Conn) error {
			if last == nil {
				return nil
			}
			_, err := s.fetch(ctx, c, "blobs/"+last.Digest, last.Digest)
			return err
		},
		close: func() {
			for _, c := range conns {
				c.Close()
			}
		},
	}
	for range 8 {
		conns = append(conns, NewConn(t.Addr))
	}
	return l, nil
}

func tagName(i int) string { return fmt.Sprintf("t%07d", i) }

// tagsRepo is the name of the repository with n tags; its manifest is
// artifact of that name.
func tagsRepo(n int) string { return fmt.Sprintf("tags-%d", n) }

// tagged makes the repository bench/tags-n with n tags, unless it is there.
func (r *run) tagged(ctx context.Context, t *Target, n int) (session, error) {
	name := tagsRepo(n)
	s, err := t.session(ctx, namespace+"/"+name)
	if err != nil {
		return s, err
	}
	c, err := Dial(ctx, t.Addr)
	if err != nil {
		return s, err
	}
	defer c.Close()
	res, err := c.Do(ctx, time.Now().Add(opTimeout), s.head("HEAD", "manifests/"+tagName(n-1), accept), nil, 0)
	if err != nil || res.Status == 200 {
		return s, err
	}
	data := artifact(name, nil)
	if err := s.putWhole(ctx, c, emptyBlob()); err != nil {
		return s, err
	}
	if err := s.putManifest(ctx, c, tagName(0), data); err != nil {
		return s, err
	}
	if root := t.tree(); root != "" {
		return s, seedTags(ctx, filepath.Join(root, "repositories", s.repo), digestOf(data), 1, n)
	}
	return s, s.tagAll(ctx, data, 1, n)
}

// tagsAtOnce is how many tags one push sets: as many as Gantry takes.
const tagsAtOnce = 100

// tagAll gives the manifest data the tags [from, to) through the API, many
// with each push (the tag parameters of OCI distribution 1.2).
func (s session) tagAll(ctx context.Context, data []byte, from, to int) error {
	pushes := (to - from + tagsAtOnce - 1) / tagsAtOnce
	return parallel(ctx, s.t.Addr, 0, pushes, func(ctx context.Context, c *Conn, i int) error {
		auth, err := s.t.auth(ctx, push(s.repo))
		if err != nil {
			return err
		}
		ref := digestOf(data) + "?"
		for n := from + i*tagsAtOnce; n < min(from+(i+1)*tagsAtOnce, to); n++ {
			ref += "&tag=" + tagName(n)
		}
		mine := session{s.t, s.repo, auth}
		return mine.putManifest(ctx, c, ref, data)
	})
}

// parallel calls f for [from, to) on 8 connections.
func parallel(ctx context.Context, addr string, from, to int, f func(ctx context.Context, c *Conn, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	next.Store(int64(from))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := Dial(ctx, addr)
			if err != nil {
				cancel(err)
				return
			}
			defer c.Close()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= to {
					return
				}
				if err := f(ctx, c, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// seedTags writes the links that distribution keeps for the tags [from, to)
// of the repository folder repo: 100,000 pushes would take long, and its
// layout is documented. The index beside each link, which only deletes read,
// is left out: it would more than double the files.
func seedTags(ctx context.Context, repo, digest string, from, to int) error {
	for i := from; i < to; i++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		dir := filepath.Join(repo, "_manifests", "tags", tagName(i), "current")
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "link"), []byte(digest), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// A page is the answer of tags/list or _catalog.
type page struct {
	Tags         []string `json:"tags"`
	Repositories []string `json:"repositories"`
}

// getPage reads one page and the path of the next, "" at the end.
func getPage(ctx context.Context, c *Conn, head []byte) (p page, next string, length int64, err error) {
	res, err := c.Do(ctx, time.Now().Add(opTimeout), head, nil, 64<<20)
	if err := expect(requestLine(head), res, err, 200); err != nil {
		return p, "", 0, err
	}
	if err := json.Unmarshal(res.Body, &p); err != nil {
		return p, "", 0, fmt.Errorf("%s: %w", requestLine(head), err)
	}
	if link := res.Get("Link"); link != "" {
		at, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
		if i := strings.Index(at, "/v2/"); i >= 0 {
			next = at[i:]
		}
	}
	return p, next, res.Length, nil
}

func tagsLoad(n int, deep bool) func(context.Context, *run, *Target) (load, error) {
	return func(ctx context.Context, r *run, t *Target) (load, error) {
		s, err := r.tagged(ctx, t, n)
		if err != nil {
			return load{}, err
		}
		return tagsPage(ctx, r, s, n, deep)
	}
}

// tagsPage is reads of one page of s's n tags.
func tagsPage(ctx context.Context, r *run, s session, n int, deep bool) (load, error) {
	first := 0
	path := fmt.Sprintf("tags/list?n=%d", r.scale.page)
	if deep {
		first = n * 9 / 10
		path += "&last=" + tagName(first-1)
	}
	c, err := Dial(ctx, s.t.Addr)
	if err != nil {
		return load{}, err
	}
	defer c.Close()
	p, _, length, err := getPage(ctx, c, s.head("GET", path))
	if err != nil {
		return load{}, err
	}
	note := ""
	switch want := tagName(first); {
	case len(p.Tags) == n:
		note = fmt.Sprintf("answers with all %d tags, whatever is asked", n)
	case len(p.Tags) != min(r.scale.page, n-first):
		return load{}, fmt.Errorf("a page of %d tags, want %d", len(p.Tags), r.scale.page)
	case p.Tags[0] != want:
		return load{}, fmt.Errorf("the page begins with %q, want %q", p.Tags[0], want)
	}
	l := s.t.again([]string{push(s.repo)}, func(auth string) []byte {
		s.auth = auth
		return s.head("GET", path)
	}, length, func(context.Context, *Conn, string) error { return nil })
	l.note = note
	return l, nil
}

// cataloged makes repos repositories, unless they are there.
func (r *run) cataloged(ctx context.Context, t *Target) error {
	name := func(i int) string { return fmt.Sprintf("%s/cat-%06d", namespace, i) }
	n := r.scale.repos
	if root := t.tree(); root != "" {
		for i := range n {
			for _, dir := range []string{"_layers", "_manifests/revisions", "_manifests/tags", "_uploads"} {
				if err := os.MkdirAll(filepath.Join(root, "repositories", name(i), dir), 0o750); err != nil {
					return err
				}
			}
		}
		return nil
	}
	from, err := t.session(ctx, namespace+"/cat-from")
	if err != nil {
		return err
	}
	c, err := Dial(ctx, t.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	res, err := c.Do(ctx, time.Now().Add(opTimeout), from.head("HEAD", "manifests/done", accept), nil, 0)
	if err != nil || res.Status == 200 {
		return err
	}
	e := emptyBlob()
	if err := from.putWhole(ctx, c, e); err != nil {
		return err
	}
	data := artifact("catalog", nil)
	err = parallel(ctx, t.Addr, 0, n, func(ctx context.Context, c *Conn, i int) error {
		token, err := t.fetchToken(ctx, c, basic(namespace, password), push(name(i)), pull(from.repo))
		if err != nil {
			return err
		}
		s := session{t, name(i), "Bearer " + token}
		if _, err := s.do(ctx, c, s.head("POST", "blobs/uploads/?mount="+e.Digest+"&from="+from.repo, "Content-Length: 0"), nil, 201); err != nil {
			return err
		}
		return s.putManifest(ctx, c, "latest", data)
	})
	if err != nil {
		return err
	}
	if err := c.Redial(ctx); err != nil { // it has been silent for long
		return err
	}
	return from.putManifest(ctx, c, "done", data)
}

func catalogLoad(deep bool) func(context.Context, *run, *Target) (load, error) {
	return func(ctx context.Context, r *run, t *Target) (load, error) {
		if err := r.cataloged(ctx, t); err != nil {
			return load{}, err
		}
		auth, err := t.auth(ctx, "registry:catalog:*")
		if err != nil {
			return load{}, err
		}
		c, err := Dial(ctx, t.Addr)
		if err != nil {
			return load{}, err
		}
		defer c.Close()
		path := fmt.Sprintf("/v2/_catalog?n=%d", r.scale.page)
		skip := 0
		if deep {
			skip = r.scale.repos * 9 / 10 / r.scale.page
		}
		for range skip {
			_, next, _, err := getPage(ctx, c, t.head("GET", path, auth))
			if err != nil {
				return load{}, err
			}
			if next == "" {
				return load{}, fmt.Errorf("the catalog ends early, after %s", path)
			}
			path = next
		}
		p, _, length, err := getPage(ctx, c, t.head("GET", path, auth))
		if err != nil {
			return load{}, err
		}
		if len(p.Repositories) != r.scale.page {
			return load{}, fmt.Errorf("a page of %d repositories, want %d", len(p.Repositories), r.scale.page)
		}
		return t.again([]string{"registry:catalog:*"}, func(auth string) []byte {
			return t.head("GET", path, auth)
		}, length, func(context.Context, *Conn, string) error { return nil }), nil
	}
}

func referrers(ctx context.Context, r *run, t *Target) (load, error) {
	s, img, err := r.image(ctx, t, "referrers")
	if err != nil {
		return load{}, err
	}
	c, err := Dial(ctx, t.Addr)
	if err != nil {
		return load{}, err
	}
	defer c.Close()
	path := "referrers/" + img.Digest
	res, err := c.Do(ctx, time.Now().Add(opTimeout), s.head("GET", path), nil, 0)
	if err == nil && res.Status == 404 {
		return load{}, errUnsupported
	}
	if err := expect("GET "+path, res, err, 200); err != nil {
		return load{}, err
	}
	if err := s.putWhole(ctx, c, emptyBlob()); err != nil {
		return load{}, err
	}
	subject := &descriptor{mediaManifest, img.Digest, int64(len(img.Manifest))}
	for i := range r.scale.referrers {
		data := artifact(fmt.Sprintf("r%d", i), subject)
		if err := s.putManifest(ctx, c, digestOf(data), data); err != nil {
			return load{}, err
		}
	}
	res, err = c.Do(ctx, time.Now().Add(opTimeout), s.head("GET", path), nil, 1<<20)
	if err := expect("GET "+path, res, err, 200); err != nil {
		return load{}, err
	}
	var list struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(res.Body, &list); err != nil || len(list.Manifests) != r.scale.referrers {
		return load{}, fmt.Errorf("a list of %d referrers, want %d (%w)", len(list.Manifests), r.scale.referrers, err)
	}
	return t.again([]string{push(s.repo)}, func(auth string) []byte {
		s.auth = auth
		return s.head("GET", path)
	}, res.Length, func(context.Context, *Conn, string) error { return nil }), nil
}

// A puller pulls one small image with requests that are built once.
type puller struct {
	heads [][]byte
	sizes []int64
}

// puller prepares pulls of img by tag: HEAD of the tag, the manifest by
// digest, each blob.
func (s session) puller(tag string, img *Image) puller {
	p := puller{
		heads: [][]byte{s.head("HEAD", "manifests/"+tag, accept), s.head("GET", "manifests/"+img.Digest, accept)},
		sizes: []int64{0, int64(len(img.Manifest))},
	}
	for _, b := range img.Blobs {
		p.heads = append(p.heads, s.head("GET", "blobs/"+b.Digest))
		p.sizes = append(p.sizes, int64(len(b.Data)))
	}
	return p
}

func (p puller) pull(ctx context.Context, c *Conn) error {
	for i := range p.heads {
		if err := sendAgain(&p.heads[i], p.sizes[i])(ctx, c, 0); err != nil {
			return err
		}
	}
	return nil
}
