package store_test

import (
	"fmt"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestInventory counts and lists accounts of each kind, without those that
// are deleted or, for users, disabled.
func TestInventory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, by := t.Context(), gantry.Actor{Kind: gantry.ActorSystem}
		users := map[string]store.Account{}
		for _, name := range []string{"zoe", "ann", "bob", "eve"} {
			a, err := db.CreateUser(ctx, store.NewAccount{Name: name}, by)
			ok(t, err)
			users[name] = a
		}
		_, err := db.CreateOrganization(ctx, store.NewAccount{Name: "acme"}, users["ann"].ID, by)
		ok(t, err)
		_, err = db.CreateRobot(ctx, users["ann"].ID, store.NewAccount{Name: "ann+ci"}, by)
		ok(t, err)
		_, err = db.CreateRepository(ctx, store.NewRepository{Name: gantry.RepoName{Namespace: "acme", Name: "app"}, Creator: users["ann"].ID}, by)
		ok(t, err)
		ok(t, db.DeleteNamespace(ctx, users["eve"].ID, by))
		ok(t, db.SetEnabled(ctx, users["bob"].ID, false, by))

		got, err := db.Inventory(ctx)
		if want := (store.Inventory{Users: 2, Organizations: 1, Robots: 1, Repositories: 1}); err != nil || got != want {
			t.Errorf("Inventory() = %+v, %v; want %+v", got, err, want)
		}
		var names []string
		for after := ""; ; after = names[len(names)-1] {
			page, err := db.Users(ctx, after, 2)
			ok(t, err)
			for _, a := range page {
				names = append(names, fmt.Sprint(a.Name, a.Enabled))
			}
			if len(page) < 2 {
				break
			}
			names[len(names)-1] = page[1].Name
		}
		if fmt.Sprint(names) != "[anntrue bob zoetrue]" {
			t.Errorf("Users: %v", names)
		}
	})
}
