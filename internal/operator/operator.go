// Package operator keeps registries on Kubernetes as their QuayRegistry
// resources say: it gathers facts, decides (plan), makes objects (render),
// applies those that are not so yet, takes away what is no longer wanted, looks
// how all of it is (status), and writes that down. It never writes a spec, but
// for that of the QuayRegistry which it makes of a QuayEcosystem.
// Contract: operator.md; docs/operator.
package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/render"
)

// FieldOwner is who owns the fields that the operator applies.
const FieldOwner = "quay-operator"

// Options say what the operator looks after.
type Options struct {
	// Namespaces are those that are looked after; none = all.
	Namespaces []string
	// Version is that of the registries; it is the operator's own.
	Version string
	// Images are the components' images. One for quay has to be there.
	Images map[v1.ComponentKind]string
	// Metrics and Probes are addresses to listen on; "0" = none.
	Metrics, Probes string
	// Elect has one of several operators work, by the Lease of ElectionNamespace.
	Elect             bool
	ElectionNamespace string
	// Proxy is passed to the registries: HTTP_PROXY, HTTPS_PROXY, NO_PROXY.
	Proxy map[string]string
	// NoRequests leaves requests of CPU and memory out, for small machines.
	NoRequests bool
	Log        *slog.Logger

	// lookup finds the addresses of a name; nil = the system's resolver.
	lookup func(ctx context.Context, host string) ([]string, error)
}

// Lease is the name of the Lease by which operators choose one (operator.md,
// section 1).
const Lease = "7daa4ab6.quay.redhat.com"

// Scheme knows the kinds of Kubernetes and of this operator.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1.AddToScheme(s))
	return s
}

// own are the kinds of objects that every cluster has and a registry consists of.
func own() []client.ObjectList {
	return []client.ObjectList{
		&appsv1.DeploymentList{}, &batchv1.JobList{}, &batchv1.CronJobList{}, &corev1.ServiceList{}, &corev1.SecretList{}, &corev1.ConfigMapList{}, &corev1.ServiceAccountList{},
		&corev1.PersistentVolumeClaimList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{}, &autoscalingv2.HorizontalPodAutoscalerList{},
		&policyv1.PodDisruptionBudgetList{}, &netv1.NetworkPolicyList{}, &netv1.IngressList{},
	}
}

func ownObjects() []client.Object {
	return []client.Object{
		&appsv1.Deployment{}, &batchv1.Job{}, &batchv1.CronJob{}, &corev1.Service{}, &corev1.Secret{}, &corev1.ConfigMap{}, &corev1.ServiceAccount{},
		&corev1.PersistentVolumeClaim{}, &rbacv1.Role{}, &rbacv1.RoleBinding{}, &autoscalingv2.HorizontalPodAutoscaler{},
		&policyv1.PodDisruptionBudget{}, &netv1.NetworkPolicy{}, &netv1.Ingress{},
	}
}

// Kinds that a cluster may have.
var (
	kindRoute          = schema.GroupVersionKind{Group: "route.openshift.io", Version: "v1", Kind: "Route"}
	kindBucketClaim    = schema.GroupVersionKind{Group: "objectbucket.io", Version: "v1alpha1", Kind: "ObjectBucketClaim"}
	kindServiceMonitor = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"}
	kindRule           = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PrometheusRule"}
	kindHTTPRoute      = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}
	kindCRD            = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
	kindEcosystem      = schema.GroupVersionKind{Group: "redhatcop.redhat.io", Version: "v1alpha1", Kind: "QuayEcosystem"}
	kindOpenShift      = schema.GroupVersionKind{Group: "config.openshift.io", Version: "v1", Kind: "Ingress"}
)

var others = []schema.GroupVersionKind{kindRoute, kindBucketClaim, kindServiceMonitor, kindRule, kindHTTPRoute}

