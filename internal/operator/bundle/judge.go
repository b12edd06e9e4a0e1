package bundle

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/config/edit"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
)

// registryFolder is where the registry finds its configuration.
const registryFolder = "/conf/stack"

// groupOf are the field groups of components (config-editor.md, section 6).
var groupOf = map[v1.ComponentKind]string{
	v1.ComponentClair: "SecurityScanner", v1.ComponentPostgres: "Database", v1.ComponentRedis: "Redis", v1.ComponentObjectStorage: "DistributedStorage",
	v1.ComponentRoute: "HostSettings", v1.ComponentMirror: "RepoMirror",
}

// manageable reports whether there is a component of that name that can be
// managed or not.
func manageable(kind string) bool {
	return slices.Contains(v1.Kinds(), v1.ComponentKind(kind)) && kind != string(v1.ComponentQuay)
}

// Judge implements edit.Store: it decides, makes the registry's configuration
// and checks it as the operator does, without the keys that are not the
// editor's.
func (s *Store) Judge(_ context.Context, p *edit.Present, files edit.Files, want map[string]bool) (*edit.Judged, error) {
	from, ok := p.Token.(token)
	if !ok {
		return nil, errors.New("the configuration is of another store")
	}
	for kind := range want {
		if !manageable(kind) {
			return nil, &edit.Mistake{Field: "manage", Message: "there is no component of that name that can be managed or not"}
		}
	}
	q := from.registry.DeepCopy()
	manage(q, want, false, "")
	j := &edit.Judged{Stack: files, Operator: map[string]any{}, Managed: []edit.Managed{}, Own: []edit.Own{}}
	blocked := func(err error) (*edit.Judged, error) {
		b, ok := plan.AsBlocked(err)
		if !ok {
			return nil, err
		}
		problem := config.Problem{Severity: config.Error, File: edit.ConfigFile, Message: b.Message}
		if b.Component != "" {
			problem.Field = "components." + string(b.Component)
		}
		j.Problems = append(j.Problems, problem)
		return j, nil
	}
	data := dataOf(files)
	if _, there := data[edit.ConfigFile]; !there && !files.Written() {
		data[edit.ConfigFile] = nil // as the operator takes it where nothing is named
	}
	bundle, err := plan.ReadBundle(data)
	if err != nil {
		return blocked(err)
	}
	all, err := plan.Decide(q.Spec, s.o.Cluster, bundle)
	if err != nil {
		j.Own = s.own(asked(q))
		return blocked(err)
	}
	j.Managed, j.Own = managed(all), s.own(all)
	access, err := plan.Reach(q.Name, q.Namespace, all, s.o.Cluster, bundle)
	if err != nil {
		return blocked(err)
	}
	ask := render.Request{Registry: q, All: all, Bundle: bundle, Access: access, Cluster: s.o.Cluster, Keys: placeholders(q.Name),
		Facts: plan.Facts{Name: q.Name, Namespace: q.Namespace, Hostname: access.Hostname, TLSAtRoute: access.TLSAtDoor}}
	switch {
	case !all.Managed(v1.ComponentObjectStorage):
	case s.o.Cluster.Buckets:
		ask.Facts.Bucket = &plan.Bucket{Host: "bucket.invalid", Name: "bucket", AccessKey: config.Masked, Key: config.Masked}
	default:
		ask.Facts.Volume = render.VolumeFolder
	}
	if ask.Cert, ask.Key = bundle.Cert, bundle.Key; len(ask.Cert) == 0 && (access.Own || all[v1.ComponentTLS].SecretRef != "") {
		if ask.Cert, ask.Key, err = s.standIn(access.Host()); err != nil {
			return nil, err
		}
	}
	if bundle.HasCert() {
		if err := plan.CheckCert(bundle.Cert, bundle.Key, access.Host(), bundle.BuilderHost()); err != nil {
			return blocked(err)
		}
	}
	return j, s.load(j, ask)
}

