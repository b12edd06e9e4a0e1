import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { left } from './format';
import { type News, Stream } from './live';
import { withNew } from './logs';
import { runNow } from './mirror';

// A Source is an EventSource without a network.
class Source {
  readyState = 1;
  onmessage?: (m: { data: string }) => void;
  onerror?: () => void;
  constructor(readonly url: string) {}
  close() {
    this.readyState = 2;
  }
  tell(event: string, data: object) {
    this.onmessage?.({ data: JSON.stringify({ event, data }) });
  }
}

describe('the stream of a page', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function setup() {
    const made: Source[] = [];
    const pushes: object[] = [];
    const stream = new Stream((url) => made[made.push(new Source(url)) - 1] as unknown as EventSource, (e) => pushes.push(e));
    const watch = (path: string) => {
      const heard: News[] = [];
      const live: boolean[] = [];
      return { heard, live, end: stream.watch(path, { hear: (n) => heard.push(n), live: (on) => live.push(on) }) };
    };
    return { made, pushes, stream, watch };
  }

  test('is one for all that is watched, and opened anew when that changes', () => {
    const { made, pushes, stream, watch } = setup();
    const jobs = watch('superuser/jobs');
    const other = watch('superuser/jobs');
    const stop = stream.start();
    expect(made).toHaveLength(0); // the page comes first
    vi.advanceTimersByTime(1000);
    expect(made.map((s) => s.url)).toEqual(['/realtime/user/subscribe?events=docker-cli&watch=superuser%2Fjobs']);
    made[0]!.tell('superuser/jobs', { on: true });
    made[0]!.tell('superuser/jobs', { id: '1', done: 2 });
    made[0]!.tell('docker-cli', { action: 'push_repo' });
    expect([jobs.heard, other.heard, pushes]).toEqual([[{ id: '1', done: 2 }], [{ id: '1', done: 2 }], [{ action: 'push_repo' }]]);
    const repo = watch('repository/a/b');
    watch('repository/a/b/logs');
    vi.advanceTimersByTime(50);
    expect(made).toHaveLength(2);
    expect(made[0]!.readyState).toBe(2);
    expect(made[1]!.url).toContain('watch=superuser%2Fjobs&watch=repository%2Fa%2Fb&watch=repository%2Fa%2Fb%2Flogs');
    made[0]!.tell('superuser/jobs', { id: 'old' });
    expect(jobs.heard).toHaveLength(1);
    // What came while it was opened anew is read again; what is new needs that not.
    made[1]!.tell('superuser/jobs', { on: true });
    made[1]!.tell('repository/a/b', { on: true });
    expect([jobs.heard.at(-1), repo.heard]).toEqual([{ changed: true }, []]);
    stop();
    expect(made[1]!.readyState).toBe(2);
    expect(jobs.live.at(-1)).toBe(false);
    vi.advanceTimersByTime(600_000);
    expect(made).toHaveLength(2);
  });

  test('says when it does not hear, and comes again', () => {
    const { made, stream, watch } = setup();
    const jobs = watch('superuser/jobs');
    const mirrors = watch('superuser/mirror/health');
    stream.start();
    vi.advanceTimersByTime(1000);
    made[0]!.tell('superuser/jobs', { on: true });
    made[0]!.tell('superuser/mirror/health', { refused: true });
    expect([jobs.live.at(-1), mirrors.live.at(-1), mirrors.heard]).toEqual([true, false, []]);
    made[0]!.readyState = 0;
    made[0]!.onerror?.(); // cut: the browser itself comes again
    expect(jobs.live.at(-1)).toBe(false);
    vi.advanceTimersByTime(60_000);
    expect(made).toHaveLength(1);
    made[0]!.tell('superuser/jobs', { on: true });
    expect([jobs.live.at(-1), jobs.heard]).toEqual([true, [{ changed: true }]]);
    for (const [i, wait] of [5_000, 10_000, 20_000, 40_000, 60_000, 60_000].entries()) {
      made[i]!.readyState = 2;
      made[i]!.onerror?.(); // refused
      vi.advanceTimersByTime(wait - 1);
      expect(made).toHaveLength(i + 1);
      vi.advanceTimersByTime(1);
      expect(made).toHaveLength(i + 2);
    }
  });
});

test('what is told of a run stands for what was stored, while it goes on', () => {
  const run = { id: 'r', kind: 'sync', status: 'running', started: null, ended: null, message: null, reason: null, tags: { total: 0, done: 0 }, blobs: {}, bytes: 0, bytes_per_second: 0, eta_seconds: null } as unknown as Parameters<typeof runNow>[0];
  const n: News = { id: 'r', done: 3, total: 9, copied: 2, failed: 1, bytes: 77, rate: 5.4, eta_seconds: 12 };
  expect(runNow(run, n)).toMatchObject({ tags: { done: 3, total: 9, copied: 2, failed: 1 }, bytes: 77, bytes_per_second: 5, eta_seconds: 12 });
  expect(runNow({ ...run, status: 'success' }, n).bytes).toBe(0);
  expect(runNow(run, undefined)).toBe(run);
});

test('entries of a log come in above the others, each once', () => {
  const log = (id: string) => ({ id, kind: 'push_repo', metadata: {}, ip: null, datetime: null });
  const pages = [{ rows: [log('b'), log('a')], next: 'x' }, { rows: [log('0')], next: '' }];
  expect(withNew(pages, [log('d'), log('b'), log('c')]).map((p) => p.rows.map((l) => l.id).join(''))).toEqual(['dcba', '0']);
  expect(withNew(pages, [log('0')])).toBe(pages);
  expect(withNew([], [log('a')])).toEqual([]);
});

test('how long something still takes', () => {
  expect([0, 59.6, 65, 599, 601, 3600, 3725, 90_000].map(left)).toEqual(['1 sec', '1 min', '1 min 5 sec', '9 min 59 sec', '10 min', '1 hr', '1 hr 2 min', '1 day']);
});
