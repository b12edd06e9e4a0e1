//go:build cluster

package k8s

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// trusting is a client that knows the authority. keep has it keep connections,
// as the clients of people do.
func trusting(t *testing.T, ca string, keep bool) *http.Client {
	t.Helper()
	raw, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: !keep, ForceAttemptHTTP2: keep, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
}

// An answer is one that was not asked for.
type answer struct {
	status int
	text   string
}

func (a *answer) Error() string { return fmt.Sprintf("%d: %s", a.status, a.text) }

// ask sends a request and returns what comes back, up to 64 MiB. The error is an
// *answer if the status is not of want.
func ask(ctx context.Context, c *http.Client, method, path string, body io.Reader, header map[string]string, want ...int) ([]byte, http.Header, error) {
	to, err := url.Parse("https://" + host)
	if err == nil {
		to, err = to.Parse(path)
	}
	if err != nil {
		return nil, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, to.String(), body)
	if err != nil {
		return nil, nil, err
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := c.Do(r)
	if err != nil {
		return nil, nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, nil, err
	}
	for _, w := range want {
		if resp.StatusCode == w {
			return raw, resp.Header, nil
		}
	}
	return nil, nil, &answer{resp.StatusCode, string(raw[:min(len(raw), 300)])}
}

// bearer gets a token of the registry, for image.
func bearer(ctx context.Context, c *http.Client, user, secret, actions string) (map[string]string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "", nil)
	if err != nil {
		return nil, err
	}
	r.SetBasicAuth(user, secret)
	raw, _, err := ask(ctx, c, http.MethodGet, "/v2/auth?service="+url.QueryEscape(host)+"&scope=repository:"+image+":"+actions, nil,
		map[string]string{"Authorization": r.Header.Get("Authorization")}, http.StatusOK)
	if err != nil {
		return nil, err
	}
	var got struct{ Token string }
	if err := json.Unmarshal(raw, &got); err != nil {
		return nil, err
	}
	return map[string]string{"Authorization": "Bearer " + got.Token}, nil
}

// pull is one pull of a tag of image: a token, the manifest, and each of its blobs, which are
// what they are called by.
func pull(ctx context.Context, c *http.Client, user, secret, tag string) error {
	header, err := bearer(ctx, c, user, secret, "pull")
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	header["Accept"] = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
	raw, _, err := ask(ctx, c, http.MethodGet, "/v2/"+image+"/manifests/"+tag, nil, header, http.StatusOK)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	type blob struct{ Digest string }
	var m struct {
		Config blob
		Layers []blob
	}
	if err := json.Unmarshal(raw, &m); err != nil || len(m.Layers) == 0 {
		return fmt.Errorf("manifest %s: %w", raw, err)
	}
	for _, b := range append(m.Layers, m.Config) {
		raw, _, err := ask(ctx, c, http.MethodGet, "/v2/"+image+"/blobs/"+b.Digest, nil, header, http.StatusOK)
		if err != nil {
			return fmt.Errorf("blob: %w", err)
		}
		if sum := sha256.Sum256(raw); b.Digest != "sha256:"+hex.EncodeToString(sum[:]) {
			return fmt.Errorf("blob %s is something else: %d bytes", b.Digest, len(raw))
		}
	}
	return nil
}

// A tally is what clients met that pulled again and again.
type tally struct {
	mu     sync.Mutex
	pulls  int
	failed []error
}

func (y *tally) add(err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.pulls++
	if err != nil {
		y.failed = append(y.failed, fmt.Errorf("%s: %w", time.Now().Format("05.000"), err))
	}
}

func (y *tally) count() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.pulls
}

