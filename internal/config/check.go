package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A checker turns nodes into typed values and collects what is wrong with them.
type checker struct {
	file     string
	problems []Problem
	counts   map[Severity]int
	files    source
}

// problem keeps p, up to maxProblems of each severity: a flood of warnings must
// not hide an error.
func (c *checker) problem(p Problem) {
	if c.counts == nil {
		c.counts = map[Severity]int{}
	}
	if c.counts[p.Severity]++; c.counts[p.Severity] <= maxProblems {
		c.problems = append(c.problems, p)
	}
}

func (c *checker) add(sev Severity, n *node, path, format string, args ...any) {
	p := Problem{Severity: sev, File: c.file, Field: path, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		p.Line, p.Column = n.line, n.col
	}
	c.problem(p)
}

func (c *checker) fail(n *node, path, format string, args ...any) {
	c.add(Error, n, path, format, args...)
}

// value reads n as f says. ok is false when n is empty, or wrong and reported.
func (c *checker) value(f *Field, path string, n *node) (v any, ok bool) {
	if n.null() {
		return nil, false
	}
	switch f.Kind {
	case StringList:
		return c.list(f, path, n)
	case Object:
		if n.kind != object {
			c.fail(n, path, "is %s; it must be a block of names and values", n.what())
			return nil, false
		}
		return c.object(f.Keys, f.Open, path, n)
	case ObjectList:
		if n.kind != list {
			c.fail(n, path, "is %s; it must be a list of blocks", n.what())
			return nil, false
		}
		out := make([]any, 0, len(n.items))
		ok := true
		for i, it := range n.items {
			p := join(path, i)
			if it.kind != object {
				c.fail(it, p, "is %s; it must be a block of names and values", it.what())
				ok = false
				continue
			}
			v, good := c.object(f.Keys, f.Open, p, it)
			ok = ok && good
			out = append(out, v)
		}
		return out, ok
	case Map:
		if n.kind != object {
			c.fail(n, path, "is %s; it must be a block of names and values", n.what())
			return nil, false
		}
		out, ok := make(map[string]any, len(n.pairs)), true
		for _, p := range n.pairs {
			v, good := c.value(f.Item, dot(path, p.key), p.val)
			if good {
				out[p.key] = v
			} else if !p.val.null() {
				ok = false
			}
		}
		return out, ok
	case Custom:
		return f.parse(c, path, n)
	}
	if n.kind != scalar {
		c.fail(n, path, "is %s; it must be %s", n.what(), f.allowed())
		return nil, false
	}
	if f.Kind == String && n.tag == "!!bool" && len(f.Allowed) == 0 {
		c.fail(n, path, "is a boolean; it must be text: put it in quotes if that is the text meant")
		return nil, false
	}
	v, err := f.scalar(n.text)
	if err != nil {
		c.fail(n, path, "%s", f.refuse(n.text, err))
		return nil, false
	}
	return v, true
}

// refuse words the refusal of text; a secret's text is not repeated.
func (f *Field) refuse(text string, err error) string {
	shown := "the value"
	if !f.Secret && !looksSecret(f.Name) {
		shown = strconv.Quote(clip(redactURL(text)))
	}
	if errors.Is(err, errKind) {
		return shown + " is not allowed; it must be " + f.allowed()
	}
	return shown + " is not allowed: " + err.Error()
}

// errKind is a scalar's failure that Field.allowed explains.
var errKind = errors.New("wrong kind")

