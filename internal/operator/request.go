package operator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/config/edit"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
	"github.com/gantry-registry/gantry/internal/operator/status"
)

// request gathers all that a registry's objects are made of.
func (r *reconciler) request(ctx context.Context, q *v1.QuayRegistry, k *known, all inventory, seen *status.Seen) (*render.Request, time.Duration, error) {
	bundle, err := r.bundle(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	cluster := k.Cluster
	components, err := plan.Decide(q.Spec, cluster, bundle)
	if err != nil {
		return nil, 0, err
	}
	seen.All = components
	access, err := plan.Reach(q.Name, q.Namespace, components, cluster, bundle)
	if err != nil {
		return nil, 0, err
	}
	if err := plan.CheckSite(components, bundle, access, cluster); err != nil {
		return nil, 0, err
	}
	ask := &render.Request{Registry: q, All: components, Bundle: bundle, Access: access, Cluster: cluster, Version: r.o.Version, Images: r.images(),
		Proxy: r.proxy(access.Host()), NoRequests: r.o.NoRequests, Console: k.console,
		ServiceCA: hashOf(all, q, "-cluster-service-ca", "service-ca.crt"), TrustedCA: hashOf(all, q, "-cluster-trusted-ca", "ca-bundle.crt"),
		Facts: plan.Facts{Name: q.Name, Namespace: q.Namespace, Hostname: access.Hostname, TLSAtRoute: access.TLSAtDoor}}
	if ask.Backups, ask.Restore, err = r.wanted(ctx, q); err != nil {
		return nil, 0, err
	}
	if ask.Scaled, err = r.scaled(ctx, q, components); err != nil {
		return nil, 0, err
	}
	if ask.Restore != nil {
		render.Stopped(components)
	}
	if ask.Import, err = r.imports(ctx, q); err != nil {
		return nil, 0, err
	}
	for kind := range components {
		if image := ask.Images[kind]; image == "" && components.Managed(kind) && slices.Contains(workloads, kind) && components[kind].Overrides.Image == "" {
			return nil, 0, &plan.Blocked{Reason: v1.ReasonComponentCreationFailed, Component: kind, Message: fmt.Sprintf("the component %s is managed, and the operator has no image of it: set RELATED_IMAGE_COMPONENT_%s in the operator's environment, or set managed to false", kind, strings.ToUpper(string(kind)))}
		}
	}
	if ask.Keys, err = r.keys(ctx, q, components, bundle); err != nil {
		return nil, 0, err
	}
	again, err := r.certificate(ctx, q, all, ask)
	if err != nil {
		return nil, 0, err
	}
	if components.Managed(v1.ComponentObjectStorage) {
		if !cluster.Buckets {
			ask.Facts.Volume = render.VolumeFolder
		} else if ask.Facts.Bucket, err = r.bucket(ctx, q, all); err != nil {
			return nil, 0, err
		}
	}
	return ask, again, nil
}

// scaled finds the Deployments that autoscalers of the user scale, KEDA's for
// one, where the operator makes none.
func (r *reconciler) scaled(ctx context.Context, q *v1.QuayRegistry, components plan.Components) (map[string]bool, error) {
	if components.Managed(v1.ComponentHPA) {
		return nil, nil //nolint:nilnil // nil is none
	}
	var list autoscalingv2.HorizontalPodAutoscalerList
	if err := r.reader.List(ctx, &list, client.InNamespace(q.Namespace)); err != nil {
		return nil, fmt.Errorf("look for autoscalers of the user's: %w", err)
	}
	names := map[string]bool{}
	for _, h := range list.Items {
		if to := h.Spec.ScaleTargetRef; to.Kind == "Deployment" && h.Labels[render.LabelRegistry] == "" {
			names[to.Name] = true
		}
	}
	return names, nil
}

// workloads are the components that have an image.
var workloads = []v1.ComponentKind{v1.ComponentQuay, v1.ComponentMirror, v1.ComponentPostgres, v1.ComponentRedis, v1.ComponentClair, v1.ComponentClairPostgres}

func (r *reconciler) images() map[v1.ComponentKind]string {
	m := map[v1.ComponentKind]string{v1.ComponentMirror: r.o.Images[v1.ComponentQuay], v1.ComponentClairPostgres: r.o.Images[v1.ComponentPostgres]}
	for k, v := range r.o.Images {
		if v != "" {
			m[k] = v
		}
	}
	return m
}

// proxy is the operator's proxy, which the registry's own name does not go
// through.
func (r *reconciler) proxy(host string) map[string]string {
	if len(r.o.Proxy) == 0 {
		return nil
	}
	m := map[string]string{}
	for k, v := range r.o.Proxy {
		m[k] = v
	}
	m["NO_PROXY"] = strings.Trim(host+","+m["NO_PROXY"], ",")
	return m
}

// hashOf is a short hash of a file of authorities; "" = it is not there yet.
func hashOf(all inventory, q *v1.QuayRegistry, name, key string) string {
	c, ok := found[*corev1.ConfigMap](all, q, "ConfigMap", q.Name+name)
	if !ok || c.Data[key] == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(c.Data[key]))
	return hex.EncodeToString(sum[:])[56:]
}

// secret reads a Secret from the server; nil = it is not there.
func (r *reconciler) secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	s := &corev1.Secret{}
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, s)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // nil is the answer
	}
	if apierrors.IsForbidden(err) {
		return nil, &plan.Blocked{Reason: v1.ReasonConfigInvalid, Message: fmt.Sprintf("the Secret %s cannot be read: %v; give the operator's role get on secrets", name, err)}
	}
	return s, err
}

