package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A mirrored is a repository with its mirror.
type mirrored struct {
	t     *testing.T
	db    *store.DB
	org   store.Account
	robot store.Account
	repo  store.Repository
}

func newMirrored(t *testing.T, db *store.DB) *mirrored {
	t.Helper()
	m := &mirrored{t: t, db: db}
	var err error
	m.org, err = db.AccountByID(t.Context(), storetest.Account(t, db, gantry.Organization))
	ok(t, err)
	m.robot = m.newRobot("mirror")
	m.repo, err = db.RepositoryByID(t.Context(), storetest.RepoIn(t, db, m.org.ID))
	ok(t, err)
	ok(t, db.CreateMirror(t.Context(), m.repo, store.Mirror{UUID: uuid.NewString(), Robot: m.robot.ID, Enabled: true, Upstream: "registry.example/acme/app",
		Secret: "sealed", Options: json.RawMessage(`{"a":1}`), Interval: time.Hour, Start: db.Now().Add(-time.Minute)}, gantry.Actor{}))
	return m
}

func (m *mirrored) newRobot(short string) store.Account {
	m.t.Helper()
	r, err := m.db.CreateRobot(m.t.Context(), m.org.ID, store.NewAccount{Name: m.org.Name + "+" + short, UUID: uuid.NewString(), Secret: "x"}, gantry.Actor{})
	ok(m.t, err)
	return r
}

func (m *mirrored) now() store.Mirror {
	m.t.Helper()
	got, err := m.db.Mirror(m.t.Context(), m.repo.ID)
	ok(m.t, err)
	return got
}

// queue queues what is due and returns the payloads of the jobs that it claims.
func (m *mirrored) queue(kind string) (all []store.MirrorJob, claimed []store.Job) {
	m.t.Helper()
	_, err := m.db.QueueMirrors(m.t.Context(), 10)
	ok(m.t, err)
	claimed, err = m.db.ClaimJobs(m.t.Context(), "w", map[string]int{kind: 10}, 10, time.Minute)
	ok(m.t, err)
	for _, j := range claimed {
		var p store.MirrorJob
		ok(m.t, json.Unmarshal(j.Payload, &p))
		all = append(all, p)
	}
	return all, claimed
}

