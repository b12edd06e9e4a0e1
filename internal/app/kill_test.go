package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	mrand "math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	blobfs "github.com/gantry-registry/gantry/internal/blob/fs"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestMain is also the server that TestKill kills.
func TestMain(m *testing.M) {
	if data := os.Getenv("GANTRY_KILL_DATA"); data != "" {
		if err := killServer(data); err != nil {
			fmt.Println("fatal", err)
			os.Exit(1)
		}
		return
	}
	storetest.Main(m)
}

// killServer serves the data folder, hours ahead of the real clock, until it
// is killed. Once it is told to, its storage fails now and then.
func killServer(data string) error {
	var now func() time.Time // nil: the usual one
	if text := os.Getenv("GANTRY_KILL_AHEAD"); text != "" {
		ahead, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		now = func() time.Time { return time.Now().Add(ahead) }
	}
	faulty := make(chan struct{})
	faults := func(op blobfs.Op, _ string) error {
		select {
		case <-faulty:
		default:
			return nil
		}
		switch n := mrand.IntN(300); {
		case n == 0 && (op == blobfs.OpSync || op == blobfs.OpSyncFolder):
			return syscall.EIO
		case n == 1 && (op == blobfs.OpWrite || op == blobfs.OpLink || op == blobfs.OpRename):
			return syscall.ENOSPC
		}
		return nil
	}
	s, err := Start(context.Background(), Options{Data: data, Listen: "127.0.0.1:0", Metrics: Off, Environ: os.Environ(),
		Log:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1})),
		now:    now,
		faults: faults})
	if err != nil {
		return err
	}
	fmt.Println("ready", s.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); { // until our parent is gone
		close(faulty)
	}
	return nil
}

const (
	killClients = 4
	killTags    = 3 // of each client
	killPool    = 24
)

var killRepos = []string{"ada/a", "ada/b", "ada/deep/er/c"}

func killBlob(i int) []byte {
	b := make([]byte, 700*(i%60)+1)
	r := mrand.NewPCG(uint64(i), 0)
	for j := range b {
		b[j] = byte(r.Uint64())
	}
	return b
}

// killWorld is what clients of the server know, over all its lives.
type killWorld struct {
	t      *testing.T
	data   string
	env    []string
	runs   int
	ahead  time.Duration
	blobs  [killPool][]byte
	digest [killPool]string

	mu      sync.Mutex
	want    map[string]string          // "repository:tag" → digest, as acknowledged last
	maybe   map[string][]string        // likewise, by a request whose answer was lost or bad; "" = deleted
	bodies  map[string][]byte          // manifests by digest
	held    map[string]map[string]bool // repository → digests of blobs that this life acknowledged
	uploads []killUpload
	done    map[string]int
}

// killUpload is an upload of which n bytes of blob i were acknowledged.
type killUpload struct {
	path string
	i, n int
}

func (w *killWorld) note(what string) {
	w.mu.Lock()
	w.done[what]++
	w.mu.Unlock()
}

// A life is one process.
type life struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	base  string
	out   *bufio.Scanner
}

// start starts the server. It returns nil when that was killed before it was
// ready.
func (w *killWorld) start(killAfter time.Duration) *life {
	w.t.Helper()
	if w.runs++; killAfter == 0 {
		w.ahead += 30 * time.Minute // less than a lease
	}
	cmd := exec.CommandContext(context.WithoutCancel(w.t.Context()), os.Args[0])
	cmd.Env = append(append(os.Environ(), w.env...), "GANTRY_KILL_DATA="+w.data, "GANTRY_KILL_AHEAD="+w.ahead.String())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	l := w.run(cmd, stdin)
	if killAfter > 0 {
		time.AfterFunc(killAfter, func() { _ = cmd.Process.Kill() }) // it has ended, at worst
	}
	if l.out.Scan() {
		if addr, ok := strings.CutPrefix(l.out.Text(), "ready "); ok {
			l.base = "http://" + addr
			if killAfter == 0 {
				return l
			}
		} else {
			w.t.Fatal(l.out.Text())
		}
	}
	l.kill()
	if killAfter == 0 {
		w.t.Fatal("the server does not start")
	}
	return nil
}

// run starts a process.
func (w *killWorld) run(cmd *exec.Cmd, stdin io.WriteCloser) *life {
	w.t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return &life{cmd: cmd, stdin: stdin, out: bufio.NewScanner(out)}
}

