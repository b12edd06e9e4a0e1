package quaytest

import (
	"fmt"
	"slices"
	"time"
)

// repos writes the repositories that a reader takes, empty.
func (f *filler) repos() {
	for _, r := range []Repo{
		{Name: "ann/home"},
		{Name: "ann/site", Public: true, Description: "# My site\n\nwith *Markdown* & 🐳"},
		{Name: "acme/app", Description: "The app"},
		{Name: "acme/tools/build/base", Public: true},
		{Name: "acme/frozen", State: 1},
		{Name: "acme/mirrored", State: 2},
		{Name: "acme/chart"},
		{Name: "acme/empty"},
		{Name: "cache/library/alpine", Public: true},
	} {
		f.repo(r, nil)
	}
	if f.Release == Latest {
		f.repo(Repo{Name: "copies/nginx", State: 4}, nil)
	}
}

func (f *filler) repo(r Repo, more Row) {
	row := Row{"namespace_user_id": f.id(namespace(r.Name)), "name": r.Name[len(namespace(r.Name))+1:], "visibility_id": "private", "state": r.State}
	if r.Public {
		row["visibility_id"] = "public"
	}
	if r.Description != "" {
		row["description"] = r.Description
	}
	f.ids[r.Name] = f.insert("repository", row.with(more))
	f.insert("repositorysearchscore", Row{"repository_id": f.id(r.Name)})
	f.s.Repos = append(f.s.Repos, r)
}

// blob stores a part for the manifests of repo and returns its digest.
func (f *filler) blob(repo string, p part, legacy bool) string {
	id, digest := f.Blob(f.t, p.content, legacy)
	f.ids[digest] = id
	f.s.Blobs[digest] = p.content
	f.insert("uploadedblob", Row{"repository_id": f.id(repo), "blob_id": id, "expires_at": f.ago(-time.Hour)})
	return digest
}

// manifest writes m, whose blobs and children are there, and returns its
// digest, which is that of its bytes unless m has one.
func (f *filler) manifest(m Manifest) string {
	if m.Digest == "" {
		m.Digest = Digest(m.Bytes)
	}
	row := Row{"repository_id": f.id(m.Repo), "digest": m.Digest, "media_type_id": m.MediaType, "manifest_bytes": string(m.Bytes)}
	if m.ConfigType != "" {
		row["config_media_type"] = m.ConfigType
	}
	if f.Has("manifest", "subject") {
		row["subject_backfilled"], row["artifact_type_backfilled"] = true, true
		if m.Subject != "" {
			row["subject"] = m.Subject
		}
		if m.ArtifactType != "" {
			row["artifact_type"] = m.ArtifactType
		}
	}
	if len(m.Bytes) > 0 && m.ConfigType != "" {
		row["layers_compressed_size"] = m.LayersSize
	}
	id := f.insert("manifest", row)
	f.ids[m.Repo+"@"+m.Digest] = id
	for _, d := range m.Blobs {
		f.insert("manifestblob", Row{"repository_id": f.id(m.Repo), "manifest_id": id, "blob_id": f.id(d)})
	}
	for _, d := range m.Children {
		f.insert("manifestchild", Row{"repository_id": f.id(m.Repo), "manifest_id": id, "child_manifest_id": f.id(m.Repo + "@" + d)})
	}
	f.s.Manifests = append(f.s.Manifests, m)
	return m.Digest
}

// tag writes one span of a tag. Immutable is left out where a release has no
// such thing.
func (f *filler) tag(tag Tag) {
	row := Row{
		"repository_id": f.id(tag.Repo), "name": tag.Name, "manifest_id": f.id(tag.Repo + "@" + tag.Digest),
		"lifetime_start_ms": tag.Start, "hidden": tag.Hidden, "reversion": tag.Reversion,
	}
	if tag.End != 0 {
		row["lifetime_end_ms"] = tag.End
	}
	if tag.Immutable = tag.Immutable && f.Has("tag", "immutable"); tag.Immutable {
		row["immutable"] = true
	}
	f.insert("tag", row)
	f.s.Tags = append(f.s.Tags, tag)
}

// temporary is the hidden tag with which Quay keeps a manifest that no other
// tag names. end 0 = for ever.
func (f *filler) temporary(repo, digest string, end int64) {
	f.tag(Tag{Repo: repo, Name: "$temp-" + newUUID(), Digest: digest, Start: f.msAgo(day), End: end, Hidden: true})
}

