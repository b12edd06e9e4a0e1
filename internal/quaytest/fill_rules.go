package quaytest

import (
	"strings"
	"time"
)

// rules writes notifications, quotas and policies.
func (f *filler) rules() {
	for _, n := range []Notification{
		{Repo: "acme/app", Event: "repo_push", Method: "webhook", Title: "Tell the build server", Config: Row{"url": "https://ci.example.com/hook", "template": `{"text": "${repository}"}`}},
		{Repo: "acme/app", Event: "vulnerability_found", Method: "email", Config: Row{"email": "sec@acme.example.com"}, EventConfig: Row{"level": "1"}},
		{Repo: "acme/app", Event: "repo_mirror_sync_failed", Method: "slack", Title: "Slack", Config: Row{"url": "https://hooks.slack.example.com/T0/B0"}, Failures: 3},
		{Repo: "ann/site", Event: "repo_push", Method: "quay_notification", Config: Row{"target": Row{"kind": "user", "name": "ann"}}},
	} {
		if n.EventConfig == nil {
			n.EventConfig = Row{}
		}
		row := Row{
			"repository_id": f.id(n.Repo), "event_id": n.Event, "method_id": n.Method, "config_json": n.Config,
			"event_config_json": n.EventConfig, "number_of_failures": n.Failures,
		}
		if n.Title != "" {
			row["title"] = n.Title
		}
		f.insert("repositorynotification", row)
		f.s.Notifications = append(f.s.Notifications, n)
	}
	for _, e := range []Email{{"acme/app", "sec@acme.example.com", true}, {"acme/app", "other@example.com", false}} {
		f.insert("repositoryauthorizedemail", Row{"repository_id": f.id(e.Repo), "email": e.Address, "confirmed": e.Confirmed})
		f.s.Emails = append(f.s.Emails, e)
	}
	for _, q := range []Quota{{"acme", 50 << 30, []int{70, 80}, []int{90}}, {"ann", 1 << 20, nil, nil}} {
		id := f.insert("userorganizationquota", Row{"namespace_id": f.id(q.Namespace), "limit_bytes": q.Bytes})
		for kind, percents := range map[string][]int{"Warning": q.Warn, "Reject": q.Refused} {
			for _, p := range percents {
				f.insert("quotalimits", Row{"quota_id": id, "quota_type_id": kind, "percent_of_limit": p})
			}
		}
		f.s.Quotas = append(f.s.Quotas, q)
	}
	if f.Has("namespacenotification", "") {
		f.insert("namespacenotification", Row{
			"namespace_id": f.id("acme"), "event_id": "quota_warning", "method_id": "webhook", "config_json": Row{"url": "https://ci.example.com/quota"},
		})
	}
	f.policies()
}

// policies writes those of pruning and immutability. The former are JSON in a
// JSON string, the latter are not.
func (f *filler) policies() {
	if !f.Has("namespaceautoprunepolicy", "") || !f.Has("namespaceimmutabilitypolicy", "") {
		return
	}
	f.s.Prune = []Policy{
		{"acme", "", Row{"method": "number_of_tags", "value": 10}},
		{"acme", "acme/app", Row{"method": "creation_date", "value": "30d", "tag_pattern": "^pr-", "tag_pattern_matches": true}},
	}
	f.s.Immutable = []Policy{
		{"acme", "", Row{"tag_pattern": "^v[0-9]+$", "tag_pattern_matches": true}},
		{"acme", "acme/tools/build/base", Row{"tag_pattern": "^edge$", "tag_pattern_matches": false}},
	}
	for _, p := range f.s.Prune {
		f.policy("autoprunepolicy", p, twice(f.t, p.Values))
	}
	for _, p := range f.s.Immutable {
		f.policy("immutabilitypolicy", p, p.Values)
	}
	f.insert("autoprunetaskstatus", Row{"namespace_id": f.id("acme"), "last_ran_ms": f.msAgo(time.Hour), "status": "success"})
}

func (f *filler) policy(suffix string, p Policy, text any) {
	row := Row{"namespace_id": f.id(p.Namespace), "policy": text}
	table := "namespace" + suffix
	if p.Repo != "" {
		table, row["repository_id"] = "repository"+suffix, f.id(p.Repo)
	}
	f.insert(table, row)
}

// records writes what has happened, and what everybody is told.
func (f *filler) records() {
	for _, m := range []Message{
		{"We move on **Friday** 🚚", "warning", "text/markdown"},
		{"Hello", "info", "text/plain"},
	} {
		f.insert("messages", Row{"content": m.Content, "severity": m.Severity, "media_type_id": m.MediaType})
		f.s.Messages = append(f.s.Messages, m)
	}
	f.logs()
	for i := range 3 {
		f.insert("repositoryactioncount", Row{"repository_id": f.id("acme/app"), "count": 10 * i, "date": f.ago(time.Duration(i+1) * day)})
	}
	f.insert("queueitem", Row{"queue_name": "notification/acme/app", "body": Row{"notification_uuid": newUUID()}})
	f.insert("notification", Row{"kind_id": "password_required", "target_id": f.id("carl")})
	f.builds()
	if f.Has("tagpullstatistics", "") {
		f.insert("tagpullstatistics", Row{"repository_id": f.id("acme/app"), "tag_name": "latest", "tag_pull_count": 7})
	}
}

// builds writes a trigger and a build that it started.
func (f *filler) builds() {
	token := f.insert("accesstoken", Row{"repository_id": f.id("acme/app"), "role_id": "write", "kind_id": "build-worker"})
	trigger := f.insert("repositorybuildtrigger", Row{
		"service_id": "custom-git", "repository_id": f.id("acme/app"), "connected_user_id": f.id("ann"), "write_token_id": token,
		"pull_robot_id": f.id("acme+ci"), "secure_private_key": f.Seal("a private key of SSH"), "fully_migrated": true, "disabled_datetime": nil,
		"config": Row{"build_source": "git@git.example.com:acme/app.git", "dockerfile_path": "/Dockerfile", "context": "/"},
	})
	f.insert("repositorybuild", Row{
		"repository_id": f.id("acme/app"), "access_token_id": token, "trigger_id": trigger, "phase": "complete", "display_name": "3482adc",
		"job_config": Row{"docker_tags": []string{"latest"}}, "logs_archived": true,
	})
}

// text reads the one text that a query gives.
func (f *filler) text(query string, args ...any) (s string) {
	f.t.Helper()
	if err := f.DB.QueryRowContext(f.t.Context(), f.bind(query), args...).Scan(&s); err != nil {
		f.t.Fatalf("quaytest: %s: %v", query, err)
	}
	return s
}

// namespace is the first part of a repository's whole name.
func namespace(repo string) string {
	ns, _, _ := strings.Cut(repo, "/")
	return ns
}