// pulling has the robot pull tag 1 all the time, by connections of their own, by kept
// ones, and by skopeo, until end is called.
func (w *walk) pulling(t *testing.T) (y *tally, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	y = &tally{}
	var all sync.WaitGroup
	loop := func(once func() error) {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := once(); ctx.Err() == nil {
					y.add(err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	for _, keep := range []bool{false, true} {
		c := trusting(t, w.certs+".ca", keep)
		loop(func() error { return pull(ctx, c, w.robot, w.secret, "1") })
	}
	to := t.TempDir()
	loop(func() error {
		_, err := commandIn(ctx, "", "skopeo", "copy", "--quiet", "--src-cert-dir", w.trust, "--src-creds", w.robot+":"+w.secret, "docker://"+host+"/"+image+":1", "dir:"+to)
		return err
	})
	ended := false
	end = func() {
		if !ended {
			ended = true
			cancel()
			all.Wait()
		}
	}
	t.Cleanup(end)
	eventually(t, "clients pull", func() error {
		if y.count() < 5 {
			return errors.New("they have not begun")
		}
		return nil
	})
	return y, end
}

// unharmed ends the loop, whose pulls all went well.
func (y *tally) unharmed(t *testing.T, end func()) {
	t.Helper()
	n := y.count() + 5 // some after the change
	eventually(t, "clients go on pulling", func() error {
		if y.count() < n {
			return fmt.Errorf("%d of %d pulls", y.count(), n)
		}
		return nil
	})
	end()
	t.Logf("%d pulls, %d failed", y.pulls, len(y.failed))
	for _, err := range y.failed[:min(len(y.failed), 10)] {
		t.Errorf("a pull failed: %v", err)
	}
}

// api calls the management API as the superuser.
func (w *walk) api(t *testing.T, method, path, body string, want ...int) map[string]any {
	t.Helper()
	header := map[string]string{"Content-Type": "application/json"}
	if w.token != "" {
		header["Authorization"] = "Bearer " + w.token
	}
	raw, _, err := ask(t.Context(), w.client, method, "/api/v1/"+path, strings.NewReader(body), header, want...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, raw)
	}
	return out
}

// push is one of skopeo, of the node's own Redis.
func (w *walk) push(tag string) error {
	_, err := command("skopeo", "copy", "--quiet", "--dest-cert-dir", w.trust, "--dest-creds", "admin:"+password, "oci-archive:"+filepath.Join(images, "redis.tar"), "docker://"+host+"/"+image+":"+tag)
	return err
}

// podman loads the image and pushes it.
func (w *walk) podman(t *testing.T, tag string) {
	t.Helper()
	store := filepath.Join(dir, "podman") // a short path: podman says so
	podman := func(args ...string) string {
		t.Helper()
		out, err := command("podman", append([]string{"--root", store + "/root", "--runroot", store + "/run", "--storage-driver", "vfs"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	podman("load", "--quiet", "--input", filepath.Join(images, "redis.tar"))
	podman("push", "--quiet", "--cert-dir", w.trust, "--creds", "admin:"+password, redisImage, host+"/"+image+":"+tag)
}

// An upload is one of a blob that is sent in two parts.
type upload struct {
	content []byte
	place   string // where it is sent to

	interrupted time.Time
}

const part = 4 << 20

func (u *upload) digest() string {
	sum := sha256.Sum256(u.content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// begin sends the first part.
func (w *walk) begin(t *testing.T) *upload {
	t.Helper()
	u := &upload{content: make([]byte, 3*part)}
	_, _ = rand.Read(u.content) // never fails
	header, err := bearer(t.Context(), w.client, "admin", password, "pull,push")
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := ask(t.Context(), w.client, http.MethodPost, "/v2/"+image+"/blobs/uploads/", nil, header, http.StatusAccepted)
	if err != nil {
		t.Fatal(err)
	}
	u.place = got.Get("Location")
	header["Content-Type"] = "application/octet-stream"
	_, got, err = ask(t.Context(), w.client, http.MethodPatch, u.place, bytes.NewReader(u.content[:part]), header, http.StatusAccepted)
	if err != nil {
		t.Fatal(err)
	}
	u.place = got.Get("Location")
	return u
}

// interrupt sends half of the second part, and calls kill before the other half.
func (w *walk) interrupt(t *testing.T, u *upload, kill func()) {
	t.Helper()
	header, err := bearer(t.Context(), w.client, "admin", password, "pull,push")
	if err != nil {
		t.Fatal(err)
	}
	header["Content-Type"] = "application/octet-stream"
	r, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, _, err := ask(context.Background(), w.client, http.MethodPatch, u.place, r, header, http.StatusAccepted)
		done <- err
	}()
	if _, err := writer.Write(u.content[part : 3*part/2]); err != nil {
		t.Fatal(err)
	}
	kill()
	u.interrupted = time.Now()
	_, _ = writer.Write(u.content[3*part/2:]) // to nobody
	_ = writer.Close()
	if err := <-done; err == nil {
		t.Error("the registry was killed while it was sent something, and says that it has all of it")
	}
}

// resumed sends the rest of the upload that was interrupted, and reads the blob.
// The registry holds it for the process that was killed, until it has not been
// heard of for a minute.
func (w *walk) resumed(t *testing.T) {
	u := w.upload
	header, err := bearer(t.Context(), w.client, "admin", password, "pull,push")
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := ask(t.Context(), w.client, http.MethodGet, u.place, nil, header, http.StatusNoContent)
	if err != nil {
		t.Fatal(err)
	}
	var last int
	if _, err := fmt.Sscanf(got.Get("Range"), "0-%d", &last); err != nil || last+1 < part || last+1 >= len(u.content) {
		t.Fatalf("the upload is at %q (%v), and %d bytes were taken before the registry was killed", got.Get("Range"), err, part)
	}
	header["Content-Type"], header["Content-Range"] = "application/octet-stream", fmt.Sprintf("%d-%d", last+1, len(u.content)-1)
	place := got.Get("Location")
	eventually(t, "the rest is taken", func() error {
		_, got, err = ask(t.Context(), w.client, http.MethodPatch, place, bytes.NewReader(u.content[last+1:]), header, http.StatusAccepted)
		var a *answer
		if errors.As(err, &a) && a.status != http.StatusConflict {
			t.Fatal(err)
		}
		return err
	})
	t.Logf("the upload went on at byte %d of %d, %.0f s after it was interrupted", last+1, len(u.content), time.Since(u.interrupted).Seconds())
	delete(header, "Content-Range")
	to, err := url.Parse(got.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	q := to.Query()
	q.Set("digest", u.digest())
	to.RawQuery = q.Encode()
	if _, _, err := ask(t.Context(), w.client, http.MethodPut, to.String(), nil, header, http.StatusCreated); err != nil {
		t.Fatal(err)
	}
	raw, _, err := ask(t.Context(), w.client, http.MethodGet, "/v2/"+image+"/blobs/"+u.digest(), nil, header, http.StatusOK)
	if err != nil || !bytes.Equal(raw, u.content) {
		t.Errorf("%d bytes come back of %d: %v", len(raw), len(u.content), err)
	}
}

// pod runs a pod of the pushed image. Its tag is asked for at the registry.
func (w *walk) pod(t *testing.T, name, tag, pullSecret string) {
	t.Helper()
	apply(t, w.ns, `
apiVersion: v1
kind: Pod
metadata: {name: `+name+`}
spec:
  imagePullSecrets: [{name: `+pullSecret+`}]
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  containers: [{name: c, image: "`+host+`/`+image+`:`+tag+`", imagePullPolicy: Always}]
`)
}

// runs runs a pod of the pushed image with the robot's pull secret.
func (w *walk) runs(t *testing.T, name, tag string) {
	t.Helper()
	w.pod(t, name, tag, "pull")
	kubectl(t, "wait", "-n", w.ns, "pod/"+name, "--for=condition=Ready", "--timeout=3m")
}