// image writes an image of one layer.
func (f *filler) image(repo, mediaType, arch, content string, legacy bool, more Row) string {
	configType, layerType := ociConfig, ociLayer
	if mediaType == dockerManifest {
		configType, layerType = dockerConfig, dockerLayer
	}
	config, filled := imageParts(f.t, configType, layerType, arch, content, map[string]any{"maintainer": "ann"})
	return f.manifest(Manifest{
		Repo: repo, MediaType: mediaType, ConfigType: configType, LayersSize: len(filled.content), Bytes: manifestBytes(f.t, mediaType, config, []part{filled}, more),
		Blobs: []string{f.blob(repo, config, false), f.blob(repo, filled, legacy)},
	})
}

// images writes those of ann and of acme/app, with a history of tags.
func (f *filler) images() {
	home := f.image("ann/home", dockerManifest, "amd64", "shared by two", true, nil)
	f.tag(Tag{Repo: "ann/home", Name: "latest", Digest: home, Start: f.msAgo(700 * day)})
	site := f.image("ann/site", dockerManifest, "amd64", "shared by two", true, nil) // the same bytes
	f.tag(Tag{Repo: "ann/site", Name: "1.0", Digest: site, Start: f.msAgo(600 * day)})

	const app = "acme/app"
	one := f.image(app, ociManifest, "amd64", "version one", false, Row{"annotations": Row{"org.opencontainers.image.title": "The app 🚀"}})
	two := f.image(app, ociManifest, "amd64", "version two", false, nil)
	lost := f.image(app, ociManifest, "amd64", "version of long ago", false, nil)
	for _, tag := range []Tag{
		{Name: "latest", Digest: one, Start: f.msAgo(30 * day), End: f.msAgo(3 * day)},
		{Name: "latest", Digest: two, Start: f.msAgo(3 * day), End: f.msAgo(2 * day)},
		{Name: "latest", Digest: one, Start: f.msAgo(2 * day), Reversion: true},
		{Name: "v1", Digest: one, Start: f.msAgo(30 * day), Immutable: true},
		{Name: "V1", Digest: two, Start: f.msAgo(20 * day)}, // another tag than v1
		{Name: "nightly", Digest: two, Start: f.msAgo(time.Hour), End: f.msAgo(-7 * day)},
		{Name: "deleted", Digest: two, Start: f.msAgo(10 * day), End: f.msAgo(day)},
		{Name: "forgotten", Digest: lost, Start: f.msAgo(100 * day), End: f.msAgo(90 * day)}, // not yet collected
	} {
		tag.Repo = app
		f.tag(tag)
	}
	for _, l := range []Label{
		{Key: "maintainer", Value: "ann", Source: "manifest"},
		{Key: "quay.expires-after", Value: "7d", Source: "api"},
		{Key: "notes", Value: `{"größe": "🐘"}`, Source: "api", MediaType: "application/json"},
		{Key: "scanned", Value: "yes", Source: "internal"},
	} {
		l.Repo, l.Digest = app, one
		f.label(l)
	}
	f.insert("manifestsecuritystatus", Row{
		"manifest_id": f.id(app + "@" + one), "repository_id": f.id(app), "index_status": 2, "indexer_hash": "abc", "indexer_version": 4,
	})
}

func (f *filler) label(l Label) {
	if l.MediaType == "" {
		l.MediaType = "text/plain"
	}
	id := f.insert("label", Row{"key": l.Key, "value": l.Value, "media_type_id": l.MediaType, "source_type_id": l.Source})
	f.insert("manifestlabel", Row{"repository_id": f.id(l.Repo), "manifest_id": f.id(l.Repo + "@" + l.Digest), "label_id": id})
	f.s.Labels = append(f.s.Labels, l)
}

// index writes an index of images that are there.
func (f *filler) index(repo string, children []Manifest) string {
	list, digests := []any{}, []string{}
	for i, m := range children {
		list = append(list, Row{
			"mediaType": m.MediaType, "digest": m.Digest, "size": len(m.Bytes),
			"platform": Row{"os": "linux", "architecture": []string{"amd64", "arm64"}[i]},
		})
		digests = append(digests, m.Digest)
	}
	return f.manifest(Manifest{
		Repo: repo, MediaType: ociIndex, Children: digests,
		Bytes: encode(f.t, Row{"schemaVersion": 2, "mediaType": ociIndex, "manifests": list}),
	})
}

func (f *filler) written(repo, digest string) Manifest {
	i := slices.IndexFunc(f.s.Manifests, func(m Manifest) bool { return m.Repo == repo && m.Digest == digest })
	return f.s.Manifests[i]
}