// bundle reads the configuration bundle. Without one, the defaults hold.
func (r *reconciler) bundle(ctx context.Context, q *v1.QuayRegistry) (*plan.Bundle, error) {
	name := q.Spec.ConfigBundleSecret
	if name == "" {
		return plan.ReadBundle(map[string][]byte{"config.yaml": nil})
	}
	s, err := r.secret(ctx, q.Namespace, name)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, &plan.Blocked{Reason: v1.ReasonConfigInvalid, Message: fmt.Sprintf("there is no Secret %s, which configBundleSecret names: create it, for example with kubectl create secret generic --from-file config.yaml=./config.yaml %s", name, name)}
	}
	return plan.ReadBundle(s.Data)
}

// keys reads the keys that were made once, and adds those that are missing.
func (r *reconciler) keys(ctx context.Context, q *v1.QuayRegistry, all plan.Components, b *plan.Bundle) (plan.Keys, error) {
	name := render.ManagedKeys(q.Name)
	s, err := r.secret(ctx, q.Namespace, name)
	if err != nil {
		return nil, err
	}
	if s == nil {
		if s, err = r.oldKeys(ctx, q); err != nil {
			return nil, err
		}
	}
	there := plan.Keys{}
	if s != nil {
		there = s.Data
	} else if q.Status.CurrentVersion != "" {
		return nil, &plan.Blocked{Reason: v1.ReasonConfigInvalid, Message: fmt.Sprintf("the Secret %s is gone, with the keys that the registry's data is encrypted by: restore it from a backup; new keys would not open it", name)}
	}
	keys, made, err := plan.Complete(q.Name, there, all, b)
	if err != nil || !made {
		return keys, err
	}
	// They are written before anything is made with them, and never over others.
	if s != nil && s.Name == name {
		before := s.DeepCopy()
		s.Data = keys
		err = r.client.Patch(ctx, s, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	} else {
		fresh := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: q.Namespace, Name: name, Labels: map[string]string{render.LabelRegistry: q.Name}}, Data: keys}
		if err := controllerutil.SetControllerReference(q, fresh, r.scheme); err != nil {
			return nil, err
		}
		err = r.client.Create(ctx, fresh)
	}
	if err != nil {
		return nil, fmt.Errorf("write the managed keys: %w", err)
	}
	r.writes.Add(1)
	return keys, nil
}

// oldKeys finds the keys of an operator before 3.7, under a name with a hash.
func (r *reconciler) oldKeys(ctx context.Context, q *v1.QuayRegistry) (*corev1.Secret, error) {
	var list corev1.SecretList
	if err := r.client.List(ctx, &list, client.InNamespace(q.Namespace), client.MatchingLabels{render.LabelRegistry: q.Name}); err != nil {
		return nil, err
	}
	for i := range list.Items {
		if s := &list.Items[i]; strings.Contains(s.Name, "quay-registry-managed-secret-keys") && len(s.Data) > 0 {
			return s.DeepCopy(), nil
		}
	}
	return nil, nil //nolint:nilnil // nil is the answer
}

// bucket reads what a bucket claim gave; nil = it is not bound yet.
func (r *reconciler) bucket(ctx context.Context, q *v1.QuayRegistry, all inventory) (*plan.Bucket, error) {
	name := q.Name + "-quay-datastore"
	claim, ok := found[*unstructured.Unstructured](all, q, kindBucketClaim.Kind, name)
	if !ok {
		return nil, nil //nolint:nilnil // nil is the answer
	}
	if p, _, _ := unstructured.NestedString(claim.Object, "status", "phase"); p != "Bound" { // what is no text is not bound
		return nil, nil //nolint:nilnil // nil is the answer
	}
	s, err := r.secret(ctx, q.Namespace, name)
	if err != nil || s == nil {
		return nil, err
	}
	c := &corev1.ConfigMap{}
	if err := r.reader.Get(ctx, client.ObjectKey{Namespace: q.Namespace, Name: name}, c); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil //nolint:nilnil // nil is the answer
		}
		return nil, err
	}
	b, err := plan.ReadBucket(c.Data, s.Data)
	return b, err
}

// check holds the configuration to the rules of `gantry config`, as the pods
// will.
func check(ask render.Request) error {
	files, err := render.Stack(ask)
	if err != nil {
		return err
	}
	var environ []string
	for _, v := range ask.All[v1.ComponentQuay].Overrides.Env {
		if v.ValueFrom == nil {
			environ = append(environ, v.Name+"="+v.Value)
		}
	}
	_, problems, err := config.Load(config.Options{Dir: "/conf/stack", Files: edit.Files(files), Environ: environ})
	if !errors.Is(err, config.ErrInvalid) {
		return err
	}
	var list []string
	for _, p := range problems {
		if p.Severity == config.Error {
			p.Line, p.Column = 0, 0 // of the merged file, which is not the one that the user has
			list = append(list, strings.TrimPrefix(p.String(), "/conf/stack/"))
		}
	}
	more := ""
	if len(list) > 5 {
		more = fmt.Sprintf("; and %d more", len(list)-5)
		list = list[:5]
	}
	return &plan.Blocked{Reason: v1.ReasonConfigInvalid, Message: strings.Join(list, "; ") + more}
}
