package quaytest

import "time"

// logs writes what has happened, into each of the tables: by whom and where
// there is still, and by whom and where there is no more.
func (f *filler) logs() {
	const entries = 20
	for i := range entries {
		e := LogEntry{
			Kind: "push_repo", Namespace: "acme", Repo: "acme/app", Performer: "acme+ci", IP: "192.0.2.1", At: f.ago(time.Duration(i+1) * time.Hour),
			Metadata: `{"repo": "app", "namespace": "acme", "tag": "latest"}`,
		}
		gone := Row{}
		switch i % 5 {
		case 1:
			e.Kind, e.Repo, e.Performer = "pull_repo", "acme/tools/build/base", "" // by nobody
		case 2:
			e.Kind, e.Repo, e.Performer = "create_robot", "", "ann" // of no repository
		case 3:
			e.Kind, e.Repo, gone = "delete_repo", "", Row{"repository_id": int64(1_000_000)}
		case 4:
			e.Kind, e.Performer, gone = "create_tag", "", Row{"performer_id": int64(1_000_000)}
		}
		f.log(e, gone)
	}
	app := LogEntry{Kind: "set_repo_description", Namespace: "acme", Repo: "acme/app", Performer: "ann", IP: "2001:db8::7", At: f.ago(2 * day), Metadata: "{}"}
	with := func(change func(*LogEntry)) LogEntry {
		e := app
		change(&e)
		return e
	}
	for _, text := range []string{
		"{}", twice(f.t, Row{"repo": "app", "description": "Größe 🚚 \x00"}), "", "null", `"null"`,
		`{"repo": "app`, `["app"]`, `"app"`, `7`, // of which none is an object
		` {"useragent": "podman/5", "resolved_ip": {"provider": "internet", "country_iso_code": null}} `,
	} {
		f.log(with(func(e *LogEntry) { e.Metadata = text }), nil)
	}
	f.log(with(func(e *LogEntry) { e.Kind = "" }), Row{"kind_id": 9999})
	f.log(with(func(e *LogEntry) { e.Kind, e.Repo = "change_repo_state", "" }), Row{"repository_id": f.id("gone")}) // being deleted
	f.log(with(func(e *LogEntry) { e.Kind, e.Namespace, e.Repo = "org_create_team", "", "" }), Row{"account_id": int64(1_000_000)})
	f.log(with(func(e *LogEntry) { e.Kind, e.Namespace, e.Repo = "service_key_create", "ann", "" }), nil)
	f.log(with(func(e *LogEntry) { e.Kind, e.Namespace, e.Repo, e.IP = "regenerate_robot_token", "ann", "", "" }), Row{"ip": nil})
	f.log(with(func(e *LogEntry) { e.Kind, e.Performer, e.Metadata = "pull_repo", "", `{"token": "deploy"}` }), nil)
	// Before, other tables were written to.
	for table, at := range map[string][]time.Duration{"logentry2": {20 * day, 22*day + time.Hour, 400 * day}, "logentry": {21 * day, 25 * day, 1500 * day}} {
		for _, ago := range at {
			f.log(with(func(e *LogEntry) {
				e.Table, e.Kind, e.Performer, e.At, e.Metadata = table, "push_repo", "acme+ci", f.ago(ago), `{"repo": "app", "namespace": "acme", "tag": "v0"}`
			}), nil)
		}
	}
}

// log writes an entry; more are values of columns that go before its own.
func (f *filler) log(e LogEntry, more Row) {
	f.t.Helper()
	if e.Table == "" {
		e.Table = "logentry3"
	}
	row := Row{"datetime": e.At, "ip": e.IP, "metadata_json": e.Metadata}
	for column, name := range map[string]string{"account_id": e.Namespace, "repository_id": e.Repo, "performer_id": e.Performer} {
		if name != "" {
			row[column] = f.id(name)
		}
	}
	if e.Kind != "" {
		row["kind_id"] = f.ID(f.t, "logentrykind", e.Kind)
	}
	f.insert(e.Table, row.with(more))
	f.s.Logs = append(f.s.Logs, e)
}
