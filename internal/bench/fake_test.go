package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A fake is a registry in memory that is spoken to as Gantry is: a first
// account, tokens for scopes, robots, visibility.
type fake struct {
	mu      sync.Mutex
	host    string
	fault   string            // what to answer wrongly: FAKE_FAULT
	oauth   bool              // the first account is there
	robot   map[string]bool   // "repo robot" with the right to read
	public  map[string]bool   // repositories
	tokens  map[string]string // token -> its scopes
	blobs   map[string][]byte // by digest
	links   map[string]bool   // "repo digest"
	uploads map[string]*bytes.Buffer
	tags    map[string]map[string][]byte // repo -> tag or digest -> manifest
	order   []string                     // repositories with a manifest
	seq     int
}

func serveFake(args []string) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	addr := fs.String("listen", "", "")
	data := fs.String("data", "", "")
	metrics := fs.String("metrics", "", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if _, err := os.Stat(*data); err != nil || *metrics != "off" {
		return fmt.Errorf("bad arguments %q: %w", args, err)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", *addr)
	if err != nil {
		return err
	}
	f := &fake{
		host: *addr, fault: os.Getenv("FAKE_FAULT"), robot: map[string]bool{}, public: map[string]bool{}, tokens: map[string]string{},
		blobs: map[string][]byte{}, links: map[string]bool{}, uploads: map[string]*bytes.Buffer{}, tags: map[string]map[string][]byte{},
	}
	return (&http.Server{Handler: f, ReadHeaderTimeout: time.Minute}).Serve(l)
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch path := r.URL.Path; {
	case path == "/api/v1/user/initialize" && r.Method == "POST" && !f.oauth:
		f.oauth = true
		answerJSON(w, 200, map[string]string{"access_token": "oauth"})
	case strings.HasPrefix(path, "/api/v1/"):
		f.api(w, r, strings.TrimPrefix(path, "/api/v1/"), string(body))
	case path == "/v2/auth":
		f.token(w, r)
	case f.scopes(r) == "" || path == "/v2/" && f.scopes(r) == "-":
		w.WriteHeader(401)
	case path == "/v2/":
	case path == "/v2/_catalog":
		f.page(w, r, "repositories", f.order, "next_page")
	default:
		f.registry(w, r, strings.TrimPrefix(path, "/v2/"), body)
	}
}

func (f *fake) api(w http.ResponseWriter, r *http.Request, path, body string) {
	if r.Header.Get("Authorization") != "Bearer oauth" {
		w.WriteHeader(401)
		return
	}
	switch {
	case r.Method == "PUT" && path == "user/robots/puller":
		answerJSON(w, 201, map[string]string{"name": namespace + "+puller", "token": "robot"})
	case r.Method == "POST" && strings.HasSuffix(path, "/changevisibility") && strings.Contains(body, "public"):
		f.public[strings.TrimSuffix(strings.TrimPrefix(path, "repository/"), "/changevisibility")] = true
		answerJSON(w, 200, map[string]bool{"success": true})
	case r.Method == "PUT" && strings.HasSuffix(path, "/permissions/user/"+namespace+"+puller") && strings.Contains(body, "read"):
		repo, _, _ := strings.Cut(strings.TrimPrefix(path, "repository/"), "/permissions/")
		f.robot[repo] = true
		answerJSON(w, 200, map[string]string{"role": "read"})
	default:
		w.WriteHeader(404)
	}
}

func (f *fake) token(w http.ResponseWriter, r *http.Request) {
	user, pass, given := r.BasicAuth()
	owner := user == namespace && pass == password
	robot := user == namespace+"+puller" && pass == "robot"
	if r.FormValue("service") != f.host || (given && !owner && !robot) {
		w.WriteHeader(401)
		return
	}
	granted := "-"
	for _, s := range r.Form["scope"] {
		kind, rest, _ := strings.Cut(s, ":")
		repo, actions, _ := strings.Cut(rest, ":")
		switch {
		case kind != "repository":
		case owner:
			granted += " " + repo + ":" + actions
		case actions == "pull" && (f.public[repo] || (robot && f.robot[repo])):
			granted += " " + s[len("repository:"):]
		}
	}
	f.seq++
	name := "t" + strconv.Itoa(f.seq)
	f.tokens[name] = granted
	answerJSON(w, 200, map[string]string{"token": name})
}

// scopes is what the request's token grants, "" without a good one.
func (f *fake) scopes(r *http.Request) string {
	return f.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
}

func (f *fake) may(r *http.Request, repo, action string) bool {
	for _, s := range strings.Fields(f.scopes(r)) {
		name, actions, _ := strings.Cut(s, ":")
		if name == repo && slices.Contains(strings.Split(actions, ","), action) {
			return true
		}
	}
	return false
}

func (f *fake) page(w http.ResponseWriter, r *http.Request, key string, all []string, cursor string) {
	n, _ := strconv.Atoi(r.FormValue("n"))
	last := r.FormValue(cursor)
	from := 0
	if last != "" {
		from = slices.Index(all, last) + 1
	}
	list := all[from:min(len(all), from+n)]
	if f.fault == "short" {
		list = list[:3]
	}
	if from+n < len(all) {
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?n=%d&%s=%s>; rel="next"`, f.host, r.URL.Path, n, cursor, list[len(list)-1]))
	}
	answerJSON(w, 200, map[string]any{key: list})
}

func (f *fake) registry(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	parts := strings.Split(path, "/") // bench/name/kind/rest…
	if len(parts) < 4 {
		w.WriteHeader(404)
		return
	}
	repo, kind, ref := parts[0]+"/"+parts[1], parts[2], parts[3]
	action := "push"
	if r.Method == "GET" || r.Method == "HEAD" {
		action = "pull"
	}
	if !f.may(r, repo, action) {
		w.WriteHeader(401)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	switch {
	case kind == "manifests" && r.Method == "PUT":
		if f.tags[repo] == nil {
			f.tags[repo] = map[string][]byte{}
			f.order = append(f.order, repo)
		}
		f.tags[repo][ref], f.tags[repo][digestOf(body)] = body, body
		for _, tag := range r.URL.Query()["tag"] {
			f.tags[repo][tag] = body
		}
		w.WriteHeader(201)
	case kind == "manifests":
		data, ok := f.tags[repo][ref]
		if !ok {
			w.WriteHeader(404)
			return
		}
		if f.fault == "status" {
			w.WriteHeader(500)
			return
		}
		w.Header().Set("Docker-Content-Digest", digestOf(data))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	case kind == "tags":
		var names []string
		for name := range f.tags[repo] {
			if !strings.Contains(name, ":") {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		f.page(w, r, "tags", names, "last")
	case kind == "referrers":
		list := []descriptor{}
		for name, data := range f.tags[repo] {
			var m manifest
			if json.Unmarshal(data, &m) == nil && m.Subject != nil && m.Subject.Digest == ref && strings.Contains(name, ":") {
				list = append(list, descriptor{m.MediaType, name, int64(len(data))})
			}
		}
		answerJSON(w, 200, map[string]any{"manifests": list})
	case kind == "blobs" && ref == "uploads":
		f.upload(w, r, repo, strings.Join(parts[4:], "/"), body)
	case kind == "blobs":
		data, ok := f.blobs[ref]
		if !ok || !f.links[repo+" "+ref] {
			w.WriteHeader(404)
			return
		}
		if f.fault == "exit" {
			os.Exit(1)
		}
		if f.fault == "corrupt" {
			data = append([]byte("x"), data[1:]...)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	default:
		w.WriteHeader(404)
	}
}

func (f *fake) upload(w http.ResponseWriter, r *http.Request, repo, id string, body []byte) {
	if r.Method == "POST" {
		if d, from := r.FormValue("mount"), r.FormValue("from"); d != "" && f.links[from+" "+d] && f.may(r, from, "pull") {
			f.links[repo+" "+d] = true
			w.WriteHeader(201)
			return
		}
		f.seq++
		id = strconv.Itoa(f.seq)
		f.uploads[id] = new(bytes.Buffer)
	}
	up, ok := f.uploads[id]
	if !ok {
		w.WriteHeader(404)
		return
	}
	if span := r.Header.Get("Content-Range"); span != "" && span != fmt.Sprintf("%d-%d", up.Len(), up.Len()+len(body)-1) {
		w.WriteHeader(416)
		return
	}
	up.Write(body)
	w.Header().Set("Location", "/v2/"+repo+"/blobs/uploads/"+id)
	if r.Method != "PUT" {
		w.WriteHeader(202)
		return
	}
	delete(f.uploads, id)
	d := r.FormValue("digest")
	if digestOf(up.Bytes()) != d {
		w.WriteHeader(400)
		return
	}
	f.blobs[d], f.links[repo+" "+d] = up.Bytes(), true
	w.WriteHeader(201)
}
