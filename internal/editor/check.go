package editor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/config/edit"
)

// Modes of a check. Only online asks anybody else.
const (
	online  = "online"
	offline = "offline"
)

// modeOf reads ?mode=. Quay's testing is offline.
func modeOf(r *http.Request) (string, error) {
	switch m := r.URL.Query().Get("mode"); m {
	case "", offline, "testing":
		return offline, nil
	case online:
		return online, nil
	default:
		return "", invalid("mode is online, offline or testing")
	}
}

// validate answers as Quay's editor does: a list of errors.
func (s *Server) validate(w http.ResponseWriter, r *http.Request) error {
	mode, err := modeOf(r)
	if err != nil {
		return err
	}
	b, err := readBundle(r)
	if err != nil {
		return err
	}
	p, now, err := s.present(r.Context())
	if err != nil {
		return err
	}
	type finding struct {
		Tags       []string `json:"Tags"`
		FieldGroup string   `json:"FieldGroup"`
		Message    string   `json:"Message"`
	}
	out := []finding{}
	_, _, j, err := s.judged(r.Context(), p, replaced(p.Files, patchOf(p, now, b)))
	if m, ok := asMistake(err); ok {
		return send(w, http.StatusOK, append(out, finding{[]string{m.Field}, edit.GroupOf(m.Field), m.Message}))
	}
	if err != nil {
		return err
	}
	for _, x := range errorsOf(problems(j.Problems)) {
		tag := x.Field
		if tag == "" {
			tag = x.File
		}
		out = append(out, finding{[]string{tag}, x.Group, x.text()})
	}
	if mode == online && j.Valid() {
		for _, t := range s.probe(r.Context(), j, nil) {
			if !t.OK && t.Skipped == "" {
				out = append(out, finding{[]string{t.Name}, t.Group, sentence(t.Message, t.Next)})
			}
		}
	}
	return send(w, http.StatusOK, out)
}

func sentence(message, next string) string {
	if next == "" {
		return message
	}
	return message + ": " + next
}

// check says what a change would do.
func (s *Server) check(w http.ResponseWriter, r *http.Request) error {
	mode, err := modeOf(r)
	if err != nil {
		return err
	}
	patch, err := readPatch(r)
	if err != nil {
		return err
	}
	p, now, err := s.present(r.Context())
	if err != nil {
		return err
	}
	out := struct {
		Valid    bool          `json:"valid"`
		Problems []problem     `json:"problems"`
		Tests    []Test        `json:"tests"`
		Changes  []edit.Change `json:"changes"`
		Pods     []string      `json:"pods"`
	}{Problems: []problem{}, Tests: []Test{}, Changes: []edit.Change{}, Pods: []string{}}
	files, _, j, err := s.judged(r.Context(), p, patch)
	if m, ok := asMistake(err); ok {
		out.Problems = append(out.Problems, problem{Severity: string(config.Error), Group: edit.GroupOf(m.Field), Field: m.Field, Message: m.Message})
		return send(w, http.StatusOK, out)
	}
	if err != nil {
		return err
	}
	out.Valid, out.Problems, out.Changes = j.Valid(), problems(j.Problems), edit.Changes(p.Files, files)
	for _, name := range slices.Sorted(maps.Keys(patch.Manage)) {
		out.Changes = append(out.Changes, edit.Change{Field: "components." + name, From: !patch.Manage[name], To: patch.Manage[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(j.Workloads)) {
		if old, ok := now.Workloads[name]; !ok || old != j.Workloads[name] {
			out.Pods = append(out.Pods, name)
		}
	}
	if mode == online && j.Valid() {
		out.Tests = s.probe(r.Context(), j, nil)
	}
	return send(w, http.StatusOK, out)
}

func asMistake(err error) (*edit.Mistake, bool) {
	m, ok := err.(*edit.Mistake) //nolint:errorlint // edit returns it as it is
	return m, ok
}

// test makes one live test of a change.
func (s *Server) test(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if s.Probes[name] == nil {
		return &failure{status: http.StatusNotFound, code: "not_found", message: "there is no such test: there are " + strings.Join(slices.Sorted(maps.Keys(s.Probes)), ", ")}
	}
	patch, err := readPatch(r)
	if err != nil {
		return err
	}
	p, err := s.Store.Read(r.Context())
	if err != nil {
		return err
	}
	_, _, j, err := s.judged(r.Context(), p, patch)
	if err != nil {
		return err
	}
	if keyless(j) { // who begins tests the database before there are keys
		if patch.Config == nil {
			patch.Config = map[string]any{}
		}
		for _, key := range keys {
			if v, _ := patch.Config[key].(string); v == "" {
				patch.Config[key] = strings.Repeat("of this test ", 3)
			}
		}
		if _, _, j, err = s.judged(r.Context(), p, patch); err != nil {
			return err
		}
	}
	if err := refuse(j); err != nil {
		return err
	}
	return send(w, http.StatusOK, s.probe(r.Context(), j, []string{name}))
}

// keys are fields without which a configuration of a database server is not
// valid, and that no service is asked by.
var keys = []string{"SECRET_KEY", "DATABASE_SECRET_KEY"}

// keyless reports whether nothing is wrong with a configuration but that it has
// no keys yet.
func keyless(j *edit.Judged) bool {
	wrong := errorsOf(problems(j.Problems))
	return len(wrong) > 0 && !slices.ContainsFunc(wrong, func(p problem) bool { return !slices.Contains(keys, p.Field) })
}

// probe makes live tests, all of them or those of only, side by side.
func (s *Server) probe(ctx context.Context, j *edit.Judged, only []string) []Test {
	select {
	case s.testing <- struct{}{}:
		defer func() { <-s.testing }()
	case <-ctx.Done():
		return []Test{}
	}
	c, clean, err := s.lay(j)
	if err != nil {
		s.Log.ErrorContext(ctx, "files for live tests could not be written", "error", err)
		return []Test{{Name: "files", Message: "the files of the configuration could not be written for the tests", Next: "give the editor a folder for temporary files: TMPDIR"}}
	}
	defer clean()
	names, out := only, []Test{}
	if only == nil {
		names = slices.Sorted(maps.Keys(s.Probes))
	}
	run := []string{}
	for _, name := range names {
		if m := lockedGroup(j, probedGroup[name]); m != "" {
			out = append(out, Test{Name: name, Group: probedGroup[name], Skipped: "the operator makes the component " + m + ", and its keys are not the editor's"})
		} else {
			run = append(run, name)
		}
	}
	return append(out, Run(ctx, s.Probes, run, c)...)
}

// probedGroup are the field groups of probes that can be of a managed component.
var probedGroup = map[string]string{"database": "Database", "redis": "Redis", "storage": "DistributedStorage", "clair": "SecurityScanner"}

// Run makes live tests, all of them or those of only, side by side.
func Run(ctx context.Context, probes map[string]Probe, only []string, c *config.Config) []Test {
	names := slices.Sorted(maps.Keys(probes))
	if only != nil {
		names = only
	}
	found := make([][]Test, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					slog.ErrorContext(ctx, "a live test panicked", "test", name, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
					found[i] = []Test{{Name: name, Message: "the test itself failed", Next: "look into the log"}}
				}
			}()
			found[i] = probes[name](ctx, c)
		})
	}
	all.Wait()
	out := []Test{}
	for _, list := range found {
		out = append(out, list...)
	}
	return out
}

