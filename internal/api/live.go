package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
)

// UserTopic is the topic of the bus for one kind of a user's events. A message
// is the JSON of its data.
func UserTopic(user gantry.AccountID, event string) string {
	return "user:" + strconv.FormatInt(int64(user), 10) + ":" + event
}

const (
	maxStreams  = 500 // of this process
	maxOwn      = 8   // of one user
	maxEvents   = 16  // kinds of one stream
	streamLife  = time.Hour
	streamBeat  = 20 * time.Second
	streamCheck = time.Second // whether the process stops, and at most so often whether somebody may still know
	maxWatches  = 16          // of one stream
	maxWaiting  = 256         // events that wait for one client
	liveRows    = 50          // of a log, that are told at once
	liveBack    = 10 * time.Second
	liveLook    = 5 * time.Second // how often a log is looked at without a word that it has grown: pulls are written late
)

// A streamCount bounds the streams of a process. The zero value is ready.
type streamCount struct {
	mu  sync.Mutex
	all int
	own map[gantry.AccountID]int
}

// enter counts a stream of a user; leave takes it off. ok is false where there
// are enough.
func (n *streamCount) enter(user gantry.AccountID) (leave func(), ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all >= maxStreams || n.own[user] >= maxOwn {
		return nil, false
	}
	if n.own == nil {
		n.own = map[gantry.AccountID]int{}
	}
	n.all++
	n.own[user]++
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.all--
		if n.own[user]--; n.own[user] == 0 {
			delete(n.own, user)
		}
	}, true
}

// errNoEvents answers where nobody is told of events.
var errNoEvents = gantry.Errorf(gantry.NotFound, "route", "Live events are switched off on this registry (FEATURE_USER_EVENTS)")

// testEvent sends the user an event, which shows that the way of events works.
func (s *server) testEvent(c *call) error {
	if err := s.browser(c); err != nil {
		return err
	}
	switch {
	case c.session == nil:
		return errSignIn
	case s.Web.Bus == nil:
		return errNoEvents
	}
	if err := s.Web.Bus.Publish(c.r.Context(), UserTopic(c.id.Account.ID, "test"), []byte(`{"foo":2}`)); err != nil { // Quay's words
		return err
	}
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(c.w, "OK") // a client that left is not told
	return nil
}

// A feed is what a stream tells of a path of the API while it changes.
type feed struct {
	topics func(c *call) []string                            // of beats; nil = none
	wakes  []string                                          // topics of the bus at whose word it is looked for news
	look   func(s *server, w *watched) (news any, err error) // nil news = none; nil look: a wake is the news
	often  bool                                              // look every liveLook, too
}

// changed tells a page to read again.
var changed = map[string]bool{"changed": true}

// feeds are the paths of routes that can be watched. Who may GET one, may
// watch it.
var feeds = map[string]feed{
	"superuser/jobs":           {topics: func(*call) []string { return []string{bus.LiveJobs} }, wakes: []string{jobs.Topic}},
	"superuser/mirror/health":  {topics: func(*call) []string { return []string{bus.LiveMirrors} }},
	"repository/{repo}/mirror": {topics: func(c *call) []string { return []string{bus.LiveMirror(c.rights.Repository.ID)} }},
	"organization/{org}/mirror": {topics: func(c *call) []string {
		ns, _ := c.owner()
		return []string{bus.LiveOrgMirror(ns)}
	}},
	wholeRepository: {
		topics: func(c *call) []string { return []string{bus.LiveUploads(c.rights.Repository.ID)} },
		wakes:  []string{jobs.Journal}, look: (*server).newTags,
	},
	"repository/{repo}/logs":  {wakes: []string{jobs.Journal}, often: true, look: newLogs((*call).logsOfRepository, false)},
	"organization/{org}/logs": {wakes: []string{jobs.Journal}, often: true, look: newLogs((*call).logsOfNamespace, false)},
	"user/logs":               {wakes: []string{jobs.Journal}, often: true, look: newLogs((*call).logsOfNamespace, false)},
	"superuser/logs":          {wakes: []string{jobs.Journal}, often: true, look: newLogs(func(*call, *store.AuditQuery) {}, true)},
}

