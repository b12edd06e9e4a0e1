package editor

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"maps"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/config/edit"
)

// A bundle is a configuration as Quay's editor sends it.
type bundle struct {
	Config  map[string]any    `json:"config.yaml"`
	Certs   map[string]string `json:"certs"`
	Managed []string          `json:"managedFieldGroups,omitempty"`
}

// state is what a client has to know beside the values.
type state struct {
	edit.Place
	Version  string            `json:"version"`
	Revision string            `json:"revision"`
	Written  []string          `json:"written"`
	Source   map[string]string `json:"source"`
	Managed  []edit.Managed    `json:"managed"`
	Own      []edit.Own        `json:"own"`
	Writable bool              `json:"writable"`
	Reason   string            `json:"reason,omitempty"`
	Warnings []string          `json:"warnings"`
}

// values returns the configuration in effect, without secrets, and where each
// value comes from.
func values(p *edit.Present, j *edit.Judged) (map[string]any, map[string]string) {
	out, source := config.Defaults(), map[string]string{}
	for name := range out {
		source[name] = "default"
	}
	put := func(name string, v any, from string) {
		if f, ok := config.Lookup(name); ok && f.Name != name {
			delete(out, f.Name) // written by its old name
			delete(source, f.Name)
		}
		out[name], source[name] = config.MaskField(name, v), from
	}
	name := p.Files.ConfigName()
	written, _ := config.ParseValues(name, p.Files[name]) // Judge has the problems
	for field, v := range written {
		if v != nil {
			put(field, v, "file")
		}
	}
	for field, v := range j.Operator {
		put(field, v, "operator")
	}
	if j.Config != nil {
		plain := j.Config.Redacted()
		for field, v := range plain {
			if file, _ := j.Config.Where(field); file == "environment" || file == "QUAY_OVERRIDE_CONFIG" {
				out[field], source[field] = v, "environment"
			}
		}
	}
	for field, v := range out {
		f, _ := config.Lookup(field)
		if source[field] == "default" && f.Secret && v != "" {
			out[field] = config.Masked
		}
	}
	return out, source
}

// config answers with the bundle.
func (s *Server) config(w http.ResponseWriter, r *http.Request) error {
	p, j, err := s.present(r.Context())
	if err != nil {
		return err
	}
	b := bundle{Certs: edit.Certs(p.Files)}
	b.Config, _ = values(p, j)
	w.Header().Set("ETag", etag(p.Revision))
	status := http.StatusOK
	if !p.Files.Written() {
		status = http.StatusAccepted
	}
	return send(w, status, b)
}

func etag(revision string) string { return `"` + revision + `"` }

// state answers with what is known of the configuration.
func (s *Server) state(w http.ResponseWriter, r *http.Request) error {
	return s.tell(w, r)
}

// tell sends the state.
func (s *Server) tell(w http.ResponseWriter, r *http.Request) error {
	p, j, err := s.present(r.Context())
	if err != nil {
		return err
	}
	st := state{Place: p.Place, Version: s.Version, Revision: p.Revision, Written: []string{}, Managed: j.Managed, Own: j.Own, Writable: p.Writable, Reason: p.Reason, Warnings: p.Warnings}
	_, st.Source = values(p, j)
	name := p.Files.ConfigName()
	written, broken := config.ParseValues(name, p.Files[name])
	for _, field := range slices.Sorted(maps.Keys(written)) {
		if written[field] != nil {
			st.Written = append(st.Written, field)
		}
	}
	if st.Warnings == nil {
		st.Warnings = []string{}
	}
	if st.Managed == nil {
		st.Managed = []edit.Managed{}
	}
	if st.Own == nil {
		st.Own = []edit.Own{}
	}
	if len(broken) > 0 {
		st.Warnings = append(st.Warnings, name+" cannot be read, and no field of it can be changed: "+broken[0].Message+"; roll back to an earlier revision, or mend it by hand")
	}
	w.Header().Set("ETag", etag(p.Revision))
	return send(w, http.StatusOK, st)
}

// A revision is one of the history.
type revision struct {
	Revision string   `json:"revision"`
	At       string   `json:"at"`
	Changed  []string `json:"changed"`
	Current  bool     `json:"current"`
}