// Run looks after registries until ctx ends.
func Run(ctx context.Context, config *rest.Config, o Options) error {
	if o.Images[v1.ComponentQuay] == "" {
		return errors.New("the operator has no image of the registry: set RELATED_IMAGE_COMPONENT_QUAY")
	}
	if o.lookup == nil {
		o.lookup = net.DefaultResolver.LookupHost
	}
	log := logr.FromSlogHandler(o.Log.Handler())
	ctrllog.SetLogger(log)
	mine, err := labels.NewRequirement(render.LabelRegistry, selection.Exists, nil)
	if err != nil {
		return err
	}
	selector := labels.NewSelector().Add(*mine)
	namespaces := map[string]cache.Config{}
	for _, n := range o.Namespaces {
		namespaces[n] = cache.Config{}
	}
	by := map[client.Object]cache.ByObject{
		&v1.QuayRegistry{}:        {Label: labels.Everything()},
		&v1.QuayRegistryBackup{}:  {Label: labels.Everything()},
		&v1.QuayRegistryRestore{}: {Label: labels.Everything()},
		&corev1.Pod{}:             {Transform: slimPod},
	}
	resync := 10 * time.Hour
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 200, 400 // the server has its own fairness
	m, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: Scheme(), Logger: log,
		Metrics: metricsserver.Options{BindAddress: o.Metrics}, HealthProbeBindAddress: o.Probes,
		LeaderElection: o.Elect, LeaderElectionID: Lease, LeaderElectionNamespace: o.ElectionNamespace, LeaderElectionReleaseOnCancel: true,
		Cache: cache.Options{ByObject: by, DefaultLabelSelector: selector, DefaultNamespaces: namespaces,
			DefaultTransform: cache.TransformStripManagedFields(), SyncPeriod: &resync},
		Client: client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	// Secrets of users have no label: of those only names and versions are kept.
	names, err := cache.New(config, cache.Options{Scheme: m.GetScheme(), Mapper: m.GetRESTMapper(), DefaultNamespaces: namespaces, DefaultTransform: cache.TransformStripManagedFields()})
	if err != nil {
		return err
	}
	if err := m.Add(names); err != nil {
		return err
	}
	apis, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	r := newReconciler(m, apis, o)
	r.names = names
	for name, check := range map[string]healthz.Checker{"ping": healthz.Ping} {
		if err := errors.Join(m.AddHealthzCheck(name, check), m.AddReadyzCheck(name, check)); err != nil {
			return err
		}
	}
	if err := r.watch(m, names); err != nil {
		return err
	}
	return m.Start(ctx)
}

// slimPod keeps of a pod what is looked at.
func slimPod(in any) (any, error) {
	if p, ok := in.(*corev1.Pod); ok {
		p.ManagedFields, p.Spec, p.Annotations = nil, corev1.PodSpec{NodeName: p.Spec.NodeName}, nil
	}
	return in, nil
}

// watch has the reconciler called when something changes that it looks at.
func (r *reconciler) watch(m ctrl.Manager, names cache.Cache) error {
	b := ctrl.NewControllerManagedBy(m).Named("quayregistry").
		For(&v1.QuayRegistry{}).                                                                   // its status as well: another's writes are mended
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, SkipNameValidation: ptr(true)}) // tests run several
	for _, kind := range ownObjects() {
		b = b.Watches(kind, handler.EnqueueRequestsFromMapFunc(byLabel))
	}
	b = b.Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(byLabel)).
		Watches(&v1.QuayRegistryBackup{}, handler.EnqueueRequestsFromMapFunc(byRegistry)).
		Watches(&v1.QuayRegistryRestore{}, handler.EnqueueRequestsFromMapFunc(byRegistry))
	c, err := b.Build(r)
	if err != nil {
		return err
	}
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	if err := c.Watch(source.Kind(names, client.Object(secret), handler.EnqueueRequestsFromMapFunc(r.bySecret), foreign())); err != nil {
		return err
	}
	r.observe = func(gvk schema.GroupVersionKind) error {
		u := unstructuredOf(gvk)
		if gvk == kindEcosystem { // which has no label of a registry
			r.ecosystems.Store(true)
			return c.Watch(source.Kind(names, client.Object(u), handler.EnqueueRequestsFromMapFunc(byName)))
		}
		return c.Watch(source.Kind(m.GetCache(), client.Object(u), handler.EnqueueRequestsFromMapFunc(byLabel)))
	}
	r.disregard = func(ctx context.Context, gvk schema.GroupVersionKind) error {
		if gvk == kindEcosystem {
			r.ecosystems.Store(false)
			return names.RemoveInformer(ctx, unstructuredOf(gvk))
		}
		return m.GetCache().RemoveInformer(ctx, unstructuredOf(gvk))
	}
	if err := c.Watch(r.fromTheBeginning(c)); err != nil {
		return err
	}
	if len(r.o.Namespaces) > 0 {
		return nil // roles of namespaces do not reach definitions
	}
	crd := &metav1.PartialObjectMetadata{}
	crd.SetGroupVersionKind(kindCRD)
	if err := c.Watch(source.Kind(names, client.Object(crd), handler.EnqueueRequestsFromMapFunc(r.byDefinition))); err != nil {
		return err
	}
	class := &metav1.PartialObjectMetadata{}
	class.SetGroupVersionKind(netv1.SchemeGroupVersion.WithKind("IngressClass"))
	return c.Watch(source.Kind(names, client.Object(class), handler.EnqueueRequestsFromMapFunc(r.everything)))
}