// A watched is one path that one stream watches.
type watched struct {
	path    string // as the client wrote it
	feed    feed
	call    *call     // as it was admitted last
	checked time.Time // when that was
	off     []func()  // end its subscriptions
	since   time.Time // what is older is no news
	seen    map[logKey]bool
	looked  time.Time
}

type logKey struct {
	pull bool
	id   int64
}

// watch admits a stream's client to a path.
func (s *server) watch(c *call, path string) (*watched, error) {
	wrong := gantry.Errorf(gantry.Invalid, "watch", "watch: %.200q is no path of the API that can be watched, such as superuser/jobs or repository/acme/app/mirror", path)
	if len(path) > 1000 || !utf8.ValidString(path) || strings.ContainsRune(path, 0) {
		return nil, wrong
	}
	rt, _, _ := s.find(http.MethodGet, path)
	if rt == nil {
		return nil, wrong
	}
	f, ok := feeds[rt.path]
	if !ok {
		return nil, wrong
	}
	w := &watched{path: path, feed: f, since: s.Store.Now().Add(-liveBack), seen: map[logKey]bool{}}
	return w, s.admitWatch(c, w)
}

// admitWatch checks that the client of c may GET what w watches.
func (s *server) admitWatch(c *call, w *watched) error {
	found, params, _ := s.find(http.MethodGet, w.path)
	open := *found
	open.page = true // a stream of events cannot say X-Requested-With
	one := &call{w: c.w, r: c.r, route: &open, params: params, id: c.id, session: c.session}
	if err := s.admit(one); err != nil {
		return err
	}
	if w.call != nil && one.rights.Repository.ID != w.call.rights.Repository.ID {
		return gantry.Errorf(gantry.NotFound, "repository", "Not Found") // another one of the same name
	}
	w.call, w.checked = one, time.Now()
	return nil
}

// beatView is a beat as pages are told it.
func beatView(b *bus.Beat) map[string]any {
	if b.Changed && b.Name == nil && b.ID == "" {
		return map[string]any{"changed": true}
	}
	v := map[string]any{"id": b.ID, "done": b.Done, "total": b.Total, "unit": b.Unit, "rate": b.Rate, "eta_seconds": nil}
	if b.Left >= 0 && !b.Changed {
		v["eta_seconds"] = b.Left
	}
	if b.Name != nil {
		v["repository"] = b.Name.String()
	}
	if b.Changed {
		v["changed"] = true
	}
	if b.Attempt > 0 {
		v["attempt"] = b.Attempt
	}
	if b.Figures != nil {
		v["bytes"] = b.Bytes
		for name, n := range b.Figures {
			v[name] = n
		}
	}
	return v
}

// tagKinds are the entries of the log after which a repository's tags, or what
// is shown with them, are others.
var tagKinds = []string{"push_repo", "create_tag", "move_tag", "delete_tag", "revert_tag", "autoprune_tag_delete", "permanently_delete_tag", "change_tag_expiration", "change_tag_immutability", "tag_made_immutable_by_policy", "tags_made_immutable_by_policy",
	"manifest_label_add", "manifest_label_delete", "change_repo_visibility", "change_repo_state", "set_repo_description"}

// newTags tells whether anything was done to the tags of a repository.
func (s *server) newTags(w *watched) (any, error) {
	rows, err := s.fresh(w, store.AuditQuery{Repo: w.call.rights.Repository.ID, Kinds: tagKinds})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return changed, nil
}

// newLogs tells the rows that came to a log, the newest first.
func newLogs(scope func(*call, *store.AuditQuery), whose bool) func(*server, *watched) (any, error) {
	return func(s *server, w *watched) (any, error) {
		var q store.AuditQuery
		scope(w.call, &q)
		rows, err := s.fresh(w, q)
		if err != nil || len(rows) == 0 {
			return nil, err
		}
		if len(rows) > liveRows {
			return changed, nil
		}
		list, err := s.logViews(w.call.r.Context(), rows, whose)
		return map[string]any{"logs": list}, err
	}
}

