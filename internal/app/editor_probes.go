package app

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/auth/ldap"
	"github.com/gantry-registry/gantry/internal/auth/oidc"
	"github.com/gantry-registry/gantry/internal/bus/redis"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/editor"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/mail"
	"github.com/gantry-registry/gantry/internal/store"
)

// How long the live tests of the configuration editor take at most.
const (
	databaseWithin = 5 * time.Second
	redisWithin    = 10 * time.Second
	storageWithin  = 10 * time.Second
	serviceWithin  = 5 * time.Second
)

// probes are the live tests of the configuration editor. They use what the
// registry itself uses, so that what is tested is what will be used.
func probes(log *slog.Logger) map[string]editor.Probe {
	p := prober{log: log}
	return map[string]editor.Probe{"database": p.database, "redis": p.redis, "storage": p.storage, "ldap": p.ldap, "oidc": p.oidc, "smtp": p.smtp, "clair": p.clair}
}

type prober struct{ log *slog.Logger }

// A finding is what a test found.
type finding struct {
	message, next string
	failed        bool // though there is no error
}

// try makes one test within its time.
func (p prober) try(ctx context.Context, name, group string, within time.Duration, secrets []string, test func(context.Context) (finding, error)) editor.Test {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	began := time.Now()
	f, err := test(ctx)
	t := editor.Test{Name: name, Group: group, OK: err == nil && !f.failed, Latency: time.Since(began).Milliseconds(), Message: f.message, Next: f.next}
	if err != nil {
		if e, ok := errors.AsType[*gantry.Error](err); ok && e.Err != nil {
			err = e.Err // what is logged says more than what a client of the registry reads
		}
		t.Message = scrub(err.Error(), secrets)
		if t.Next == "" {
			t.Next = nextStep(err, within)
		}
	}
	return t
}

func skipped(name, group, why string) []editor.Test {
	return []editor.Test{{Name: name, Group: group, Skipped: why}}
}

// scrub takes secrets out of a text that came from outside, and makes it one
// line of bounded length.
func scrub(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) > 3 {
			text = strings.ReplaceAll(text, s, config.Masked)
			text = strings.ReplaceAll(text, url.QueryEscape(s), config.Masked)
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "") + "…"
	}
	return text
}

// nextStep says what to do about an error of a connection.
func nextStep(err error, within time.Duration) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return "correct the host: no name server knows " + strconv.Quote(e.Name) + ", or none answers"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "upload the certificate of the authority that signed the server's, as extra_ca_certs/NAME.crt"
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return "use a host that the server's certificate is for, or give the server one for " + strconv.Quote(e.Host)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "renew the server's certificate, or set the clock right: the certificate has expired, or is not valid yet"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server does not speak TLS at this port: take another port, or switch TLS off"
	}
	text := strings.ToLower(err.Error())
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), has("i/o timeout", "deadline exceeded"):
		return fmt.Sprintf("look whether a firewall or a NetworkPolicy lets the registry reach it: nothing came within %s", within)
	case has("connection refused"):
		return "correct the port, or start the service: nothing listens there"
	case has("no route to host", "network is unreachable"):
		return "look at the route to this host: the network does not lead there"
	case errors.Is(err, fs.ErrPermission), has("permission denied"):
		return "give the user of the registry the right to write there"
	case has("password", "wrongpass", "noauth", "access denied", "accessdenied", "invalid credentials", "invalidaccesskey", "signaturedoesnotmatch", "authentication", "unauthorized"), status(text, "401", "403"):
		return "correct the user and the password, or the keys: the service answers, and does not let them in"
	case has("does not exist", "unknown database", "nosuchbucket"), status(text, "404"):
		return "create it there, or correct the name: the service answers, and has nothing of that name"
	case has("certificate"):
		return "look at the certificates of both sides"
	}
	return "look at the log of that service for this moment"
}

// statusWord is a number that may be an HTTP status: not a part of an address, a
// path or a longer number.
var statusWord = regexp.MustCompile(`(?:^|[\s("=])([1-5]\d\d)(?:[\s):;,"]|$)`)