// artifacts writes an index with a referrer, a manifest of schema 1, a chart,
// and the image that a mirror copied.
func (f *filler) artifacts() {
	const base = "acme/tools/build/base"
	amd := f.image(base, ociManifest, "amd64", "base", false, nil)
	arm := f.image(base, ociManifest, "arm64", "base for arm", false, nil)
	index := f.index(base, []Manifest{f.written(base, amd), f.written(base, arm)})
	f.tag(Tag{Repo: base, Name: "stable", Digest: index, Start: f.msAgo(5 * day)})
	f.temporary(base, amd, f.msAgo(5*day-time.Hour)) // dead since: the index keeps it

	config, bill := part{ociEmpty, []byte("{}")}, part{sbom, []byte(`{"packages": []}`)}
	subject := Row{"mediaType": ociIndex, "digest": index, "size": len(f.written(base, index).Bytes)}
	referrer := f.manifest(Manifest{
		Repo: base, MediaType: ociManifest, ConfigType: ociEmpty, LayersSize: len(bill.content), ArtifactType: sbom, Subject: index,
		Bytes: manifestBytes(f.t, ociManifest, config, []part{bill}, Row{"artifactType": sbom, "subject": subject}),
		Blobs: []string{f.blob(base, config, false), f.blob(base, bill, false)},
	})
	if f.Has("manifest", "subject") {
		f.temporary(base, referrer, 0)
	} else { // 3.7 saw nothing but a manifest that was pushed by its digest
		f.temporary(base, referrer, f.msAgo(-time.Hour))
	}

	const frozen = "acme/frozen"
	gzipped, _ := layer(f.t, "old.txt", "from 2015")
	empty, old := f.blob(frozen, part{content: emptyLayer}, false), f.blob(frozen, part{content: gzipped}, true)
	signed, digest := signedBytes(f.t, frozen, "2015", []string{empty, old})
	f.manifest(Manifest{Repo: frozen, MediaType: dockerSigned, Digest: digest, Bytes: signed, Blobs: []string{empty, old}})
	f.tag(Tag{Repo: frozen, Name: "2015", Digest: digest, Start: f.msAgo(2000 * day)})

	const chart = "acme/chart"
	packed, _ := layer(f.t, "app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 0.1.0\n")
	head, body := part{helmConfig, []byte(`{"name":"app","version":"0.1.0","apiVersion":"v2"}`)}, part{helmChart, packed}
	helm := f.manifest(Manifest{
		Repo: chart, MediaType: ociManifest, ConfigType: helmConfig, LayersSize: len(packed), ArtifactType: helmConfig,
		Bytes: manifestBytes(f.t, ociManifest, head, []part{body}, nil),
		Blobs: []string{f.blob(chart, head, false), f.blob(chart, body, false)},
	})
	f.tag(Tag{Repo: chart, Name: "0.1.0", Digest: helm, Start: f.msAgo(day)})

	copied := f.image("acme/mirrored", dockerManifest, "amd64", "copied", false, nil)
	f.tag(Tag{Repo: "acme/mirrored", Name: "3.18", Digest: copied, Start: f.msAgo(day)})
}

// cache writes what a proxy cache holds of an index: one image whose layer it
// has not fetched, and of the other nothing but the name.
func (f *filler) cache() {
	f.s.Cache = Cache{"cache", "docker.io", "puller", "dckr_pat_example", 3 * time.Hour}
	f.insert("proxycacheconfig", Row{
		"organization_id": f.id("cache"), "upstream_registry": f.s.Cache.Upstream, "expiration_s": int(f.s.Cache.Expiration.Seconds()),
		"upstream_registry_username": f.Seal(f.s.Cache.Username), "upstream_registry_password": f.Seal(f.s.Cache.Password),
	})
	const repo = "cache/library/alpine"
	config, filled := imageParts(f.t, ociConfig, ociLayer, "amd64", "not fetched", nil)
	absent := Digest(filled.content)
	f.ids[absent] = f.insert("imagestorage", Row{"content_checksum": absent, "image_size": len(filled.content), "uploading": false})
	f.s.Absent = append(f.s.Absent, absent)
	amd := f.manifest(Manifest{
		Repo: repo, MediaType: ociManifest, ConfigType: ociConfig, LayersSize: len(filled.content), Bytes: manifestBytes(f.t, ociManifest, config, []part{filled}, nil),
		Blobs: []string{f.blob(repo, config, false), absent},
	})
	arm := f.manifest(Manifest{Repo: repo, MediaType: ociManifest, Digest: Digest([]byte("never fetched"))})
	end := f.ago(-f.s.Cache.Expiration).UnixMilli()
	f.temporary(repo, amd, end)
	f.temporary(repo, arm, end)
	index := f.index(repo, []Manifest{f.written(repo, amd), {MediaType: ociManifest, Digest: arm, Bytes: make([]byte, 500)}})
	f.tag(Tag{Repo: repo, Name: "3", Digest: index, Start: f.msAgo(time.Hour), End: end})
}