// fresh returns the rows that w has not seen, at most one more than liveRows.
// One may be written a little after it happened.
func (s *server) fresh(w *watched, q store.AuditQuery) ([]store.AuditRow, error) {
	q.From, q.Limit = w.since, 4*liveRows
	now := s.Store.Now()
	rows, err := s.Store.Audit(w.call.r.Context(), q)
	if err != nil {
		return nil, err
	}
	// What was seen stays known as long as it is found again.
	seen := make(map[logKey]bool, len(rows))
	before := w.seen
	rows = slices.DeleteFunc(rows, func(r store.AuditRow) bool {
		k := logKey{r.Pull, r.ID}
		seen[k] = true
		return before[k]
	})
	w.seen = seen
	if back := now.Add(-liveBack); back.After(w.since) {
		w.since = back
	}
	return rows[:min(len(rows), liveRows+1)], nil
}

// An arrival is what came for a stream: a user's event, a beat, or the word to
// look.
type arrival struct {
	event string   // of a user; else ""
	w     *watched // of a path; else nil
	data  []byte   // nil: look, or read again
}

// A stream is one client that is told of events.
type stream struct {
	s    *server
	c    *call
	ctx  context.Context //nolint:containedctx // of this one request
	slow context.CancelFunc
	got  chan arrival
	on   []*watched
}

// put hands an arrival over. A client for whom too many wait is dropped: it
// comes again, and reads again.
func (t *stream) put(a arrival) {
	select {
	case t.got <- a:
	default:
		t.slow()
	}
}

// follow subscribes to a topic until the returned function is called.
func (t *stream) follow(topic string, a arrival) (cancel func(), err error) {
	messages, cancel, err := t.s.Web.Bus.Subscribe(topic)
	if err != nil {
		return nil, err
	}
	go func() {
		for m := range messages {
			if m.Lost > 0 && a.w != nil {
				t.put(arrival{w: a.w}) // some were lost
			}
			if !m.Notice { // an event of a user that was lost is lost
				a := a
				a.data = m.Payload
				t.put(a)
			}
		}
	}()
	return cancel, nil
}

// wait has w looked at when the bus wakes those of a topic, once a second at most.
func (t *stream) wait(topic string, w *watched) (cancel func(), err error) {
	woken, off, err := t.s.Web.Bus.Waiter(topic)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(t.ctx)
	go func() {
		rest := time.NewTimer(0)
		defer rest.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-rest.C:
			}
			select {
			case <-ctx.Done():
				return
			case <-woken:
				t.put(arrival{w: w})
				rest.Reset(streamCheck)
			}
		}
	}()
	return func() { stop(); off() }, nil
}

// begin subscribes to what w watches.
func (t *stream) begin(w *watched) error {
	if w.feed.topics != nil {
		for _, topic := range w.feed.topics(w.call) {
			off, err := t.follow(topic, arrival{w: w})
			if err != nil {
				return err
			}
			w.off = append(w.off, off)
		}
	}
	for _, topic := range w.feed.wakes {
		off, err := t.wait(topic, w)
		if err != nil {
			return err
		}
		w.off = append(w.off, off)
	}
	t.on = append(t.on, w)
	return nil
}

func (t *stream) end(w *watched) {
	for _, off := range w.off {
		off()
	}
	w.off = nil
	t.on = slices.DeleteFunc(t.on, func(o *watched) bool { return o == w })
}

// known reads again who the client is; false: nobody any more.
func (t *stream) known() bool {
	c := &call{w: t.c.w, r: t.c.r}
	if err := t.s.browser(c); err != nil || c.session == nil || c.id.Account.ID != t.c.id.Account.ID {
		return false
	}
	t.c = c
	return true
}

// refused is what a page is told of a path that it may not watch, or not any
// more: it asks in the usual way, which says why.
var refused = map[string]bool{"refused": true}

// still checks that the client may know of w; it is ended if not. A check of
// the last second counts.
func (t *stream) still(w *watched) bool {
	return time.Since(w.checked) < streamCheck || t.known() && t.s.admitWatch(t.c, w) == nil
}

// news is what the client is told of an arrival; nil = nothing.
func (t *stream) news(a arrival) (event string, data any) {
	w := a.w
	if w == nil {
		return a.event, json.RawMessage(a.data)
	}
	if !slices.Contains(t.on, w) {
		return "", nil
	}
	if !t.still(w) {
		t.end(w)
		return w.path, refused
	}
	if a.data != nil {
		var b bus.Beat
		if json.Unmarshal(a.data, &b) != nil {
			return "", nil // of a release that says it in another way
		}
		return w.path, beatView(&b)
	}
	if w.feed.look == nil {
		return w.path, changed
	}
	w.looked = time.Now()
	data, err := w.feed.look(t.s, w)
	if err != nil { // the database is away: the page finds that out itself
		data = changed
	}
	return w.path, data
}