// status reports whether text has one of these HTTP statuses.
func status(text string, codes ...string) bool {
	return slices.ContainsFunc(statusWord.FindAllStringSubmatch(text, -1), func(m []string) bool { return slices.Contains(codes, m[1]) })
}

// chain returns the certificates that a server shows, whatever they are worth;
// before speaks until TLS begins. nil = it shows none.
func chain(ctx context.Context, addr, host string, before func(net.Conn) error) []editor.Certificate {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }() // it has said what it has to say
	if deadline, ok := ctx.Deadline(); ok && conn.SetDeadline(deadline) != nil {
		return nil
	}
	if before != nil && before(conn) != nil {
		return nil
	}
	c := tls.Client(conn, &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) // #nosec G402 -- it is shown, and nothing is sent
	if err := c.HandshakeContext(ctx); err != nil {
		return nil
	}
	var list []editor.Certificate
	for _, cert := range c.ConnectionState().PeerCertificates {
		list = append(list, editor.Certificate{Subject: cert.Subject.String(), Issuer: cert.Issuer.String(), NotAfter: cert.NotAfter.UTC()})
	}
	return list
}

// chainOf is that of an https or ldaps address.
func chainOf(ctx context.Context, address, port string) []editor.Certificate {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	return chain(ctx, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)), u.Hostname(), nil)
}

