package azure

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/blob/wire"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// options returns those of a new container, which is reached by way of addr;
// "" = directly.
func options(t testing.TB, addr string) Options {
	t.Helper()
	s := servertest.Azurite(t)
	o := Options{
		Container: "t" + strings.ToLower(rand.Text()), StoragePath: "/datastorage/registry",
		AccountName: servertest.AzuriteAccount, AccountKey: servertest.AzuriteKey, EndpointURL: s.Endpoint(addr),
		pause: 5 * time.Millisecond,
	}
	key, err := azblob.NewSharedKeyCredential(o.AccountName, o.AccountKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := azblob.NewClientWithSharedKeyCredential(s.Endpoint(""), key, nil)
	if err == nil {
		_, err = c.CreateContainer(t.Context(), o.Container, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func open(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // it has no error
	return e
}

func TestSuite(t *testing.T) {
	blobtest.Suite{
		New:    func(t *testing.T) blob.Engine { return open(t, options(t, "")) },
		Reopen: func(t *testing.T, e blob.Engine) blob.Engine { return open(t, e.(*Engine).o) },
	}.Run(t)
}

// TestFork goes on with an upload to which another process still writes, and
// which that one then completes, too late.
func TestFork(t *testing.T) {
	o := options(t, "")
	slow, quick := open(t, o), open(t, o)
	ctx := t.Context()
	data := blobtest.Bytes(1, 3<<20)
	a, err := slow.Upload(ctx, "uploads/f", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }() // its bytes are not wanted
	write(t, a, data[:1<<20])
	state, err := a.Sync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	write(t, a, blobtest.Bytes(2, 1<<20)) // before
	if _, err := a.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := quick.Fork(ctx, "uploads/f", 1<<20+1, state, "uploads/g"); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("Fork behind the end: %v", err)
	}
	key, forked, err := quick.Fork(ctx, "uploads/f", 1<<20, state, "uploads/g")
	if err != nil {
		t.Fatal(err)
	}
	b, err := quick.Upload(ctx, key, 1<<20, forked)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }() // completed below
	write(t, b, data[1<<20:2<<20])
	if state, err = b.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	write(t, a, blobtest.Bytes(3, 1<<20)) // in between
	if _, err := a.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	c, err := open(t, o).Upload(ctx, key, 2<<20, state)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // completed below
	write(t, c, data[2<<20:])
	if err := c.Complete(ctx); err != nil {
		t.Fatal(err)
	}
	write(t, a, blobtest.Bytes(4, 1<<20)) // afterwards
	if err := a.Complete(ctx); err == nil {
		t.Error("the slow process replaces what was completed")
	}
	if got := blobtest.Get(t, quick, key); !bytes.Equal(got, data) {
		t.Errorf("%d other bytes", len(got))
	}
}

func write(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	if n, err := w.Write(p); n != len(p) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
}

// TestSweep discards what uploads left, and neither what is in use nor what is
// young.
func TestSweep(t *testing.T) {
	e := open(t, options(t, ""))
	ctx := t.Context()
	states := map[string][]byte{}
	for _, key := range []string{"uploads/left", "uploads/used", "elsewhere"} {
		u, err := e.Upload(ctx, key, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		write(t, u, []byte("12345"))
		if states[key], err = u.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		_ = u.Close() // left alone
	}
	blobtest.Put(t, e, "uploads/whole", nil)
	// Another program's, such as Quay's.
	_, err := e.blob("uploads/quay").StageBlock(ctx, "AAAA", streaming.NopCloser(strings.NewReader("x")), nil)
	if err != nil {
		t.Fatal(err)
	}
	used := func(_ context.Context, key string) (bool, error) { return key == "uploads/used", nil }
	if n, err := e.Sweep(ctx, time.Now().Add(-time.Hour), used); n != 0 || err != nil {
		t.Errorf("Sweep of what is young = %d, %v", n, err)
	}
	if n, err := e.Sweep(ctx, time.Now().Add(time.Hour), used); n != 1 || err != nil {
		t.Errorf("Sweep = %d, %v; want 1", n, err)
	}
	for key, state := range states {
		u, err := e.Upload(ctx, key, 5, state)
		if err == nil {
			_ = u.Close() // not written
		}
		if left := key == "uploads/left"; left != gantry.Is(err, gantry.NotFound) || !left && err != nil {
			t.Errorf("Upload of %s = %v", key, err)
		}
	}
	if list, err := e.uncommitted(ctx, "uploads/quay"); err != nil || len(list) != 1 {
		t.Errorf("the other program's: %v, %v", list, err)
	}
	if got := blobtest.Keys(t, e, "", ""); !slices.Equal(got, []string{"uploads/whole"}) {
		t.Errorf("there are %q", got)
	}
}

// token returns a shared access signature for the container.
func token(t testing.TB, o Options, p sas.ContainerPermissions, end time.Time) string {
	t.Helper()
	key, err := azblob.NewSharedKeyCredential(o.AccountName, o.AccountKey)
	if err != nil {
		t.Fatal(err)
	}
	q, err := sas.BlobSignatureValues{Protocol: sas.ProtocolHTTPSandHTTP, ExpiryTime: end.UTC(), Permissions: p.String(), ContainerName: o.Container}.SignWithSharedKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return q.Encode()
}

var allRights = sas.ContainerPermissions{Read: true, Add: true, Create: true, Write: true, Delete: true, List: true}

// TestToken does all that the engine does with sas_token alone, and copies.
func TestToken(t *testing.T) {
	for name, with := range map[string]func(o *Options){
		"key": func(*Options) {},
		"token": func(o *Options) {
			o.SASToken, o.AccountKey = "?"+token(t, *o, allRights, time.Now().Add(time.Hour)), ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, "")
			with(&o)
			e := open(t, o)
			ctx := t.Context()
			data := blobtest.Bytes(1, 9<<20)
			blobtest.Put(t, e, "sha256/aa/aa", data)
			if err := e.Check(ctx); err != nil {
				t.Error(err)
			}
			if err := e.Copy(ctx, "sha256/aa/aa", "copies/b"); err != nil {
				t.Fatal(err)
			}
			if err := e.Delete(ctx, "sha256/aa/aa"); err != nil {
				t.Fatal(err)
			}
			if got := blobtest.Get(t, e, "copies/b"); !bytes.Equal(got, data) {
				t.Errorf("the copy has %d other bytes", len(got))
			}
			if err := e.Copy(ctx, "none", "copies/c"); !gantry.Is(err, gantry.NotFound) {
				t.Errorf("Copy of nothing: %v", err)
			}
			for _, opts := range []blob.URLOptions{{}, {Method: "HEAD"}, {ContentType: "application/vnd.oci.image.layer.v1.tar"}} {
				at, err := e.URL(ctx, "copies/b", opts)
				if err != nil {
					t.Fatal(err)
				}
				r, body := fetch(t, cmp.Or(opts.Method, "GET"), at, "bytes=5-9")
				if r.StatusCode != http.StatusPartialContent && opts.Method == "" || opts.Method == "" && !bytes.Equal(body, data[5:10]) {
					t.Errorf("%+v: %d, %d bytes", opts, r.StatusCode, len(body))
				}
				if opts.Method == "HEAD" && r.ContentLength == 0 {
					t.Errorf("HEAD: %d, length %d", r.StatusCode, r.ContentLength)
				}
				if e.key != nil && opts.ContentType != "" && r.Header.Get("Content-Type") != opts.ContentType {
					t.Errorf("the type is %q", r.Header.Get("Content-Type"))
				}
			}
			if e.key == nil {
				return
			}
			at, err := e.URL(ctx, "copies/b", blob.URLOptions{})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(at)
			if err != nil {
				t.Fatal(err)
			}
			end, err := time.Parse(time.RFC3339, u.Query().Get("se"))
			if left := time.Until(end); err != nil || left < 500*time.Second || left > 600*time.Second {
				t.Errorf("the URL works for %v, %v", left, err)
			}
			if r, _ := fetch(t, "GET", strings.Replace(at, "copies%2Fb", "copies%2Fc", 1), ""); r.StatusCode != http.StatusForbidden && r.StatusCode != http.StatusNotFound {
				t.Errorf("the URL opens another object: %d", r.StatusCode)
			}
			if r, _ := fetch(t, "DELETE", at, ""); r.StatusCode != http.StatusForbidden {
				t.Errorf("the URL deletes: %d", r.StatusCode)
			}
		})
	}
}

func fetch(t testing.TB, method, at, ranges string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ranges != "" {
		r.Header.Set("Range", ranges)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// TestMessages names the parameter that is wrong, and shows no secret.
func TestMessages(t *testing.T) {
	good := options(t, "")
	secret := base64.StdEncoding.EncodeToString([]byte("another key, that is 32 bytes ok"))
	in := func(d time.Duration) time.Time { return time.Now().Add(d) }
	for want, change := range map[string]func(o *Options){
		"azure_container: it is missing":                   func(o *Options) { o.Container = "" },
		"azure_account_name: it is missing":                func(o *Options) { o.AccountName = "" },
		"azure_account_key: neither":                       func(o *Options) { o.AccountKey = "" },
		"azure_account_key: it is not base64":              func(o *Options) { o.AccountKey = "se!cret" },
		"azure_account_key: it is not accepted":            func(o *Options) { o.AccountKey = secret },
		"azure_container: account devstoreaccount1 has no": func(o *Options) { o.Container = "not-there" },
		"sas_token: it is not a shared access signature":   func(o *Options) { o.AccountKey, o.SASToken = "", "sv=1&se=2" },
		"sas_token: it ended at":                           func(o *Options) { o.SASToken = token(t, *o, allRights, in(-time.Hour)); o.AccountKey = "" },
		"sas_token: it does not give the right": func(o *Options) {
			o.SASToken = token(t, *o, sas.ContainerPermissions{Read: true}, in(time.Hour))
			o.AccountKey = ""
		},
		"sas_token: it is not accepted": func(o *Options) {
			o.SASToken = strings.Replace(token(t, *o, allRights, in(time.Hour)), "sig=", "sig=x", 1)
			o.AccountKey = ""
		},
		"endpoint_url: it is the secondary endpoint, which":  func(o *Options) { o.EndpointURL += "-secondary" },
		"endpoint_url: it is the secondary endpoint, which ": func(o *Options) { o.EndpointURL = "https://devstoreaccount1-secondary.blob.core.windows.net" },
		"endpoint_url: it is not the address":                func(o *Options) { o.EndpointURL = "azure.example.com" },
		"connection refused":                                 func(o *Options) { o.EndpointURL = "http://127.0.0.1:1/devstoreaccount1" },
		"no such host":                                       func(o *Options) { o.EndpointURL = "http://azure.invalid/devstoreaccount1" },
	} {
		t.Run(want, func(t *testing.T) {
			o := good
			change(&o)
			e, err := New(o)
			if err == nil {
				defer func() { _ = e.Close() }() // it has no error
				err = e.Check(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("%v; want %q", err, want)
			}
			noSecret(t, err, o)
		})
	}
}

// noSecret fails where err shows a key, a token or its signature.
func noSecret(t testing.TB, err error, o Options) {
	t.Helper()
	q, parseErr := url.ParseQuery(o.SASToken)
	if parseErr != nil {
		t.Fatal(parseErr)
	}
	for _, s := range []string{o.AccountKey, o.SASToken, q.Get("sig"), url.QueryEscape(q.Get("sig")), "sig="} {
		if s != "" && strings.Contains(err.Error(), s) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

// TestClock says whose clock is wrong.
func TestClock(t *testing.T) {
	p := servertest.NewHTTPProxy(t, servertest.Azurite(t).Addr)
	e := open(t, options(t, p.Addr()))
	answer := func(code string, date time.Time, body string) {
		p.Hook(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
			w.Header().Set("X-Ms-Error-Code", code)
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, body) // the client sees it
		})
	}
	answer("AuthenticationFailed", time.Now().Add(20*time.Minute), "")
	if err := e.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "the clock of this machine is -20m") && !strings.Contains(err.Error(), "the clock of this machine is -19m") {
		t.Errorf("a clock that is late: %v", err)
	}
	answer("InsufficientAccountPermissions", time.Now(), "<Error><Code>InsufficientAccountPermissions</Code><Message>The account being accessed does not have sufficient permissions to execute this operation. Write operations are not allowed.</Message></Error>")
	if err := e.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "only the primary works") {
		t.Errorf("a secondary that hides: %v", err)
	}
}

// TestFaults has the service fail now and then, and for good.
func TestFaults(t *testing.T) {
	p := servertest.NewHTTPProxy(t, servertest.Azurite(t).Addr)
	o := options(t, p.Addr())
	e := open(t, o)
	ctx := t.Context()
	data := blobtest.Bytes(1, 20<<20)
	every := func(nth int64, fault func(w http.ResponseWriter, r *http.Request, server http.Handler)) {
		var n atomic.Int64
		p.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
			if n.Add(1)%nth == 0 {
				fault(w, r, server)
				return
			}
			server.ServeHTTP(w, r)
		})
	}
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
		}
	}
	// Done, but the answer is lost.
	lost := func(_ http.ResponseWriter, r *http.Request, server http.Handler) {
		server.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"500": status(500), "503 throttled": status(503, "X-Ms-Error-Code", "ServerBusy"), "429": status(429),
		"cut": func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }, "answer lost": lost,
	} {
		t.Run(name, func(t *testing.T) {
			defer p.Hook(nil)
			every(2, fault)
			blobtest.Put(t, e, "large", data)
			blobtest.Put(t, e, "small", data[:100])
			blobtest.Put(t, e, "small", data[:200]) // replaced
			if got := blobtest.Get(t, e, "large"); !bytes.Equal(got, data) {
				t.Errorf("%d other bytes", len(got))
			}
			if got := blobtest.Keys(t, e, "", ""); !slices.Equal(got, []string{"large", "small"}) {
				t.Errorf("there are %q", got)
			}
			if err := e.Check(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	blobtest.Put(t, e, "large", data)

	// A stream that breaks goes on where it broke.
	t.Run("cut in the middle", func(t *testing.T) {
		defer p.Hook(nil)
		cuts := 0
		p.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
			if r.Method == http.MethodGet && cuts < 5 {
				cuts++
				server.ServeHTTP(servertest.CutAfter(w, 3<<20), r)
				return
			}
			server.ServeHTTP(w, r)
		})
		if got := blobtest.Get(t, e, "large"); !bytes.Equal(got, data) || cuts != 5 {
			t.Errorf("%d bytes, cut %d times", len(got), cuts)
		}
	})
	t.Run("wrong length", func(t *testing.T) {
		defer p.Hook(nil)
		p.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
			if r.Method == http.MethodGet {
				r.Header.Set("X-Ms-Range", "bytes=0-99")
			}
			server.ServeHTTP(w, r)
		})
		o, err := e.Open(ctx, "large")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = o.Close() }() // only read
		if n, err := io.Copy(io.Discard, o); err == nil || n > 0 {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
	t.Run("replaced in the middle", func(t *testing.T) {
		o, err := e.Open(ctx, "large")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = o.Close() }() // only read
		b := make([]byte, 1000)
		if _, err := io.ReadFull(o, b); err != nil {
			t.Fatal(err)
		}
		blobtest.Put(t, e, "large", blobtest.Bytes(2, len(data)))
		if _, err := o.Seek(10<<20, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if n, err := o.Read(b); n > 0 || !gantry.Is(err, gantry.NotFound) {
			t.Errorf("Read = %d, %v", n, err)
		}
		if n, err := o.ReadAt(b, 5); n > 0 || !gantry.Is(err, gantry.NotFound) {
			t.Errorf("ReadAt = %d, %v", n, err)
		}
	})
	t.Run("for good", func(t *testing.T) {
		defer p.Hook(nil)
		u, err := e.Upload(ctx, "bad", 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = u.Close() }() // it failed
		p.Hook(status(500))
		write(t, u, data[:100])
		_, err = u.Sync(ctx)
		if err == nil || !strings.Contains(err.Error(), "500") {
			t.Errorf("Sync = %v", err)
		}
		noSecret(t, err, o)
		if err := u.Complete(ctx); err == nil {
			t.Error("Complete after a failed Sync")
		}
		if _, err := e.Stat(ctx, "large"); err == nil || gantry.Is(err, gantry.NotFound) {
			t.Errorf("Stat = %v", err)
		}
	})
}

// TestPendingCopy waits for a copy that takes its time, shows nothing of it
// before it is whole, and removes one that fails.
func TestPendingCopy(t *testing.T) {
	p := servertest.NewHTTPProxy(t, servertest.Azurite(t).Addr)
	e := open(t, options(t, p.Addr()))
	ctx := t.Context()
	blobtest.Put(t, e, "from", []byte("bytes"))
	var looks atomic.Int64
	end := "success"
	p.Hook(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, r)
		if rec.Header().Get("X-Ms-Copy-Status") != "" {
			status := "pending"
			if looks.Add(1) > 3 {
				status = end
			}
			rec.Header().Set("X-Ms-Copy-Status", status)
		}
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes()) // the client sees it
	})
	if err := e.Copy(ctx, "from", "to"); err != nil || looks.Load() != 4 {
		t.Errorf("Copy = %v after %d looks", err, looks.Load())
	}
	looks.Store(0)
	if _, err := e.Stat(ctx, "to"); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("Stat of a copy that is not whole = %v", err)
	}
	if _, err := e.Open(ctx, "to"); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("Open of a copy that is not whole = %v", err)
	}
	looks.Store(0)
	end = "failed"
	if err := e.Copy(ctx, "from", "to"); err == nil || !strings.Contains(err.Error(), "failed") {
		t.Errorf("Copy that fails = %v", err)
	}
	p.Hook(nil)
	if got := blobtest.Keys(t, e, "", ""); !slices.Equal(got, []string{"from"}) {
		t.Errorf("there are %q", got)
	}
}

