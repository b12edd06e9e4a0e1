import { FormSelect, FormSelectOption, Label } from '@patternfly/react-core';
import { useQueryClient } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { useRef } from 'react';
import { api, ok, type Schemas } from '../api/client';
import { language, t } from '../i18n';
import { Time } from './bits';
import { useDialogs } from './dialogs';
import { bytes, left } from './format';
import { Section } from './frame';
import { useRows } from './infinite';
import { useGo, withSearch } from './link';
import { useAgain, useBeats, useWatch } from './live';
import { Menu } from './menu';
import { DataTable } from './table';
import { Bar } from './usage';

type Job = Schemas['Job'];
type State = Job['state'];

const states = (): Record<State, [string, 'blue' | 'grey' | 'green' | 'red' | 'orange']> => ({
  ready: [t('Waits'), 'grey'],
  running: [t('Running'), 'blue'],
  done: [t('Done'), 'green'],
  failed: [t('Failed'), 'red'],
  cancelled: [t('Cancelled'), 'orange'],
});

/** jobName says what kinds of jobs do; others keep their name. */
export function jobName(kind: string): string {
  return (
    {
      'storage.fill': t('Find what is missing at locations'),
      'storage.evacuate': t('Empty a location'),
      'storage.verify': t('Check the bytes of a location'),
      'storage.repair': t('Repair from other locations'),
      'storage.sweep': t('Remove uploads that nobody goes on with'),
      'mirror.repository': t('Mirror a repository'),
      'mirror.organization': t('Mirror an organization'),
      'mirror.due': t('Find mirrors that are due'),
      'identity.sync': t('Follow groups'),
      'jobs.trim': t('Forget old jobs'),
      'usage.fold': t('Add up usage'),
      'database.verify': t('Check the database'),
      'blobs.adopt': t('Compare storage with the database'),
      'blobs.relocate': t('Move uploads to their place'),
      'blobs.verify': t('Check stored bytes'),
      'images.platforms': t('Note the platforms of older images'),
      'prune.due': t('Find what is to be pruned'),
      'prune.namespace': t('Prune a namespace'),
      'prune.default': t('Prune everywhere'),
      'logs.rotate': t('Archive logs'),
      'logs.export': t('Export logs'),
      notify: t('Send a notification'),
      notifyquota: t('Compare a namespace with its quota'),
      notifyexpiry: t('Find tags that expire soon'),
      mail: t('Send mail'),
    }[kind] ?? kind
  );
}

export type Seen = { at: number; done: number };

/** paceOf is how many units a second a job does, since it was seen first; 0 = not known yet. */
export function paceOf(first: Seen | undefined, now: Seen): number {
  const took = first ? (now.at - first.at) / 1000 : 0;
  return first && took >= 1 && now.done > first.done ? (now.done - first.done) / took : 0;
}

const amount = (n: number, unit: string) => (unit === 'bytes' ? bytes(n) : `${n.toLocaleString(language())} ${unit}`.trim());

