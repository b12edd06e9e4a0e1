package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	user         = "ada"
	password     = "correct-horse"
	octets       = "application/octet-stream"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
	configType   = "application/vnd.oci.image.config.v1+json"
)

// patience is how long a client goes on with one image: podman and containerd
// try again for about so long.
const patience = 2 * time.Minute

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// An image is what a client pushes: small blobs of its own, and at times a
// layer that others have too.
type image struct {
	repo, tag string
	blobs     [][]byte
	manifest  []byte
	digest    string
	deleted   atomic.Bool // a delete of its tag was sent
}

func (i *image) ref() string { return i.repo + ":" + i.tag }

func newImage(r *rand.Rand, repo, tag string, shared []byte) *image {
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","ref":%q}`, repo+":"+tag)
	i := &image{repo: repo, tag: tag, blobs: [][]byte{config, randomBytes(r, 1+r.IntN(64<<10)), randomBytes(r, 1+r.IntN(512<<10))}}
	if r.IntN(2) == 0 && shared != nil {
		i.blobs = append(i.blobs, shared)
	}
	i.describe()
	return i
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for j := range b {
		b[j] = byte(r.Uint32())
	}
	return b
}

// describe makes the manifest: the first blob is the configuration.
func (i *image) describe() {
	type descriptor struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int    `json:"size"`
	}
	layers := []descriptor{}
	for _, b := range i.blobs[1:] {
		layers = append(layers, descriptor{layerType, digestOf(b), len(b)})
	}
	i.manifest, _ = json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "layers": layers, //nolint:errchkjson // plain values
		"config": descriptor{configType, digestOf(i.blobs[0]), len(i.blobs[0])}})
	i.digest = digestOf(i.manifest)
}

// A tally is what the clients have seen.
type tally struct {
	pushes, pulls, deletes atomic.Int64
	retries                atomic.Int64 // requests that were sent again
	givenUp                atomic.Int64 // images that a client gave up after its patience
	pullErrors             atomic.Int64 // reads that failed, retried or not
	oneCopyErrors          atomic.Int64 // failed reads of a blob that only one location had when they began
	damaged                atomic.Int64 // whole answers with other bytes
	lastError              atomic.Pointer[error]
	copies                 func(digest string) int64 // how many locations have the blob; nil = not known
	badAnswers             sync.Map                  // status and path → count: refusals that no client should see

	mu      sync.Mutex
	errors  []string  // the first that were seen, each with its time
	last    time.Time // of the last success
	longest time.Duration
}

// alone tells whether only one location has the blob. It is asked before a read:
// a copy may arrive meanwhile, and one that is written down has the time at which
// that began, which says nothing of when others could see it.
func (t *tally) alone(digest string) bool { return t.copies(digest) == 1 }

// failure notes that something did not work, though it may be tried again.
func (t *tally) failure(err error) {
	t.lastError.Store(&err)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.errors) < 50 {
		t.errors = append(t.errors, time.Now().Format("15:04:05.000 ")+err.Error())
	}
}

// success notes that something worked, and how long nothing did.
func (t *tally) success() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.last.IsZero() {
		t.longest = max(t.longest, now.Sub(t.last))
	}
	t.last = now
}

// A crowd is clients that push, pull and delete until they are stopped.
type crowd struct {
	fleet  *fleet
	shared []byte
	tally  tally
	stop   chan struct{}
	done   sync.WaitGroup

	readers []*reader

	mu     sync.Mutex
	pushed []*image // acknowledged, and not deleted
	maybe  []*image // a push or a delete of them was not acknowledged
}

// newCrowd starts n clients, and so many that only read. copies is as in
// tally.
func newCrowd(f *fleet, n, readers int, copies func(digest string) int64) *crowd {
	c := &crowd{fleet: f, stop: make(chan struct{}), shared: bytes.Repeat([]byte("shared layer "), 20_000)}
	c.tally.copies = copies
	for id := range n {
		cl := f.client(&c.tally)
		c.done.Go(func() { c.work(cl, id) })
	}
	for id := range readers {
		cl := f.client(&c.tally)
		r := &reader{image: newImage(rand.New(rand.NewPCG(uint64(id), 8)), user+"/app"+strconv.Itoa(id%3), fmt.Sprint("reader-", id), nil)}
		c.readers = append(c.readers, r)
		c.done.Go(func() { r.read(cl, c.ended) })
	}
	return c
}

