package config

import (
	"net/url"
	"strconv"
	"strings"
)

// An Environment is what the environment says beside config.yaml.
type Environment struct {
	Services         []string        // QUAY_SERVICES: run these only; nil = not said
	ServiceOverrides map[string]bool // QUAY_OVERRIDE_SERVICES: switch single ones on or off
	Debug            bool            // DEBUGLOG
	LogToStdout      bool            // QUAY_LOGGING=stdout
	IgnoreValidation bool            // IGNORE_VALIDATION: errors between fields became warnings
	HTTPProxy        string          // HTTP_PROXY, may hold a password; "" = none
	HTTPSProxy       string          // HTTPS_PROXY
	NoProxy          string          // NO_PROXY: hosts reached without a proxy, with commas
}

// environ is Options.Environ by name; of a name given twice the last counts.
type environ map[string]string

func newEnviron(list []string) environ {
	e := make(environ, len(list))
	for _, kv := range list {
		if k, v, ok := strings.Cut(kv, "="); ok {
			e[k] = v
		}
	}
	return e
}

// proxy returns a variable that is written in capitals or not.
func (e environ) proxy(name string) string {
	if v := e[name]; v != "" {
		return v
	}
	return e[strings.ToLower(name)]
}

// envFile is Problem.File of what the environment says.
const envFile = "environment"

// environment reads every name that is not a field's.
func (c *checker) environment(e environ) Environment {
	var out Environment
	bad := func(name, format string, args ...any) {
		c.fail(nil, name, format, args...)
	}
	yes := func(name string) bool {
		v := e[name]
		if v == "" {
			return false
		}
		b, ok := parseBool(v)
		if !ok {
			bad(name, "%q is not allowed; it must be true or false", clip(v))
		}
		return b
	}
	out.Debug, out.IgnoreValidation = yes("DEBUGLOG"), yes("IGNORE_VALIDATION")
	switch v := strings.ToLower(e["QUAY_LOGGING"]); v {
	case "", "syslog":
	case "stdout":
		out.LogToStdout = true
	default:
		bad("QUAY_LOGGING", "%q is not allowed; it must be stdout or syslog", clip(v))
	}
	if v := e["QUAY_SERVICES"]; strings.TrimSpace(v) != "" {
		out.Services = splitList(v)
	}
	for _, kv := range splitList(e["QUAY_OVERRIDE_SERVICES"]) {
		name, v, _ := strings.Cut(kv, "=")
		on, ok := parseBool(v)
		if name = strings.TrimSpace(name); !ok || name == "" {
			bad("QUAY_OVERRIDE_SERVICES", "%q is not allowed; it must be a list such as gcworker=true,buildlogsarchiver=false", clip(kv))
			continue
		}
		if out.ServiceOverrides == nil {
			out.ServiceOverrides = map[string]bool{}
		}
		out.ServiceOverrides[name] = on
	}
	count := func(name string) (good bool) {
		v := strings.TrimSpace(e[name])
		if v == "" {
			return false
		}
		i, err := strconv.Atoi(v)
		if err != nil || i < 1 || i > 100_000 {
			bad(name, "%q is not allowed; it must be a whole number from 1 to 100000", clip(v))
			return false
		}
		return true
	}
	for _, base := range []string{"WORKER_COUNT", "WORKER_CONNECTION_COUNT"} {
		for _, suffix := range []string{"", "_WEB", "_SECSCAN", "_REGISTRY"} {
			if count(base + suffix) {
				c.add(Ignored, nil, base+suffix, "is ignored. Gantry is one process and takes as many requests at once as come")
			}
		}
	}

	proxy := func(name string) string {
		v := e.proxy(name)
		if v == "" {
			return ""
		}
		full := v
		if !strings.Contains(v, "://") {
			full = "http://" + v
		}
		u, err := url.Parse(full)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h" {
			bad(name, "is not allowed; it must be the URL of a proxy, such as http://proxy.example.com:3128")
			return ""
		}
		return v
	}
	out.HTTPProxy, out.HTTPSProxy, out.NoProxy = proxy("HTTP_PROXY"), proxy("HTTPS_PROXY"), e.proxy("NO_PROXY")
	return out
}

// splitList splits at commas and drops what is empty.
func splitList(s string) []string {
	var out []string
	for p := range strings.SplitSeq(s, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// fieldNode is the value of field f as an environment variable writes it:
// plain text, or, for a list, items with white space between them.
func fieldNode(f *Field, text string) *node {
	if f.Kind != StringList {
		return &node{kind: scalar, tag: "!!str", text: text}
	}
	n := &node{kind: list}
	for _, w := range strings.Fields(text) {
		n.items = append(n.items, &node{kind: scalar, tag: "!!str", text: w})
	}
	return n
}