// scalar reads text as f's kind.
func (f *Field) scalar(text string) (any, error) {
	if f.Kind != String {
		text = strings.TrimSpace(text)
	}
	var v any
	var n float64
	switch f.Kind {
	case Bool:
		b, ok := parseBool(text)
		if !ok {
			return nil, errKind
		}
		v = b
	case Int:
		i, ok := parseInt(text)
		if !ok {
			return nil, errKind
		}
		v, n = i, float64(i)
	case Float:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, errKind
		}
		v, n = x, x
	case Duration, Seconds, Minutes:
		d, ok := parseDuration(text, f.Kind)
		if !ok {
			return nil, errKind
		}
		v, n = d, d.Seconds()
		if f.Kind == Minutes {
			n = d.Minutes()
		}
	case Size:
		i, ok := parseSize(text)
		if !ok {
			return nil, errKind
		}
		v, n = i, float64(i)
	default:
		if len(f.Allowed) > 0 {
			i := slices.IndexFunc(f.Allowed, func(a string) bool { return strings.EqualFold(a, text) })
			if i < 0 {
				return nil, errKind
			}
			text = f.Allowed[i]
		}
		if f.Check != nil && text != "" {
			if err := f.Check(text); err != nil {
				return nil, err
			}
		}
		return text, nil
	}
	if f.Kind != Bool && (n < float64(f.Min) || f.Max != 0 && n > float64(f.Max)) {
		return nil, errKind
	}
	if f.Check != nil {
		if err := f.Check(text); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// allowed says what the value of a scalar field may be.
func (f *Field) allowed() string {
	var s string
	switch f.Kind {
	case Bool:
		return "true or false"
	case Int:
		s = "a whole number"
	case Float:
		s = "a number"
	case Duration:
		return "a number and a unit (s, m, h, d, w or y), such as 30m or 2w" + f.bounds(" seconds")
	case Seconds:
		return "a number of seconds, or a number and a unit (s, m, h, d, w or y)" + f.bounds("")
	case Minutes:
		return "a number of minutes, or a number and a unit (s, m, h, d, w or y)" + f.bounds("")
	case Size:
		return "a number of bytes, or a number and a unit (K, M, G, T, GB, GiB, …), such as 20G" + f.bounds(" bytes")
	case String, StringList:
		switch len(f.Allowed) {
		case 0:
			return "text"
		case 1:
			return f.Allowed[0]
		}
		return "one of " + strings.Join(f.Allowed, ", ")
	}
	return s + f.bounds("")
}

func (f *Field) bounds(unit string) string {
	switch {
	case f.Max != 0:
		return fmt.Sprintf(" from %d to %d%s", f.Min, f.Max, unit)
	case f.Min > 0:
		return fmt.Sprintf(", at least %d%s", f.Min, unit)
	case f.Kind == Int || f.Kind == Float:
		return ", 0 or more"
	}
	return ""
}

func (c *checker) list(f *Field, path string, n *node) (any, bool) {
	if n.kind == scalar && f.OneText {
		v, err := f.item(n.text)
		if err != nil {
			c.fail(n, path, "%s", f.refuse(n.text, err))
			return nil, false
		}
		return []string{v}, true
	}
	if n.kind != list {
		c.fail(n, path, "is %s; it must be a list, such as [%s]", n.what(), f.example())
		return nil, false
	}
	out, ok := make([]string, 0, len(n.items)), true
	for i, it := range n.items {
		if it.null() {
			continue
		}
		if it.kind != scalar {
			c.fail(it, join(path, i), "is %s; it must be %s", it.what(), f.allowed())
			ok = false
			continue
		}
		v, err := f.item(it.text)
		if err != nil {
			c.fail(it, join(path, i), "%s", f.refuse(it.text, err))
			ok = false
			continue
		}
		out = append(out, v)
	}
	return out, ok
}

func (f *Field) example() string {
	if len(f.Allowed) > 0 {
		return f.Allowed[0]
	}
	return "first, second"
}

// item reads one item of a StringList.
func (f *Field) item(text string) (string, error) {
	v, err := (&Field{Name: f.Name, Kind: String, Allowed: f.Allowed, Check: f.Check}).scalar(text)
	if err != nil {
		return "", err
	}
	return v.(string), nil
}

// object reads the pairs of n by keys. Keys that are not set and have a
// default get it.
func (c *checker) object(keys []Field, open bool, path string, n *node) (map[string]any, bool) {
	out, ok := make(map[string]any, len(n.pairs)), true
	for _, p := range n.pairs {
		at := &node{line: p.line, col: p.col}
		f := findKey(keys, p.key)
		if f == nil {
			out[p.key] = p.val.plain()
			if !open {
				msg := "is not a name that is known here"
				if near := nearest(p.key, keyNames(keys)); near != "" {
					msg += "; did you mean " + near + "?"
				}
				c.add(Warning, at, dot(path, p.key), "%s", msg)
			}
			continue
		}
		if f.Name != p.key {
			c.add(Warning, at, dot(path, p.key), "is an old name; the right one is %s", f.Name)
			if n.get(f.Name) != nil {
				continue
			}
		}
		v, good := c.value(f, dot(path, f.Name), p.val)
		if good {
			out[f.Name] = v
		} else if !p.val.null() {
			ok = false
		}
	}
	for i := range keys {
		f := &keys[i]
		if _, set := out[f.Name]; set {
			continue
		}
		if f.Required {
			if set := n.get(f.Name); set == nil || set.null() {
				c.fail(n, dot(path, f.Name), "is missing; it is required here: %s", strings.TrimSuffix(f.Doc, "."))
			}
			ok = false
			continue
		}
		if v, has := c.defaultOf(f, dot(path, f.Name)); has {
			out[f.Name] = v
		}
	}
	return out, ok
}

// defaultOf returns the parsed default of f, which has one if ok.
func (c *checker) defaultOf(f *Field, path string) (v any, ok bool) {
	if f.Default == "" {
		return nil, false
	}
	n := &node{kind: scalar, text: f.Default, tag: "!!str"}
	if f.Kind >= StringList {
		doc, errs := parseYAML([]byte("v: " + f.Default))
		if len(errs) > 0 {
			return nil, false // the table's tests hold that every default parses
		}
		n = doc.get("v")
	}
	return c.value(f, path, n)
}

// The checks of single texts. Their errors say what is allowed and never
// repeat the text.

var hostText = regexp.MustCompile(`^(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?$`)

func checkHost(s string) error {
	if len(s) <= 253 && hostText.MatchString(s) {
		return nil
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return nil
	}
	return errors.New("it must be a host name or an IP address, without scheme, path or port")
}

// checkHostPort takes host or host:port.
func checkHostPort(s string) error {
	if strings.Contains(s, "/") {
		return errors.New("it must be a host name with an optional :port, without scheme or path")
	}
	host, port := splitHostPort(s)
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("its port must be a number from 1 to 65535")
		}
	} else if strings.HasSuffix(s, ":") {
		return errors.New("it ends in ':' without a port")
	}
	if checkHost(host) != nil {
		return errors.New("it must be a host name with an optional :port, without scheme or path")
	}
	return nil
}