// database connects, and asks the server for its version.
func (p prober) database(ctx context.Context, c *config.Config) []editor.Test {
	const name, group = "database", "Database"
	if c.DB.URI == "" || sqlitePath(c.DB.URI) != "" {
		return skipped(name, group, "the database is a file of the registry's machine")
	}
	d, err := config.ParseDBURI(c.DB.URI)
	if err != nil {
		return []editor.Test{{Name: name, Group: group, Message: err.Error(), Next: "correct DB_URI"}}
	}
	t := p.try(ctx, name, group, databaseWithin, []string{d.Password}, func(ctx context.Context) (f finding, err error) {
		db, err := store.Open(ctx, store.Options{URI: c.DB.URI, Args: c.DB.Args, RootCAs: c.RootCAs(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return f, err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		a, err := db.About(ctx)
		if err != nil {
			return f, err
		}
		f.message = map[string]string{"postgres": "PostgreSQL ", "mysql": "MySQL "}[a.Dialect] + a.Version
		if a.TLS != "" {
			f.message += ", by " + a.TLS
		} else {
			f.message += ", without TLS"
		}
		if a.Dialect != "postgres" {
			return f, nil
		}
		switch {
		case a.Major < 13:
			f.failed, f.next = true, "upgrade the server: PostgreSQL 13 is the oldest that is supported"
		case a.Trigram:
			f.message += ", with pg_trgm"
		default:
			f.message += ", without pg_trgm"
			f.next = "if Quay itself is to use this database too, run CREATE EXTENSION pg_trgm in it; Gantry does not need it"
		}
		return f, nil
	})
	port, before := 5432, func(conn net.Conn) error {
		if _, err := conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil { // SSLRequest
			return err
		}
		var answer [1]byte
		if _, err := io.ReadFull(conn, answer[:]); err != nil || answer[0] != 'S' {
			return errors.New("no TLS")
		}
		return nil
	}
	if d.Dialect == "postgres" {
		t.Chain = chain(ctx, net.JoinHostPort(d.Host, strconv.Itoa(cmp.Or(d.Port, port))), d.Host, before)
	}
	return []editor.Test{t}
}

// redis sends a PING to each Redis that is named.
func (p prober) redis(ctx context.Context, c *config.Config) (list []editor.Test) {
	const group = "Redis"
	for _, one := range []struct {
		field  string
		server config.RedisServer
	}{{"USER_EVENTS_REDIS", c.Redis.UserEvents}, {"BUILDLOGS_REDIS", c.Redis.BuildLogs}} {
		name := "redis " + one.field
		if !one.server.On() {
			list = append(list, skipped(name, group, one.field+" is not written")...)
			continue
		}
		t := p.try(ctx, name, group, redisWithin, []string{one.server.Password, one.server.SentinelPassword}, func(ctx context.Context) (finding, error) {
			o, err := redisOptions(one.server, c.RootCAs())
			if err == nil {
				err = redis.Ping(ctx, o)
			}
			return finding{message: "it answers PING"}, err
		})
		if one.server.TLS && one.server.Host != "" {
			t.Chain = chain(ctx, net.JoinHostPort(one.server.Host, strconv.Itoa(one.server.Port)), one.server.Host, nil)
		}
		list = append(list, t)
	}
	return list
}

// storage writes, sees and removes an object in each location.
func (p prober) storage(ctx context.Context, c *config.Config) []editor.Test {
	const group = "DistributedStorage"
	if len(c.Storage.Locations) == 0 {
		return skipped("storage", group, "content is in files of the registry's data folder")
	}
	list := make([]editor.Test, len(c.Storage.Locations))
	var all sync.WaitGroup
	for i, l := range c.Storage.Locations {
		all.Go(func() {
			list[i] = p.try(ctx, "storage "+l.ID, group, storageWithin, textsOf(l.Params), func(ctx context.Context) (f finding, err error) {
				if l.Class == localStorage {
					// A folder that is not there would be made, as the registry makes it.
					if _, err := os.Stat(l.String("storage_path")); errors.Is(err, fs.ErrNotExist) {
						return finding{next: "mount the volume there, or correct storage_path; where the editor runs elsewhere than the registry, this says nothing of the registry"}, err
					}
				}
				e, err := openEngine(ctx, engineSource{Location: l, Config: c, Logger: slog.New(slog.DiscardHandler), Shared: sharesMemory(c.Storage.Locations)})
				if err != nil {
					return f, err
				}
				defer func() { err = errors.Join(err, e.Close()) }()
				return finding{message: "an object was written, seen and removed"}, e.Check(ctx)
			})
		})
	}
	all.Wait()
	return list
}

// textsOf are the secrets among the parameters of a location.
func textsOf(params map[string]any) (list []string) {
	masked := config.Mask(params)
	for k, v := range params {
		if s, ok := v.(string); ok && masked[k] != v {
			list = append(list, s)
		}
	}
	return list
}

// probeUser is looked for in a directory: nobody is called so.
const probeUser = "gantry-configuration-editor-probe"

// ldap connects, signs in and searches.
func (p prober) ldap(ctx context.Context, c *config.Config) []editor.Test {
	const name, group = "ldap", "LDAP"
	if c.Auth.Type != "LDAP" {
		return skipped(name, group, "AUTHENTICATION_TYPE is not LDAP")
	}
	t := p.try(ctx, name, group, serviceWithin, []string{c.LDAP.AdminPassword}, func(ctx context.Context) (finding, error) {
		out, err := openOutside(c, &core{log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return finding{}, err
		}
		defer out.close()
		if err := out.provider.Ping(ctx); err != nil {
			return finding{}, err
		}
		d, ok := out.provider.(*ldap.Provider)
		if !ok {
			return finding{message: "it lets the administrator in"}, nil
		}
		places, err := d.Missing(ctx)
		if err != nil {
			return finding{}, err
		}
		if len(places) > 0 {
			return finding{failed: true, message: "the directory has no " + strings.Join(places, " and no "), next: "correct LDAP_BASE_DN, LDAP_USER_RDN or LDAP_SECONDARY_USER_RDNS"}, nil
		}
		if _, err := d.Lookup(ctx, probeUser); err != nil && !gantry.Is(err, gantry.NotFound) {
			return finding{next: "correct LDAP_BASE_DN, LDAP_USER_RDN and LDAP_USER_FILTER: the directory lets the administrator in, and cannot search there"}, err
		}
		return finding{message: "it lets the administrator in, and searches"}, nil
	})
	for uri := range strings.FieldsSeq(c.LDAP.URI) {
		if strings.HasPrefix(uri, "ldaps:") {
			t.Chain = chainOf(ctx, uri, "636")
		}
	}
	return []editor.Test{t}
}

// oidc asks each provider about itself.
func (p prober) oidc(ctx context.Context, c *config.Config) []editor.Test {
	const group = "OIDC"
	options := oidcOptions(c)
	if len(options) == 0 {
		return skipped("oidc", group, "there is no OpenID Connect provider")
	}
	list := make([]editor.Test, len(options))
	var all sync.WaitGroup
	for i, o := range options {
		all.Go(func() {
			o.RootCAs, o.Logger = c.RootCAs(), slog.New(slog.DiscardHandler)
			list[i] = p.try(ctx, "oidc "+o.ID, group, serviceWithin, []string{o.ClientSecret}, func(ctx context.Context) (finding, error) {
				provider, err := oidc.New(o)
				if err == nil {
					err = provider.Ping(ctx)
				}
				return finding{message: "its discovery document names what is needed"}, err
			})
			if strings.HasPrefix(o.Server, "https:") {
				list[i].Chain = chainOf(ctx, o.Server, "443")
			}
		})
	}
	all.Wait()
	return list
}

// smtp connects to the mail server, with TLS and the account, and sends nothing.
func (p prober) smtp(ctx context.Context, c *config.Config) []editor.Test {
	const name, group = "smtp", "Email"
	if !c.Features.Mailing {
		return skipped(name, group, "FEATURE_MAILING is off")
	}
	set := mailSettings(c)
	set.Timeout = serviceWithin
	t := p.try(ctx, name, group, serviceWithin, []string{set.Password}, func(ctx context.Context) (finding, error) {
		f := finding{message: "it takes mail of ours"}
		if set.TLS {
			f.message += ", by TLS"
		}
		if set.Auth {
			f.message += ", and lets the account in"
		}
		return f, mail.Check(ctx, set, c.RootCAs())
	})
	if set.TLS && set.Port == 465 {
		t.Chain = chain(ctx, net.JoinHostPort(set.Host, strconv.Itoa(set.Port)), set.Host, nil)
	}
	return []editor.Test{t}
}

// clair asks the scanner's indexer for its state, by a token of the shared key.
func (p prober) clair(ctx context.Context, c *config.Config) []editor.Test {
	const name, group = "clair", "SecurityScanner"
	endpoint := c.Scanner.Endpoint
	if on, _ := c.Get("FEATURE_SECURITY_SCANNER"); on != true || endpoint == "" {
		return skipped(name, group, "FEATURE_SECURITY_SCANNER is off, or SECURITY_SCANNER_V4_ENDPOINT is not written")
	}
	t := p.try(ctx, name, group, serviceWithin, []string{c.Scanner.PSK}, func(ctx context.Context) (finding, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(endpoint, "/")+"/indexer/api/v1/index_state", nil)
		if err != nil {
			return finding{}, err
		}
		if c.Scanner.PSK != "" {
			token, err := clairToken(c.Scanner.PSK)
			if err != nil {
				return finding{next: "write SECURITY_SCANNER_V4_PSK as Clair's configuration has it: base64"}, err
			}
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := oidc.Client(c.RootCAs(), serviceWithin).Do(r)
		if err != nil {
			return finding{}, err
		}
		defer func() { _ = res.Body.Close() }() // read as far as it matters
		body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		var state struct {
			State string `json:"state"`
		}
		switch {
		case err != nil:
			return finding{}, err
		case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
			return finding{message: "Clair does not take the token (" + res.Status + ")", failed: true, next: "write the same key as SECURITY_SCANNER_V4_PSK and as auth.psk.key of Clair, which has quay in auth.psk.iss"}, nil
		case res.StatusCode != http.StatusOK || json.Unmarshal(body, &state) != nil || state.State == "":
			return finding{message: "what answers is no indexer of Clair 4 (" + res.Status + ")", failed: true, next: "correct SECURITY_SCANNER_V4_ENDPOINT: it is the root of Clair, as http://clair:8080"}, nil
		}
		return finding{message: "the indexer answers"}, nil
	})
	if strings.HasPrefix(endpoint, "https:") {
		t.Chain = chainOf(ctx, endpoint, "443")
	}
	return []editor.Test{t}
}

// clairToken is a JSON Web Token by which Clair knows Quay, for five minutes.
func clairToken(psk string) (string, error) {
	key, err := base64.StdEncoding.DecodeString(psk)
	if err != nil {
		if key, err = base64.RawStdEncoding.DecodeString(psk); err != nil {
			return "", errors.New("SECURITY_SCANNER_V4_PSK is not base64")
		}
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"iss": "quay", "jti": rand.Text(), "iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix()})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}