// A reader pushes one image and then only pulls it, from each instance in turn.
type reader struct {
	image      *image
	asked, got atomic.Int64 // manifests
	pulls      atomic.Int64 // whole images
}

func (r *reader) read(cl *client, ended func() bool) {
	if err := cl.push(r.image, ended); err != nil {
		return
	}
	for !ended() {
		cl.at = (cl.at + 1) % len(cl.bases)
		err := cl.login()
		if err == nil {
			err = r.pull(cl)
		}
		if err != nil {
			cl.tally.failure(err)
			cl.tally.retries.Add(1)
			cl.tally.pullErrors.Add(1)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// pull pulls the image once.
func (r *reader) pull(cl *client) error {
	i := r.image
	r.asked.Add(1)
	a, err := cl.must(200, "GET", "/v2/"+i.repo+"/manifests/"+i.tag, nil, "Accept", manifestType)
	if err != nil {
		return err
	}
	r.got.Add(1)
	whole := digestOf(a.body) == i.digest
	for _, b := range i.blobs {
		if a, err = cl.must(200, "GET", "/v2/"+i.repo+"/blobs/"+digestOf(b), nil); err != nil {
			return err
		}
		whole = whole && bytes.Equal(a.body, b)
	}
	if !whole {
		cl.tally.damaged.Add(1)
		return fmt.Errorf("%s: other bytes", i.ref())
	}
	r.pulls.Add(1)
	cl.tally.success()
	return nil
}

// reads is how often the readers have pulled.
func (c *crowd) reads() (n int64) {
	for _, r := range c.readers {
		n += r.pulls.Load()
	}
	return n
}

// end stops the clients.
func (c *crowd) end() {
	close(c.stop)
	c.done.Wait()
}

func (c *crowd) ended() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

func (c *crowd) work(cl *client, id int) {
	r := rand.New(rand.NewPCG(uint64(id), 7))
	repo := user + "/app" + strconv.Itoa(id%3)
	for n := 0; !c.ended(); n++ {
		switch k := r.IntN(10); {
		case k < 3 || n < 2:
			i := newImage(r, repo, fmt.Sprintf("c%d-%d", id, n), c.shared)
			err := cl.push(i, c.ended)
			c.mu.Lock()
			if err == nil {
				c.pushed = append(c.pushed, i)
			} else {
				c.maybe = append(c.maybe, i)
			}
			c.mu.Unlock()
		case k == 3 && n > 20:
			if i := c.take(r); i != nil {
				if err := cl.remove(i, c.ended); err != nil {
					c.mu.Lock()
					c.maybe = append(c.maybe, i)
					c.mu.Unlock()
				}
			}
		default:
			if i := c.any(r); i != nil {
				if err := cl.pull(i, c.ended); errors.Is(err, errGone) && !i.deleted.Load() {
					cl.bad(404, "GET", "an image that was acknowledged", err.Error())
				}
			}
		}
	}
}

// any is an image that is there.
func (c *crowd) any(r *rand.Rand) *image {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pushed) == 0 {
		return nil
	}
	return c.pushed[r.IntN(len(c.pushed))]
}

// take removes one from those that must be there: it is about to be deleted.
func (c *crowd) take(r *rand.Rand) *image {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pushed) < 10 {
		return nil
	}
	k := r.IntN(len(c.pushed))
	i := c.pushed[k]
	i.deleted.Store(true)
	c.pushed[k] = c.pushed[len(c.pushed)-1]
	c.pushed = c.pushed[:len(c.pushed)-1]
	return i
}

// verify pulls everything that was acknowledged, and returns what is lost.
func (c *crowd) verify() (lost []string) {
	never := func() bool { return false }
	cl := c.fleet.client(new(tally))
	all := slices.Clone(c.pushed)
	for _, r := range c.readers {
		if r.got.Load() > 0 {
			all = append(all, r.image)
		}
	}
	for _, i := range all {
		if err := cl.pull(i, never); err != nil {
			lost = append(lost, fmt.Sprintf("%s %s: %v", i.ref(), i.digest, err))
		}
	}
	return lost
}

// A client is one connection's worth of requests. It goes from one instance to
// the next when one does not answer, as a client behind a balancer does.
type client struct {
	tally *tally
	bases []string
	at    int
	http  *http.Client
	token string
	until time.Time
}

func (f *fleet) client(t *tally) *client {
	return &client{tally: t, bases: f.bases(), at: rand.IntN(len(f.bases())), http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}, CheckRedirect: withoutToken}}
}

