// Package mail sends mail: it queues messages as durable jobs, whose payload is
// sealed, and hands them to the SMTP server of the configuration.
package mail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wneessen/go-mail"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
)

// JobKind is the kind of the jobs that send.
const JobKind = "mail"

const (
	maxAttempts = 16 // with pauses from 20 s to an hour: for about half a day
	firstPause  = 20 * time.Second
	atOnce      = 4
	sealColumn  = "jobs.mail"
	maxText     = 64 << 10
	maxSubject  = 255
	maxAddress  = 254

	implicitPort = 465 // of TLS from the start
)

// A Message is a mail to one address.
type Message struct {
	To      string // user@host, nothing else
	Subject string
	Text    string
	HTML    string // the same as Text; "" = text alone
	// Until is when it is of no use any more, because what it holds has
	// expired: then it is not sent. Zero = never.
	Until time.Time
}

// check refuses, as Invalid, what is no single address, and every text that
// could make a further header.
func (m *Message) check() error {
	a, err := netmail.ParseAddress(m.To)
	if err != nil || a.Name != "" || a.Address != m.To || len(m.To) > maxAddress || strings.ContainsFunc(m.To, unicode.IsControl) {
		return gantry.Errorf(gantry.Invalid, "email", "Invalid email address: %.80q", m.To)
	}
	if m.Subject == "" || len(m.Subject) > maxSubject || strings.ContainsFunc(m.Subject, unicode.IsControl) || !utf8.ValidString(m.Subject) {
		return gantry.Errorf(gantry.Invalid, "subject", "A subject is one line of at most %d bytes", maxSubject)
	}
	if len(m.Text) > maxText || len(m.HTML) > maxText {
		return gantry.Errorf(gantry.TooLarge, "mail", "A mail is at most %d bytes", maxText)
	}
	return nil
}

// Settings can change while a Service runs.
type Settings struct {
	On           bool // FEATURE_MAILING
	Host         string
	Port         int
	TLS          bool // STARTTLS, which has to work; on port 465 TLS from the start
	Auth         bool
	Username     string
	Password     string
	Sender       string        // MAIL_DEFAULT_SENDER
	FailSilently bool          // MAIL_FAIL_SILENTLY: a mail that is given up is logged, and no job stays that failed
	Timeout      time.Duration // of one mail; 0 = 30 s
}

// Options are what New needs; all but RootCAs and Logger are required.
type Options struct {
	Store    *store.DB
	Keys     *auth.Keys
	Settings func() Settings
	RootCAs  func() *x509.CertPool // nil = the system's
	Logger   *slog.Logger          // nil = discard
}

// A Service sends mail.
type Service struct {
	o        Options
	implicit int // the port of TLS from the start
}

// New returns a service. It sends nothing by itself: a jobs.Runner calls what
// Kinds has.
func New(o Options) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.RootCAs == nil {
		o.RootCAs = func() *x509.CertPool { return nil }
	}
	return &Service{o, implicitPort}
}

// On reports whether mail is sent at all.
func (s *Service) On() bool { return s.o.Settings().On }

type payload struct {
	Row    string `json:"row"`
	Sealed string `json:"sealed"` // a Message
}

// Job makes the job that sends m, to be queued with something else.
func (s *Service) Job(m Message) (store.NewJob, error) {
	if err := m.check(); err != nil {
		return store.NewJob{}, err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return store.NewJob{}, err
	}
	p := payload{Row: rand.Text()}
	p.Sealed, err = s.o.Keys.Seal(sealColumn, p.Row, string(b))
	return store.NewJob{Kind: JobKind, MaxAttempts: maxAttempts, Payload: p}, err
}

// Queue queues m. Unavailable where mail is switched off.
func (s *Service) Queue(ctx context.Context, m Message) error {
	if !s.On() {
		return gantry.Errorf(gantry.Unavailable, "mail", "Mail is switched off on this registry (FEATURE_MAILING)")
	}
	j, err := s.Job(m)
	if err == nil {
		_, err = s.o.Store.Enqueue(ctx, j)
	}
	return err
}

// Kinds are how the jobs of this package are run.
func (s *Service) Kinds() map[string]jobs.Kind {
	return map[string]jobs.Kind{JobKind: {Handle: s.deliver, Limit: atOnce, Backoff: firstPause}}
}

