package operator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
)

func unstructuredOf(gvk schema.GroupVersionKind) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	return u
}

// A cluster is what is known of the cluster, until something of it changes.
type cluster struct {
	reader  client.Reader
	apis    discovery.DiscoveryInterface // a RESTMapper does not forget what is gone
	images  map[v1.ComponentKind]string
	all     bool // all namespaces are looked after
	watched map[schema.GroupVersionKind]bool

	mu    sync.Mutex
	known *known
	at    time.Time
	stale atomic.Bool // known is not to be used any more
}

type known struct {
	plan.Cluster
	kinds   []schema.GroupVersionKind // of others that are there
	console bool
}

// oblivious is how long an operator of single namespaces, which does not see
// APIs come and go, takes the cluster to be as it was.
const oblivious = 5 * time.Minute

// forget has the next look ask the cluster anew. It waits for nobody: it is
// called for the definitions that are there when the operator starts, and a look
// that begins to watch a kind waits until those are known.
func (c *cluster) forget() { c.stale.Store(true) }

// serves reports whether the cluster has a kind.
func (c *cluster) serves(kind schema.GroupVersionKind) (bool, error) {
	list, err := c.apis.ServerResourcesForGroupVersion(kind.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Kind == kind.Kind }), nil
}

// look returns what the cluster has, and has the kinds of others watched as
// long as they are there.
func (c *cluster) look(ctx context.Context, watch func(schema.GroupVersionKind) error, unwatch func(context.Context, schema.GroupVersionKind) error) (*known, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stale.Swap(false) {
		c.known = nil
	}
	if c.known != nil && (c.all || time.Since(c.at) < oblivious) {
		return c.known, nil
	}
	k := &known{Cluster: plan.Cluster{Images: map[v1.ComponentKind]bool{}}}
	for kind, image := range c.images {
		k.Images[kind] = image != ""
	}
	has := map[schema.GroupVersionKind]bool{}
	for _, kind := range append(slices.Clone(others), kindEcosystem) {
		there, err := c.serves(kind)
		switch {
		case err != nil:
			return nil, fmt.Errorf("ask the cluster for %s: %w", kind.Kind, err)
		case !there && c.watched[kind]:
			if err := unwatch(ctx, kind); err != nil {
				return nil, fmt.Errorf("leave off watching %s: %w", kind.Kind, err)
			}
			delete(c.watched, kind)
		case there && !c.watched[kind]:
			if err := watch(kind); err != nil {
				return nil, fmt.Errorf("watch %s: %w", kind.Kind, err)
			}
			c.watched[kind] = true
		}
		if there && kind != kindEcosystem { // which no object of a registry is
			has[kind] = true
			k.kinds = append(k.kinds, kind)
		}
	}
	k.Routes, k.Buckets, k.Gateways = has[kindRoute], has[kindBucketClaim], has[kindHTTPRoute]
	k.Monitoring = has[kindServiceMonitor] && has[kindRule]
	if k.Routes {
		o := unstructuredOf(kindOpenShift)
		if err := c.reader.Get(ctx, client.ObjectKey{Name: "cluster"}, o); err == nil {
			k.AppsDomain, _, _ = unstructured.NestedString(o.Object, "spec", "domain")
		} else if !skippable(err) {
			return nil, fmt.Errorf("read the domain of routes: %w", err)
		}
	}
	if c.all {
		var classes netv1.IngressClassList
		if err := c.reader.List(ctx, &classes); err != nil && !skippable(err) {
			return nil, fmt.Errorf("list classes of Ingresses: %w", err)
		}
		for _, class := range classes.Items {
			if class.Annotations[netv1.AnnotationIsDefaultIngressClass] == "true" {
				k.Ingresses = true
			}
		}
		if k.Routes && k.Monitoring {
			err := c.reader.Get(ctx, client.ObjectKey{Name: render.ConsoleNamespace}, &corev1.Namespace{})
			if err != nil && !skippable(err) {
				return nil, fmt.Errorf("look for the namespace of dashboards: %w", err)
			}
			k.console = err == nil
		}
	}
	c.known, c.at = k, time.Now()
	return k, nil
}

// skippable reports whether something is not there, or not for this operator to
// see.
func skippable(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || meta.IsNoMatchError(err)
}
