package operator

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
	"github.com/gantry-registry/gantry/internal/operator/status"
)

// Explain writes what a registry consists of, and in what each object differs
// from what it is to be. Nothing is changed in the cluster.
func Explain(ctx context.Context, config *rest.Config, o Options, namespace, name string, w io.Writer) error {
	c, err := client.New(config, client.Options{Scheme: Scheme()})
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	apis, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	dry := client.NewDryRunClient(c)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &reconciler{o: o, client: dry, reader: c, scheme: c.Scheme(), events: events.NewFakeRecorder(100), now: time.Now,
		cluster:   &cluster{reader: c, apis: apis, images: o.Images, all: len(o.Namespaces) == 0, watched: map[schema.GroupVersionKind]bool{}},
		observe:   func(schema.GroupVersionKind) error { return nil },
		disregard: func(context.Context, schema.GroupVersionKind) error { return nil }}
	q := &v1.QuayRegistry{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, q); err != nil {
		return err
	}
	k, err := r.cluster.look(ctx, r.observe, r.disregard)
	if err != nil {
		return err
	}
	all, err := r.take(ctx, q, k)
	if err != nil {
		return err
	}
	seen := status.Seen{}
	ask, _, err := r.request(ctx, q, k, all, &seen)
	if b, ok := plan.AsBlocked(err); ok {
		_, err = fmt.Fprintf(w, "Blocked (%s): %s\n", b.Reason, b.Message)
		return err
	}
	if err != nil {
		return err
	}
	set, err := render.Render(*ask)
	if err != nil {
		return err
	}
	door, err := r.strangeDoor(ctx, q, all, set)
	if err != nil {
		return err
	}
	objects := append(set.All(), set.Migrate)
	if set.Import != nil {
		objects = append(objects, set.Import)
	}
	if editor, err := r.renderEditor(ctx, q, k, all); err == nil && editor != nil {
		objects = append(objects, editor.Objects...)
	}
	p := &printer{w: w}
	p.line("QuayRegistry %s/%s, version %s, reached at %s", namespace, name, o.Version, ask.Access.Endpoint())
	p.line("")
	p.line("Components")
	for _, kind := range v1.Kinds() {
		component := ask.All[kind]
		how := "managed"
		if !component.Managed {
			how = "unmanaged"
		}
		p.line("  %-24s %-10s %s", kind, how, strings.TrimSuffix(string(component.Source)+": "+component.Note, ": "))
	}
	p.line("")
	p.line("Objects")
	wanted := map[id]bool{}
	for _, obj := range objects {
		at := idOf(r.scheme, obj)
		wanted[at] = true
		p.line("  %-24s %-60s %s", at.kind, at.name, r.verdict(all, obj, set, q))
	}
	if door != nil {
		p.line("  %-24s %-60s %s", door.GetKind(), door.GetName(), "of the QuayEcosystem, and left alone")
	}
	wanted[id{"Secret", namespace, OwnCertificate(name)}] = ask.Access.Own
	var left []string
	for at, obj := range all {
		if !wanted[at] && owned(obj, q) {
			left = append(left, fmt.Sprintf("  %-24s %-60s no longer wanted", at.kind, at.name))
		}
	}
	slices.Sort(left)
	for _, line := range left {
		p.line("%s", line)
	}
	if err := check(*ask); err != nil {
		p.line("")
		p.line("Blocked: %s", err)
	}
	return p.err
}

// verdict says in what an object differs from what it is to be.
func (r *reconciler) verdict(all inventory, o client.Object, set *render.Set, q *v1.QuayRegistry) string {
	live := all[idOf(r.scheme, o)]
	if live == nil {
		switch o {
		case client.Object(set.Migrate):
			return "made when the version or the database changes"
		case client.Object(set.Import):
			return "made before the registry starts for the first time"
		}
		return "missing"
	}
	if err := fit(o, live); err != nil {
		return err.Error()
	}
	want, err := generic(o)
	if err != nil {
		return err.Error()
	}
	there, err := generic(live)
	if err != nil {
		return err.Error()
	}
	delete(want.Object, "apiVersion") // a cache does not tell them
	delete(want.Object, "kind")
	if d := differs(want.Object, there.Object, ""); d != "" && o != client.Object(set.Migrate) {
		return "differs in " + d
	}
	if !owned(live, q) {
		return "as it is to be, but not owned"
	}
	return "as it is to be"
}

// A printer writes lines, and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
