package telemetry

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestMirrorMetrics: a mirror has one status at a time, and what the metrics
// name is bounded.
func TestMirrorMetrics(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	end := m.MirrorWorks()
	m.MirrorBegins("acme", "app")
	m.MirrorPending("acme", "app", 7)
	if got := scrape(t, m, ""); !strings.Contains(got, `quay_repository_mirror_workers_active{`) || !strings.Contains(got, `repository="app"} 7`) {
		t.Fatal(got)
	}
	end()
	m.MirrorEnds("acme", "app", false, "dns", time.Minute, false)
	m.MirrorEnds("acme", "app", true, "", time.Minute, true)
	n := 0
	for line := range strings.SplitSeq(scrape(t, m, ""), "\n") {
		if strings.HasPrefix(line, "quay_repository_mirror_last_sync_status{") {
			n++
			if !strings.HasSuffix(line, " 1") {
				t.Error(line)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d statuses of one mirror", n)
	}
	for i := range 2 * mostMirrors {
		m.MirrorEnds(fmt.Sprintf("ns%d", i), "r", false, "dns", time.Second, false)
	}
	m.MirrorPending("ns0", "r", 5)
	if n := strings.Count(scrape(t, m, ""), "\nquay_repository_mirror_last_sync_status{"); n != mostMirrors {
		t.Errorf("%d repositories are named", n)
	}
	if n := strings.Count(scrape(t, m, ""), "\nquay_repository_mirror_sync_failures_total{"); n != mostMirrors+1 {
		t.Errorf("%d namespaces are named", n)
	}
	if n := strings.Count(scrape(t, m, ""), "\nquay_repository_mirror_pending_tags{"); n != mostMirrors {
		t.Errorf("%d repositories with pending tags", n)
	}
	var none *Metrics
	none.MirrorBegins("a", "b")
	none.MirrorEnds("a", "b", true, "", 0, true)
}
