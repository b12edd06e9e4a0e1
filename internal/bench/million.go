package bench

import (
	"context"
	"fmt"
	"os"
	"time"
)

// million fills one repository of a new Gantry with a million tags through
// the API, measures pages of it and pushes to it, and starts the server again
// on that data.
func (r *run) million(ctx context.Context) {
	n := r.scale.million
	filling := scenario{name: fmt.Sprintf("million-fill-%d", n), doc: fmt.Sprintf("fill one repository, %d tags with each push of its manifest; a tag counts", tagsAtOnce), conns: 8}
	r.begin(filling)
	t, err := r.launch(ctx, Gantry, "million")
	if err != nil {
		r.fail(filling, Gantry, err)
		return
	}
	defer func() {
		t.stop()
		_ = os.RemoveAll(t.Dir) // Run removes what is left
	}()
	before, began := selfOf(t), time.Now()
	s, err := r.tagged(ctx, t, n)
	if err != nil {
		r.fail(filling, Gantry, err)
		return
	}
	res := Result{Scenario: filling.name, Target: Gantry, Conns: 8}
	res.Rounds = []Round{{Ops: n, Elapsed: time.Since(began), CPU: selfOf(t) - before}}
	if _, peak, err := memory(t.pid()); err == nil {
		res.Peak = peak
	}
	r.add(res)

	page := func(deep bool) func(context.Context, *run, *Target) (load, error) {
		return func(ctx context.Context, r *run, _ *Target) (load, error) { return tagsPage(ctx, r, s, n, deep) }
	}
	for _, m := range []scenario{
		{name: fmt.Sprintf("million-tags-%d-first", n), doc: fmt.Sprintf("the first %d of %d tags", r.scale.page, n), setup: page(false)},
		{name: fmt.Sprintf("million-tags-%d-deep", n), doc: fmt.Sprintf("%d of %d tags, after nine tenths of them", r.scale.page, n), setup: page(true)},
		{name: fmt.Sprintf("million-retag-%d", n), doc: fmt.Sprintf("PUT a manifest that is there under a new tag, beside %d others", n), writes: true,
			setup: func(_ context.Context, _ *run, t *Target) (load, error) {
				return retags(t, s, artifact(tagsRepo(n), nil)), nil
			}},
	} {
		m.conns, m.aim = 8, Aim{Rate: 2000}
		r.begin(m)
		c, err := r.contender(ctx, m, t)
		if err != nil {
			r.fail(m, Gantry, err)
			continue
		}
		d, err := r.prepare(ctx, m, c)
		if err != nil {
			r.fail(m, Gantry, err)
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