// mirrors writes the mirror of a repository and, where there is such a thing,
// that of an organization.
func (f *filler) mirrors() {
	m := Mirror{
		Repo: "acme/mirrored", Robot: "acme+mirror", Reference: "registry.example.com/library/alpine", Username: "reader", Password: "s3cr3t ü",
		Globs: []string{"3.*", "latest"}, Interval: 24 * time.Hour, Proxy: "http://proxy.example.com:3128",
	}
	rule := f.insert("repomirrorrule", Row{"repository_id": f.id(m.Repo), "rule_value": m.Globs})
	row := Row{
		"repository_id": f.id(m.Repo), "internal_robot_id": f.id(m.Robot), "external_reference": m.Reference, "root_rule_id": rule,
		"external_registry_username": f.Seal(m.Username), "external_registry_password": f.Seal(m.Password),
		"external_registry_config": Row{"verify_tls": false, "unsigned_images": true, "proxy": Row{"http_proxy": m.Proxy, "https_proxy": m.Proxy, "no_proxy": ""}},
		"sync_interval":            int(m.Interval.Seconds()), "sync_start_date": f.ago(-time.Hour), "sync_status": 1,
	}
	if f.Has("repomirrorconfig", "architecture_filter") {
		m.Architectures = []string{"amd64", "arm64"}
		row["architecture_filter"], row["skopeo_timeout"] = m.Architectures, 600
	}
	f.insert("repomirrorconfig", row)
	f.s.Mirror = m
	if !f.Has("orgmirrorconfig", "") {
		return
	}
	o := OrgMirror{"copies", "copies+mirror", "https://harbor.example.com", "library", "reader", "harbor secret", []string{"nginx", "alp*"}, "copies/nginx"}
	id := f.insert("orgmirrorconfig", Row{
		"organization_id": f.id(o.Org), "internal_robot_id": f.id(o.Robot), "external_registry_type": 1, "external_registry_url": o.URL,
		"external_namespace": o.Namespace, "external_registry_username": f.Seal(o.Username), "external_registry_password": f.Seal(o.Password),
		"external_registry_config": Row{"verify_tls": true}, "repository_filters": o.Filters, "visibility_id": "private",
		"sync_interval": 3600, "sync_start_date": f.ago(-time.Hour), "sync_status": 1,
	})
	f.insert("orgmirrorrepository", Row{
		"org_mirror_config_id": id, "repository_name": "nginx", "repository_id": f.id(o.Repo), "sync_status": 1, "last_sync_date": f.ago(time.Hour),
	})
	f.s.OrgMirror = o
	copied := f.image(o.Repo, ociManifest, "amd64", "of an organization", false, nil)
	f.tag(Tag{Repo: o.Repo, Name: "latest", Digest: copied, Start: f.msAgo(time.Hour)})
}

// deleted writes what a reader leaves out.
func (f *filler) deleted() {
	ghost := f.insert("user", Row{"username": newUUID(), "email": newUUID(), "enabled": false, "organization": true})
	f.insert("deletednamespace", Row{
		"namespace_id": ghost, "original_username": "ghost", "original_email": "ghost@example.com", "queue_id": "1",
	})
	f.s.SkippedNamespaces = append(f.s.SkippedNamespaces, f.text("SELECT username FROM "+f.Quoted("user")+" WHERE id = ?", ghost))
	private := f.ID(f.t, "visibility", "private")
	haunted := f.insert("repository", Row{"namespace_user_id": ghost, "name": "haunted", "visibility_id": private})
	marked := newUUID()
	id := f.insert("repository", Row{"namespace_user_id": f.id("acme"), "name": marked, "visibility_id": private, "state": 3})
	f.insert("deletedrepository", Row{"repository_id": id, "original_name": "gone", "queue_id": "2"})
	f.insert("repository", Row{"namespace_user_id": f.id("acme"), "name": "oldchart", "visibility_id": private, "kind_id": "application"})
	f.insert("repositorypermission", Row{"repository_id": haunted, "user_id": f.id("bob"), "role_id": "write"})
	f.s.SkippedRepos = append(f.s.SkippedRepos, f.s.SkippedNamespaces[0]+"/haunted", "acme/"+marked, "acme/oldchart")

	f.ids["gone"], f.ids["haunted"] = id, haunted
	for name, repo := range map[string]int64{"gone": id, "haunted": haunted} {
		bytes := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[],"annotations":{"of":%q}}`, ociIndex, name))
		m := f.insert("manifest", Row{"repository_id": repo, "digest": Digest(bytes), "media_type_id": ociIndex, "manifest_bytes": string(bytes)})
		f.insert("tag", Row{"repository_id": repo, "name": "latest", "manifest_id": m})
	}
	f.insert("imagestorage", Row{}) // still uploading: no checksum, no size, no placement
	f.insert("blobupload", Row{
		"repository_id": f.id("acme/app"), "location_id": "default", "byte_count": 5, "sha_state": "gASVAAAAAA==", "chunk_count": 1,
	})
}
