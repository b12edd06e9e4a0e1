package mail

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// A server is a strict SMTP server: lines end with CRLF and are short,
// commands come in order, and what it demands it insists on.
type server struct {
	t        *testing.T
	ln       net.Listener
	roots    *x509.CertPool
	tls      *tls.Config
	implicit bool
	starttls bool   // offered, and needed before MAIL
	password string // needed before MAIL; "" = none
	rcpt     string // answer to RCPT; "" = good
	hang     chan struct{}

	mu     sync.Mutex
	mails  []string
	logins int
	conns  int
}

func newServer(t *testing.T, s *server) *server {
	t.Helper()
	s.t = t
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	s.roots = x509.NewCertPool()
	s.roots.AddCert(cert)
	s.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil { //nolint:noctx // a test's own
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := s.ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = c.Close() }() // the client may have closed it
				s.mu.Lock()
				s.conns++
				s.mu.Unlock()
				if s.hang != nil {
					<-s.hang
					return
				}
				s.serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = s.ln.Close()
		if s.hang != nil {
			close(s.hang)
		}
		all.Wait()
	})
	return s
}

func (s *server) serve(c net.Conn) {
	secure := s.implicit
	if secure {
		c = tls.Server(c, s.tls)
	}
	r := bufio.NewReader(c)
	say := func(text string) { _, _ = io.WriteString(c, text+"\r\n") } // a client that left is not told
	line := func() (string, bool) {
		text, err := r.ReadString('\n')
		if err != nil {
			return "", false
		}
		if !strings.HasSuffix(text, "\r\n") || len(text) > 1000 || strings.Contains(text[:len(text)-2], "\r") {
			s.t.Errorf("a line that is not allowed: %q", text)
		}
		return strings.TrimSuffix(text, "\r\n"), true
	}
	say("220 ready")
	hello, authed, from, to := false, s.password == "", false, false
	for {
		text, ok := line()
		if !ok {
			return
		}
		verb, arg, _ := strings.Cut(text, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			hello, from, to = true, false, false
			out := []string{"mail"}
			if s.starttls && !secure {
				out = append(out, "STARTTLS")
			}
			if s.password != "" && (secure || !s.starttls) {
				out = append(out, "AUTH PLAIN LOGIN")
			}
			out = append(out, "8BITMIME", "SMTPUTF8")
			for i, o := range out {
				sep := "-"
				if i == len(out)-1 {
					sep = " "
				}
				say("250" + sep + o)
			}
		case "STARTTLS":
			if secure || !s.starttls || !hello {
				say("503 no")
				continue
			}
			say("220 go")
			if r.Buffered() > 0 {
				s.t.Error("commands before the handshake")
			}
			c = tls.Server(c, s.tls)
			r, secure, hello = bufio.NewReader(c), true, false
		case "AUTH":
			want := base64.StdEncoding.EncodeToString([]byte("\x00postman\x00" + s.password))
			if arg != "PLAIN "+want {
				say("535 5.7.8 wrong")
				continue
			}
			s.mu.Lock()
			s.logins++
			s.mu.Unlock()
			authed = true
			say("235 welcome")
		case "MAIL":
			if !hello || !authed || s.starttls && !secure {
				say("530 5.7.0 not like this")
				continue
			}
			from = strings.HasPrefix(strings.ToUpper(arg), "FROM:<")
			say(map[bool]string{true: "250 ok", false: "501 no"}[from])
		case "RCPT":
			if !from || s.rcpt != "" {
				say(s.rcpt + map[bool]string{true: "503 no"}[s.rcpt == ""])
				continue
			}
			to = true
			say("250 ok")
		case "DATA":
			if !to {
				say("503 no")
				continue
			}
			say("354 go")
			var b strings.Builder
			for {
				text, ok := line()
				if !ok {
					return
				}
				if text == "." {
					break
				}
				b.WriteString(strings.TrimPrefix(text, ".") + "\r\n")
			}
			s.mu.Lock()
			s.mails = append(s.mails, b.String())
			s.mu.Unlock()
			say("250 taken")
		case "NOOP", "RSET":
			say("250 ok")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what")
		}
	}
}

func (s *server) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.mails...)
}

