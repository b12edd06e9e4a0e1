package bundle

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/config/edit"
	"github.com/gantry-registry/gantry/internal/operator/kubetest"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
	"github.com/gantry-registry/gantry/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// TestMerge: of a Secret only keys that are others are written.
func TestMerge(t *testing.T) {
	files := filesOf(map[string][]byte{"config.yaml": []byte("A: 1"), "extra_ca_cert_a.crt": []byte("a"), "clair-config.yaml": []byte("c"), "odd": []byte("o")})
	if _, ok := files["extra_ca_certs/a.crt"]; !ok || len(files) != 4 {
		t.Fatalf("files %v", files)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7"}, Data: dataOf(files)}
	if _, changed, err := merge(secret, dataOf(files), ""); changed || err != nil {
		t.Errorf("nothing changed: %v, %v", changed, err)
	}
	files["config.yaml"] = []byte("A: 2")
	delete(files, "extra_ca_certs/a.crt")
	files["extra_ca_certs/b.crt"] = []byte("b")
	body, changed, err := merge(secret, dataOf(files), "")
	if want := `{"data":{"config.yaml":"QTogMg==","extra_ca_cert_a.crt":null,"extra_ca_cert_b.crt":"Yg=="},"metadata":{"resourceVersion":"7"}}`; string(body) != want || !changed || err != nil {
		t.Errorf("%s, %v, %v; want %s", body, changed, err, want)
	}
}

// TestKeepers: who may put the Secret back is named.
func TestKeepers(t *testing.T) {
	for want, s := range map[string]corev1.Secret{
		"":                 {},
		"Argo CD":          {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "x"}}},
		"Flux":             {ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "x"}}},
		"External Secrets": {ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "ExternalSecret"}}}},
		"Sealed Secrets":   {ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "SealedSecret"}}}},
		"Helm":             {ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}}},
	} {
		got := keepers(&s)
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("%q: %q", want, got)
		}
	}
}