// begin starts a process and waits until it is ready.
func (w *killWorld) begin(cmd *exec.Cmd, stdin io.WriteCloser) *life {
	w.t.Helper()
	l := w.run(cmd, stdin)
	if l.out.Scan() {
		if addr, ok := strings.CutPrefix(l.out.Text(), "ready "); ok {
			l.base = "http://" + addr
			return l
		}
	}
	l.kill()
	w.t.Fatal("the server does not start")
	return nil
}

func (l *life) kill() {
	_ = l.cmd.Process.Kill() // it has ended, at worst
	_ = l.cmd.Wait()         // it was killed
	_ = l.stdin.Close()      // nobody reads it
}

// A killClient is one connection's worth of requests to a life.
type killClient struct {
	w    *killWorld
	id   int
	base string
	auth string
	http *http.Client
}

func (l *life) client(w *killWorld, id int) *killClient {
	return &killClient{w: w, id: id, base: l.base, http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}}
}

// login gets a token for all repositories.
func (c *killClient) login() error {
	scope := ""
	for _, r := range killRepos {
		scope += "&scope=" + url.QueryEscape("repository:"+r+":pull,push,*")
	}
	r, err := c.do("GET", "/v2/auth?"+scope[1:], nil, "Authorization", basic("ada", password))
	if err != nil || r.status != 200 {
		return fmt.Errorf("token: %d %s %w", r.status, r.body, err)
	}
	var answer struct{ Token string }
	if err := json.Unmarshal([]byte(r.body), &answer); err != nil {
		return err
	}
	c.auth = "Bearer " + answer.Token
	return nil
}

