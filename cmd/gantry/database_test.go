package main

import (
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/app"
)

func TestLogAge(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]struct {
		age  time.Duration
		back string
	}{
		"30d":    {30 * day, "30d"},
		"4w":     {28 * day, "28d"},
		"12h":    {12 * time.Hour, "12h0m0s"},
		"720h":   {30 * day, "30d"},
		"1h30m":  {90 * time.Minute, "1h30m0s"},
		"0":      {0, "0s"},
		"0s":     {0, "0s"},
		"all":    {app.AllLogs, "all"},
		"-1h":    {-1, ""},
		"30":     {-1, ""},
		"a year": {-1, ""},
		"":       {-1, ""},
		"9999y":  {-1, ""},
	} {
		a := logAge(-1)
		if err := a.Set(text); (err == nil) != (want.age >= 0) || time.Duration(a) != want.age || err == nil && a.String() != want.back {
			t.Errorf("%q is %s: %v", text, &a, err)
		}
	}
}