func (s *Server) history(w http.ResponseWriter, r *http.Request) error {
	p, err := s.Store.Read(r.Context())
	if err != nil {
		return err
	}
	list, err := s.Store.History(r.Context())
	if err != nil {
		return err
	}
	out := []revision{}
	for _, h := range list {
		changed := h.Changed
		if changed == nil {
			changed = []string{}
		}
		out = append(out, revision{h.Revision, h.At.UTC().Format("2006-01-02T15:04:05Z"), changed, h.Revision == p.Revision})
	}
	return send(w, http.StatusOK, out)
}

func (s *Server) rollout(w http.ResponseWriter, r *http.Request) error {
	out, err := s.Store.Rollout(r.Context())
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, out)
}

// patchOf makes a patch of a whole bundle: what differs from what is shown now.
// Fields that the bundle has no more are taken out, if they are written.
func patchOf(p *edit.Present, j *edit.Judged, b bundle) edit.Patch {
	shown, source := values(p, j)
	patch := edit.Patch{Config: map[string]any{}, Certs: map[string]*string{}}
	for name, v := range b.Config {
		if v != nil && !config.Same(shown[name], v) {
			patch.Config[name] = v
		}
	}
	for name := range shown {
		if v, ok := b.Config[name]; (!ok || v == nil) && source[name] == "file" {
			patch.Config[name] = nil
		}
	}
	if b.Certs == nil {
		return patch
	}
	there := edit.Certs(p.Files)
	for name, text := range b.Certs {
		if there[name] != text {
			patch.Certs[name] = &text
		}
	}
	for name := range there {
		if _, ok := b.Certs[name]; !ok {
			patch.Certs[name] = nil
		}
	}
	return patch
}

// replaced is a patch in which every object takes the whole place of the old
// one: a merge patch alone would leave keys that are gone.
func replaced(files edit.Files, patch edit.Patch) edit.Patch {
	name := files.ConfigName()
	written, _ := config.ParseValues(name, files[name])
	for field, v := range patch.Config {
		patch.Config[field] = gone(written[field], v)
	}
	return patch
}

// gone adds nil for the keys of old that v has no more.
func gone(old, v any) any {
	was, ok := old.(map[string]any)
	is, also := v.(map[string]any)
	if !ok || !also {
		return v
	}
	out := maps.Clone(is)
	for k, x := range was {
		if y, stays := is[k]; stays {
			out[k] = gone(x, y)
		} else {
			out[k] = nil
		}
	}
	return out
}

// readBundle reads a bundle of Quay's editor.
func readBundle(r *http.Request) (bundle, error) {
	var b bundle
	if err := read(r, &b); err != nil {
		return b, err
	}
	numbers(b.Config)
	if len(b.Certs) > edit.MaxCerts {
		return b, invalid("there are too many certificates")
	}
	return b, wrongTypes(b.Config)
}

// judged applies a patch to what is there, and judges it. A field that is the
// operator's is refused.
func (s *Server) judged(ctx context.Context, p *edit.Present, patch edit.Patch) (edit.Files, []string, *edit.Judged, error) {
	files, changed, err := edit.Apply(p.Files, patch)
	if err != nil {
		return nil, nil, nil, err
	}
	j, err := s.Store.Judge(ctx, p, files, patch.Manage)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, name := range changed {
		if component := j.Locks(name); component != "" && patch.Config[name] != nil {
			return nil, nil, nil, &edit.Mistake{Field: name, Message: "belongs to the operator while it makes the component " + component + ": set managed of " + component + " to false first, or in the same change"}
		}
	}
	for component := range patch.Manage {
		changed = append(changed, "components."+component)
	}
	slices.Sort(changed)
	return files, changed, j, nil
}

// refuse is the answer to a configuration that is not valid.
func refuse(j *edit.Judged) error {
	if j.Valid() {
		return nil
	}
	list := errorsOf(problems(j.Problems))
	return &failure{status: http.StatusUnprocessableEntity, code: "invalid", message: "the configuration would not be valid, and is not written: " + list[0].text(), problems: list}
}

func (p problem) text() string {
	if p.Field == "" {
		return p.File + ": " + p.Message
	}
	return p.Field + " " + strings.TrimPrefix(p.Message, p.Field+" ")
}

