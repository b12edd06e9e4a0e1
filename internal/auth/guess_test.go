package auth

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestParallelGuesses holds that of many wrong passwords that come at once one
// is looked at, of an account and of a name that is nobody's, and of many
// right ones none is refused.
func TestParallelGuesses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		now := time.Now()
		s := newService(t, db, func(o *Options) { o.Now = func() time.Time { return now } })
		user(t, s, "ann")
		const n = 40
		together := func(name, password string) (wrong, early, right int) {
			var wg sync.WaitGroup
			errs := make([]error, n)
			for i := range n {
				wg.Go(func() { _, errs[i] = s.Basic(t.Context(), name, password, gantry.Actor{}) })
			}
			wg.Wait()
			for _, err := range errs {
				switch {
				case err == nil:
					right++
				case gantry.ReasonOf(err) == gantry.LoginBackoff:
					early++
				case gantry.Is(err, gantry.Unauthenticated):
					wrong++
				default:
					t.Errorf("%s: %v", name, err)
				}
			}
			return wrong, early, right
		}
		for _, name := range []string{"ann", "nobody", "nobody@example.com"} {
			if wrong, early, right := together(name, "guess"); wrong != 1 || early != n-1 {
				t.Errorf("%d guesses for %s: %d looked at, %d sent away, %d taken", n, name, wrong, early, right)
			}
		}
		if a, err := db.Account(t.Context(), "ann"); err != nil || a.FailedLogins != 1 {
			t.Errorf("%d failures are counted, %v", a.FailedLogins, err)
		}
		now = now.Add(time.Minute)
		if _, _, right := together("ann", "ann-password"); right != n {
			t.Errorf("%d of %d right passwords are taken", right, n)
		}
	})
}

// TestBackoffCostsNothing holds that a try that comes too soon neither hashes
// nor writes, although failures are audited.
func TestBackoffCostsNothing(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	db := storetest.Open(t, storetest.SQLite, store.Options{Now: func() time.Time { return now }})
	s := newService(t, db, func(o *Options) { o.AuditLoginFailures = true })
	user(t, s, "ann")
	count := func() int {
		t.Helper()
		events, err := db.Events(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(events)
	}
	for _, name := range []string{"ann", "nobody"} {
		if _, err := s.Basic(t.Context(), name, "wrong", gantry.Actor{}); gantry.ReasonOf(err) != "" || !gantry.Is(err, gantry.Unauthenticated) {
			t.Fatal(err)
		}
	}
	if n := count(); n != 3 { // and ann's own
		t.Fatalf("%d events", n)
	}
	for range cap(s.hashing.slots) { // nothing can be hashed
		s.hashing.slots <- struct{}{}
	}
	before := db.Statements()
	for range 10 {
		for _, name := range []string{"ann", "nobody"} {
			if _, err := s.Basic(t.Context(), name, "wrong", gantry.Actor{}); gantry.ReasonOf(err) != gantry.LoginBackoff {
				t.Fatal(err)
			}
			if _, err := s.Login(t.Context(), name, "wrong", gantry.Actor{}); gantry.ReasonOf(err) != gantry.LoginBackoff {
				t.Fatal(err)
			}
		}
	}
	if n := db.Statements() - before; n > 1 { // ann's row is read once
		t.Errorf("%d statements", n)
	}
	if n := count(); n != 3 {
		t.Errorf("%d events", n)
	}
}

// TestSameCost holds that a wrong password costs the same whether there is
// such an account or not: the statements, and the work of the hash.
func TestSameCost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(t, db, func(o *Options) { o.BcryptCost = 5 })
		ann := user(t, s, "ann")
		cost := func(name string) uint64 {
			t.Helper()
			before := db.Statements()
			if _, err := s.Basic(t.Context(), name, "wrong", gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
				t.Fatal(err)
			}
			return db.Statements() - before
		}
		if a, b := cost("ann"), cost("nobody"); a != b {
			t.Errorf("%d statements for an account, %d for none", a, b)
		}
		a, err := bcrypt.Cost([]byte(ann.PasswordHash))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := bcrypt.Cost([]byte(s.dummy())); err != nil || a != b {
			t.Errorf("cost %d for an account, %d for none, %v", a, b, err)
		}
	})
}

