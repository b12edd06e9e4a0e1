package api

import (
	"slices"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// storageRoutes are Gantry's own: Quay sets the regions of namespaces by hand,
// and shows nothing of replication.
var storageRoutes = []route{
	{method: "GET", path: "superuser/storage", access: superuser, fresh: true, handle: (*server).listLocations},
	{method: "GET", path: "superuser/storage/locations/{name}", access: superuser, fresh: true, handle: (*server).getLocation},
	{method: "GET", path: "superuser/storage/namespaces/{name}", access: superuser, fresh: true, handle: (*server).getNamespaceStorage},
	{method: "PUT", path: "superuser/storage/namespaces/{name}", access: superuser, fresh: true, handle: (*server).putNamespaceStorage},
}

// locations are those that are configured.
func (s *server) locations() []content.Location {
	if s.Content == nil {
		return nil
	}
	return s.Content.Locations()
}

// listLocations shows all storage locations, and how far each is behind.
func (s *server) listLocations(c *call) error {
	list, err := content.LocationStatuses(c.r.Context(), s.Store, s.locations())
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"locations": list})
}

// oldestShown is how many copies getLocation shows.
const oldestShown = 100

// getLocation shows a storage location, and the copies that have waited for
// longest.
func (s *server) getLocation(c *call) error {
	ctx := c.r.Context()
	list, err := content.LocationStatuses(ctx, s.Store, s.locations())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(l content.LocationStatus) bool { return l.Name == c.params["name"] })
	if i < 0 {
		return errNotFound
	}
	all, err := s.Store.StorageLocations(ctx)
	if err != nil {
		return err
	}
	views := []any{}
	for _, l := range all {
		if l.Name != list[i].Name {
			continue
		}
		copies, err := s.Store.OldestCopies(ctx, l.ID, oldestShown)
		if err != nil {
			return err
		}
		for _, f := range copies {
			views = append(views, map[string]any{"digest": f.Digest, "size": f.Size, "wanted": f.Wanted, "attempts": f.Attempts, "next": f.Next, "error": f.Error})
		}
	}
	return c.json(200, map[string]any{"location": list[i], "copies": views})
}

func (s *server) getNamespaceStorage(c *call) error {
	a, err := s.namespaceOf(c)
	if err != nil {
		return err
	}
	return s.namespaceStorage(c, a)
}

func (s *server) namespaceStorage(c *call, a store.Account) error {
	ctx := c.r.Context()
	all, err := s.Store.StorageLocations(ctx)
	if err != nil {
		return err
	}
	w, err := s.Store.NamespaceLocations(ctx, a.ID)
	if err != nil {
		return err
	}
	also, not := content.NamesOf(all, w)
	return c.json(200, map[string]any{"namespace": a.Name, "locations": also, "excluded": not})
}

// putNamespaceStorage says where the blobs of a namespace are kept besides the
// default locations, and where they are not. What was pushed before follows.
func (s *server) putNamespaceStorage(c *call) error {
	var in struct{ Locations, Excluded []string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if len(in.Locations) > 100 || len(in.Excluded) > 100 {
		return gantry.Errorf(gantry.Invalid, "location", "a namespace names at most 100 locations")
	}
	a, err := s.namespaceOf(c)
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	all, err := s.Store.StorageLocations(ctx)
	if err != nil {
		return err
	}
	w, err := content.WishesOf(all, in.Locations, in.Excluded)
	if err != nil {
		return err
	}
	if err := s.Store.SetNamespaceLocations(ctx, a.ID, w, c.id.Actor); err != nil {
		return err
	}
	if _, err := s.Store.Enqueue(ctx, store.NewJob{Kind: store.JobFill, Dedupe: "schedule " + store.JobFill, Rerun: true}); err != nil {
		return err
	}
	return s.namespaceStorage(c, a)
}