// subscribe streams the events of a user, and what changes at paths of the API
// that the user may GET ("watch", more than once), as server-sent events: until
// the client leaves, does not keep up, signs out, the process stops, or an hour
// is over. Then it comes again, and shows that it still may.
func (s *server) subscribe(c *call) error {
	if err := s.browser(c); err != nil {
		return err
	}
	if c.session == nil {
		return errSignIn
	}
	if s.Web.Bus == nil {
		return errNoEvents
	}
	user, q := c.id.Account.ID, c.r.URL.Query()
	var names []string
	for e := range strings.SplitSeq(q.Get("events"), ",") {
		if e == "" {
			continue
		}
		if bus.CheckTopic(UserTopic(user, e)) != nil || len(names) == maxEvents {
			return gantry.Errorf(gantry.Invalid, "events", "events must be at most %d names, separated by commas", maxEvents)
		}
		names = append(names, e)
	}
	paths := q["watch"]
	if len(paths) > maxWatches {
		return gantry.Errorf(gantry.Invalid, "watch", "watch is given more than %d times", maxWatches)
	}
	if len(names)+len(paths) == 0 {
		return gantry.Errorf(gantry.NotFound, "events", "Not Found")
	}
	leave, ok := s.streams.enter(user)
	if !ok {
		return &gantry.Error{Code: gantry.Limited, Object: "stream", Retry: streamBeat, Detail: "Too many streams of events are open"}
	}
	defer leave()
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	t := &stream{s: s, c: c, ctx: ctx, slow: cancel, got: make(chan arrival, maxWaiting)}
	defer func() {
		for _, w := range slices.Clone(t.on) {
			t.end(w)
		}
	}()
	for _, name := range names {
		off, err := t.follow(UserTopic(user, name), arrival{event: name})
		if err != nil {
			return err
		}
		defer off()
	}
	first := map[string]any{}
	for _, path := range paths {
		w, err := s.watch(c, path)
		switch {
		case w == nil:
			return err
		case err != nil:
			first[path] = refused
			continue
		}
		if err := t.begin(w); err != nil {
			return err
		}
		first[path] = map[string]bool{"on": true}
		if w.feed.look != nil {
			t.put(arrival{w: w})
		}
	}
	return t.run(first)
}

// run sends what comes.
func (t *stream) run(first map[string]any) error {
	h := t.c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	t.c.w.WriteHeader(http.StatusOK)
	w, rc := t.c.w, http.NewResponseController(t.c.w)
	send := func(format string, args ...any) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(streamBeat)) // where it cannot be set, the server's own counts
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && rc.Flush() == nil
	}
	tell := func(event string, data any) bool {
		if data == nil {
			return true
		}
		line, err := json.Marshal(map[string]any{"event": event, "data": data})
		return err != nil || send("data: %s\n\n", line) // no JSON: whoever sent it has made an error
	}
	good := send("data: {}\n\n")
	for path, data := range first {
		good = good && tell(path, data)
	}
	beat, check, end := time.NewTicker(streamBeat), time.NewTicker(streamCheck), time.NewTimer(streamLife)
	defer beat.Stop()
	defer check.Stop()
	defer end.Stop()
	for good {
		select {
		case <-t.ctx.Done():
			return nil
		case <-end.C:
			return nil
		case <-check.C:
			good = t.s.Web.Stopping == nil || !t.s.Web.Stopping()
			for _, w := range t.on {
				if w.feed.often && time.Since(w.looked) >= liveLook {
					w.looked = time.Now()
					t.put(arrival{w: w})
				}
			}
		case <-beat.C:
			good = t.known() && send(": \n\n")
			for _, w := range slices.Clone(t.on) {
				if good && !t.still(w) {
					t.end(w)
					good = tell(w.path, refused)
				}
			}
		case a := <-t.got:
			good = tell(t.news(a))
		}
	}
	return nil
}
