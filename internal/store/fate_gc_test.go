package store

import (
	"testing"
	"time"
)

// TestManifestFate checks the rule of G1 by itself. Times are in seconds
// before or after now; retention is an hour.
func TestManifestFate(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	ms := func(s int64) int64 { return now.UnixMilli() + 1000*s }
	const day = 24 * 3600
	tests := map[string]struct {
		m     manifestState
		h     hold
		gone  bool
		again int64
	}{
		"nothing keeps it":         {m: manifestState{retention: -1}, gone: true},
		"tagged":                   {m: manifestState{retention: -1, live: true}},
		"tagged, lease over":       {m: manifestState{retention: -1, live: true, lease: ms(-9)}},
		"in an index":              {m: manifestState{retention: -1, parent: true, lease: ms(9)}},
		"refers to something here": {m: manifestState{retention: -1, subject: true}},
		"tagged, no repository":    {m: manifestState{orphan: true, live: true, parent: true, lease: ms(9)}, gone: true},
		"ended just now":           {m: manifestState{retention: -1, ended: ms(0)}, again: ms(3600)},
		"ended an hour ago":        {m: manifestState{retention: -1, ended: ms(-3600)}, gone: true},
		"namespace keeps for 10 s": {m: manifestState{retention: 10, ended: ms(-4)}, again: ms(6)},
		"namespace keeps nothing":  {m: manifestState{retention: 0, ended: ms(0)}, gone: true},
		"read-only repository":     {m: manifestState{retention: 0, ended: ms(-9), lease: ms(-9), frozen: true}, again: ms(day)},
		"read-only, deleted":       {m: manifestState{frozen: true, orphan: true}, gone: true},
		"leased":                   {m: manifestState{retention: -1, lease: ms(5)}, again: ms(5)},
		"lease over":               {m: manifestState{retention: -1, lease: ms(0)}, gone: true},
		"ended and leased":         {m: manifestState{retention: 10, ended: ms(-4), lease: ms(60)}, again: ms(60)},
		"ended before the point":   {m: manifestState{retention: 10, ended: ms(-50)}, h: hold{ms(-20), ms(60)}, gone: true},
		"ended after the point":    {m: manifestState{retention: 10, ended: ms(-15)}, h: hold{ms(-20), ms(60)}, again: ms(60)},
		"point lasts for long":     {m: manifestState{retention: 10, ended: ms(-15)}, h: hold{ms(-20), ms(9 * day)}, again: ms(day)},
	}
	for name, c := range tests {
		gone, again := manifestFate(c.m, now, time.Hour, c.h)
		if gone != c.gone || again != c.again {
			t.Errorf("%s: gone %v, again %d; want %v, %d", name, gone, again-now.UnixMilli(), c.gone, c.again-now.UnixMilli())
		}
	}
}