// TestHistorySize: what does not fit is left out, the oldest first.
func TestHistorySize(t *testing.T) {
	var list []edit.Saved
	for i := range edit.KeepRevisions {
		noise := make([]byte, 60<<10)
		if _, err := rand.Read(noise); err != nil {
			t.Fatal(err)
		}
		files := edit.Files{"config.yaml": fmt.Appendf(nil, "A: %d", i), "x.pem": noise}
		list = edit.Remember(list, edit.Saved{Revision: files.Revision(), Files: files})
	}
	data, err := writeHistory(list)
	if err != nil || len(data) > maxHistory {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	got := readHistory(data)
	if len(got) < 5 || len(got) >= len(list) || got[0].Revision != list[0].Revision {
		t.Errorf("%d of %d are left", len(got), len(list))
	}
	for _, broken := range [][]byte{nil, []byte("x"), data[:100]} {
		if got := readHistory(broken); len(got) != 0 {
			t.Errorf("%d revisions of what cannot be read", len(got))
		}
	}
}

// TestStore: what the store says where something is not as it should be, with an
// API server and nobody else.
func TestStore(t *testing.T) {
	c := kubetest.API(t)
	ns := c.Namespace(t)
	create := func(o client.Object, name string) {
		t.Helper()
		o.SetNamespace(ns)
		o.SetName(name)
		if err := c.Client().Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	q := &v1.QuayRegistry{}
	create(q, "skynet")
	s, err := Open(c.Config(), Options{Namespace: ns, Registry: "skynet", Cluster: plan.Cluster{}})
	if err != nil {
		t.Fatal(err)
	}
	read := func() *edit.Present {
		t.Helper()
		p, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := read(); p.Writable || !strings.Contains(p.Reason, "not there yet") || p.Secret != "skynet-quay-config-editor-bundle" {
		t.Errorf("%+v", p)
	}
	// The first configuration goes into the Secret that the operator has made, and
	// the resource names it.
	create(&corev1.Secret{}, render.EditorBundle("skynet"))
	create(&corev1.Secret{}, render.EditorHistory("skynet"))
	write := func(p *edit.Present, patch edit.Patch) error {
		t.Helper()
		files, changed, err := edit.Apply(p.Files, patch)
		if err != nil {
			t.Fatal(err)
		}
		j, err := s.Judge(t.Context(), p, files, patch.Manage)
		if err != nil {
			t.Fatal(err)
		}
		if !j.Valid() {
			t.Fatalf("%+v", j.Problems)
		}
		return s.Write(t.Context(), p, edit.Write{Files: files, Manage: patch.Manage, Changed: changed})
	}
	first := read()
	if !first.Writable || first.Files.Written() {
		t.Fatalf("%+v", first)
	}
	if err := write(first, edit.Patch{Config: map[string]any{"SERVER_HOSTNAME": "quay.example.com"}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Client().Get(t.Context(), client.ObjectKeyFromObject(q), q); err != nil || q.Spec.ConfigBundleSecret != "skynet-quay-config-editor-bundle" || len(q.Spec.Components) != 0 {
		t.Errorf("%+v, %v", q.Spec, err)
	}
	if err := s.Write(t.Context(), first, edit.Write{Files: edit.Files{"config.yaml": []byte("A: 1")}}); err != edit.ErrRaced { //nolint:errorlint // it is that one
		t.Errorf("a write to what is past: %v", err)
	}
	if list, err := s.History(t.Context()); err != nil || len(list) != 1 || len(list[0].Changed) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if r, err := s.Rollout(t.Context()); err != nil || r.State != "unknown" {
		t.Errorf("%+v, %v", r, err)
	}

	// A bundle that is too large for a Secret is told before it is written.
	p := read()
	large := edit.Files{"config.yaml": p.Files["config.yaml"], "notes.txt": bytes.Repeat([]byte("x"), 1<<20)}
	j, err := s.Judge(t.Context(), p, large, nil)
	if err != nil || j.Valid() || !strings.Contains(j.Problems[0].Message, "at most") {
		t.Errorf("%+v, %v", j, err)
	}
	// A Secret that cannot be changed says so.
	yes := true
	create(&corev1.Secret{Immutable: &yes, Data: map[string][]byte{"config.yaml": []byte("SERVER_HOSTNAME: quay.example.com")}}, "locked")
	q.Spec.ConfigBundleSecret = "locked"
	if err := c.Client().Update(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if p := read(); p.Writable || !strings.Contains(p.Reason, "immutable") {
		t.Errorf("%+v", p)
	}
	// Rights that are lost are named by their verbs.
	account := c.ServiceAccount(t, ns, "reader")
	if s, err = Open(account, Options{Namespace: ns, Registry: "skynet"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), `cannot get resource "quayregistries"`) {
		t.Errorf("%v", err)
	}
	for verb, err := range map[string]error{"patch": apierrors.NewForbidden(corev1.Resource("secrets"), "bundle", fmt.Errorf(`User "x" cannot patch resource "secrets"`))} {
		if got := s.failed("patch the Secret bundle", err); !strings.Contains(got.Error(), "cannot "+verb) || !strings.Contains(got.Error(), "Role skynet-quay-config-editor") {
			t.Errorf("%v", got)
		}
	}
}

// TestSets: what is locked is what the operator sets, and no more: another value
// in the bundle is refused, or comes out as the operator's.
func TestSets(t *testing.T) {
	cluster := plan.Cluster{Routes: true, AppsDomain: "apps.example.com", Images: map[v1.ComponentKind]bool{v1.ComponentClair: true}}
	q := &v1.QuayRegistry{ObjectMeta: metav1.ObjectMeta{Name: "skynet", Namespace: "quay"}}
	s := &Store{o: Options{Namespace: "quay", Registry: "skynet", Cluster: cluster, Load: load}, now: time.Now, pairs: map[string]pair{}}
	p := &edit.Present{Token: token{registry: q, secret: &corev1.Secret{}}}
	judge := func(text string) *edit.Judged {
		t.Helper()
		q.Spec.Components = nil
		for _, kind := range v1.Kinds() {
			if kind != v1.ComponentMonitoring {
				q.Spec.Components = append(q.Spec.Components, v1.Component{Kind: kind, Managed: true})
			}
		}
		j, err := s.Judge(t.Context(), p, edit.Files{"config.yaml": []byte(text)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	j := judge("SERVER_HOSTNAME: quay.example.com\n")
	if !j.Valid() || len(j.Managed) != 6 || len(j.Workloads) < 5 {
		t.Fatalf("%+v, %d managed, %v", j.Problems, len(j.Managed), j.Workloads)
	}
	if j.Locks("SERVER_HOSTNAME") != "" || j.Locks("DB_URI") != "postgres" {
		t.Error("SERVER_HOSTNAME is the user's, and DB_URI the operator's")
	}
	odd := map[string]string{"FEATURE_REPO_MIRROR": "false", "FEATURE_SECURITY_SCANNER": "false", "PREFERRED_URL_SCHEME": "http", "EXTERNAL_TLS_TERMINATION": "false",
		"SECURITY_SCANNER_V4_PSK": "BBBB", "DISTRIBUTED_STORAGE_CONFIG": "{a: [LocalStorage, {storage_path: /x}]}", "DISTRIBUTED_STORAGE_PREFERENCE": "[a]",
		"DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS": "[a]", "DB_URI": "postgresql://a:b@c/d", "USER_EVENTS_REDIS": "{host: h}", "BUILDLOGS_REDIS": "{host: h}",
		"SECURITY_SCANNER_V4_ENDPOINT": "http://h", "SECURITY_SCANNER_ENDPOINT": "http://h"}
	for _, m := range j.Managed {
		for _, field := range m.Fields {
			text, ok := odd[field]
			if !ok {
				t.Errorf("%s of %s has no odd value here", field, m.Component)
			}
			other := judge("SERVER_HOSTNAME: quay.example.com\n" + field + ": " + text + "\n")
			if _, set := other.Operator[field]; other.Valid() && !set {
				t.Errorf("%s of %s: the user's %s counts", field, m.Component, text)
			}
		}
	}
	// The same configuration replaces no pods, and another one those of the registry.
	again, changed := judge("SERVER_HOSTNAME: quay.example.com\n"), judge("SERVER_HOSTNAME: quay.example.com\nFEATURE_QUOTA_MANAGEMENT: true\n")
	one, _ := json.Marshal(j.Workloads)     // a map of texts
	two, _ := json.Marshal(again.Workloads) // the same
	if string(one) != string(two) {
		t.Errorf("%s, %s", one, two)
	}
	for name, hash := range j.Workloads {
		if replaced := changed.Workloads[name] != hash; replaced != (name == "quay-app" || name == "quay-mirror") {
			t.Errorf("%s is replaced: %v", name, replaced)
		}
	}
}

// TestOwn: what the user runs can be handed back, without the fields that tell
// of it.
func TestOwn(t *testing.T) {
	cluster := plan.Cluster{Routes: true, AppsDomain: "apps.example.com", Images: map[v1.ComponentKind]bool{v1.ComponentClair: true}}
	q := &v1.QuayRegistry{ObjectMeta: metav1.ObjectMeta{Name: "skynet", Namespace: "quay"}, Spec: v1.QuayRegistrySpec{Components: []v1.Component{{Kind: v1.ComponentMonitoring}}}}
	s := &Store{o: Options{Namespace: "quay", Registry: "skynet", Cluster: cluster, Load: load}, now: time.Now, pairs: map[string]pair{}}
	p := &edit.Present{Token: token{registry: q, secret: &corev1.Secret{}}}
	judge := func(text string, manage map[string]bool) *edit.Judged {
		t.Helper()
		j, err := s.Judge(t.Context(), p, edit.Files{"config.yaml": []byte(text)}, manage)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	const text = `SERVER_HOSTNAME: quay.example.com
DB_URI: postgresql://quay:pw@db.example.com/quay
DB_CONNECTION_ARGS: {sslmode: require}
DB_READ_REPLICAS: [{DB_URI: "postgresql://quay:pw@copy.example.com/quay"}]
BUILDLOGS_REDIS: {host: redis.example.com}
USER_EVENTS_REDIS: {host: redis.example.com}
DISTRIBUTED_STORAGE_CONFIG: {a: [S3Storage, {s3_bucket: a, host: s3.example.com}], b: [S3Storage, {s3_bucket: b, host: s3.example.com}]}
DISTRIBUTED_STORAGE_PREFERENCE: [a, b]
FEATURE_STORAGE_REPLICATION: true
SECURITY_SCANNER_V4_ENDPOINT: http://clair.example.com
FEATURE_SECURITY_SCANNER: true
SECURITY_SCANNER_V4_PSK: QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC
TAG_EXPIRATION_OPTIONS: [2w, 4w]
SECRET_KEY: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
DATABASE_SECRET_KEY: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
`
	now := judge(text, nil)
	if !now.Valid() {
		t.Fatalf("%+v", now.Problems)
	}
	names := func(list []edit.Own) (out []string) {
		for _, o := range list {
			out = append(out, o.Component)
		}
		return out
	}
	if got := strings.Join(names(now.Own), " "); got != "postgres clair redis objectstorage" {
		t.Fatalf("of the user are: %s", got)
	}
	for _, o := range now.Own {
		patch := edit.Patch{Config: map[string]any{}}
		for _, field := range append(o.Fields, o.Related...) {
			patch.Config[field] = nil
		}
		files, changed, err := edit.Apply(edit.Files{"config.yaml": []byte(text)}, patch)
		if err != nil {
			t.Fatal(err)
		}
		after := judge(string(files["config.yaml"]), map[string]bool{o.Component: true})
		if !after.Valid() || after.Locks(o.Fields[0]) != o.Component || strings.Contains(strings.Join(names(after.Own), " "), o.Component) {
			t.Errorf("%s is handed back without %v: %+v, of the user are %v", o.Component, changed, after.Problems, names(after.Own))
		}
		if v := after.Operator[o.Fields[0]]; v == nil && o.Component != "clair" {
			t.Errorf("%s is handed back, and %s is not the operator's", o.Component, o.Fields[0])
		}
		if bytes.Contains(files["config.yaml"], []byte(strings.Split(o.Component, "stor")[0]+".example.com")) || !bytes.Contains(files["config.yaml"], []byte("4w")) {
			t.Errorf("%s is handed back, and config.yaml is\n%s", o.Component, files["config.yaml"])
		}
	}
	// Where nothing can be decided, what the resource names is offered.
	q.Spec.Components = []v1.Component{{Kind: v1.ComponentRedis}}
	if j := judge("SERVER_HOSTNAME: quay.example.com\n", nil); j.Valid() || strings.Join(names(j.Own), " ") != "redis" {
		t.Errorf("%+v, of the user are %v", j.Problems, names(j.Own))
	}
	// The operator has no Clair where no image is configured for it.
	s.o.Cluster.Images, q.Spec.Components = nil, nil
	if got := names(judge(text, nil).Own); strings.Contains(strings.Join(got, " "), "clair") {
		t.Errorf("of the user are %v", got)
	}
}