// load makes the registry's folder and checks it.
func (s *Store) load(j *edit.Judged, ask render.Request) error {
	stack, err := render.Stack(ask)
	if err != nil {
		return err
	}
	j.Stack = stack
	var environ []string
	for _, v := range ask.All[v1.ComponentQuay].Overrides.Env {
		if v.ValueFrom == nil {
			environ = append(environ, v.Name+"="+v.Value)
		}
	}
	c, problems, err := s.o.Load(config.Options{Dir: registryFolder, Files: j.Stack, Environ: environ})
	if err != nil && !errors.Is(err, config.ErrInvalid) {
		return err
	}
	for _, p := range problems {
		p.Line, p.Column = 0, 0 // of the merged file, which is not the one that the user has
		j.Problems = append(j.Problems, p)
	}
	j.Config = c
	effective, _ := config.ParseValues(edit.ConfigFile, stack[edit.ConfigFile])
	written := ask.Bundle.Config
	for name, v := range effective {
		own, ok := written[name]
		if text, err := json.Marshal(own); ok && err == nil {
			if now, err := json.Marshal(v); err == nil && string(now) == string(text) {
				continue
			}
		}
		j.Operator[name] = v
	}
	if ask.Facts.Bucket != nil { // of which the editor knows nothing
		j.Operator["DISTRIBUTED_STORAGE_CONFIG"] = map[string]any{"local_us": []any{"RHOCSStorage", map[string]any{}}}
	}
	j.Workloads = workloads(ask)
	return nil
}

// workloads are the pods of a registry, by what they are made of.
func workloads(ask render.Request) map[string]string {
	set, err := render.Render(ask)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, o := range append(slices.Clone(set.Data), set.Apps...) {
		d, ok := o.(*appsv1.Deployment)
		if !ok {
			continue
		}
		text, err := json.Marshal(d.Spec.Template)
		if err != nil {
			continue
		}
		sum := sha256.Sum256(text)
		out[strings.TrimPrefix(client.Object(d).GetName(), ask.Registry.Name+"-")] = hex.EncodeToString(sum[:])
	}
	return out
}

// managed are the components that the operator makes, with the fields that it
// sets then.
func managed(all plan.Components) []edit.Managed {
	list := []edit.Managed{}
	for _, kind := range v1.Kinds() {
		fields := plan.SetsOf(kind)
		if !all.Managed(kind) || len(fields) == 0 {
			continue
		}
		list = append(list, edit.Managed{Component: string(kind), Group: groupOf[kind], Fields: fields, Unmanageable: true})
	}
	return list
}

// asked are the components that the resource names, where it cannot be decided
// what the others are: those are left as they are.
func asked(q *v1.QuayRegistry) plan.Components {
	all := plan.Components{}
	for _, kind := range v1.Kinds() {
		all[kind] = plan.Component{Managed: true}
	}
	for _, c := range q.Spec.Components {
		all[c.Kind] = plan.Component{Managed: c.Managed}
	}
	return all
}

// own are the components that the operator does not make, and could.
func (s *Store) own(all plan.Components) []edit.Own {
	list := []edit.Own{}
	for _, kind := range v1.Kinds() {
		fields := plan.SetsOf(kind)
		if all.Managed(kind) || len(fields) == 0 || kind == v1.ComponentClair && !s.o.Cluster.Images[kind] {
			continue
		}
		related := plan.RelatedTo(kind)
		if related == nil {
			related = []string{}
		}
		list = append(list, edit.Own{Component: string(kind), Group: groupOf[kind], Fields: fields, Related: related})
	}
	return list
}

// placeholders stand for the managed keys, which the editor may not read. They
// are always the same, so that two configurations can be compared.
func placeholders(name string) plan.Keys {
	db := name + "-quay-database"
	keys := plan.Keys{plan.KeyDBURI: []byte("postgresql://" + db + ":" + config.Masked + "@" + db + ":5432/" + db), plan.KeyScannerPSK: []byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")}
	for _, key := range []string{plan.KeySecret, plan.KeyDatabaseSecret, plan.KeyConfigEditor, plan.KeyDBRoot, plan.KeyRedisPassword, plan.KeyClairUser, plan.KeyClairPassword,
		plan.KeyClairRoot, plan.KeyClairName} {
		keys[key] = []byte(strings.Repeat("0", 80))
	}
	return keys
}

// standIn is a certificate for a host that stands for one that the editor may
// not read. It never serves.
func (s *Store) standIn(host string) (cert, key []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.pairs[host]; ok {
		return p.cert, p.key, nil
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := s.now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0), DNSNames: []string{host}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	p := pair{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})}
	if len(s.pairs) >= 16 { // hosts that were tried
		s.pairs = map[string]pair{}
	}
	s.pairs[host] = p
	return p.cert, p.key, nil
}