// patch writes a change.
func (s *Server) patch(w http.ResponseWriter, r *http.Request) error {
	match := r.Header.Get("If-Match")
	if match == "" {
		return &failure{status: http.StatusPreconditionRequired, code: "no_revision", message: "If-Match is missing: send the ETag of the configuration that the change is for"}
	}
	patch, err := readPatch(r)
	if err != nil {
		return err
	}
	p, err := s.Store.Read(r.Context())
	if err != nil {
		return err
	}
	if !matches(match, p.Revision) {
		return edit.ErrRaced
	}
	mode, err := modeOf(r)
	if err != nil {
		return err
	}
	if err := s.write(r, p, patch, mode); err != nil {
		return err
	}
	return s.tell(w, r)
}

// matches reports whether an If-Match names the revision; * does not.
func matches(header, revision string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimSpace(tag); tag == etag(revision) || tag == revision {
			return true
		}
	}
	return false
}

// write checks and writes a patch of p. Nothing is written where it changes
// nothing.
func (s *Server) write(r *http.Request, p *edit.Present, patch edit.Patch, mode string) error {
	if !p.Writable {
		return &edit.Refused{Reason: p.Reason}
	}
	ctx := r.Context()
	files, changed, j, err := s.judged(ctx, p, patch)
	if err != nil {
		return err
	}
	if err := refuse(j); err != nil {
		return err
	}
	if mode == online {
		if err := failed(s.probe(ctx, j, nil)); err != nil {
			return err
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return s.keep(r, p, edit.Write{Files: files, Manage: patch.Manage, Changed: changed})
}

// keep writes, and says so in the log: who and what, never the values.
func (s *Server) keep(r *http.Request, p *edit.Present, w edit.Write) error {
	err := s.Store.Write(r.Context(), p, w)
	how := "session"
	if _, _, ok := r.BasicAuth(); ok {
		how = "basic"
	}
	args := []any{"user", User, "client", client(r), "by", how, "fields", w.Changed, "from", p.Revision, "to", w.Files.Revision()}
	if err != nil {
		s.Log.WarnContext(r.Context(), "the configuration was not changed", append(args, "error", err)...)
		return err
	}
	s.Log.InfoContext(r.Context(), "the configuration was changed", args...)
	return nil
}

// rollback writes an earlier configuration again.
func (s *Server) rollback(w http.ResponseWriter, r *http.Request) error {
	match := r.Header.Get("If-Match")
	if match == "" {
		return &failure{status: http.StatusPreconditionRequired, code: "no_revision", message: "If-Match is missing: send the ETag of the configuration that is to be replaced"}
	}
	p, err := s.Store.Read(r.Context())
	if err != nil {
		return err
	}
	if !matches(match, p.Revision) {
		return edit.ErrRaced
	}
	list, err := s.Store.History(r.Context())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(h edit.Saved) bool { return h.Revision == r.PathValue("revision") })
	if i < 0 {
		return &failure{status: http.StatusNotFound, code: "not_found", message: "the history has no such revision"}
	}
	if !p.Writable {
		return &edit.Refused{Reason: p.Reason}
	}
	j, err := s.Store.Judge(r.Context(), p, list[i].Files, nil)
	if err != nil {
		return err
	}
	if err := refuse(j); err != nil {
		return err
	}
	var changed []string
	for _, c := range edit.Changes(p.Files, list[i].Files) {
		changed = append(changed, c.Field)
	}
	if list[i].Revision != p.Revision {
		if err := s.keep(r, p, edit.Write{Files: list[i].Files, Changed: changed}); err != nil {
			return err
		}
	}
	return s.tell(w, r)
}

// operator is Quay's way to write a bundle.
func (s *Server) operator(w http.ResponseWriter, r *http.Request) error {
	b, err := readBundle(r)
	if err != nil {
		return err
	}
	p, j, err := s.present(r.Context())
	if err != nil {
		return err
	}
	patch := patchOf(p, j, b)
	for _, name := range b.Managed {
		if name == "HostSettings" {
			continue
		}
		for _, field := range edit.FieldsOf(name) {
			delete(patch.Config, field)
		}
	}
	for field := range patch.Config { // what the operator sets is shown, and so sent
		if j.Locks(field) != "" {
			delete(patch.Config, field)
		}
	}
	if err := s.write(r, p, replaced(p.Files, patch), offline); err != nil {
		return err
	}
	return send(w, http.StatusOK, map[string]string{"status": "success"})
}
