package app

import (
	"encoding/json"
	"fmt"
	"testing"
)

// TestPolicyJobs has the server mark tags immutable, and prune, by itself.
func TestPolicyJobs(t *testing.T) {
	s := open(t, Options{Environ: override(t, map[string]any{"FEATURE_USER_INITIALIZE": true, "FEATURE_AUTO_PRUNE": true, "AUTO_PRUNING_POLL_PERIOD": 1,
		"FEATURE_IMMUTABLE_TAGS": true, "AUTOPRUNE_TASK_RUN_MINIMUM_INTERVAL_MINUTES": 1, "SERVER_HOSTNAME": "one.example.com"})})
	api := "Bearer " + s.initialize("ada")
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
	for _, tag := range []string{"keep", "a", "b", "c"} {
		if r := s.push(auth, "ada/app", tag, newImage(tag)); r.status != 201 {
			t.Fatal(r.status, r.body)
		}
	}
	do := func(want int, method, path, body string) reply {
		t.Helper()
		r := send(t, method, s.base+"/api/v1/"+path, body, "Authorization", api, "Content-Type", "application/json")
		if r.status != want {
			t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
		}
		return r
	}
	tags := func() string {
		var page struct {
			Tags []struct {
				Name      string
				Immutable bool
			}
		}
		if err := json.Unmarshal([]byte(do(200, "GET", "repository/ada/app/tag/?onlyActiveTags=true", "").body), &page); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(page.Tags)
	}
	do(201, "POST", "repository/ada/app/immutabilitypolicy/", `{"tagPattern":"^k"}`)
	until(t, "the tag is immutable", func() bool { return tags() == "[{c false} {b false} {a false} {keep true}]" })
	do(201, "POST", "user/autoprunepolicy/", `{"method":"number_of_tags","value":1}`)
	until(t, "two tags are left", func() bool { return tags() == "[{c false} {keep true}]" })
	if r := s.push(auth, "ada/app", "k2", newImage("k2")); r.status != 201 {
		t.Fatal(r.status, r.body)
	}
	if r := s.push(auth, "ada/app", "k2", newImage("other")); r.status != 409 {
		t.Errorf("a push to a tag that a policy made immutable: %d %s", r.status, r.body)
	}
}
