package oidc

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/auth/oidc/oidctest"
	"github.com/gantry-registry/gantry/internal/gantry"
)

const redirect = "https://registry.example.com/oauth2/corp/callback"

const state = "state-of-the-browser"

func provider(t testing.TB, at *oidctest.Provider, change func(*Options)) *Provider {
	t.Helper()
	o := Options{ID: "corp", Server: at.URL + "/", ClientID: at.ClientID, ClientSecret: at.ClientSecret, RootCAs: at.Roots, Timeout: 5 * time.Second}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// signIn goes to the provider and back; spoil changes what the browser
// brings.
func signIn(t testing.TB, p *Provider, at *oidctest.Provider, spoil func(answer url.Values, kept *string)) (auth.External, error) {
	t.Helper()
	to, kept, err := p.Begin(t.Context(), redirect, state)
	if err != nil {
		return auth.External{}, err
	}
	answer := at.Visit(to).Query()
	if answer.Get("state") != state {
		t.Fatal("the state is lost")
	}
	if spoil != nil {
		spoil(answer, &kept)
	}
	return p.Finish(t.Context(), answer, redirect, kept)
}

func TestSignIn(t *testing.T) {
	at := oidctest.Start(t, redirect)
	p := provider(t, at, nil)
	x, err := signIn(t, p, at, nil)
	if err != nil || x.Service != "corp" || x.Ident != "sub-ann" || x.Username != "ann" || x.Email != "ann@example.org" || x.Ranked || !x.Grouped {
		t.Fatalf("%+v, %v", x, err)
	}
	// The provider signs with another key.
	at.Change(func(p *oidctest.Provider) { p.Rotate() })
	if _, err := signIn(t, p, at, nil); err != nil {
		t.Errorf("the keys were rotated: %v", err)
	}
	// Ways to be a client.
	at.Change(func(p *oidctest.Provider) { p.NoPKCE = true })
	if _, err := signIn(t, provider(t, at, nil), at, nil); err != nil {
		t.Errorf("a provider without PKCE: %v", err)
	}
	at.Change(func(p *oidctest.Provider) { p.NoPKCE, p.ClientSecret = false, "" })
	if _, err := signIn(t, provider(t, at, func(o *Options) { o.PublicClient = true }), at, nil); err != nil {
		t.Errorf("a public client: %v", err)
	}
}

// TestPKCE is about when it is used.
func TestPKCE(t *testing.T) {
	at := oidctest.Start(t, redirect)
	challenge := func(noPKCE bool, change func(*Options)) string {
		t.Helper()
		at.Change(func(p *oidctest.Provider) { p.NoPKCE = noPKCE })
		to, _, err := provider(t, at, change).Begin(t.Context(), redirect, state)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query().Get("code_challenge_method")
	}
	for name, c := range map[string]struct {
		lacks  bool
		change func(*Options)
		want   string
	}{
		"as the provider has it":  {false, nil, "S256"},
		"the provider has it not": {true, nil, ""},
		"all the same":            {true, func(o *Options) { o.UsePKCE = true }, "S256"},
		"switched off":            {false, func(o *Options) { o.NoPKCE = true }, ""},
		"plain":                   {false, func(o *Options) { o.PKCEMethod = "plain" }, "plain"},
	} {
		if got := challenge(c.lacks, c.change); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	to, _, err := provider(t, at, func(o *Options) {
		o.EndpointParams = map[string]map[string]string{"authorization_endpoint": {"prompt": "select_account", "nonce": "chosen"}}
		o.Scopes = []string{"groups"}
	}).Begin(t.Context(), redirect, state)
	if err != nil || !strings.Contains(to, "prompt=select_account") || strings.Contains(to, "chosen") || !strings.Contains(to, "scope=openid+groups") {
		t.Error(to, err)
	}
}

// TestForged has the provider's answers spoiled on the way.
func TestForged(t *testing.T) {
	now := time.Now().Unix()
	forge := func(f func(map[string]any)) func(*oidctest.Provider) {
		return func(p *oidctest.Provider) { p.Forge = f }
	}
	for name, change := range map[string]func(*oidctest.Provider){
		"another audience":  forge(func(c map[string]any) { c["aud"] = "other" }),
		"several audiences": forge(func(c map[string]any) { c["aud"] = []string{"gantry", "other"} }),
		"another party":     forge(func(c map[string]any) { c["azp"] = "other" }),
		"another issuer":    forge(func(c map[string]any) { c["iss"] = "https://evil.example.com" }),
		"no issuer":         forge(func(c map[string]any) { delete(c, "iss") }),
		"expired":           forge(func(c map[string]any) { c["exp"] = now - 600 }),
		"no end":            forge(func(c map[string]any) { delete(c, "exp") }),
		"not yet":           forge(func(c map[string]any) { c["nbf"] = now + 3600 }),
		"another nonce":     forge(func(c map[string]any) { c["nonce"] = "of another browser" }),
		"no nonce":          forge(func(c map[string]any) { delete(c, "nonce") }),
		"no subject":        forge(func(c map[string]any) { delete(c, "sub") }),
		"another access":    forge(func(c map[string]any) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" }),
		"no signature":      func(p *oidctest.Provider) { p.ForgeToken = unsigned },
		"a shared secret":   func(p *oidctest.Provider) { p.ForgeToken = shared },
		"another key":       func(p *oidctest.Provider) { p.ForgeToken = stranger(t) },
		"changed":           func(p *oidctest.Provider) { p.ForgeToken = changed },
		"userinfo of other": func(p *oidctest.Provider) {
			p.UserInfo = map[string]any{"sub": "sub-bob", "preferred_username": "root"}
		},
		"userinfo of nobody": func(p *oidctest.Provider) { p.UserInfo = map[string]any{"preferred_username": "root"} },
	} {
		at := oidctest.Start(t, redirect)
		p := provider(t, at, nil)
		if _, err := p.discover(t.Context()); err != nil {
			t.Fatal(err)
		}
		at.Change(change)
		if x, err := signIn(t, p, at, nil); !gantry.Is(err, gantry.Unauthenticated) {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
	at := oidctest.Start(t, redirect)
	p := provider(t, at, nil)
	used := ""
	for name, spoil := range map[string]func(answer url.Values, kept *string){
		"no code":           func(a url.Values, _ *string) { a.Del("code") },
		"another code":      func(a url.Values, _ *string) { a.Set("code", "guess") },
		"a long code":       func(a url.Values, _ *string) { a.Set("code", strings.Repeat("x", 5000)) },
		"mixed up":          func(a url.Values, _ *string) { a.Set("iss", "https://evil.example.com") },
		"no word of issuer": func(a url.Values, _ *string) { a.Del("iss") },
		"another verifier": func(_ url.Values, kept *string) {
			var s secret
			_ = json.Unmarshal([]byte(*kept), &s) // it is one
			s.Verifier = strings.Repeat("A", 43)
			b, _ := json.Marshal(s) // two texts
			*kept = string(b)
		},
		"another browser's nonce": func(_ url.Values, kept *string) {
			var s secret
			_ = json.Unmarshal([]byte(*kept), &s) // it is one
			s.Nonce = "another"
			b, _ := json.Marshal(s) // two texts
			*kept = string(b)
		},
		"a code that was used": func(a url.Values, kept *string) {
			if _, err := p.Finish(t.Context(), a, redirect, *kept); err != nil {
				t.Error(err)
			}
			used = a.Get("code")
		},
	} {
		if x, err := signIn(t, p, at, spoil); !gantry.Is(err, gantry.Unauthenticated) {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
	if used == "" {
		t.Error("no code was used twice")
	}
	to, kept, err := p.Begin(t.Context(), redirect, state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(t.Context(), at.Visit(to).Query(), redirect+"/cli", kept); !gantry.Is(err, gantry.Unauthenticated) {
		t.Error("another redirect:", err)
	}
}

func unsigned(raw string) string {
	parts := strings.Split(raw, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
}

func resign(key jose.SigningKey, raw string) string {
	b, _ := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1]) // it is one
	s, err := jose.NewSigner(key, nil)
	if err != nil {
		panic(err)
	}
	jws, err := s.Sign(b)
	if err != nil {
		panic(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return out
}

func shared(raw string) string {
	return resign(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: []byte(strings.Repeat("s3cret/+&", 5)), KeyID: "1"}}, raw)
}

func stranger(t testing.TB) func(string) string {
	other := oidctest.Start(t)
	return func(raw string) string {
		tokens := strings.Split(other.Token(), ".")
		return tokens[0] + "." + strings.Split(raw, ".")[1] + "." + tokens[2]
	}
}

func changed(raw string) string {
	parts := strings.Split(raw, ".")
	b, _ := base64.RawURLEncoding.DecodeString(parts[1]) // it is one
	b = []byte(strings.Replace(string(b), "sub-ann", "sub-bob", 1))
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString(b) + "." + parts[2]
}

// TestClaims is about the habits of providers.
func TestClaims(t *testing.T) {
	for name, c := range map[string]struct {
		claims string
		change func(*Options)
		want   string // username, email, groups, told, rank
	}{
		"Keycloak": {`{"sub":"f:1","preferred_username":"ann","email":"a@x.org","email_verified":true,"groups":["/devs","/a/b"]}`, nil, "ann a@x.org [/devs devs /a/b a/b] true 0"},
		"Dex":      {`{"sub":"CgNhbm4","name":"Ann","email":"a@x.org","email_verified":true,"preferred_username":"ann"}`, nil, "ann a@x.org [] true 0"},
		"Entra ID": {`{"sub":"AAA","upn":"ann@corp.example","email":"a@x.org","groups":["6f1"]}`, nil, "ann@corp.example  [6f1] true 0"},
		"Entra ID, the address is right": {`{"sub":"AAA","preferred_username":"ann@corp.example","email":"a@x.org"}`,
			func(o *Options) { o.EmailClaim = "email" }, "ann@corp.example a@x.org [] true 0"},
		"Entra ID, too many groups": {`{"sub":"AAA","unique_name":"ann","_claim_names":{"groups":"src1"},"_claim_sources":{"src1":{"endpoint":"https://graph.example/x"}}}`,
			func(o *Options) { o.SuperuserGroup = "admins" }, "ann  [] false 0"},
		"too many, the short way":         {`{"sub":"AAA","upn":"ann","hasgroups":true}`, nil, "ann  [] false 0"},
		"AD FS":                           {`{"sub":"s","unique_name":"CORP\\ann","group":"devs"}`, func(o *Options) { o.GroupClaim = "group" }, `CORP\ann  [devs] true 0`},
		"nothing but a subject":           {`{"sub":"s-1"}`, nil, "s-1  [] true 0"},
		"an address that is not verified": {`{"sub":"s","preferred_username":"a","email":"root@x.org","email_verified":false}`, nil, "a  [] true 0"},
		"verified as a text":              {`{"sub":"s","preferred_username":"a","email":"a@x.org","email_verified":"true"}`, nil, "a a@x.org [] true 0"},
		"a claim of the name":             {`{"sub":"s","preferred_username":"a","nick":"b"}`, func(o *Options) { o.UsernameClaim = "nick" }, "b  [] true 0"},
		"a name that is none":             {`{"sub":"s","preferred_username":["root"]}`, nil, "s  [] true 0"},
		"ranks": {`{"sub":"s","preferred_username":"a","groups":["admins","auditors"]}`,
			func(o *Options) { o.SuperuserGroup, o.ReadOnlyGroup = "admins", "auditors" }, "a  [admins auditors] true 3"},
		"no rank": {`{"sub":"s","preferred_username":"a","groups":["xadmins", 7, null, {"a":"admins"}]}`,
			func(o *Options) { o.SuperuserGroup = "admins" }, "a  [xadmins] true 0"},
	} {
		at := oidctest.Start(t, redirect)
		claims := map[string]any{}
		if err := json.Unmarshal([]byte(c.claims), &claims); err != nil {
			t.Fatal(name, err)
		}
		at.Change(func(p *oidctest.Provider) { p.Claims = claims })
		x, err := signIn(t, provider(t, at, c.change), at, nil)
		if got := fmt.Sprint(x.Username, " ", x.Email, " ", x.Groups, " ", x.Grouped, " ", x.Rank); err != nil || got != c.want {
			t.Errorf("%s: %s, want %s: %v", name, got, c.want, err)
		}
	}
	// What only the user endpoint tells counts, and only if it is asked.
	at := oidctest.Start(t, redirect)
	at.Change(func(p *oidctest.Provider) {
		p.Claims, p.UserInfo = map[string]any{"sub": "s"}, map[string]any{"sub": "s", "preferred_username": "ann", "groups": []string{"g"}}
	})
	if x, err := signIn(t, provider(t, at, nil), at, nil); err != nil || x.Username != "ann" || !slices.Equal(x.Groups, []string{"g"}) {
		t.Errorf("%+v, %v", x, err)
	}
	if x, err := signIn(t, provider(t, at, func(o *Options) { o.DisableUserEndpoint = true }), at, nil); err != nil || x.Username != "s" {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestIssuers(t *testing.T) {
	at := oidctest.Start(t, redirect)
	at.Change(func(p *oidctest.Provider) { p.Issuer = "https://login.example.com/tenant/v2.0" })
	if _, err := signIn(t, provider(t, at, nil), at, nil); !gantry.Is(err, gantry.Unavailable) {
		t.Errorf("an issuer of another name is believed: %v", err)
	}
	for name, change := range map[string]func(*Options){
		"OIDC_ISSUER":  func(o *Options) { o.Issuer = "https://login.example.com/tenant/v2.0" },
		"OIDC_ISSUERS": func(o *Options) { o.Issuer = at.URL; o.Issuers = []string{"https://login.example.com/tenant/v2.0"} },
	} {
		p := provider(t, at, change)
		if x, err := signIn(t, p, at, nil); err != nil || x.Ident != "sub-ann" {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
		if !p.Issued("https://login.example.com/tenant/v2.0") || p.Issued("https://login.example.com/other/v2.0") || p.Issued("") {
			t.Errorf("%s: whose tokens are these?", name)
		}
	}
	down := oidctest.Start(t, redirect)
	p := provider(t, down, nil)
	if err := p.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	down.Change(func(p *oidctest.Provider) { p.Down = true })
	if _, err := signIn(t, p, down, nil); !gantry.Is(err, gantry.Unavailable) {
		t.Errorf("the provider is away: %v", err)
	}
	if err := p.Ping(t.Context()); !gantry.Is(err, gantry.Unavailable) {
		t.Error(err)
	}
	if _, err := signIn(t, provider(t, down, func(o *Options) { o.RootCAs = nil }), down, nil); !gantry.Is(err, gantry.Unavailable) {
		t.Errorf("a certificate of an unknown authority: %v", err)
	}
	for _, bad := range []Options{{ID: "x"}, {ID: "x", ClientSecret: "s", BindingField: "name"}, {ID: "x", PublicClient: true, NoPKCE: true}} {
		if _, err := New(bad); err == nil || !strings.Contains(err.Error(), "X_LOGIN_CONFIG") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestBearer(t *testing.T) {
	at := oidctest.Start(t, redirect)
	p := provider(t, at, func(o *Options) { o.Audiences, o.AllowedClients = []string{"api"}, []string{"ci"} })
	for name, c := range map[string]struct {
		forge func(map[string]any)
		want  bool
	}{
		"right":          {func(c map[string]any) { c["aud"], c["azp"] = "api", "ci" }, true},
		"one of several": {func(c map[string]any) { c["aud"], c["client_id"] = []string{"account", "api"}, "ci" }, true},
		"for a browser":  {func(c map[string]any) { c["azp"] = "ci" }, false},
		"another client": {func(c map[string]any) { c["aud"], c["azp"] = "api", "web" }, false},
		"no client":      {func(c map[string]any) { c["aud"] = "api" }, false},
		"expired":        {func(c map[string]any) { c["aud"], c["azp"], c["exp"] = "api", "ci", 1 }, false},
	} {
		at.Change(func(p *oidctest.Provider) { p.Forge = c.forge })
		x, err := p.VerifyBearer(t.Context(), at.Token())
		if (err == nil) != c.want || c.want && x.Ident != "sub-ann" || !c.want && !gantry.Is(err, gantry.Unauthenticated) {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
	at.Change(func(p *oidctest.Provider) { p.Forge = nil })
	for _, spoil := range []func(string) string{unsigned, shared, changed, func(string) string { return "a.b.c" }} {
		if _, err := provider(t, at, nil).VerifyBearer(t.Context(), spoil(at.Token())); !gantry.Is(err, gantry.Unauthenticated) {
			t.Error(err)
		}
	}
	if _, err := provider(t, at, nil).VerifyBearer(t.Context(), at.Token()); err != nil {
		t.Error(err)
	}
}

// TestUnknownKeys: tokens that name keys that nobody knows do not make the
// provider's keys be asked for each time, and a new key is known soon.
func TestUnknownKeys(t *testing.T) {
	at := oidctest.Start(t, redirect)
	now := time.Now()
	p := provider(t, at, func(o *Options) { o.Now = func() time.Time { return now } })
	if _, err := p.VerifyBearer(t.Context(), at.Token()); err != nil {
		t.Fatal(err)
	}
	at.Change(func(p *oidctest.Provider) { p.Rotate() })
	for range 5 {
		if _, err := p.VerifyBearer(t.Context(), at.Token()); !gantry.Is(err, gantry.Unauthenticated) {
			t.Errorf("a key that is not known yet: %v", err)
		}
	}
	if at.Asked != 1 {
		t.Errorf("asked for the keys %d times", at.Asked)
	}
	now = now.Add(keyPause)
	_, err := p.VerifyBearer(t.Context(), at.Token())
	for i := 0; i < 1000 && err != nil; i++ { // the answer of before is shared until its goroutine has ended
		time.Sleep(time.Millisecond)
		_, err = p.VerifyBearer(t.Context(), at.Token())
	}
	if err != nil || at.Asked != 2 {
		t.Errorf("a while later: %v, asked %d times", err, at.Asked)
	}
	// Away, it is not the token that is wrong.
	at.Change(func(p *oidctest.Provider) { p.Rotate(); p.Down = true })
	now = now.Add(keyPause)
	for range 2 {
		if _, err := p.VerifyBearer(t.Context(), at.Token()); !gantry.Is(err, gantry.Unavailable) {
			t.Errorf("a provider that is away: %v", err)
		}
	}
}

func TestPasswords(t *testing.T) {
	at := oidctest.Start(t, redirect)
	p := provider(t, at, nil)
	if _, err := p.VerifyPassword(t.Context(), "ann", "x"); !gantry.Is(err, gantry.Unauthenticated) || !strings.Contains(err.Error(), "application token") {
		t.Error("a provider that takes no passwords", err)
	}
	at.Change(func(p *oidctest.Provider) { p.Passwords = map[string]string{"ann": "right"} })
	if x, err := p.VerifyPassword(t.Context(), "ann", "right"); err != nil || x.Ident != "sub-ann" {
		t.Errorf("%+v, %v", x, err)
	}
	for _, c := range [][2]string{{"ann", "wrong"}, {"bob", "right"}, {"ann", ""}, {"", ""}} {
		if _, err := p.VerifyPassword(t.Context(), c[0], c[1]); !gantry.Is(err, gantry.Unauthenticated) {
			t.Errorf("%q: %v", c, err)
		}
	}
	if _, err := provider(t, at, func(o *Options) { o.ClientSecret = "wrong" }).VerifyPassword(t.Context(), "ann", "right"); !gantry.Is(err, gantry.Unavailable) {
		t.Error("the client's secret is wrong, which is nothing of the user's", err)
	}
	if c, err := p.Group(t.Context(), map[string]string{"group_name": " devs "}); err != nil || !p.Follows(c, []string{"devs"}) || p.Follows(c, []string{"xdevs"}) || p.Follows(c, nil) {
		t.Error(c, err)
	}
	if _, err := p.Group(t.Context(), map[string]string{"group_dn": "devs"}); !gantry.Is(err, gantry.Invalid) {
		t.Error(err)
	}
}