func TestMirrorRuns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		m := newMirrored(t, db)
		got := m.now()
		if got.Status != store.MirrorNeverRun || got.RobotName != m.robot.Name || got.State != gantry.Mirror || got.Interval != time.Hour ||
			string(got.Options) != `{"a":1}` || got.Retries != store.MirrorRetries {
			t.Fatalf("%+v", got)
		}
		if r, err := db.MirrorRobot(ctx, m.repo.ID); err != nil || r != m.robot.ID {
			t.Fatalf("robot %d, %v", r, err)
		}
		if err := db.CreateMirror(ctx, m.repo, got, gantry.Actor{}); !gantry.Is(err, gantry.Conflict) {
			t.Fatalf("a second mirror: %v", err)
		}
		if err := db.DeleteRobot(ctx, m.robot, gantry.Actor{}); !gantry.Is(err, gantry.Invalid) {
			t.Fatalf("its robot was deleted: %v", err)
		}
		jobs, claimed := m.queue(store.JobMirror)
		if len(jobs) != 1 || jobs[0].Repo != m.repo.ID {
			t.Fatalf("due: %+v", jobs)
		}
		if more, _ := m.queue(store.JobMirror); len(more) != 0 {
			t.Fatalf("queued twice: %+v", more)
		}
		_, run, err := db.BeginRun(ctx, jobs[0], uuid.NewString())
		ok(t, err)
		if err := db.SyncMirror(ctx, m.repo, gantry.Actor{}); !gantry.Is(err, gantry.NotFound) {
			t.Fatalf("sync while one runs: %v", err)
		}
		run.Total, run.Done, run.Copied = 3, 2, 1
		ok(t, db.SaveRun(ctx, run, []store.MirrorOutcome{{Tag: "v1", Outcome: store.TagFailed, Message: "no"}, {Tag: "v1", Outcome: store.TagCopied, Bytes: 5}}))
		// Another worker goes on with it.
		jobs[0].Run = run.UUID
		_, again, err := db.BeginRun(ctx, jobs[0], uuid.NewString())
		ok(t, err)
		if again.UUID != run.UUID || again.Copied != 1 || again.State != store.RunRunning {
			t.Fatalf("%+v", again)
		}
		again.Failed = 1
		retry := db.Now().Add(time.Minute)
		ok(t, db.EndRun(ctx, again, []store.MirrorOutcome{{Tag: "v2", Outcome: store.TagFailed, Message: "gone"}},
			store.RunEnd{State: store.RunFailed, Reason: "upstream", Message: "1 of 3 tags failed", Next: db.Now().Add(time.Hour), Retry: retry}))
		if got = m.now(); got.Status != store.MirrorFail || got.Retries != store.MirrorRetries-1 || got.Due.UnixMilli() != retry.UnixMilli() || got.Message != "1 of 3 tags failed" {
			t.Fatalf("%+v", got)
		}
		ok(t, db.FinishJob(ctx, claimed[0], store.Progress{}))
		list, err := db.MirrorOutcomes(ctx, run.ID, "", "", 10)
		ok(t, err)
		if len(list) != 2 || list[0].Tag != "v1" || list[0].Outcome != store.TagCopied || list[0].Bytes != 5 || list[1].Message != "gone" {
			t.Fatalf("%+v", list)
		}
		if list, err = db.MirrorOutcomes(ctx, run.ID, store.TagFailed, "", 10); err != nil || len(list) != 1 {
			t.Fatalf("%+v %v", list, err)
		}
		stand, err := db.MirrorStandings(ctx, []gantry.AccountID{m.org.ID}, 0, 10)
		ok(t, err)
		if len(stand) != 1 || stand[0].Status != store.MirrorFail || stand[0].Reason != "upstream" {
			t.Fatalf("%+v", stand)
		}
		c, err := db.MirrorCounts(ctx, []gantry.AccountID{m.org.ID})
		ok(t, err)
		if c.ByStatus[store.MirrorFail] != 1 || c.Waiting != 1 {
			t.Fatalf("%+v", c)
		}
		// Asked for, then cancelled while it runs.
		ok(t, db.SyncMirror(ctx, m.repo, gantry.Actor{}))
		jobs, claimed = m.queue(store.JobMirror)
		if len(jobs) != 1 || !jobs[0].Deep {
			t.Fatalf("%+v", jobs)
		}
		_, run, err = db.BeginRun(ctx, jobs[0], uuid.NewString())
		ok(t, err)
		ok(t, db.CancelMirror(ctx, m.repo, gantry.Actor{}))
		if err := db.SaveRun(ctx, run, nil); !gantry.Is(err, gantry.Conflict) {
			t.Fatalf("a cancelled run was saved: %v", err)
		}
		if err := db.EndRun(ctx, run, nil, store.RunEnd{State: store.RunSuccess}); !gantry.Is(err, gantry.Conflict) {
			t.Fatalf("a cancelled run was ended: %v", err)
		}
		if err := db.SaveJob(ctx, claimed[0], time.Minute, store.Progress{}, nil); !gantry.Is(err, gantry.Conflict) {
			t.Fatalf("its job goes on: %v", err)
		}
		if got = m.now(); got.Status != store.MirrorCancel || !got.Due.IsZero() {
			t.Fatalf("%+v", got)
		}
		if more, _ := m.queue(store.JobMirror); len(more) != 0 {
			t.Fatalf("a cancelled mirror is due: %+v", more)
		}
		runs, err := db.MirrorRuns(ctx, m.repo.ID, 0, 10)
		ok(t, err)
		if len(runs) != 2 || runs[0].State != store.RunCancelled || runs[1].State != store.RunFailed {
			t.Fatalf("%+v", runs)
		}
		// Success: the retries are back, and the next turn is the interval's.
		ok(t, db.SyncMirror(ctx, m.repo, gantry.Actor{}))
		jobs, claimed = m.queue(store.JobMirror)
		_, run, err = db.BeginRun(ctx, jobs[0], uuid.NewString())
		ok(t, err)
		next := db.Now().Add(time.Hour)
		ok(t, db.EndRun(ctx, run, nil, store.RunEnd{State: store.RunSuccess, Next: next, Deep: true}))
		ok(t, db.FinishJob(ctx, claimed[0], store.Progress{}))
		if got = m.now(); got.Status != store.MirrorSuccess || got.Start.UnixMilli() != next.UnixMilli() || got.Due != got.Start || got.Deep.IsZero() {
			t.Fatalf("%+v", got)
		}
		for kind, n := range map[string]int64{"repo_mirror_enabled": 1, "repo_mirror_sync_started": 3, "repo_mirror_sync_failed": 2, "repo_mirror_sync_success": 1, "repo_mirror_sync_now_requested": 2} {
			if got := eventsOf(t, db, kind); got != n {
				t.Errorf("%d rows of %s, want %d", got, kind, n)
			}
		}
		// Of many runs the last ones are kept.
		for i := range 25 {
			ok(t, db.SyncMirror(ctx, m.repo, gantry.Actor{}))
			jobs, claimed = m.queue(store.JobMirror)
			_, run, err = db.BeginRun(ctx, jobs[0], uuid.NewString())
			ok(t, err)
			ok(t, db.EndRun(ctx, run, []store.MirrorOutcome{{Tag: fmt.Sprint(i), Outcome: store.TagCopied}}, store.RunEnd{State: store.RunSuccess, Next: next}))
			ok(t, db.FinishJob(ctx, claimed[0], store.Progress{}))
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM mirror_runs`); n != 20 {
			t.Errorf("%d runs are kept", n)
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM mirror_outcomes`); n != 5 {
			t.Errorf("%d outcomes are kept", n)
		}
		// A dry run beside it, and none beside that.
		id, err := db.PlanMirror(ctx, m.repo)
		ok(t, err)
		if same, err := db.PlanMirror(ctx, m.repo); err != nil || same != id {
			t.Errorf("a second dry run: %s, %v", same, err)
		}
		ok(t, db.DeleteMirror(ctx, m.repo, gantry.Actor{}))
		if _, err := db.Mirror(ctx, m.repo.ID); !gantry.Is(err, gantry.NotFound) {
			t.Error(err)
		}
		if r, err := db.RepositoryByID(ctx, m.repo.ID); err != nil || r.State != gantry.Normal {
			t.Errorf("%v %v", r.State, err)
		}
		ok(t, db.DeleteRobot(ctx, m.robot, gantry.Actor{}))
	})
}

