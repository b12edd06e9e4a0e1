package content

import (
	"fmt"
	"strings"
	"testing"
)

func TestPlatforms(t *testing.T) {
	for body, want := range map[string]string{
		`{"os":"linux","architecture":"amd64"}`:                           "linux/amd64",
		`{"os":"linux","architecture":"arm","variant":"v7"}`:              "linux/arm/v7",
		`{"os":"linux","architecture":"amd64,linux/arm64"}`:               "",
		`{"os":"linux/a/b","architecture":"c"}`:                           "",
		`{"os":"Linux","architecture":"amd64"}`:                           "",
		`{"os":"unknown","architecture":"unknown"}`:                       "",
		`{"architecture":"amd64"}`:                                        "",
		`{"os":1}`:                                                        "",
		`[`:                                                               "",
		"{\"os\":\"linux\",\"architecture\":\"\xff\"}":                    "",
		`{"os":"linux","architecture":"` + strings.Repeat("x", 64) + `"}`: "",
	} {
		if got := configPlatform([]byte(body)); got != want {
			t.Errorf("configuration %s: %q, want %q", body, got, want)
		}
		if got := indexPlatforms([]byte(`{"manifests":[{"platform":` + body + `},{}]}`)); body != `[` && got != want && !strings.Contains(body, "\xff") {
			t.Errorf("index with %s: %q, want %q", body, got, want)
		}
	}
	many := make([]string, 0, 100)
	for i := range 100 {
		many = append(many, fmt.Sprintf(`{"platform":{"os":"linux","architecture":"a%d"}}`, i/2))
	}
	got := strings.Split(indexPlatforms([]byte(`{"manifests":[`+strings.Join(many, ",")+`]}`)), ",")
	if len(got) != maxPlatforms || got[0] != "linux/a0" || got[1] != "linux/a1" {
		t.Errorf("an index of many: %v", got)
	}
}

func FuzzPlatforms(f *testing.F) {
	f.Add([]byte(`{"os":"linux","architecture":"amd64"}`))
	f.Add([]byte(`{"manifests":[{"platform":{"os":"linux","architecture":"arm","variant":"v7"}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, name := range []string{configPlatform(body), indexPlatforms(body)} {
			if len(name) > 65*maxPlatforms || strings.ContainsAny(name, " \n<\"") {
				t.Errorf("%q", name)
			}
		}
	})
}