func (s *server) settings() Settings {
	return Settings{On: true, Host: "127.0.0.1", Port: s.ln.Addr().(*net.TCPAddr).Port, TLS: s.starttls, Auth: s.password != "", Username: "postman", Password: s.password,
		Sender: "Registry <registry@example.com>", Timeout: 10 * time.Second}
}

type world struct {
	t   *testing.T
	db  *store.DB
	s   *Service
	set atomic.Pointer[Settings]
	ms  atomic.Int64

	others atomic.Int64
}

func newWorld(t *testing.T, dialect string, roots *x509.CertPool, set Settings) *world {
	t.Helper()
	w := &world{t: t}
	w.set.Store(&set)
	w.ms.Store(1_800_000_000_000)
	w.db = storetest.Open(t, dialect, store.Options{Now: func() time.Time { return time.UnixMilli(w.ms.Load()) }})
	keys, err := auth.NewKeys(auth.KeyOptions{SecretKey: "secret", DatabaseSecretKey: "database"})
	if err != nil {
		t.Fatal(err)
	}
	w.s = New(Options{Store: w.db, Keys: keys, Settings: func() Settings { return *w.set.Load() }, RootCAs: func() *x509.CertPool { return roots }})
	return w
}

// run starts a runner.
func (w *world) run() {
	w.t.Helper()
	kinds := w.s.Kinds()
	kinds["other"] = jobs.Kind{Handle: func(context.Context, *jobs.Run) error { w.others.Add(1); return nil }}
	r, err := jobs.New(w.t.Context(), jobs.Options{Store: w.db, Kinds: kinds, Poll: 10 * time.Millisecond, Grace: time.Millisecond, Lease: 24 * time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := r.Stop(context.WithoutCancel(w.t.Context())); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) queue(m Message) {
	w.t.Helper()
	if err := w.s.Queue(w.t.Context(), m); err != nil {
		w.t.Fatal(err)
	}
}

// jobs are all jobs of a kind in a state.
func (w *world) jobs(state store.JobState) []store.Job {
	w.t.Helper()
	list, err := w.db.Jobs(w.t.Context(), store.JobFilter{Kind: JobKind, State: state})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.t.Fatalf("never: %s", what)
		}
	}
}

var hello = Message{To: "ann@example.org", Subject: "Grüße – from the registry", Text: "Hello Ann,\n.\nthis is ünicode.\n", HTML: "<p>Hello <b>Ann</b></p>\n"}

// TestSend sends by each way that the configuration offers.
func TestSend(t *testing.T) {
	for name, s := range map[string]*server{
		"plain":            {},
		"plain with login": {password: "pass word"},
		"STARTTLS":         {starttls: true},
		"STARTTLS, login":  {starttls: true, password: "pass word"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, s)
			w := newWorld(t, storetest.SQLite, s.roots, s.settings())
			w.queue(hello)
			w.run()
			w.until("it arrives", func() bool { return len(w.jobs(store.JobDone)) == 1 })
			got := s.got()
			if len(got) != 1 || (s.logins > 0) != (s.password != "") {
				t.Fatalf("%d mails, %d logins", len(got), s.logins)
			}
			m, err := netmail.ReadMessage(strings.NewReader(got[0]))
			if err != nil {
				t.Fatal(err)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil || subject != hello.Subject || m.Header.Get("To") != "<ann@example.org>" || m.Header.Get("From") != `"Registry" <registry@example.com>` ||
				m.Header.Get("Message-Id") == "" || m.Header.Get("Auto-Submitted") != "auto-generated" {
				t.Errorf("%q %v %v", subject, m.Header, err)
			}
			_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
			if err != nil {
				t.Fatal(err)
			}
			parts := multipart.NewReader(m.Body, params["boundary"])
			for _, want := range []string{hello.Text, hello.HTML} {
				p, err := parts.NextRawPart()
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(quotedprintable.NewReader(p))
				if err != nil || strings.ReplaceAll(string(b), "\r\n", "\n") != want {
					t.Errorf("%q, want %q: %v", b, want, err)
				}
			}
		})
	}
}