func TestMirrorChange(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		m := newMirrored(t, db)
		other := m.newRobot("second")
		ok(t, db.ChangeMirror(ctx, m.repo, gantry.Actor{}, func(x *store.Mirror) error {
			x.Robot, x.Upstream, x.Interval = other.ID, "other.example/x/y", 2*time.Hour
			return nil
		}))
		if got := m.now(); got.RobotName != other.Name || got.Upstream != "other.example/x/y" || got.Interval != 2*time.Hour {
			t.Fatalf("%+v", got)
		}
		if a, err := db.RepositoryAccess(ctx, other.ID, m.repo.Name); err != nil || a.Role != gantry.Write {
			t.Fatalf("%v %v", a.Role, err)
		}
		no := errors.New("no")
		if err := db.ChangeMirror(ctx, m.repo, gantry.Actor{}, func(*store.Mirror) error { return no }); !errors.Is(err, no) {
			t.Fatal(err)
		}
		stranger := newMirrored(t, db)
		if err := db.ChangeMirror(ctx, m.repo, gantry.Actor{}, func(x *store.Mirror) error { x.Robot = stranger.robot.ID; return nil }); !gantry.Is(err, gantry.Invalid) {
			t.Fatalf("the robot of another namespace: %v", err)
		}
		ok(t, db.ChangeMirror(ctx, m.repo, gantry.Actor{}, func(x *store.Mirror) error { x.Enabled = false; return nil }))
		if got := m.now(); !got.Due.IsZero() {
			t.Fatalf("a mirror that is off is due at %v", got.Due)
		}
		// What is off runs when it is asked to.
		ok(t, db.SyncMirror(ctx, m.repo, gantry.Actor{}))
		jobs, _ := m.queue(store.JobMirror)
		var mine []store.MirrorJob
		for _, j := range jobs {
			if j.Repo == m.repo.ID {
				mine = append(mine, j)
			}
		}
		if len(mine) != 1 {
			t.Fatalf("%+v", jobs)
		}
		_, run, err := db.BeginRun(ctx, mine[0], uuid.NewString())
		ok(t, err)
		// The state decides: no run goes on in a repository that is no mirror.
		ok(t, db.SetState(ctx, m.repo, gantry.Normal, gantry.Actor{}))
		if err := db.SaveRun(ctx, run, nil); !gantry.Is(err, gantry.Conflict) {
			t.Fatalf("it goes on in a normal repository: %v", err)
		}
		ok(t, db.DeleteRepository(ctx, m.repo, gantry.Actor{}))
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM repo_mirrors WHERE repo_id = ?`, m.repo.ID); n != 0 {
			t.Error("the mirror of a deleted repository stays")
		}
		ok(t, db.DeleteRobot(ctx, other, gantry.Actor{}))
		ok(t, db.DeleteNamespace(ctx, stranger.org.ID, gantry.Actor{}))
		for _, table := range []string{"repo_mirrors", "mirror_runs", "mirror_outcomes"} {
			if n := storetest.Get(t, db, `SELECT COUNT(*) FROM `+table); n != 0 {
				t.Errorf("%d rows of %s stay", n, table)
			}
		}
	})
}

func TestOrgMirror(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		m := newMirrored(t, db) // one repository was there before, with a mirror of its own
		om := store.OrgMirror{UUID: uuid.NewString(), Org: m.org.ID, OrgName: m.org.Name, Robot: m.robot.ID, Enabled: true, Kind: "quay", URL: "https://quay.example",
			Upstream: "acme", Visibility: gantry.Private, Secret: "s", Options: json.RawMessage(`{}`), Interval: time.Hour, Start: db.Now().Add(-time.Second)}
		ok(t, db.CreateOrgMirror(ctx, om, gantry.Actor{}))
		if err := db.CreateOrgMirror(ctx, om, gantry.Actor{}); !gantry.Is(err, gantry.Conflict) {
			t.Fatal(err)
		}
		if _, err := db.CreateRepository(ctx, store.NewRepository{Name: gantry.RepoName{Namespace: m.org.Name, Name: "mine"}}, gantry.Actor{}); !gantry.Is(err, gantry.Denied) {
			t.Fatalf("a repository was made in a mirror: %v", err)
		}
		jobs, claimed := m.queue(store.JobDiscover)
		if len(jobs) != 1 || jobs[0].Org != m.org.ID {
			t.Fatalf("%+v", jobs)
		}
		got, err := db.BeginDiscovery(ctx, m.org.ID)
		ok(t, err)
		id, err := db.CreateRepository(ctx, store.NewRepository{Name: gantry.RepoName{Namespace: m.org.Name, Name: "web"}, State: gantry.OrgMirror,
			Creator: m.robot.ID, CreatorRole: gantry.Write}, gantry.Actor{})
		ok(t, err)
		ok(t, db.Discovered(ctx, got, "web", id, "quay.example/acme/web", "", true))
		ok(t, db.Discovered(ctx, got, "web", id, "quay.example/acme/web", "", false))
		ok(t, db.Discovered(ctx, got, "odd", 0, "", "no name for it here", false))
		if err := db.Discovered(ctx, got, m.repo.Name.Name, m.repo.ID, "x", "", false); !gantry.Is(err, gantry.Conflict) {
			t.Fatalf("it took a repository that is not its own: %v", err)
		}
		ok(t, db.EndDiscovery(ctx, got, store.RunEnd{State: store.RunSuccess, Next: db.Now().Add(time.Hour)}, true))
		ok(t, db.FinishJob(ctx, claimed[0], store.Progress{}))
		list, total, err := db.OrgMirrorRepos(ctx, got.ID, "", 0, 10)
		ok(t, err)
		if total != 2 || len(list) != 2 || list[0].Name != "odd" || list[0].Status != store.MirrorSkip || list[0].Message == "" ||
			list[1].Status != store.MirrorSyncNow || list[1].Local.String() != m.org.Name+"/web" {
			t.Fatalf("%d %+v", total, list)
		}
		if _, total, err = db.OrgMirrorRepos(ctx, got.ID, store.MirrorSkip, 0, 10); err != nil || total != 1 {
			t.Fatalf("%d %v", total, err)
		}
		one, err := db.Mirror(ctx, id)
		ok(t, err)
		if one.Org == nil || one.RobotName != m.robot.Name || one.Upstream != "quay.example/acme/web" || one.Org.Secret != "s" {
			t.Fatalf("%+v", one)
		}
		if r, err := db.MirrorRobot(ctx, id); err != nil || r != m.robot.ID {
			t.Fatalf("%d %v", r, err)
		}
		web, err := db.RepositoryByID(ctx, id)
		ok(t, err)
		if err := db.ChangeMirror(ctx, web, gantry.Actor{}, func(*store.Mirror) error { return nil }); !gantry.Is(err, gantry.Invalid) {
			t.Fatal(err)
		}
		other := m.newRobot("other")
		ok(t, db.ChangeOrgMirror(ctx, m.org.ID, gantry.Actor{}, func(x *store.OrgMirror) error { x.Robot, x.Enabled = other.ID, false; return nil }))
		if a, err := db.RepositoryAccess(ctx, other.ID, web.Name); err != nil || a.Role != gantry.Write {
			t.Fatalf("%v %v", a.Role, err)
		}
		ok(t, db.ChangeOrgMirror(ctx, m.org.ID, gantry.Actor{}, func(x *store.OrgMirror) error { x.Enabled = true; return nil }))
		// Gone upstream: nothing runs.
		ok(t, db.SyncOrgMirror(ctx, m.org.ID, gantry.Actor{}))
		_, claimed = m.queue(store.JobDiscover)
		got, err = db.BeginDiscovery(ctx, m.org.ID)
		ok(t, err)
		ok(t, db.MirrorGone(ctx, got, []int64{list[1].ID}))
		ok(t, db.CancelOrgMirror(ctx, m.org.ID, gantry.Actor{}))
		if err := db.EndDiscovery(ctx, got, store.RunEnd{State: store.RunSuccess}, true); !gantry.Is(err, gantry.Conflict) {
			t.Fatalf("a cancelled discovery ended: %v", err)
		}
		if err := db.SaveJob(ctx, claimed[0], time.Minute, store.Progress{}, nil); !gantry.Is(err, gantry.Conflict) {
			t.Fatal(err)
		}
		if list, _, err = db.OrgMirrorRepos(ctx, got.ID, "", 1, 10); err != nil || len(list) != 1 || list[0].Status != store.MirrorSkip {
			t.Fatalf("%+v %v", list, err)
		}
		c, err := db.MirrorCounts(ctx, nil)
		ok(t, err)
		if c.Orgs != 1 || c.OrgsOn != 1 || c.Found != 1 {
			t.Fatalf("%+v", c)
		}
		ok(t, db.DeleteOrgMirror(ctx, m.org.ID, gantry.Actor{}))
		if web, err = db.RepositoryByID(ctx, id); err != nil || web.State != gantry.Normal {
			t.Fatalf("%v %v", web.State, err)
		}
		if _, err := db.OrgMirror(ctx, m.org.ID); !gantry.Is(err, gantry.NotFound) {
			t.Fatal(err)
		}
	})
}