// splitHostPort splits at the last ':' that is not part of an IPv6 address.
func splitHostPort(s string) (host, port string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") || strings.Count(s, ":") > 1 && !strings.Contains(s, "]") {
		return s, ""
	}
	return s[:i], s[i+1:]
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("it must be a URL that starts with http:// or https://")
	}
	return nil
}

// checkHostURL takes a URL, or a host with an optional port.
func checkHostURL(s string) error {
	if strings.Contains(s, "://") {
		return checkURL(s)
	}
	return checkHostPort(s)
}

func checkLDAP(s string) error {
	for at := range strings.FieldsSeq(s) {
		u, err := url.Parse(at)
		if err != nil || u.Host == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" {
			return errors.New("it must be a URL that starts with ldap:// or ldaps://, or several with spaces between them")
		}
	}
	return nil
}

func checkCIDR(s string) error {
	if _, err := netip.ParsePrefix(s); err == nil {
		return nil
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	return errors.New("it must be an IP address or a network such as 10.0.0.0/8")
}

// checkHostOrCIDR takes a host name, an address or a network.
func checkHostOrCIDR(s string) error {
	if checkCIDR(s) == nil || checkHostPort(strings.TrimPrefix(s, "*.")) == nil {
		return nil
	}
	return errors.New("it must be a host name, an IP address or a network such as 10.0.0.0/8")
}

func checkDuration(s string) error {
	if _, ok := parseDuration(s, Duration); !ok {
		return errors.New("it must be " + (&Field{Kind: Duration}).allowed())
	}
	return nil
}

func checkContact(s string) error {
	u, err := url.Parse(s)
	if err == nil {
		switch u.Scheme {
		case "http", "https", "mailto", "tel", "irc":
			return nil
		}
	}
	return errors.New("it must be a link whose scheme is one of http, https, mailto, tel, irc")
}

func checkDotEnd(s string) error {
	if !strings.HasSuffix(s, ".") {
		return errors.New("it must end in '.'")
	}
	return nil
}

func checkIssuer(s string) error {
	if err := checkURL(s); err != nil {
		return err
	}
	if !strings.HasSuffix(s, "/") {
		return errors.New("it must end in '/'")
	}
	return nil
}

var idText = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// checkID takes the name of a storage location.
func checkID(s string) error {
	if len(s) > 255 || !idText.MatchString(s) {
		return errors.New("it must be letters, digits, '_', '-' and '.'")
	}
	return nil
}

// looksSecret reports whether a name is one whose value should not be shown.
func looksSecret(name string) bool {
	s := strings.ToLower(name)
	for _, k := range []string{"password", "passwd", "secret", "token", "private_key", "privatekey", "access_key", "account_key", "hec_token", "psk", "api_key", "apikey", "credential", "temp_url_key", "dsn"} {
		if strings.Contains(s, k) {
			return true
		}
	}
	return s == "key" || s == "pass"
}

// maySecret is looksSecret for a name that is not in the table: any key may
// open something.
func maySecret(name string) bool {
	return looksSecret(name) || strings.HasSuffix(strings.ToLower(name), "key")
}

// redactURL hides the password of a URL's user, whatever characters it is
// made of, and secret query parameters. Other text comes back as it is.
func redactURL(s string) string {
	i := strings.Index(s, "://")
	if i < 0 {
		return s
	}
	scheme, rest := s[:i+3], s[i+3:]
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, _, has := strings.Cut(rest[:at], ":")
		if has {
			user += ":***"
		}
		rest = user + rest[at:]
	}
	base, query, has := strings.Cut(rest, "?")
	if !has {
		return scheme + rest
	}
	parts := strings.Split(query, "&")
	for i, p := range parts {
		if k, _, has := strings.Cut(p, "="); has && (looksSecret(k) || strings.EqualFold(k, "sig")) {
			parts[i] = k + "=***"
		}
	}
	return scheme + base + "?" + strings.Join(parts, "&")
}