func (s *Service) deliver(ctx context.Context, r *jobs.Run) error {
	var p payload
	if err := r.Payload(&p); err != nil {
		return err
	}
	text, err := s.o.Keys.Open(sealColumn, p.Row, p.Sealed)
	if err != nil {
		return jobs.Permanent(err)
	}
	var m Message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return jobs.Permanent(errors.New("the message cannot be read"))
	}
	if !m.Until.IsZero() && s.o.Store.Now().After(m.Until) {
		s.o.Logger.WarnContext(ctx, "a mail was not sent in time", "subject", m.Subject)
		return nil
	}
	set := s.o.Settings()
	if !set.On {
		return jobs.Permanent(errors.New("mail is switched off (FEATURE_MAILING)"))
	}
	err = s.send(ctx, set, p.Row, &m)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	permanent := refused(err)
	if permanent || r.Job.Attempt >= r.Job.MaxAttempts {
		s.o.Logger.ErrorContext(ctx, "a mail could not be sent", "subject", m.Subject, "attempts", r.Job.Attempt, "error", err)
		if set.FailSilently {
			return nil
		}
		return jobs.Permanent(err)
	}
	return err
}

// refused reports whether the server will never take the mail.
func refused(err error) bool {
	e, ok := errors.AsType[*mail.SendError](err)
	return ok && !e.IsTemp() && e.ErrorCode() >= 500
}

// send hands one mail to the server. id is the same in each attempt, so that
// who gets it twice can tell.
func (s *Service) send(ctx context.Context, set Settings, id string, m *Message) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := connect(ctx, set, s.o.RootCAs(), s.implicit)
	if err != nil {
		return err
	}
	msg, err := compose(set.Sender, id, m)
	if err != nil {
		return err
	}
	return c.DialAndSendWithContext(ctx, msg)
}

// Check connects to the server as for sending, with TLS and the account, and
// leaves again. Nothing is sent.
func Check(ctx context.Context, set Settings, roots *x509.CertPool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := connect(ctx, set, roots, implicitPort)
	if err != nil {
		return err
	}
	if err := c.DialWithContext(ctx); err != nil {
		return err
	}
	return c.Close()
}

// connect makes a client of the server. Its connection is closed when ctx ends.
func connect(ctx context.Context, set Settings, roots *x509.CertPool, implicitAt int) (*mail.Client, error) {
	if set.Timeout <= 0 {
		set.Timeout = 30 * time.Second
	}
	secure := &tls.Config{ServerName: set.Host, RootCAs: roots, MinVersion: tls.VersionTLS12}
	implicit := set.TLS && set.Port == implicitAt
	// The client leaves the connection open where it cannot sign in, and does
	// not look at ctx once it is connected.
	dial := func(dialing context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(dialing, network, addr)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() }) // it is closed already if all went well
		if !implicit {
			return conn, nil
		}
		c := tls.Client(conn, secure)
		return c, c.HandshakeContext(dialing)
	}
	opts := []mail.Option{mail.WithPort(set.Port), mail.WithTimeout(set.Timeout), mail.WithTLSConfig(secure), mail.WithDialContextFunc(dial)}
	switch {
	case implicit:
		opts = append(opts, mail.WithSSL())
	case set.TLS:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	default:
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	}
	if set.Auth {
		plain, login := mail.SMTPAuthPlain, mail.SMTPAuthLogin
		if !set.TLS { // as the configuration wants it; it warns
			plain, login = mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc
		}
		opts = append(opts, mail.WithUsername(set.Username), mail.WithPassword(set.Password),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, plain, login, mail.SMTPAuthCramMD5))
	}
	return mail.NewClient(set.Host, opts...)
}

// compose makes the mail of a message that check took.
func compose(sender, id string, m *Message) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(sender); err != nil {
		return nil, fmt.Errorf("MAIL_DEFAULT_SENDER: %w", err)
	}
	if err := msg.To(m.To); err != nil {
		return nil, err
	}
	msg.Subject(m.Subject)
	msg.SetDate()
	_, host, _ := strings.Cut(sender, "@")
	msg.SetMessageIDWithValue(id + "@" + strings.TrimSuffix(host, ">"))
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(mail.TypeTextHTML, m.HTML)
	}
	return msg, nil
}