// TestTrust: with TLS no mail goes to a server that has none, or that nobody
// vouches for, and no password at all.
func TestTrust(t *testing.T) {
	for name, c := range map[string]struct {
		s     *server
		roots bool
		want  string
	}{
		"no STARTTLS":       {&server{password: "p"}, true, "STARTTLS"},
		"unknown authority": {&server{starttls: true, password: "p"}, false, "certificate"},
		"wrong password":    {&server{starttls: true, password: "other"}, true, "535"},
		"no login offered":  {&server{starttls: true}, true, "AUTH"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, c.s)
			roots := x509.NewCertPool()
			if c.roots {
				roots = s.roots
			}
			set := s.settings()
			set.TLS, set.Auth, set.Password = true, true, "p"
			w := newWorld(t, storetest.SQLite, roots, set)
			err := w.s.send(t.Context(), set, "x", &hello)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(s.got()) != 0 || s.logins != 0 {
				t.Errorf("%v, %d mails", err, len(s.got()))
			}
			if refused(err) {
				t.Error("it would not be tried again")
			}
		})
	}
}

// TestImplicitTLS is that of port 465.
func TestImplicitTLS(t *testing.T) {
	s := newServer(t, &server{implicit: true})
	set := s.settings()
	set.TLS = true
	w := newWorld(t, storetest.SQLite, s.roots, set)
	w.s.implicit = set.Port
	if err := w.s.send(t.Context(), set, "x", &hello); err != nil || len(s.got()) != 1 {
		t.Error(err, len(s.got()))
	}
}

// TestRetries: a server that is down loses nothing; one that refuses for good
// is not asked again; a mail that is of no use any more is not sent.
func TestRetries(t *testing.T) {
	for _, d := range storetest.Dialects() {
		t.Run(d, func(t *testing.T) {
			s := newServer(t, &server{})
			up := s.settings()
			down := up
			down.Port = 1
			w := newWorld(t, d, s.roots, down)
			late := hello
			late.Until = w.db.Now().Add(30 * time.Second)
			w.queue(hello)
			w.queue(late)
			w.run()
			failed := func(n int) func() bool {
				return func() bool {
					list := w.jobs(store.JobReady)
					return len(list) == 2 && list[0].Attempt == n && list[1].Attempt == n && list[0].Error != "" && list[1].Error != ""
				}
			}
			w.until("both have failed", failed(1))
			w.ms.Add(firstPause.Milliseconds())
			w.until("both have failed again", failed(2))
			w.set.Store(&up)
			w.ms.Add(2 * firstPause.Milliseconds())
			w.until("both are done", func() bool { return len(w.jobs(store.JobDone)) == 2 })
			if n := len(s.got()); n != 1 {
				t.Errorf("%d mails", n)
			}
			for _, j := range w.jobs("") {
				if text := string(j.Payload); strings.Contains(text, "ann") || strings.Contains(text, "registry") {
					t.Errorf("the payload is not sealed: %s", text)
				}
			}
		})
	}
}

// TestGivenUp: what the server refuses for good stays among the failed jobs,
// unless MAIL_FAIL_SILENTLY says otherwise, and so does what failed too often.
func TestGivenUp(t *testing.T) {
	s := newServer(t, &server{rcpt: "550 5.1.1 nobody"})
	w := newWorld(t, storetest.SQLite, s.roots, s.settings())
	w.queue(hello)
	w.run()
	w.until("it is given up", func() bool { return len(w.jobs(store.JobFailed)) == 1 })
	silent := s.settings()
	silent.FailSilently = true
	w.set.Store(&silent)
	w.queue(hello)
	w.until("it is given up silently", func() bool { return len(w.jobs(store.JobDone)) == 1 })
	silent.Port = 1
	w.set.Store(&silent)
	w.queue(hello)
	for i := range maxAttempts - 1 {
		w.until("it failed", func() bool { l := w.jobs(store.JobReady); return len(l) == 1 && l[0].Attempt == i+1 })
		w.ms.Add(time.Hour.Milliseconds())
	}
	w.until("it is given up", func() bool { return len(w.jobs(store.JobDone)) == 2 })
	off := s.settings()
	off.On = false
	w.queue(hello)
	w.set.Store(&off)
	w.until("it is given up", func() bool { return len(w.jobs(store.JobReady))+len(w.jobs(store.JobRunning)) == 0 })
	if err := w.s.Queue(t.Context(), hello); !gantry.Is(err, gantry.Unavailable) {
		t.Error(err)
	}
}