// lockedGroup is the component that makes a group the operator's.
func lockedGroup(j *edit.Judged, group string) string {
	for _, m := range j.Managed {
		if m.Group == group {
			return m.Component
		}
	}
	return ""
}

// lay writes the files of a configuration where services' clients can read
// them, and loads it from there. They are gone after clean.
func (s *Server) lay(j *edit.Judged) (c *config.Config, clean func(), err error) {
	dir, err := os.MkdirTemp("", "gantry-editor-")
	if err != nil {
		return nil, nil, err
	}
	clean = func() {
		if err := os.RemoveAll(dir); err != nil {
			s.Log.Error("files of live tests are left", "folder", dir, "error", err)
		}
	}
	for name, data := range j.Stack {
		if name == j.Stack.ConfigName() {
			data = moved(data, dir)
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			clean()
			return nil, nil, err
		}
	}
	if c, _, err = s.Load(config.Options{Dir: dir, Environ: s.Environ}); err != nil {
		clean()
		return nil, nil, err
	}
	return c, clean, nil
}

// moved is a file of fields for another folder than the registry's: files that
// it names there are in dir.
func moved(data []byte, dir string) []byte {
	for _, before := range []string{"", " ", `"`, "'", "[", "{", ","} {
		from := before + "/conf/stack/"
		if before != "" { // Quay's manual writes it so
			data = bytes.ReplaceAll(data, []byte(before+"conf/stack/"), []byte(from))
		}
	}
	return bytes.ReplaceAll(data, []byte("/conf/stack/"), []byte(dir+"/"))
}

// failed is the answer to tests that failed.
func failed(list []Test) error {
	var out []problem
	for _, t := range list {
		if !t.OK && t.Skipped == "" {
			out = append(out, problem{Severity: string(config.Error), Group: t.Group, Field: "", File: "", Message: sentence(t.Message, t.Next)})
		}
	}
	if len(out) == 0 {
		return nil
	}
	return &failure{status: http.StatusUnprocessableEntity, code: "test_failed", message: "a live test failed, and nothing is written: " + out[0].Message, problems: out}
}

// download answers with the configuration as Quay's quay-config.tar.gz.
func (s *Server) download(w http.ResponseWriter, r *http.Request) error {
	patch, err := readPatch(r)
	if err != nil {
		return err
	}
	p, err := s.Store.Read(r.Context())
	if err != nil {
		return err
	}
	if p.Mode == edit.Operator {
		return &failure{status: http.StatusForbidden, code: "secret", message: fmt.Sprintf(
			"the bundle holds secrets, which the editor of a cluster does not give away; who may read the Secret gets it with: kubectl get secret %s --namespace %s --output jsonpath='{.data.config\\.yaml}' | base64 --decode", p.Secret, p.Namespace)}
	}
	shown, source := values(p, &edit.Judged{})
	for name, v := range patch.Config { // defaults are not written, as nobody wrote them
		if source[name] != "file" && config.Same(shown[name], v) {
			delete(patch.Config, name)
		}
	}
	files, _, err := edit.Apply(p.Files, patch)
	if err != nil {
		return err
	}
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	t := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != files.ConfigName() && !edit.IsCert(name) {
			continue
		}
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(files[name])), ModTime: s.Now()}); err != nil {
			return err
		}
		if _, err := t.Write(files[name]); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Disposition", `attachment; filename="quay-config.tar.gz"`)
	s.Log.InfoContext(r.Context(), "the configuration was downloaded, with its secrets", "user", User, "client", client(r))
	_, err = w.Write(body.Bytes())
	return err
}