// fromTheBeginning has the operator on the lookout as soon as the controller runs.
// Not before: kinds that are watched by then keep the controller from beginning
// until they have come, and for ever if they may not be read.
func (r *reconciler) fromTheBeginning(c controller.Controller) source.Source {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return source.Func(func(ctx context.Context, _ queue) error {
		go func() {
			// Another watch waits for those that the controller begins with.
			if err := c.Watch(source.Func(func(context.Context, queue) error { return nil })); err == nil {
				r.lookout(ctx)
			}
		}()
		return nil
	})
}

// byLabel is the registry that an object is of.
func byLabel(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[render.LabelRegistry]
	if name == "" {
		return nil
	}
	q := reconcile.Request{}
	q.Name, q.Namespace = name, o.GetNamespace()
	return []reconcile.Request{q}
}

// foreign passes objects on that are not the operator's own: those are watched
// whole.
func foreign() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetLabels()[render.LabelRegistry] == "" })
}

// bySecret are the registries that read a Secret of somebody else.
func (r *reconciler) bySecret(ctx context.Context, o client.Object) (list []reconcile.Request) {
	var all v1.QuayRegistryList
	if err := r.client.List(ctx, &all, client.InNamespace(o.GetNamespace())); err != nil {
		ctrllog.FromContext(ctx).Error(err, "list registries")
		return nil
	}
	for i := range all.Items {
		if reads(&all.Items[i], o.GetName()) {
			list = append(list, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return slices.Concat(list, r.byVault(ctx, o), r.byConfiguration(ctx, o))
}

// reads reports whether a registry is made of the Secret.
func reads(q *v1.QuayRegistry, secret string) bool {
	if secret == q.Spec.ConfigBundleSecret || secret == q.Annotations[render.AnnotationImport] || secret == q.Name+"-quay-datastore" || secret == render.ManagedKeys(q.Name) {
		return true
	}
	for _, c := range q.Spec.Components {
		if c.SecretRef != nil && c.SecretRef.Name == secret {
			return true
		}
	}
	return false
}

// byDefinition are all registries when an API comes or goes that they can use.
func (r *reconciler) byDefinition(ctx context.Context, o client.Object) []reconcile.Request {
	if strings.HasSuffix(o.GetName(), "."+kindEcosystem.Group) {
		r.cluster.forget()
		r.lookAgain()
		return nil
	}
	for _, kind := range append(slices.Clone(others), kindOpenShift) {
		if strings.HasSuffix(o.GetName(), "."+kind.Group) {
			return r.everything(ctx, o)
		}
	}
	return nil
}

// everything are all registries, whose cluster is looked at anew.
func (r *reconciler) everything(ctx context.Context, _ client.Object) (list []reconcile.Request) {
	r.cluster.forget()
	var all v1.QuayRegistryList
	if err := r.client.List(ctx, &all); err != nil {
		ctrllog.FromContext(ctx).Error(err, "list registries")
	}
	for i := range all.Items {
		list = append(list, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
	}
	return append(list, r.migrating(ctx, "", func(*unstructured.Unstructured) bool { return true })...)
}