// TestSlow: a server that does not answer keeps no other job, and nobody who
// queues, waiting.
func TestSlow(t *testing.T) {
	s := newServer(t, &server{hang: make(chan struct{})})
	w := newWorld(t, storetest.SQLite, s.roots, s.settings())
	for range 50 {
		w.queue(hello)
	}
	w.run()
	w.until("the server is asked", func() bool { return len(w.jobs(store.JobRunning)) == atOnce })
	if _, err := w.db.Enqueue(t.Context(), store.NewJob{Kind: "other"}); err != nil {
		t.Fatal(err)
	}
	w.queue(hello)
	w.until("the other job has run", func() bool { return w.others.Load() == 1 })
	if n := len(w.jobs("")); n != 51 || len(w.jobs(store.JobDone)) != 0 {
		t.Errorf("%d mails wait", n)
	}
}

// TestInjection: no text makes a header, a command or a further address.
func TestInjection(t *testing.T) {
	w := newWorld(t, storetest.SQLite, nil, Settings{On: true})
	for _, to := range []string{"", "ann", "ann@example.org\r\nBcc: x@example.org", "ann@example.org, bob@example.org", "Ann <ann@example.org>", "ann@example.org\n",
		"<ann@example.org>", "ann@exa mple.org", "@example.org", strings.Repeat("a", 300) + "@example.org", "ann@example.org>\r\nRCPT TO:<x@y.z"} {
		m := hello
		m.To = to
		if err := w.s.Queue(t.Context(), m); !gantry.Is(err, gantry.Invalid) {
			t.Errorf("%q: %v", to, err)
		}
	}
	for _, subject := range []string{"", "x\r\nBcc: x@example.org", "x\ny", "x\x00", strings.Repeat("x", 300), "\xff"} {
		m := hello
		m.Subject = subject
		if err := w.s.Queue(t.Context(), m); !gantry.Is(err, gantry.Invalid) {
			t.Errorf("%q: %v", subject, err)
		}
	}
	m := hello
	m.Text = strings.Repeat("x", maxText+1)
	if err := w.s.Queue(t.Context(), m); !gantry.Is(err, gantry.TooLarge) {
		t.Error(err)
	}
}

// FuzzMessage: what is taken arrives as one mail with the headers that it is
// to have.
func FuzzMessage(f *testing.F) {
	f.Add("ann@example.org", "Hello", "text")
	f.Add("a\"b@example.org", "=?utf-8?q?x?=", "\r\n.\r\n")
	f.Add("ann@example.org\r\nX: y", "a\r\nb", "")
	f.Fuzz(func(t *testing.T, to, subject, text string) {
		m := Message{To: to, Subject: subject, Text: text}
		if m.check() != nil {
			return
		}
		msg, err := compose("Registry <registry@example.com>", "id", &m)
		if err != nil {
			return
		}
		var b strings.Builder
		if _, err := msg.WriteTo(&b); err != nil {
			return
		}
		got, err := netmail.ReadMessage(strings.NewReader(b.String()))
		if err != nil {
			t.Fatalf("%q: %v", b.String(), err)
		}
		if len(got.Header["To"]) != 1 || len(got.Header["Subject"]) != 1 || len(got.Header["Bcc"]) != 0 || len(got.Header) > 12 {
			t.Errorf("%v", got.Header)
		}
		if list, err := got.Header.AddressList("To"); err != nil || len(list) != 1 || list[0].Address != to {
			t.Errorf("%v %v, want %q", list, err, to)
		}
	})
}

// TestCheck: a check signs in and sends nothing, and says what is wrong.
func TestCheck(t *testing.T) {
	s := newServer(t, &server{starttls: true, password: "p"})
	set := s.settings()
	set.TLS, set.Auth, set.Password = true, true, "p"
	if err := Check(t.Context(), set, s.roots); err != nil || len(s.got()) != 0 || s.logins != 1 {
		t.Errorf("%v, %d mails, %d logins", err, len(s.got()), s.logins)
	}
	if err := Check(t.Context(), set, x509.NewCertPool()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v", err)
	}
	set.Password = "other"
	if err := Check(t.Context(), set, s.roots); err == nil || !strings.Contains(err.Error(), "535") {
		t.Errorf("wrong password: %v", err)
	}
}
