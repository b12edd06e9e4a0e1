package bench

import (
	"context"
	"fmt"
	"os"
	"time"
)

// million fills one repository of a new Gantry with a million tags through
// the API, measures pages of it, and starts the server again on that data.
func (r *run) million(ctx context.Context) {
	n := r.scale.million
	tagging := scenario{name: fmt.Sprintf("million-retag-%d", n), doc: "fill one repository by re-tagging", conns: 8, aim: Aim{Rate: 2000}}
	r.begin(tagging)
	t, err := r.launch(ctx, Gantry, "million")
	if err != nil {
		r.fail(tagging, Gantry, err)
		return
	}
	defer func() {
		t.stop()
		_ = os.RemoveAll(t.Dir) // Run removes what is left
	}()
	s, err := t.session(ctx, fmt.Sprintf("%s/tags-%d", namespace, n))
	if err != nil {
		r.fail(tagging, Gantry, err)
		return
	}
	before, began := selfOf(t), time.Now()
	if s, err = r.tagged(ctx, t, n); err != nil {
		r.fail(tagging, Gantry, err)
		return
	}
	res := Result{Scenario: tagging.name, Target: Gantry, Conns: 8}
	res.Rounds = []Round{{Ops: n, Elapsed: time.Since(began), CPU: selfOf(t) - before}}
	if _, peak, err := memory(t.pid()); err == nil {
		res.Peak = peak
	}
	r.add(res)

	for _, deep := range []bool{false, true} {
		page := scenario{name: fmt.Sprintf("million-tags-%d-first", n), doc: fmt.Sprintf("the first %d of %d tags", r.scale.page, n), conns: 8, aim: Aim{Rate: 2000}}
		if deep {
			page.name = fmt.Sprintf("million-tags-%d-deep", n)
			page.doc = fmt.Sprintf("%d of %d tags, after nine tenths of them", r.scale.page, n)
		}
		page.setup = func(ctx context.Context, r *run, t *Target) (load, error) { return tagsPage(ctx, r, s, n, deep) }
		r.begin(page)
		c, err := r.contender(ctx, page, t)
		if err != nil {
			r.fail(page, Gantry, err)
			continue
		}
		d, err := r.prepare(ctx, page, c)
		if err != nil {
			r.fail(page, Gantry, err)
			continue
		}
		for range r.Rounds {
			if d.err == nil {
				d.err = d.round(ctx)
			}
		}
		d.finish(ctx)
		d.close()
	}

	again := scenario{name: fmt.Sprintf("million-start-%d", n), doc: fmt.Sprintf("start on a folder with %d tags, until the first answer", n), conns: 1, aim: Aim{Rate: 1}}
	r.begin(again)
	t.stop()
	if err := r.Options.run(ctx, t); err != nil {
		r.fail(again, Gantry, err)
		return
	}
	res = Result{Scenario: again.name, Target: Gantry, Conns: 1, Rounds: []Round{{Ops: 1, Elapsed: t.Ready, Latency: latency([]time.Duration{t.Ready})}}}
	if now, _, err := memory(t.pid()); err == nil {
		res.Peak = now
	}
	r.add(res)
}

// selfOf is t's processor time, or 0 once it is gone.
func selfOf(t *Target) time.Duration {
	d, err := cpuTime(t.pid())
	if err != nil {
		return 0
	}
	return d
}

func (r *run) add(res Result) {
	res.sum()
	r.Log("  " + res.String())
	r.report.Results = append(r.report.Results, res)
}