func (c *killClient) do(method, path string, body []byte, header ...string) (reply, error) {
	if !strings.HasPrefix(path, "http") {
		path = c.base + path
	}
	req, err := http.NewRequestWithContext(c.w.t.Context(), method, path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if c.auth != "" {
		req.Header.Set("Authorization", c.auth)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(b)}, errors.Join(err, res.Body.Close())
}

// errFaulty is the answer to a request that met an injected fault.
var errFaulty = errors.New("the server's storage fails")

// must sends a request that has to be answered with that status, unless the
// server dies or its storage fails.
func (c *killClient) must(status int, method, path string, body []byte, header ...string) (reply, error) {
	r, err := c.do(method, path, body, header...)
	switch {
	case err != nil:
		return r, err
	case r.status == 503, r.status == 507:
		c.w.note("faults met")
		return r, errFaulty
	case r.status != status:
		c.w.t.Errorf("%s %s: %d %s", method, path, r.status, r.body)
		return r, errFaulty
	}
	return r, nil
}

const octets = "application/octet-stream"

// blob brings blob i to a repository, in one of many ways.
func (c *killClient) blob(repo string, i int) error {
	b, d := c.w.blobs[i], c.w.digest[i]
	r, err := c.do("HEAD", "/v2/"+repo+"/blobs/"+d, nil)
	if err != nil {
		return err
	}
	if r.status == 200 && mrand.IntN(3) > 0 {
		return nil
	}
	uploads := "/v2/" + repo + "/blobs/uploads/"
	switch mrand.IntN(5) {
	case 0:
		_, err = c.must(201, "POST", uploads+"?digest="+d, b, "Content-Type", octets)
	case 1: // 202: begun, for it is not there
		from := killRepos[mrand.IntN(len(killRepos))]
		if r, err = c.do("POST", uploads+"?mount="+d+"&from="+from, nil); err == nil && r.status == 202 {
			_, err = c.must(201, "PUT", r.header.Get("Location")+"?digest="+d, b, "Content-Type", octets)
		}
	case 2:
		if r, err = c.must(202, "POST", uploads, nil); err == nil {
			_, err = c.must(201, "PUT", r.header.Get("Location")+"?digest="+d, b, "Content-Type", octets)
		}
	default:
		if r, err = c.must(202, "POST", uploads, nil); err != nil {
			break
		}
		at := r.header.Get("Location")
		n := 0
		for n < len(b) && err == nil {
			m := n + 1 + mrand.IntN(len(b)-n)
			if r, err = c.must(202, "PATCH", at, b[n:m], "Content-Type", octets, "Content-Range", fmt.Sprintf("%d-%d", n, m-1)); err != nil {
				break
			}
			at, n = r.header.Get("Location"), m
			if mrand.IntN(10) == 0 {
				c.w.mu.Lock()
				c.w.uploads = append(c.w.uploads, killUpload{strings.TrimPrefix(at, c.base), i, n})
				c.w.mu.Unlock()
				c.w.note("uploads left")
				return c.blob(repo, i)
			}
		}
		if err == nil {
			_, err = c.must(201, "PUT", at+"?digest="+d, nil)
		}
	}
	if err != nil {
		return err
	}
	c.w.note("blobs")
	c.w.mu.Lock()
	if c.w.held[repo] == nil {
		c.w.held[repo] = map[string]bool{}
	}
	c.w.held[repo][d] = true
	c.w.mu.Unlock()
	return nil
}

// change sends a request that points tags at a digest, or deletes them.
func (c *killClient) change(keys []string, to string, status int, method, path string, body []byte) error {
	w := c.w
	w.mu.Lock()
	for _, k := range keys {
		w.maybe[k] = append(w.maybe[k], to)
	}
	w.mu.Unlock()
	_, err := c.must(status, method, path, body, "Content-Type", manifestType)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range keys {
		delete(w.maybe, k)
		if w.want[k] = to; to == "" {
			delete(w.want, k)
		}
	}
	w.done["changes"]++
	return nil
}

// own returns the tags of the client in a repository that point at a digest
// for sure; digest "" is any.
func (c *killClient) own(repo, digest string) (keys []string) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for k, d := range c.w.want {
		if strings.HasPrefix(k, fmt.Sprintf("%s:c%d-", repo, c.id)) && (digest == "" || d == digest) && len(c.w.maybe[k]) == 0 {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// step does one thing that a user does.
func (c *killClient) step() error {
	w := c.w
	repo := killRepos[mrand.IntN(len(killRepos))]
	tag := fmt.Sprintf("c%d-%d", c.id, mrand.IntN(killTags))
	own := c.own(repo, "")
	switch n := mrand.IntN(10); {
	case n < 2 && len(own) > 0:
		k := own[mrand.IntN(len(own))]
		_, name, _ := strings.Cut(k, ":")
		return c.change([]string{k}, "", 202, "DELETE", "/v2/"+repo+"/manifests/"+name, nil)
	case n < 3 && len(own) > 0:
		w.mu.Lock()
		d := w.want[own[0]]
		sure := true // no tag may point at it that we do not know of
		for k, all := range w.maybe {
			sure = sure && (!strings.HasPrefix(k, repo+":") || !slices.Contains(all, d) && w.want[k] != d)
		}
		w.mu.Unlock()
		if !sure {
			return nil
		}
		return c.change(c.own(repo, d), "", 202, "DELETE", "/v2/"+repo+"/manifests/"+d, nil)
	case n < 5 && len(own) > 0: // another tag of the same
		w.mu.Lock()
		d := w.want[own[0]]
		body := w.bodies[d]
		w.mu.Unlock()
		return c.change([]string{repo + ":" + tag}, d, 201, "PUT", "/v2/"+repo+"/manifests/"+tag, body)
	}
	need := mrand.Perm(killPool)[:1+mrand.IntN(4)]
	var layers []string
	for _, i := range need {
		if err := c.blob(repo, i); err != nil {
			return err
		}
		layers = append(layers, fmt.Sprintf(`{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "%s", "size": %d}`, w.digest[i], len(w.blobs[i])))
	}
	// The client is in it, so that nobody else deletes it by its digest.
	body := fmt.Appendf(nil, `{"schemaVersion": 2, "mediaType": "%s", "config": %s, "layers": [%s], "annotations": {"client": "%d"}}`,
		manifestType, strings.Replace(layers[0], "layer.v1.tar", "config.v1+json", 1), strings.Join(layers[1:], ", "), c.id)
	d := digestOf(body)
	w.mu.Lock()
	w.bodies[d] = body
	w.mu.Unlock()
	return c.change([]string{repo + ":" + tag}, d, 201, "PUT", "/v2/"+repo+"/manifests/"+tag, body)
}

// check compares what the server has with what it acknowledged.
func (w *killWorld) check(c *killClient) {
	w.t.Helper()
	whole := map[string]bool{} // "repository digest" of blobs that were read
	read := func(repo, d string, must bool) {
		if whole[repo+" "+d] {
			return
		}
		r, err := c.do("GET", "/v2/"+repo+"/blobs/"+d, nil)
		switch {
		case err != nil:
			w.t.Errorf("run %d: blob %s of %s: %v", w.runs, d, repo, err)
		case r.status == 200 && digestOf([]byte(r.body)) == d:
			whole[repo+" "+d] = true
		case r.status == 200:
			w.t.Errorf("run %d: blob %s of %s has %d other bytes", w.runs, d, repo, len(r.body))
		case must || r.status != 404:
			w.t.Errorf("run %d: blob %s of %s: %d %s", w.runs, d, repo, r.status, r.body)
		}
	}
	for _, repo := range killRepos {
		r, err := c.do("GET", "/v2/"+repo+"/tags/list?n=1000", nil)
		if err != nil || r.status != 200 && r.status != 404 {
			w.t.Errorf("run %d: tags of %s: %d %s %v", w.runs, repo, r.status, r.body, err)
			continue
		}
		var list struct{ Tags []string }
		if r.status == 200 {
			if err := json.Unmarshal([]byte(r.body), &list); err != nil {
				w.t.Error(err)
			}
		}
		got := map[string]string{}
		for _, tag := range list.Tags {
			m, err := c.do("GET", "/v2/"+repo+"/manifests/"+tag, nil, "Accept", manifestType)
			if err != nil || m.status != 200 {
				w.t.Errorf("run %d: %s:%s does not resolve: %d %s %v", w.runs, repo, tag, m.status, m.body, err)
				continue
			}
			d := m.header.Get("Docker-Content-Digest")
			got[repo+":"+tag] = d
			if digestOf([]byte(m.body)) != d || !bytes.Equal(w.bodies[d], []byte(m.body)) {
				w.t.Errorf("run %d: %s:%s has other bytes than were pushed", w.runs, repo, tag)
			}
			var image struct {
				Config struct{ Digest string }
				Layers []struct{ Digest string }
			}
			if err := json.Unmarshal([]byte(m.body), &image); err != nil {
				w.t.Error(err)
			}
			read(repo, image.Config.Digest, true)
			for _, l := range image.Layers {
				read(repo, l.Digest, true)
			}
		}
		keys := map[string]bool{}
		for k := range maps.Keys(got) {
			keys[k] = true
		}
		for k := range w.want {
			keys[k] = keys[k] || strings.HasPrefix(k, repo+":")
		}
		for k, here := range keys {
			if !here || got[k] == w.want[k] {
				continue
			}
			if !slices.Contains(w.maybe[k], got[k]) {
				w.t.Errorf("run %d: %s points at %q; acknowledged was %q, begun %q", w.runs, k, got[k], w.want[k], w.maybe[k])
			}
			if w.want[k] = got[k]; got[k] == "" {
				delete(w.want, k)
			}
		}
		for d := range w.held[repo] {
			read(repo, d, true)
		}
		for _, d := range w.digest { // whoever is not promised is whole, or not to be seen
			read(repo, d, false)
		}
	}
	clear(w.maybe)
	clear(w.held)
	for _, u := range w.uploads {
		w.resume(c, u)
	}
	w.uploads = nil
	v, err := NewAdmin(Options{Data: w.data, Environ: w.env}).Verify(w.t.Context(), VerifyRequest{})
	if err != nil || !v.Sound() {
		w.t.Errorf("run %d: verify: %+v %+v, %v", w.runs, v.Database, v.Blobs, err)
	}
}

// resume goes on with an upload that was cut off.
func (w *killWorld) resume(c *killClient, u killUpload) {
	r, err := c.do("GET", u.path, nil)
	_, last, _ := strings.Cut(r.header.Get("Range"), "-")
	n, err2 := strconv.Atoi(last)
	if err != nil || err2 != nil || r.status != 204 || n+1 < u.n {
		w.t.Errorf("run %d: an upload of which %d bytes were acknowledged: %d %v %s %v", w.runs, u.n, r.status, r.header, r.body, err)
		return
	}
	r, err = c.do("PUT", u.path+"?digest="+w.digest[u.i], w.blobs[u.i][n+1:], "Content-Type", octets)
	if err != nil || r.status != 201 {
		w.t.Errorf("run %d: an upload is not gone on with from byte %d: %d %s %v", w.runs, n+1, r.status, r.body, err)
	}
	w.done["uploads resumed"]++
}

// live lets clients work until the server is killed under them.
func (w *killWorld) live(l *life) {
	var clients sync.WaitGroup
	if _, err := io.WriteString(l.stdin, "go\n"); err != nil {
		w.t.Fatal(err)
	}
	first := l.client(w, 0)
	if err := first.login(); err != nil {
		w.t.Error(err)
	} else {
		var killed atomic.Bool
		timer := time.AfterFunc(time.Duration(mrand.IntN(900))*time.Millisecond, func() {
			killed.Store(true)
			_ = l.cmd.Process.Kill()
		})
		defer timer.Stop()
		for id := range killClients {
			c := l.client(w, id)
			c.auth = first.auth
			clients.Go(func() {
				for w.t.Context().Err() == nil {
					if err := c.step(); err != nil && !errors.Is(err, errFaulty) {
						return
					}
				}
			})
		}
		clients.Go(func() { // gantry gc, beside
			// Without the server it would collect in its place, without end.
			for w.t.Context().Err() == nil && !w.t.Failed() && !killed.Load() {
				if _, err := NewAdmin(Options{Data: w.data, Environ: w.env}).GC(w.t.Context()); err != nil {
					return
				}
			}
		})
	}
	clients.Wait()
	l.kill()
}

// TestKill kills the whole server at random moments, while clients push,
// retag and delete, its storage fails now and then, and it collects. After
// each kill all that it had acknowledged is there, whole; nothing that is
// half written is to be seen; and every edge and sum of its database holds.
// GANTRY_KILLS is how often, for each database.
func TestKill(t *testing.T) {
	for dialect, kills := range map[string]int{storetest.SQLite: 12, storetest.Postgres: 4, storetest.MariaDB: 4} {
		if s := os.Getenv("GANTRY_KILLS"); s != "" {
			var err error
			if kills, err = strconv.Atoi(s); err != nil {
				t.Fatalf("GANTRY_KILLS: %v", err)
			}
		}
		t.Run(dialect, func(t *testing.T) { testKill(t, dialect, kills) })
	}
}

func testKill(t *testing.T, dialect string, kills int) {
	fields := map[string]any{"DEFAULT_TAG_EXPIRATION": "1h", "TAG_EXPIRATION_OPTIONS": []string{"1h"}, "GARBAGE_COLLECTION_FREQUENCY": 1,
		"GANTRY_GC_RATE": 100_000, "FEATURE_USER_INITIALIZE": true}
	if dialect != storetest.SQLite {
		fields["DB_URI"] = storetest.EmptyURI(t, dialect)
		fields["SECRET_KEY"], fields["DATABASE_SECRET_KEY"] = "one-secret-of-tests-only", "another-secret-of-tests-only"
	}
	w := &killWorld{t: t, data: filepath.Join(t.TempDir(), "data"), env: override(t, fields), want: map[string]string{}, maybe: map[string][]string{},
		bodies: map[string][]byte{}, held: map[string]map[string]bool{}, done: map[string]int{}}
	for i := range w.blobs {
		w.blobs[i] = killBlob(i)
		w.digest[i] = digestOf(w.blobs[i])
	}
	l := w.start(0)
	r, err := l.client(w, 0).do("POST", "/api/v1/user/initialize", []byte(`{"username": "ada", "password": "`+password+`", "email": "ada@example.com"}`),
		"Content-Type", "application/json")
	if err != nil || r.status != 200 {
		t.Fatalf("initialize: %d %s %v", r.status, r.body, err)
	}
	for n := 0; n < kills && !t.Failed(); {
		w.live(l)
		for n++; mrand.IntN(5) == 0 && n < kills; n++ {
			w.start(time.Duration(1+mrand.IntN(300)) * time.Millisecond)
		}
		l = w.start(0)
		c := l.client(w, 0)
		if err := c.login(); err != nil {
			t.Error(err)
		}
		w.check(c)
	}
	t.Logf("%d kills: %v; %d tags at the end", kills, w.done, len(w.want))
	if !t.Failed() {
		w.empty(l)
	}
}

// empty deletes all tags and lets the time go by in which everything goes.
func (w *killWorld) empty(l *life) {
	c := l.client(w, 0)
	if err := c.login(); err != nil {
		w.t.Fatal(err)
	}
	for k := range w.want {
		repo, tag, _ := strings.Cut(k, ":")
		if r, err := c.do("DELETE", "/v2/"+repo+"/manifests/"+tag, nil); err != nil || r.status != 202 {
			w.t.Errorf("delete %s: %d %s %v", k, r.status, r.body, err)
		}
	}
	admin := NewAdmin(Options{Data: w.data, Environ: w.env})
	storage := filepath.Join(w.data, storageFolder)
	var left []string
	for range 8 {
		l.kill()
		w.ahead += 9 * 24 * time.Hour // the weekly jobs are due, too
		l = w.start(0)
		for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			if _, err := admin.GC(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
			left = nil
			if err := filepath.WalkDir(storage, func(path string, e fs.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					left = append(left, path)
				}
				return err
			}); err != nil && !errors.Is(err, fs.ErrNotExist) {
				w.t.Fatal(err)
			}
			if len(left) == 0 {
				break
			}
		}
	}
	if v, err := admin.Verify(w.t.Context(), VerifyRequest{}); err != nil || !v.Sound() || v.Blobs.Objects != 0 {
		w.t.Errorf("verify at the end: %+v %+v, %v", v.Database, v.Blobs, err)
	}
	if len(left) > 0 {
		w.t.Errorf("%d objects are left, such as %s", len(left), left[0])
	}
	l.kill()
}
