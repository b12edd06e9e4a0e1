package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// readNamespaces brings over what is set for namespaces: quotas, policies,
// proxy caches, regions; and the messages of the registry.
func (i *quayImport) readNamespaces(ctx context.Context) error {
	for _, f := range []func(context.Context) error{i.readQuotas, i.readPrunePolicies, i.readImmutabilityPolicies, i.readProxyCaches, i.readRegions, i.readMessages} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (i *quayImport) readQuotas(ctx context.Context) error {
	if i.from.columns["userorganizationquota"] == nil {
		return nil
	}
	quotas, limits := i.table("quotas", "id", "ns_id", "bytes"), i.table("quota_limits", "quota_id", "kind", "percent")
	there := map[int64]bool{}
	err := i.from.each(ctx, `SELECT id, namespace_id, limit_bytes FROM userorganizationquota ORDER BY id`, func(r *quayRow) error {
		if _, ok := i.accounts[r.int(1)]; !ok {
			return nil
		}
		there[r.int(0)] = true
		return quotas.add(ctx, r.int(0), r.int(1), r.int(2))
	})
	if err != nil {
		return err
	}
	err = i.from.each(ctx, `SELECT l.quota_id, t.name, l.percent_of_limit FROM quotalimits l JOIN quotatype t ON t.id = l.quota_type_id ORDER BY l.id`, func(r *quayRow) error {
		if !there[r.int(0)] || r.text(1) != QuotaReject && r.text(1) != QuotaWarning {
			return nil
		}
		return limits.add(ctx, r.int(0), r.text(1), r.int(2))
	})
	if err != nil {
		return err
	}
	err = flushAll(ctx, quotas, limits)
	i.counted("quotas", quotas.done)
	return err
}

// policies reads the two tables that a Quay keeps a kind of policy in.
func (i *quayImport) policies(ctx context.Context, kind string, each func(r *quayRow, ns, repo int64) error) error {
	for _, of := range []string{"namespace", "repository"} {
		table := of + kind
		if !i.from.has(table, "policy") {
			continue
		}
		err := i.from.each(ctx, `SELECT p.uuid, p.policy, p.`+of+`_id FROM `+table+` p ORDER BY p.id`, func(r *quayRow) error {
			id := r.int(2)
			if of == "repository" {
				if !i.has(id) {
					return nil
				}
				return each(r, i.repos[id].ns, id)
			}
			if _, ok := i.accounts[id]; !ok {
				return nil
			}
			return each(r, id, 0)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// whose names a namespace or a repository of it.
func (i *quayImport) whose(ns, repo int64) string {
	if repo != 0 {
		return i.repos[repo].name
	}
	return i.accounts[ns].name
}

func (i *quayImport) readPrunePolicies(ctx context.Context) error {
	rows := i.table("prune_policies", "uuid", "ns_id", "repo_id", "method", "value", "pattern", "matches")
	err := i.policies(ctx, "autoprunepolicy", func(r *quayRow, ns, repo int64) error {
		var p struct {
			Method  string `json:"method"`
			Value   any    `json:"value"`
			Pattern string `json:"tag_pattern"`
			Matches *bool  `json:"tag_pattern_matches"`
		}
		if err := json.Unmarshal(r.json(1), &p); err != nil || p.Value == nil || len(p.Pattern) > 255 {
			i.leave("auto-prune policies", "not readable", i.whose(ns, repo))
			return nil
		}
		return rows.add(ctx, uuidOr(r.text(0)), ns, repo, p.Method, fmt.Sprint(p.Value), p.Pattern, flag(p.Matches == nil || *p.Matches))
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("auto-prune policies", rows.done)
	return err
}

func (i *quayImport) readImmutabilityPolicies(ctx context.Context) error {
	rows := i.table("immutability_policies", "uuid", "ns_id", "repo_id", "pattern", "matches")
	err := i.policies(ctx, "immutabilitypolicy", func(r *quayRow, ns, repo int64) error {
		var p struct {
			Pattern string `json:"tag_pattern"`
			Matches *bool  `json:"tag_pattern_matches"`
		}
		if err := json.Unmarshal(r.json(1), &p); err != nil || p.Pattern == "" || len(p.Pattern) > 255 {
			i.leave("immutability policies", "not readable", i.whose(ns, repo))
			return nil
		}
		return rows.add(ctx, uuidOr(r.text(0)), ns, repo, p.Pattern, flag(p.Matches == nil || *p.Matches))
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("immutability policies", rows.done)
	return err
}

func (i *quayImport) readProxyCaches(ctx context.Context) error {
	if i.from.columns["proxycacheconfig"] == nil {
		return nil
	}
	rows := i.table("proxy_caches", "ns_id", "uuid", "upstream", "secret", "expiry_s", "insecure", "created_ms")
	there := map[int64]bool{}
	err := i.from.each(ctx, `SELECT p.organization_id, p.upstream_registry, p.upstream_registry_username, p.upstream_registry_password, p.expiration_s, p.insecure, p.creation_date
		FROM proxycacheconfig p ORDER BY p.id`, func(r *quayRow) error {
		org := i.accounts[r.int(0)]
		if org.kind != gantry.Organization || there[r.int(0)] {
			return nil
		}
		there[r.int(0)], i.caches[r.int(0)] = true, true
		user, ok1, err := i.open("credentials of proxy caches", org.name, r.text(2))
		if err != nil {
			return err
		}
		password, ok2, err := i.open("credentials of proxy caches", org.name, r.text(3))
		if err != nil {
			return err
		}
		if !ok1 || !ok2 {
			user, password = "", ""
		}
		id := uuid.NewString()
		sealed, err := i.o.Secrets.Proxy(id, user, password)
		if err != nil {
			return err
		}
		return rows.add(ctx, r.int(0), id, r.text(1), sealed, r.int(4), flag(r.flag(5)), r.millis(6))
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("proxy caches", rows.done)
	return err
}

// readRegions brings over in which locations namespaces want their blobs.
func (i *quayImport) readRegions(ctx context.Context) error {
	if i.from.columns["userregion"] == nil {
		return nil
	}
	rows := i.table("namespace_locations", "ns_id", "location_id", "excluded")
	err := i.from.each(ctx, `SELECT DISTINCT user_id, location_id FROM userregion`, func(r *quayRow) error {
		location, ok := i.locations[r.int(1)]
		if _, there := i.accounts[r.int(0)]; !there || !ok {
			return nil
		}
		return rows.add(ctx, r.int(0), location, 0)
	})
	if err != nil {
		return err
	}
	return rows.flush(ctx)
}

func (i *quayImport) readMessages(ctx context.Context) error {
	if i.from.columns["messages"] == nil {
		return nil
	}
	rows := i.table("messages", "uuid", "content", "severity", "media_type", "created_ms")
	err := i.from.each(ctx, `SELECT m.uuid, m.content, m.severity, t.name FROM messages m JOIN mediatype t ON t.id = m.media_type_id ORDER BY m.id`, func(r *quayRow) error {
		return rows.add(ctx, uuidOr(r.text(0)), r.text(1), r.text(2), r.text(3), i.from.now.UnixMilli())
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("messages", rows.done)
	return err
}

// readNotifications brings over the notifications of repositories and of
// namespaces, and the addresses that have agreed to get some.
func (i *quayImport) readNotifications(ctx context.Context) error {
	rows := i.table("notifications", "uuid", "ns_id", "repo_id", "title", "event", "method", "config", "event_config", "failures", "last_error",
		"last_ok_ms", "last_failed_ms", "looked_ms", "created_ms")
	now := i.from.now.UnixMilli()
	for _, of := range []string{"repository", "namespace"} {
		table := of + "notification"
		if i.from.columns[table] == nil {
			continue
		}
		err := i.from.each(ctx, `SELECT n.uuid, n.`+of+`_id, n.title, e.name, m.name, n.config_json, n.event_config_json, `+i.from.or(table, "n", "number_of_failures", "0")+`
			FROM `+table+` n JOIN externalnotificationevent e ON e.id = n.event_id JOIN externalnotificationmethod m ON m.id = n.method_id ORDER BY n.id`, func(r *quayRow) error {
			ns, repo := r.int(1), int64(0)
			if of == "repository" {
				ns, repo = i.repos[ns].ns, ns
			}
			if _, ok := i.accounts[ns]; !ok {
				return nil
			}
			config, event := r.json(5), r.json(6)
			if len(event) == 0 {
				event = json.RawMessage("{}")
			}
			if !json.Valid(config) || !json.Valid(event) {
				i.leave("notifications", "not readable", i.whose(ns, repo))
				return nil
			}
			id := uuidOr(r.text(0))
			sealed, err := i.o.Secrets.Notification(id, config)
			if err != nil {
				return err
			}
			return rows.add(ctx, id, ns, repo, r.text(2), r.text(3), r.text(4), sealed, string(event), r.int(7), "", int64(0), int64(0), int64(0), now)
		})
		if err != nil {
			return err
		}
	}
	emails := i.table("repository_emails", "repo_id", "email", "confirmed", "created_ms")
	if i.from.columns["repositoryauthorizedemail"] != nil {
		err := i.from.each(ctx, `SELECT repository_id, email, confirmed FROM repositoryauthorizedemail ORDER BY id`, func(r *quayRow) error {
			if !i.has(r.int(0)) {
				return nil
			}
			return emails.add(ctx, r.int(0), r.text(1), flag(r.flag(2)), now)
		})
		if err != nil {
			return err
		}
	}
	err := flushAll(ctx, rows, emails)
	i.counted("notifications", rows.done)
	return err
}

func (i *quayImport) readMirrors(ctx context.Context) error {
	if i.from.columns["repomirrorconfig"] == nil {
		return nil
	}
	rows := i.table("repo_mirrors", "uuid", "repo_id", "ns_id", "org_mirror_id", "robot_id", "enabled", "upstream", "secret", "options", "interval_s", "status",
		"start_ms", "due_ms", "expires_ms", "retries", "deep_ms", "last_ms", "message", "created_ms")
	err := i.from.each(ctx, `SELECT c.repository_id, c.internal_robot_id, c.is_enabled, c.external_reference, c.external_registry_username, c.external_registry_password,
			c.external_registry_config, c.sync_interval, c.sync_start_date, c.sync_status, u.rule_value, `+i.from.or("repomirrorconfig", "c", "architecture_filter", "NULL")+`,
			`+i.from.or("repomirrorconfig", "c", "skopeo_timeout", "0")+`, c.creation_date
		FROM repomirrorconfig c JOIN repomirrorrule u ON u.id = c.root_rule_id ORDER BY c.id`, func(r *quayRow) error {
		repo, ok := i.repos[r.int(0)]
		if !ok {
			return nil
		}
		if i.accounts[r.int(1)].kind != gantry.Robot {
			i.leave("mirrors", "their robot is gone", repo.name)
			return nil
		}
		config := r.json(6)
		if len(config) == 0 {
			config = json.RawMessage("{}")
		}
		var tags, architectures []string
		err := json.Unmarshal(r.json(10), &tags)
		if err == nil && r.text(11) != "" {
			err = json.Unmarshal(r.json(11), &architectures)
		}
		var options json.RawMessage
		if err == nil {
			options, err = i.o.MirrorOptions(tags, architectures, config, r.int(12))
		}
		if err != nil {
			i.leave("mirrors", "not readable: "+err.Error(), repo.name)
			return nil
		}
		id := uuid.NewString()
		sealed, err := i.mirrorSecret(id, repo.name, r.text(4), r.text(5), config)
		if err != nil {
			return err
		}
		status := map[int64]MirrorStatus{1: MirrorSuccess, -1: MirrorFail, -2: MirrorCancel}[r.int(9)]
		if status == "" {
			status = MirrorNeverRun
		}
		due := int64(0)
		if start := r.millis(8); r.flag(2) && status != MirrorCancel {
			due = max(start, 1)
		}
		return rows.add(ctx, id, r.int(0), repo.ns, int64(0), r.int(1), flag(r.flag(2)), r.text(3), sealed, string(options), r.int(7), string(status),
			r.millis(8), due, int64(0), int64(MirrorRetries), int64(0), int64(0), "", r.millis(13))
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("mirrors", rows.done)
	return err
}

func (i *quayImport) mirrorSecret(id, name, user, password string, config json.RawMessage) (string, error) {
	user, ok1, err := i.open("credentials of mirrors", name, user)
	if err != nil {
		return "", err
	}
	password, ok2, err := i.open("credentials of mirrors", name, password)
	if err != nil {
		return "", err
	}
	if !ok1 || !ok2 {
		user, password = "", ""
	}
	return i.o.Secrets.Mirror(id, user, password, config)
}

// countOthers tells what stays behind.
func (i *quayImport) countOthers(ctx context.Context) error {
	const most = 1_000_000
	for _, o := range []struct{ table, where, what, why string }{
		{"repositorybuildtrigger", "", "build triggers", "Gantry has no builds yet"},
		{"accesstoken", "NOT temporary", "access tokens of repositories", "Quay has given them up; use robots"},
		{"orgmirrorconfig", "", "mirrors of organizations", "set them up anew"},
		{"repositoryactioncount", "", "counts of actions by day", "Gantry counts what is in the log"},
		{"tagpullstatistics", "", "pull statistics of tags", "Gantry keeps none; pulls are in the log"},
	} {
		if i.from.columns[o.table] == nil {
			continue
		}
		cond := ""
		if o.where != "" {
			cond = " WHERE " + o.where
		}
		err := i.from.each(ctx, `SELECT COUNT(*) FROM (SELECT 1 AS one FROM `+o.table+cond+` LIMIT `+big(most)+`) x`, func(r *quayRow) error {
			if n := r.int(0); n > 0 {
				i.out.LeftOut = append(i.out.LeftOut, QuayLeftOut{What: o.what, Why: o.why, N: int(n), Examples: []string{}})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