// TestAuthority trusts the authorities that it is given, and no others.
func TestAuthority(t *testing.T) {
	back := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: servertest.Azurite(t).Addr})
		r.Out.Host = r.In.Host
	}}
	s := httptest.NewTLSServer(back)
	defer s.Close()
	o := options(t, "")
	o.EndpointURL = s.URL + "/" + o.AccountName
	if err := open(t, o).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	o.RootCAs = x509.NewCertPool()
	o.RootCAs.AddCert(s.Certificate())
	if err := open(t, o).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestMany has more uploads at a time than the memory can hold blocks of.
func TestMany(t *testing.T) {
	o := options(t, "")
	o.Memory = wire.NewPool(4 << 20)
	e := open(t, o)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			key := fmt.Sprintf("many/%d", i)
			data := blobtest.Bytes(uint64(i), 3<<20+i)
			u, err := e.Upload(t.Context(), key, 0, nil)
			if err == nil {
				_, err = io.Copy(u, bytes.NewReader(data))
			}
			if err == nil {
				err = u.Complete(t.Context())
			}
			if err == nil {
				err = u.Close()
			}
			if err != nil {
				t.Error(err)
				return
			}
			if got := blobtest.Get(t, e, key); !bytes.Equal(got, data) {
				t.Errorf("%s has %d other bytes", key, len(got))
			}
		})
	}
	wg.Wait()
}

func FuzzState(f *testing.F) {
	good, err := state{Seq: 3, Mark: mark{1, 2}, Offset: 9, Found: "0x1"}.bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"n":4294967295,"m":[1],"o":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b)
		if err != nil {
			return
		}
		again, err := s.bytes()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseState(again); err != nil || got != s {
			t.Fatalf("%+v becomes %+v, %v", s, got, err)
		}
		if _, err := chain(s, nil); err == nil && s.Seq > 0 {
			t.Fatal("a chain of nothing")
		}
	})
}

func FuzzBlockID(f *testing.F) {
	f.Add(blockID{Seq: 1, Mark: mark{1}, Begun: 5}.String(), "AAAA")
	f.Fuzz(func(t *testing.T, a, b string) {
		id, ok := parseBlockID(a)
		if again, same := parseBlockID(id.String()); ok && (!same || again != id) {
			t.Fatalf("%+v becomes %+v", id, again)
		}
		_, _ = chain(state{Seq: max(1, id.Seq), Mark: id.Mark, Offset: 3}, []listed{{a, 1}, {b, 2}}) // ends
	})
}
