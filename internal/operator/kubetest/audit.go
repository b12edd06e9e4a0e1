package kubetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A Request is one that the API server has answered; a watch, one that it has
// begun to.
type Request struct {
	User        string // for whom, where it was made in the name of another
	Agent       string // the client's User-Agent
	Verb        string // get, list, watch, create, update, patch, delete, deletecollection; for other paths the method
	Group       string // of the resource; "" = core
	Resource    string // plural; "" for paths without, such as /healthz
	Subresource string
	Namespace   string
	Name        string
	Path        string
	Code        int
}

// String is such as "create apps/deployments NS/NAME 201".
func (r Request) String() string {
	what := r.Path
	if r.Resource != "" {
		what = strings.TrimPrefix(r.Group+"/", "/") + r.Resource
		if r.Subresource != "" {
			what += "/" + r.Subresource
		}
		what += " " + r.Namespace + "/" + r.Name
	}
	return fmt.Sprintf("%s %s %d", r.Verb, what, r.Code)
}

// Writes says whether the request changes something.
func (r Request) Writes() bool {
	switch r.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return true
	}
	return false
}

// An Audit is the requests from a moment on.
type Audit struct {
	c    *Cluster
	from int64
}

// Audit begins to look at the requests that the cluster gets from now on.
func (c *Cluster) Audit(t testing.TB) *Audit {
	t.Helper()
	a := &Audit{c: c}
	a.fence(t)
	info, err := os.Stat(c.auditLog())
	if err != nil {
		t.Fatalf("kubetest: %v", err)
	}
	// The last line may still be being written: it is looked at whole.
	from := max(0, info.Size()-4<<20)
	raw, err := read(c.auditLog(), from)
	if err != nil {
		t.Fatalf("kubetest: %v", err)
	}
	a.from = from + int64(bytes.LastIndexByte(raw[:min(int64(len(raw)), info.Size()-from)], '\n')) + 1
	return a
}

func (c *Cluster) auditLog() string { return filepath.Join(c.dir, "logs", "audit.log") }

var fences atomic.Int64

const fencePrefix = "kubetest-fence-"

// fence makes a request and waits until it is in the log: those that were
// answered before are there too.
func (a *Audit) fence(t testing.TB) {
	t.Helper()
	name := fmt.Sprintf("%s%d.", fencePrefix, fences.Add(1))
	info, err := os.Stat(a.c.auditLog())
	if err != nil {
		t.Fatalf("kubetest: %v", err)
	}
	from := info.Size()
	if err := a.c.client.Get(t.Context(), client.ObjectKey{Name: name}, new(corev1.Namespace)); client.IgnoreNotFound(err) != nil {
		t.Fatalf("kubetest: %v", err)
	}
	Eventually(t, "the audit log", func() error {
		raw, err := read(a.c.auditLog(), from)
		if err == nil && !bytes.Contains(raw, []byte(`"name":"`+name+`"`)) {
			err = errors.New("the last request is not there")
		}
		return err
	})
}

func read(file string, from int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	return io.ReadAll(io.NewSectionReader(f, from, 1<<30))
}

// Requests returns those since the moment for which keep holds; nil keeps all.
// The audit's own are not among them.
func (a *Audit) Requests(t testing.TB, keep func(Request) bool) []Request {
	t.Helper()
	a.fence(t)
	raw, err := read(a.c.auditLog(), a.from)
	if err != nil {
		t.Fatalf("kubetest: %v", err)
	}
	var all []Request
	seen := make(map[string]bool)
	for line := range bytes.Lines(raw) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		r, id, err := parseRequest(line)
		if err != nil {
			t.Fatalf("kubetest: audit log: %v", err)
		}
		if seen[id] || strings.HasPrefix(r.Name, fencePrefix) {
			continue
		}
		seen[id] = true // a watch is there once more when it ends
		if keep == nil || keep(r) {
			all = append(all, r)
		}
	}
	return all
}

func parseRequest(line []byte) (Request, string, error) {
	type user struct {
		Username string `json:"username"`
	}
	var e struct {
		AuditID      string `json:"auditID"`
		Verb         string `json:"verb"`
		RequestURI   string `json:"requestURI"`
		UserAgent    string `json:"userAgent"`
		User         user   `json:"user"`
		Impersonated *user  `json:"impersonatedUser"`
		Object       struct {
			Resource    string `json:"resource"`
			Subresource string `json:"subresource"`
			Namespace   string `json:"namespace"`
			Name        string `json:"name"`
			Group       string `json:"apiGroup"`
		} `json:"objectRef"`
		Status struct {
			Code int `json:"code"`
		} `json:"responseStatus"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return Request{}, "", err
	}
	r := Request{User: e.User.Username, Agent: e.UserAgent, Verb: e.Verb, Group: e.Object.Group, Resource: e.Object.Resource,
		Subresource: e.Object.Subresource, Namespace: e.Object.Namespace, Name: e.Object.Name, Path: e.RequestURI, Code: e.Status.Code}
	if e.Impersonated != nil {
		r.User = e.Impersonated.Username
	}
	return r, e.AuditID, nil
}
