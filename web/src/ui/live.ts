import { useQueryClient, type QueryKey } from '@tanstack/react-query';
import { useEffect, useMemo, useRef, useState } from 'react';
import { t } from '../i18n';
import { useDialogs } from './dialogs';
import { pagesAgain } from './infinite';
import { useBoot } from './session';

/** News is what the registry tells of a path of its API while it changes: read it again, how far something is, or rows that came. */
export type News = {
  /** changed: what the path answers, or the record of id, is another now. */
  changed?: boolean;
  id?: string;
  attempt?: number;
  repository?: string;
  done?: number;
  total?: number;
  unit?: string;
  /** rate is how much is done in a second, or comes where bytes are told; 0 = not known. */
  rate?: number;
  eta_seconds?: number | null;
  bytes?: number;
  copied?: number;
  unchanged?: number;
  removed?: number;
  skipped?: number;
  failed?: number;
  logs?: unknown[];
};

type Told = News & { on?: boolean; refused?: boolean };
type Watcher = { hear: (n: News) => void; live: (on: boolean) => void };
type UserEvent = { action?: string; namespace?: string; repository?: string };

// How long the stream waits: for the page, which comes first; for others that
// want to watch; and, growing, after a refusal. The browser itself comes again
// to a stream that was cut.
const first = 1000;
const together = 50;
const refusal = 5000;

/** A Stream is the one connection of a page by which it is told what happens. Who watches when there is none, or is refused, is not live: it asks from time to time. */
export class Stream {
  private watchers = new Map<string, Set<Watcher>>();
  private known = new Set<string>(); // paths that were watched before: what came meanwhile was missed
  private source?: EventSource;
  private timer?: ReturnType<typeof setTimeout>;
  private wait = refusal;
  private on = false;
  private ready = false;

  constructor(
    private readonly make: (url: string) => EventSource = (url) => new EventSource(url),
    private readonly pushed: (e: UserEvent) => void = () => {},
  ) {}

  /** start opens it; the function that it returns closes it. */
  start(): () => void {
    this.on = true;
    this.later(first);
    return () => {
      this.on = this.ready = false;
      this.close();
    };
  }

  /** watch tells of a path until the returned function is called. */
  watch(path: string, w: Watcher): () => void {
    const all = this.watchers.get(path) ?? new Set();
    all.add(w);
    this.watchers.set(path, all);
    if (this.ready) this.later(together);
    return () => {
      all.delete(w);
      if (all.size > 0) return;
      this.watchers.delete(path);
      this.known.delete(path);
      if (this.ready) this.later(together);
    };
  }

  private later(ms: number) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), ms);
  }

  private close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = undefined;
    for (const all of this.watchers.values()) for (const w of all) w.live(false);
  }

  private open() {
    this.close();
    if (!this.on) return;
    this.ready = true;
    const q = new URLSearchParams({ events: 'docker-cli' });
    for (const path of this.watchers.keys()) q.append('watch', path);
    const source = this.make(`/realtime/user/subscribe?${q}`);
    this.source = source;
    source.onmessage = (m: MessageEvent<string>) => {
      if (source !== this.source) return;
      this.wait = refusal;
      const { event, data } = JSON.parse(m.data) as { event?: string; data?: Told & UserEvent };
      if (event === 'docker-cli') this.pushed(data ?? {});
      else if (event && data) this.tell(event, data);
    };
    source.onerror = () => {
      if (source !== this.source) return;
      for (const all of this.watchers.values()) for (const w of all) w.live(false);
      if (source.readyState !== 2) return; // the browser comes again
      this.later(this.wait);
      this.wait = Math.min(2 * this.wait, 60_000);
    };
  }

  private tell(path: string, data: Told) {
    const all = this.watchers.get(path);
    if (!all) return;
    if (data.on || data.refused) {
      for (const w of all) w.live(data.on === true);
      if (!data.on || !this.known.has(path)) return void (data.on && this.known.add(path));
      data = { changed: true };
    }
    for (const w of all) w.hear(data);
  }
}

let pushed: (e: UserEvent) => void = () => {};
const stream = new Stream(undefined, (e) => pushed(e));

/**
 * useLive opens the page's stream, for somebody who is signed in, and has the
 * lists read again that a push of the user's own clients changes.
 */
export function useLive(on: boolean) {
  const client = useQueryClient();
  const events = useBoot().features.USER_EVENTS === true;
  const { toast } = useDialogs();
  useEffect(() => {
    if (!on || !events) return;
    pushed = ({ action = '', namespace, repository }) => {
      if (!repository || !/push/.test(action)) return;
      const repo = `${namespace}/${repository}`;
      void client.invalidateQueries({ queryKey: ['repositories'] });
      void client.invalidateQueries({ queryKey: ['repository', repo] });
      if (action !== 'push_start') toast(t('{repo} was pushed to', { repo }), { variant: 'info' });
    };
    return stream.start();
  }, [on, events, client, toast]);
}

/**
 * useWatch hears what changes at a path of the API, such as "superuser/jobs";
 * undefined = nothing. It returns whether it hears: who does not, asks from time
 * to time.
 */
export function useWatch(path: string | undefined, hear: (n: News) => void): boolean {
  const [live, setLive] = useState(false);
  const latest = useRef(hear);
  useEffect(() => {
    latest.current = hear;
  });
  useEffect(() => {
    if (!path) return;
    const end = stream.watch(path, { hear: (n) => latest.current(n), live: setLive });
    return () => {
      end();
      setLive(false);
    };
  }, [path]);
  return live;
}

/** useBeats keeps the last news of each thing, by its id; a thing that has changed is forgotten. */
export function useBeats(by: (n: News) => string | undefined = (n) => n.id) {
  const [beats, setBeats] = useState<ReadonlyMap<string, News>>(new Map());
  const hear = (n: News) => {
    const key = by(n);
    if (!key) return;
    setBeats((old) => {
      const next = new Map(old);
      next.delete(key);
      if (!n.changed) next.set(key, n);
      for (const k of next.keys()) if (next.size > 500) next.delete(k); // the oldest
      return next;
    });
  };
  return [beats, hear] as const;
}

/** useAgain has what begins with a key read again, at once but not more often than every so many milliseconds. Lists of many pages stay as they are. */
export function useAgain(key: QueryKey, every = 1000): () => void {
  const client = useQueryClient();
  const text = JSON.stringify(key);
  const { again, end } = useMemo(() => {
    let last = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const go = () => {
      timer = undefined;
      last = Date.now();
      void client.invalidateQueries({
        queryKey: JSON.parse(text) as QueryKey,
        predicate: (q) => ((q.state.data as { pages?: unknown[] } | undefined)?.pages?.length ?? 0) <= pagesAgain,
      });
    };
    return { again: () => void (timer ??= setTimeout(go, Math.max(0, last + every - Date.now()))), end: () => clearTimeout(timer) };
  }, [client, text, every]);
  useEffect(() => end, [end]);
  return again;
}