// withoutToken follows redirects, and does not show storage the token: Go would
// if only the port differs.
func withoutToken(r *http.Request, via []*http.Request) error {
	if r.URL.Host != via[0].URL.Host {
		r.Header.Del("Authorization")
	}
	return nil
}

// errGone is the answer 404 to something that was acknowledged.
var errGone = errors.New("it is not there")

// errStopped: the crowd was stopped while the client still tried.
var errStopped = errors.New("stopped")

type answer struct {
	status int
	header http.Header
	body   []byte
}

// again does f until it works, as patient clients do. 4xx answers end it.
func (c *client) again(stopped func() bool, f func() error) error {
	deadline := time.Now().Add(patience)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := f()
		if err == nil {
			c.tally.success()
			return nil
		}
		c.tally.failure(err)
		if errors.Is(err, errGone) {
			return err
		}
		if stopped() {
			return errors.Join(errStopped, err)
		}
		if time.Now().After(deadline) {
			c.tally.givenUp.Add(1)
			return err
		}
		c.tally.retries.Add(1)
		c.at = (c.at + 1) % len(c.bases)
		time.Sleep(pause/2 + rand.N(pause/2))
	}
}

func (c *client) do(method, path string, body []byte, header ...string) (answer, error) {
	if !strings.HasPrefix(path, "http") {
		path = c.bases[c.at] + path
	}
	req, err := http.NewRequestWithContext(context.Background(), method, path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if c.token != "" && strings.HasPrefix(path, c.bases[c.at]) {
		req.Header.Set("Authorization", c.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, b}, errors.Join(err, res.Body.Close())
}

// must is do with an answer that is expected.
func (c *client) must(want int, method, path string, body []byte, header ...string) (answer, error) {
	a, err := c.do(method, path, body, header...)
	if err != nil || a.status == want {
		return a, err
	}
	switch {
	case a.status == 401:
		c.token = ""
	case a.status == 503, a.status == 429:
		if after, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || after <= 0 {
			c.bad(a.status, method, path, "no Retry-After")
		}
	case a.status == 502, a.status == 504: // of a balancer
	case a.status >= 500:
		c.bad(a.status, method, path, string(a.body))
	}
	return a, fmt.Errorf("%s %s: %d %.200s", method, path, a.status, a.body)
}

// bad counts an answer that nobody should get, whatever is away.
func (c *client) bad(status int, method, path, why string) {
	u, err := url.Parse(path)
	if err == nil {
		path = u.Path
	}
	if i := strings.Index(path, "sha256:"); i >= 0 {
		path = path[:i+7] + "…"
	}
	n, _ := c.tally.badAnswers.LoadOrStore(fmt.Sprintf("%d %s %s: %.300s", status, method, path, why), new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// login gets a token unless it has a fresh one.
func (c *client) login() error {
	if c.token != "" && time.Now().Before(c.until) {
		return nil
	}
	c.token = ""
	scope := "/v2/auth?service=fleet.example.com"
	for i := range 3 {
		scope += "&scope=" + url.QueryEscape(fmt.Sprintf("repository:%s/app%d:pull,push,*", user, i))
	}
	a, err := c.must(200, "GET", scope, nil, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	if err != nil {
		return err
	}
	var v struct{ Token string }
	if err := json.Unmarshal(a.body, &v); err != nil {
		return err
	}
	c.token, c.until = "Bearer "+v.Token, time.Now().Add(4*time.Minute)
	return nil
}

// push pushes an image; nil: the registry has acknowledged it.
func (c *client) push(i *image, stopped func() bool) error {
	for _, b := range i.blobs {
		if err := c.again(stopped, func() error { return c.upload(i.repo, b) }); err != nil {
			return err
		}
	}
	err := c.again(stopped, func() error {
		if err := c.login(); err != nil {
			return err
		}
		a, err := c.must(201, "PUT", "/v2/"+i.repo+"/manifests/"+i.tag, i.manifest, "Content-Type", manifestType)
		if err != nil && a.status == 400 && bytes.Contains(a.body, []byte("BLOB")) {
			c.bad(a.status, "PUT", "manifest", string(a.body)) // blobs that were acknowledged a moment ago
		}
		return err
	})
	if err == nil {
		c.tally.pushes.Add(1)
	}
	return err
}

// upload brings one blob, in one of three ways.
func (c *client) upload(repo string, b []byte) error {
	if err := c.login(); err != nil {
		return err
	}
	d := digestOf(b)
	if a, err := c.do("HEAD", "/v2/"+repo+"/blobs/"+d, nil); err != nil {
		return err
	} else if a.status == 200 {
		return nil
	}
	start := "/v2/" + repo + "/blobs/uploads/"
	way := rand.IntN(3)
	if way == 0 {
		_, err := c.must(201, "POST", start+"?digest="+d, b, "Content-Type", octets)
		return err
	}
	a, err := c.must(202, "POST", start, nil)
	if err != nil {
		return err
	}
	at := c.location(a)
	if way == 1 {
		if a, err = c.must(202, "PATCH", at, b, "Content-Type", octets); err != nil {
			return err
		}
		_, err = c.must(201, "PUT", with(c.location(a), "digest="+d), nil)
		return err
	}
	for n := 0; n < len(b); { // in chunks, each at another instance
		m := min(len(b), n+1+len(b)/3)
		if len(c.bases) > 1 {
			c.at = (c.at + 1) % len(c.bases)
		}
		if a, err = c.must(202, "PATCH", at, b[n:m], "Content-Type", octets, "Content-Range", fmt.Sprintf("%d-%d", n, m-1)); err != nil {
			return err
		}
		at, n = c.location(a), m
	}
	_, err = c.must(201, "PUT", with(at, "digest="+d), nil)
	return err
}

// location is the path of a Location header: another instance may be asked
// next.
func (c *client) location(a answer) string {
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		return "/none"
	}
	u.Scheme, u.Host = "", ""
	return u.String()
}

func with(path, query string) string {
	if strings.Contains(path, "?") {
		return path + "&" + query
	}
	return path + "?" + query
}

// pull pulls an image and compares every byte.
func (c *client) pull(i *image, stopped func() bool) error {
	read := func(path, want string, kind ...string) error {
		if err := c.login(); err != nil {
			return err
		}
		alone := c.tally.copies != nil && path == "/v2/"+i.repo+"/blobs/"+want && c.tally.alone(want)
		a, err := c.must(200, "GET", path, nil, kind...)
		switch {
		case err != nil && a.status == 404:
			if i.deleted.Load() {
				return nil
			}
			return fmt.Errorf("%w: %w", errGone, err)
		case err != nil:
			// A refusal, or no answer, or one that broke off: any other status is
			// wrong whatever is away.
			if alone && (a.status == 503 || a.status == 200 || a.status == 0) {
				c.tally.oneCopyErrors.Add(1)
			} else {
				c.tally.pullErrors.Add(1)
			}
			return err
		case digestOf(a.body) != want:
			c.tally.damaged.Add(1)
			return fmt.Errorf("%s: other bytes", path)
		}
		return nil
	}
	if err := c.again(stopped, func() error { return read("/v2/"+i.repo+"/manifests/"+i.tag, i.digest, "Accept", manifestType) }); err != nil {
		return err
	}
	for _, b := range i.blobs {
		d := digestOf(b)
		if err := c.again(stopped, func() error { return read("/v2/"+i.repo+"/blobs/"+d, d) }); err != nil {
			return err
		}
	}
	c.tally.pulls.Add(1)
	return nil
}

// remove deletes the tag.
func (c *client) remove(i *image, stopped func() bool) error {
	err := c.again(stopped, func() error {
		if err := c.login(); err != nil {
			return err
		}
		a, err := c.must(202, "DELETE", "/v2/"+i.repo+"/manifests/"+i.tag, nil)
		if a.status == 404 { // by a try whose answer was lost
			return nil
		}
		return err
	})
	if err == nil {
		c.tally.deletes.Add(1)
	}
	return err
}
