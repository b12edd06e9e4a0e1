package app

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTagsByAPI changes tags by the API and sees by /v2, at the next request,
// what became of them.
func TestTagsByAPI(t *testing.T) {
	dir := folder(t, map[string]string{"config.yaml": "SERVER_HOSTNAME: one.example.com\nFEATURE_USER_INITIALIZE: true\nFEATURE_IMMUTABLE_TAGS: true\nPERMANENTLY_DELETE_TAGS: true\n"})
	s := open(t, Options{Config: dir, Data: filepath.Join(t.TempDir(), "data")})
	api := "Bearer " + s.initialize("ada")
	const repo = "ada/app"
	auth, _ := s.bearer("ada", password, "repository:"+repo+":pull,push")
	one, two := newImage("one"), newImage("two")
	if r := s.push(auth, repo, "v1", one); r.status != 201 {
		t.Fatal(r.status, r.body)
	}
	do := func(want int, method, path, body string) reply {
		t.Helper()
		r := send(t, method, s.base+"/api/v1/repository/"+repo+path, body, "Authorization", api, "Content-Type", "application/json")
		if r.status != want {
			t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
		}
		return r
	}
	// sees pulls by tag and by digest, both of which are kept in memory.
	sees := func(want int) {
		t.Helper()
		for _, ref := range []string{"v1", digestOf(one.manifest)} {
			if r := send(t, "GET", s.base+"/v2/"+repo+"/manifests/"+ref, "", "Authorization", auth, "Accept", manifestType); r.status != want {
				t.Errorf("GET of %s: %d, want %d", ref, r.status, want)
			}
		}
	}
	digest := `{"manifest_digest":"` + digestOf(one.manifest) + `"}`
	sees(200)
	do(204, "DELETE", "/tag/v1", "")
	sees(404)
	do(200, "POST", "/tag/v1/restore", digest)
	sees(200)

	do(201, "PUT", "/tag/v1", `{"immutable":true}`)
	if r := s.push(auth, repo, "v1", two); r.status != 409 || !strings.Contains(r.body, "TAG_IMMUTABLE") {
		t.Errorf("a push to an immutable tag: %d %s", r.status, r.body)
	}
	if r := send(t, "DELETE", s.base+"/v2/"+repo+"/manifests/v1", "", "Authorization", auth); r.status != 409 {
		t.Errorf("a delete of an immutable tag: %d %s", r.status, r.body)
	}
	sees(200)
	do(201, "PUT", "/tag/v1", `{"immutable":false}`)

	if r := s.push(auth, repo, "v2", two); r.status != 201 {
		t.Fatal(r.status, r.body)
	}
	do(201, "PUT", "/tag/v1", `{"manifest_digest":"`+digestOf(two.manifest)+`"}`)
	if r := send(t, "GET", s.base+"/v2/"+repo+"/manifests/v1", "", "Authorization", auth, "Accept", manifestType); r.body != string(two.manifest) {
		t.Errorf("v1 after the move: %d %s", r.status, r.body)
	}
	do(200, "POST", "/tag/v1/restore", digest)
	sees(200)
	if r := do(200, "GET", "/manifest/"+digestOf(one.manifest), ""); !strings.Contains(r.body, digestOf(one.layer)) {
		t.Error(r.body)
	}
	do(200, "POST", "/tag/v1/expire", `{"is_alive":true}`)
	do(200, "POST", "/tag/v1/expire", digest) // the span before the move
	sees(404)
	do(404, "POST", "/tag/v1/restore", digest)

	// A tag ends at its time without anybody's doing: LABELED_EXPIRATION_MINIMUM keeps that an hour away.
	do(201, "PUT", "/tag/v2", `{"expiration":`+itoa(int(time.Now().Add(time.Minute).Unix()))+`}`)
	if r := do(200, "GET", "/tag/?specificTag=v2&onlyActiveTags=true", ""); !strings.Contains(r.body, `"expiration"`) {
		t.Error(r.body)
	}
}
