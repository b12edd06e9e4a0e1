package editor

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/httpd"
)

const (
	cookieName  = "gantry_editor"
	sessionLife = 8 * time.Hour
	// header and headerValue are in each request of the page; no other site's page
	// can send them.
	header      = "X-Requested-With"
	headerValue = "gantry-editor"
	// So many wrong passwords in a minute are looked at: of one client, and of all.
	// Who guesses keeps others out only by guessing from many addresses.
	maxWrong    = 10
	maxWrongAll = 1000
)

// A door knows the password, and how often it was not given.
type door struct {
	password [sha256.Size]byte // its hash, so that comparing takes the same time for all
	key      []byte            // of sessions, made of the password: they end with it

	mu    sync.Mutex
	since time.Time
	wrong map[string]int // in the minute since then, by client
	all   int            // of all clients
}

func newDoor(password string) door {
	mac := hmac.New(sha256.New, []byte(password))
	mac.Write([]byte("sessions of the configuration editor"))
	return door{password: sha256.Sum256([]byte(password)), key: mac.Sum(nil)}
}

// try compares a name and a password of a client. The error is that of the answer.
func (d *door) try(now time.Time, client, user, password string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.since) >= time.Minute || now.Before(d.since) {
		d.since, d.wrong, d.all = now, map[string]int{}, 0
	}
	if d.wrong[client] >= maxWrong || d.all >= maxWrongAll {
		return &failure{status: http.StatusTooManyRequests, code: "too_many", message: "there were too many wrong passwords: wait a minute", retry: time.Minute - now.Sub(d.since)}
	}
	sum := sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(sum[:], d.password[:])&subtle.ConstantTimeCompare([]byte(user), []byte(User)) != 1 {
		d.wrong[client]++
		d.all++
		return &failure{status: http.StatusUnauthorized, code: "unauthenticated", message: "the name or the password is wrong: the name is " + User}
	}
	return nil
}

// seal makes the value of a session's cookie.
func (d *door) seal(until time.Time) string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(until.Unix())) // #nosec G115 -- a time of this century
	return base64.RawURLEncoding.EncodeToString(append(raw, d.sign(raw)...))
}

func (d *door) sign(raw []byte) []byte {
	mac := hmac.New(sha256.New, d.key)
	mac.Write(raw)
	return mac.Sum(nil)
}

// sealed reports whether a cookie's value is of a session that lasts.
func (d *door) sealed(now time.Time, value string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(raw) != 8+sha256.Size || !hmac.Equal(raw[8:], d.sign(raw[:8])) {
		return false
	}
	return now.Unix() < int64(binary.BigEndian.Uint64(raw)) // #nosec G115 -- signed by us
}

// signedIn reports whether the request has a session.
func (s *Server) signedIn(r *http.Request) bool {
	c, err := r.Cookie(cookieName)
	return err == nil && s.door.sealed(s.Now(), c.Value)
}

// admit lets a request in that has a session, or the password.
func (s *Server) admit(r *http.Request) error {
	if err := s.sameOrigin(r); err != nil {
		return err
	}
	if user, password, ok := r.BasicAuth(); ok {
		err := s.door.try(s.Now(), address(r), user, password)
		if f, ok := err.(*failure); ok && f.status == http.StatusUnauthorized { //nolint:errorlint // it is made there
			f.basic = r.Header.Get(header) == ""
			s.warnWrong(r)
		}
		return err
	}
	if !s.signedIn(r) {
		return &failure{status: http.StatusUnauthorized, code: "unauthenticated", message: "sign in first, as " + User, basic: r.Header.Get(header) == ""}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get(header) != headerValue {
		return &failure{status: http.StatusForbidden, code: "forged", message: "a change by a session needs the header " + header + ": " + headerValue}
	}
	return nil
}

// sameOrigin refuses changes that the page of another site asks for.
func (s *Server) sameOrigin(r *http.Request) error {
	if err := s.origins.Check(r); err != nil {
		return &failure{status: http.StatusForbidden, code: "forged", message: "the page of another site asked for this"}
	}
	return nil
}

// signIn makes a session.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) error {
	if err := s.sameOrigin(r); err != nil {
		return err
	}
	var in struct{ Username, Password string }
	if err := read(r, &in); err != nil {
		return err
	}
	if err := s.door.try(s.Now(), address(r), in.Username, in.Password); err != nil {
		s.warnWrong(r)
		return err
	}
	http.SetCookie(w, s.cookie(r, s.door.seal(s.Now().Add(sessionLife)), int(sessionLife/time.Second)))
	w.WriteHeader(http.StatusNoContent)
	s.Log.InfoContext(r.Context(), "signed in to the configuration editor", "user", User, "client", client(r))
	return nil
}

func (s *Server) cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: secure(r), SameSite: http.SameSiteStrictMode} // #nosec G124 -- Secure wherever there is TLS
}

func (s *Server) session(w http.ResponseWriter, r *http.Request) error {
	if !s.signedIn(r) {
		return &failure{status: http.StatusUnauthorized, code: "unauthenticated", message: "there is no session"}
	}
	return send(w, http.StatusOK, map[string]string{"username": User})
}

// signOut forgets the session in the browser.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := s.sameOrigin(r); err != nil {
		return err
	}
	http.SetCookie(w, s.cookie(r, "", -1))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// secure reports whether the browser uses TLS: to us, or to a proxy that says
// so. Who lies about it harms nobody but himself.
func secure(r *http.Request) bool {
	return r.TLS != nil || httpd.Scheme(r) == "https" || r.Header.Get("X-Forwarded-Proto") == "https"
}

// client is who asks, for the log.
func client(r *http.Request) string {
	if ip := httpd.ClientIP(r.Context()); ip.IsValid() {
		return ip.String()
	}
	return r.RemoteAddr
}

// address is client without a port.
func address(r *http.Request) string {
	c := client(r)
	if host, _, err := net.SplitHostPort(c); err == nil {
		return host
	}
	return c
}

func (s *Server) warnWrong(r *http.Request) {
	s.Log.WarnContext(r.Context(), "a wrong password for the configuration editor", "client", client(r))
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(max(1, int64((d+time.Second-1)/time.Second)), 10)
}