// TestHashingIsBounded holds that a flood of sign-ins is sent away once enough
// wait, and that one address cannot take all the places.
func TestHashingIsBounded(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	s := newService(t, db, nil)
	h := &hasher{slots: make(chan struct{}, 1), most: 6, each: 3, by: map[string]int{}}
	s.hashing = h
	user(t, s, "ann")
	h.slots <- struct{}{} // a hash that takes long
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	enter := func(i int, ip string) error {
		_, err := s.Basic(ctx, fmt.Sprintf("nobody%d", i), "x", gantry.Actor{IP: ip})
		return err
	}
	queue := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.n
	}
	for i := range h.most {
		wg.Go(func() {
			if err := enter(i, fmt.Sprintf("192.0.2.%d", i/h.each)); err == nil || gantry.Is(err, gantry.Limited) {
				t.Error(i, err)
			}
		})
		for queue() != i+1 {
			time.Sleep(time.Millisecond)
		}
		if i+1 == h.each {
			if err := enter(100, "192.0.2.0"); !gantry.Is(err, gantry.Limited) {
				t.Error("one address takes all: ", err)
			}
		}
	}
	for i, ip := range []string{"192.0.2.9", ""} {
		if err := enter(200+i, ip); !gantry.Is(err, gantry.Limited) {
			t.Error("the queue has no bound: ", err)
		}
	}
	if _, err := s.HashPassword(ctx, "x"); !gantry.Is(err, gantry.Limited) {
		t.Error(err)
	}
	cancel()
	wg.Wait()
	<-h.slots
	if n := queue(); n != 0 || len(h.by) != 0 {
		t.Errorf("%d wait still, %v", n, h.by)
	}
	if _, err := s.Basic(t.Context(), "ann", "ann-password", gantry.Actor{}); err != nil {
		t.Error(err)
	}
	if n := len(s.tries.m); n != 0 {
		t.Errorf("%d turns are left", n)
	}
}