/** Jobs are what is done in the background, for superusers. */
export function Jobs({ may }: { may: boolean }) {
  const dialogs = useDialogs();
  const client = useQueryClient();
  const go = useGo();
  const search = useSearch({ strict: false });
  const state = search.state && search.state in states() ? (search.state as State) : undefined;
  const seen = useRef(new Map<string, Seen>());
  const again = useAgain(['superuser', 'jobs']);
  const [beats, hear] = useBeats((n) => n.id && `${n.id}/${n.attempt}`);
  const live = useWatch('superuser/jobs', (n) => {
    hear(n);
    if (n.changed) again();
  });
  const rows = useRows(
    ['superuser', 'jobs', state ?? ''],
    async (next) => {
      const a = await ok(api.GET('/superuser/jobs', { params: { query: { state, limit: 100, next_page: next || undefined } } }));
      for (const j of a.jobs) {
        const key = `${j.id}/${j.attempt}`;
        if (j.state === 'running' && !seen.current.has(key)) seen.current.set(key, { at: Date.now(), done: j.done });
      }
      return { rows: a.jobs, next: a.next_page ?? '' };
    },
    { every: live ? 30_000 : 2_000 },
  );
  const refresh = () => client.invalidateQueries({ queryKey: ['superuser', 'jobs'] });
  const fail = (err: unknown) => dialogs.toast(t('That did not work'), { variant: 'danger', text: err instanceof Error ? err.message : '' });
  const act = (j: Job, what: 'cancel' | 'retry') => (what === 'cancel' ? api.POST('/superuser/jobs/{job}/cancel', { params: { path: { job: j.id } } }) : api.POST('/superuser/jobs/{job}/retry', { params: { path: { job: j.id } } })).then(refresh);
  const show = (j: Job) =>
    dialogs.show({
      title: `${jobName(j.kind)} · ${j.id}`,
      body: (
        <dl className="g-facts">
          <dt>{t('Kind')}</dt>
          <dd>
            <code>{j.kind}</code>
          </dd>
          <dt>{t('About')}</dt>
          <dd>{j.key ?? '–'}</dd>
          <dt>{t('Attempt')}</dt>
          <dd>{t('{n} of {of}', { n: j.attempt, of: j.max_attempts })}</dd>
          <dt>{t('Instance')}</dt>
          <dd>{j.holder ?? '–'}</dd>
          <dt>{t('Created')}</dt>
          <dd>
            <Time value={j.created} />
          </dd>
          <dt>{t('Began')}</dt>
          <dd>
            <Time value={j.started} never={t('Never')} />
          </dd>
          <dt>{t('Last error')}</dt>
          <dd>{j.error ?? t('None')}</dd>
        </dl>
      ),
    });
  const progress = (j: Job) => {
    if (j.state === 'ready') return <span className="g-quiet">{j.due && Date.parse(j.due) > Date.now() ? <Time value={j.due} /> : t('Waits for its turn')}</span>;
    const beat = j.state === 'running' ? beats.get(`${j.id}/${j.attempt}`) : undefined;
    if (beat) j = { ...j, done: Math.max(j.done, beat.done ?? 0), total: beat.total ?? 0, unit: beat.unit ?? '' };
    if (!j.total && !j.done) return <span className="g-quiet">–</span>;
    const text = j.total ? t('{done} of {total}', { done: amount(j.done, ''), total: amount(j.total, j.unit) }) : amount(j.done, j.unit);
    const pace = beat ? (beat.rate ?? 0) : j.state === 'running' ? paceOf(seen.current.get(`${j.id}/${j.attempt}`), { at: Date.now(), done: j.done }) : 0;
    const eta = beat ? beat.eta_seconds : pace > 0 && j.total > j.done ? (j.total - j.done) / pace : undefined;
    return (
      <span className="g-stacked">
        {j.total > 0 && <Bar share={j.done / j.total} label={text} />}
        <span className="g-nowrap">
          {text}
          {pace > 0 && <span className="g-quiet"> · {t('{size}/s', { size: amount(Math.round(pace * 10) / 10, j.unit) })}{eta != null && ` · ${t('{time} left', { time: left(eta) })}`}</span>}
        </span>
      </span>
    );
  };
  return (
    <Section
      title={t('Jobs')}
      text={t('What is done in the background, by any instance. What ended is kept for a week.')}
      tools={
        <FormSelect aria-label={t('State')} className="g-auto" value={state ?? ''} onChange={(_, v) => go(withSearch('/superuser', { tab: 'jobs', state: v }), true)}>
          <FormSelectOption value="" label={t('All')} />
          {Object.entries(states()).map(([k, [text]]) => (
            <FormSelectOption key={k} value={k} label={text} />
          ))}
        </FormSelect>
      }
    >
      <DataTable
        label={t('Jobs')}
        {...rows}
        rowKey={(j) => String(j.id)}
        empty={{ title: t('There are no such jobs') }}
        columns={[
          { key: 'kind', title: t('Job'), cell: (j) => <span title={j.kind}>{jobName(j.kind)}{j.key && !/^(schedule |\d+$)/.test(j.key) && <span className="g-quiet"> {j.key}</span>}</span> },
          { key: 'state', title: t('State'), narrow: true, cell: (j) => <Label isCompact color={states()[j.state][1]}>{states()[j.state][0]}</Label> },
          { key: 'progress', title: t('Progress'), cell: progress },
          { key: 'attempt', title: t('Attempt'), narrow: true, right: true, wide: true, cell: (j) => `${j.attempt} / ${j.max_attempts}` },
          { key: 'time', title: t('When'), narrow: true, cell: (j) => <Time value={j.ended ?? j.started ?? j.created} /> },
          { key: 'error', title: t('Last error'), wide: true, cell: (j) => <span className="g-quiet">{j.error && j.error.length > 120 ? `${j.error.slice(0, 120)}…` : j.error}</span> },
          {
            key: 'menu',
            title: '',
            narrow: true,
            cell: (j) => (
              <Menu
                label={t('Actions for {name}', { name: `${jobName(j.kind)} ${j.id}` })}
                items={[
                  { label: t('Details'), onClick: () => show(j) },
                  may && (j.state === 'failed' || j.state === 'cancelled') && { label: t('Try it again'), onClick: () => void act(j, 'retry').catch(fail) },
                  may &&
                    (j.state === 'ready' || j.state === 'running') && {
                      label: t('Cancel'),
                      danger: true,
                      onClick: () => dialogs.confirm({ title: t('Cancel the job?'), text: t('A worker that runs it stops within 20 seconds. One that a schedule makes comes again at its next turn.'), action: t('Cancel the job'), submit: () => act(j, 'cancel') }),
                    },
                ]}
              />
            ),
          },
        ]}
      />
    </Section>
  );
}