// TestOwnerIsNotLockedOut holds that a client that goes on using the right
// password gets in for as long as somebody guesses, at whatever pace.
func TestOwnerIsNotLockedOut(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	db := storetest.Open(t, storetest.SQLite, store.Options{Now: func() time.Time { return now }})
	s := newService(t, db, nil)
	ann := user(t, s, "ann")
	own := func() error {
		_, err := s.Basic(t.Context(), "ann", "ann-password", gantry.Actor{})
		return err
	}
	if err := own(); err != nil {
		t.Fatal(err)
	}
	for range 20 { // an hour, always within the wait of the last guess
		for range 15 {
			if err := db.LoginFailed(t.Context(), ann.ID); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(3 * time.Minute)
		if err := own(); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(provenLife)
	if err := own(); gantry.ReasonOf(err) != gantry.LoginBackoff {
		t.Fatal("credentials are remembered for ever: ", err)
	}
}

// TestProvenEndsAtOnce holds that credentials that were right end with the
// password, the account and the robot's token, in this process at once and in
// another within a second.
func TestProvenEndsAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		now := time.Now()
		clock := func() time.Time { return now }
		s := newService(t, db, func(o *Options) { o.Now = clock })
		other := s
		if !db.Exclusive() {
			other = newService(t, storetest.Another(t, db, store.Options{}), func(o *Options) { o.Now = clock })
		}
		ann := user(t, s, "ann")
		uuid := NewUUID()
		token, sealed, err := s.NewRobotToken(uuid)
		if err != nil {
			t.Fatal(err)
		}
		robot, err := db.CreateRobot(t.Context(), ann.ID, store.NewAccount{Name: "ann+ci", UUID: uuid, Secret: sealed}, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		try := func(name, password string, good bool) {
			t.Helper()
			if _, err := s.Basic(t.Context(), name, password, gantry.Actor{}); (err == nil) != good {
				t.Errorf("%s here: %v", name, err)
			}
			now = now.Add(time.Second)
			if _, err := other.Basic(t.Context(), name, password, gantry.Actor{}); (err == nil) != good {
				t.Errorf("%s there: %v", name, err)
			}
			now = now.Add(time.Minute) // past the wait after a wrong one
		}
		try("ann", "ann-password", true)
		try("ann+ci", token, true)
		hash, err := s.HashPassword(t.Context(), "another-password")
		if err != nil {
			t.Fatal(err)
		}
		if err := db.SetPassword(t.Context(), ann.ID, hash, 0, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		try("ann", "ann-password", false)
		try("ann", "another-password", true)
		fresh, sealed, err := s.NewRobotToken(uuid)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.RegenerateRobot(t.Context(), robot, sealed, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		try("ann+ci", token, false)
		try("ann+ci", fresh, true)
		if err := db.SetEnabled(t.Context(), ann.ID, false, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		try("ann", "another-password", false)
		try("ann+ci", fresh, false)
	})
}

// TestNoOracle holds that where encrypted passwords are required, nobody
// learns from the answer, or from what is counted, whether an altered one
// still opens.
func TestNoOracle(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	db := storetest.Open(t, storetest.SQLite, store.Options{Now: func() time.Time { return now }})
	s := newService(t, db, func(o *Options) { o.RequireEncryptedBasicAuth = true })
	ann := user(t, s, "ann")
	secret, err := s.keys.EncryptPassword("ann-password")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Basic(t.Context(), "ann", secret, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Basic(t.Context(), "ann", "ann-password", gantry.Actor{}); err == nil || err.Error() != errPlain.Error() {
		t.Fatal(err)
	}
	if _, err := s.Login(t.Context(), "ann", "ann-password", gantry.Actor{}); err != nil {
		t.Fatal("a person at the sign-in page: ", err)
	}
	raw, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	opened, failed := 0, 0
	for i := range raw {
		altered := append([]byte{}, raw...)
		altered[i] ^= 1
		text := base64.StdEncoding.EncodeToString(altered)
		if _, ok := s.keys.DecryptPassword(text); ok {
			opened++
		}
		now = now.Add(48 * time.Hour)
		if _, err := s.Basic(t.Context(), "ann", text, gantry.Actor{}); err == nil {
			continue // a byte of the padding, which nobody reads: the password is the same
		} else if err.Error() != errWrong.Error() {
			t.Fatalf("byte %d: %v", i, err)
		}
		failed++
		if a, err := db.AccountByID(t.Context(), ann.ID); err != nil || a.FailedLogins == 0 {
			t.Fatalf("byte %d: it is not counted, %v", i, err)
		}
	}
	if opened == 0 || failed < len(raw)/2 {
		t.Errorf("the test tests nothing: %d open, %d are refused", opened, failed)
	}
}

// TestAuditOfFailures holds that failed sign-ins reach the journal whatever
// name was given, of both doors, and no password does.
func TestAuditOfFailures(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(t, db, func(o *Options) { o.AuditLoginFailures = true })
		names := []string{"nobody", "a\x00b", "\xff\xfe", strings.Repeat("ä", 300), "$app", "a+b", "x@example.com", ""}
		for _, name := range names {
			if _, err := s.Basic(t.Context(), name, "sesame-open", gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
				t.Errorf("%.20q: %v", name, err)
			}
		}
		if _, err := s.Login(t.Context(), "someone", "sesame-open", gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Error(err)
		}
		if _, err := db.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		events, err := db.Events(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range events {
			if e.Kind == "login_failure" {
				n++
			}
			if strings.Contains(fmt.Sprintf("%+v %s", e, e.Payload), "sesame-open") {
				t.Errorf("a password is in the journal: %+v", e)
			}
		}
		if n != len(names)+1 {
			t.Errorf("%d failures are written down, want %d", n, len(names)+1)
		}
	})
}
