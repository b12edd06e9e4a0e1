import { Button, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter, FormSelect, FormSelectOption, Label } from '@patternfly/react-core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { call, enc, Problem, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Digest, Load, Time } from './bits';
import { useDialogs, type Field, type Values } from './dialogs';
import { bytes, duration, left, parseDuration } from './format';
import { Section } from './frame';
import { useRows } from './infinite';
import { every, interval } from './interval';
import { Link, repoPath, useGo, withSearch } from './link';
import { useAgain, useBeats, useWatch, type News } from './live';
import { Menu } from './menu';
import { DataTable } from './table';
import { Bar } from './usage';

type Mirror = Schemas['RepoMirror'];
type OrgMirror = Schemas['OrgMirror'];
type Run = Schemas['MirrorRun'];
type Outcome = Schemas['MirrorOutcome'];
type Status = Schemas['MirrorStatus'];
type Verified = Schemas['MirrorVerified'];

/** list reads "a, b" into its parts. */
export const list = (text: string | undefined) => (text ?? '').split(',').map((x) => x.trim()).filter(Boolean);

const local = (iso: string | null | undefined) => {
  const d = iso ? new Date(iso) : new Date();
  return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};

const utc = (v: string | undefined) => new Date(v ?? '').toISOString().replace(/\.\d+Z$/, 'Z');

/** StatusLabel says how the last run of a mirror ended, or that one goes on. */
export function StatusLabel({ status }: { status: Status | Run['status'] | string }) {
  const [text, color] = ({
    NEVER_RUN: [t('Never run'), 'grey'],
    SUCCESS: [t('In step'), 'green'],
    FAIL: [t('Failed'), 'red'],
    SYNCING: [t('Running'), 'blue'],
    SYNC_NOW: [t('Waits for its turn'), 'blue'],
    CANCEL: [t('Cancelled'), 'orange'],
    SKIP: [t('Skipped'), 'grey'],
    running: [t('Running'), 'blue'],
    success: [t('Succeeded'), 'green'],
    failed: [t('Failed'), 'red'],
    cancelled: [t('Cancelled'), 'orange'],
  } as Record<string, [string, 'grey' | 'green' | 'red' | 'blue' | 'orange']>)[status] ?? [status, 'grey'];
  return <Label isCompact color={color}>{text}</Label>;
}

const going = (s: string | undefined) => s === 'SYNCING' || s === 'SYNC_NOW' || s === 'running';

// soon is whether a run goes on, or is about to begin: then one looks often.
const soon = (m: Mirror | OrgMirror | null | undefined) => !!m && (going(m.sync_status) || (m.is_enabled && !!m.next_sync_date && Date.parse(m.next_sync_date) < Date.now() + 5_000));

// robotFields let a robot of the namespace be chosen, or a new one be made.
async function robotField(place: string, namespace: string, now?: string | null): Promise<Field> {
  const found = await call<{ robots: Schemas['Robot'][] }>('GET', `${place}/robots?token=false`);
  const names = found.robots.map((r) => r.name);
  if (now && !names.includes(now)) names.unshift(now);
  const fresh = `${namespace}+mirror`;
  return {
    name: 'robot',
    label: t('Robot that writes'),
    kind: 'select',
    initial: now ?? names[0] ?? fresh,
    options: [...names.map((n) => ({ value: n, label: n })), ...(names.includes(fresh) ? [] : [{ value: fresh, label: t('A new one: {name}', { name: fresh }) }])],
    help: t('Only it may push while this is a mirror.'),
  };
}

async function madeRobot(place: string, namespace: string, robot: string, field: Field): Promise<void> {
  const label = field.options?.find((o) => o.value === robot)?.label;
  if (label === robot) return;
  await call('PUT', `${place}/robots/${enc(robot.slice(namespace.length + 1))}`, { description: t('Writes what is mirrored') }).catch((err: unknown) => {
    // A try before may have made it.
    if (!(err instanceof Problem) || err.status >= 500) throw err;
  });
}

// shared are the fields that mirrors of both kinds have.
function shared(m: Mirror | OrgMirror | undefined): Field[] {
  const c = m?.external_registry_config;
  const bit = (name: string, label: string, on: boolean | undefined, help?: string): Field => ({ name, label, kind: 'check', initial: String(on === true), help });
  const proxied = (v: Values) => v.proxied === 'true';
  return [
    { name: 'username', label: t('User name there'), optional: true, initial: m?.external_registry_username ?? '', help: t('Empty: as nobody') },
    { name: 'password', label: t('Password or token there'), kind: 'password', optional: true, autoComplete: 'new-password', help: m?.external_registry_username ? t('Empty: the one that is kept') : undefined },
    { name: 'interval', label: t('How often'), initial: every(m?.sync_interval ?? 86400), check: interval, help: t('A time such as 30m, 6h or 1d') },
    { name: 'start', label: t('First run'), kind: 'datetime-local', initial: local(m?.sync_start_date), help: t('In your time zone, {zone}', { zone: Intl.DateTimeFormat().resolvedOptions().timeZone }) },
    { name: 'tags', label: t('Tags'), initial: (m?.root_rule?.rule_value ?? ['*']).join(', '), help: t('Globs with commas between them, and semver:>=1.2, newest:10, !*-rc*') },
    { name: 'architectures', label: t('Architectures'), optional: true, initial: (m?.architecture_filter ?? []).join(', '), help: t('Such as amd64, arm64; empty: all') },
    bit('tls', t('Check its certificate'), c?.verify_tls ?? true, t('Without this any certificate is taken, and plain http')),
    bit('signed', t('Only images that carry a signature'), c?.only_signed),
    bit('referrers', t('With signatures, SBOMs and attestations'), c?.referrers ?? true),
    bit('keep', t('Keep tags that are gone there'), c?.keep_removed_tags),
    bit('proxied', t('Through a proxy'), !!(c?.proxy?.http_proxy || c?.proxy?.https_proxy)),
    { name: 'https_proxy', label: t('Proxy for https'), optional: true, initial: c?.proxy?.https_proxy ?? '', shown: proxied },
    { name: 'http_proxy', label: t('Proxy for http'), optional: true, initial: c?.proxy?.http_proxy ?? '', shown: proxied },
    { name: 'no_proxy', label: t('Hosts without a proxy'), optional: true, initial: c?.proxy?.no_proxy ?? '', shown: proxied },
  ];
}

/** mirrorBody is what the API takes, from the values of the form. An empty password keeps the stored one, unless the user name is taken away. */
export function mirrorBody(v: Values): Record<string, unknown> {
  const on = v.proxied === 'true';
  return {
    external_registry_username: v.username || null,
    ...(v.password ? { external_registry_password: v.password } : v.username ? {} : { external_registry_password: null }),
    sync_interval: parseDuration((v.interval ?? '').trim()),
    sync_start_date: utc(v.start),
    root_rule: { rule_kind: 'tag_glob_csv', rule_value: list(v.tags) },
    architecture_filter: list(v.architectures),
    external_registry_config: {
      verify_tls: v.tls === 'true',
      only_signed: v.signed === 'true',
      referrers: v.referrers === 'true',
      keep_removed_tags: v.keep === 'true',
      proxy: { http_proxy: (on && v.http_proxy) || null, https_proxy: (on && v.https_proxy) || null, no_proxy: (on && v.no_proxy) || null },
    },
    robot_username: v.robot,
  };
}

async function trial(path: string, body: unknown): Promise<string> {
  const a = await call<Verified>('POST', `${path}/verify`, body);
  if (!a.success) throw new Problem(400, 'upstream', a.message);
  return a.message;
}

// absent is whether a failure says that there is no mirror.
const absent = (err: unknown) => err instanceof Problem && err.status === 404;

/** place is where the API has the robots of a namespace. */
const placeOf = (namespace: string, organization: boolean) => (organization ? `organization/${enc(namespace)}` : 'user');

// NoMirror stands where a mirror could be made.
function NoMirror({ title, text, make }: { title: string; text: string; make: () => void }) {
  return (
    <EmptyState titleText={title} headingLevel="h2" variant="sm">
      <EmptyStateBody>{text}</EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          <Button onClick={make}>{t('Make it a mirror')}</Button>
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}

// RunButton begins a run of a mirror, or ends the one that goes on.
function RunButton({ status, command }: { status: string; command: (what: string, said: string) => void }) {
  return going(status) ? (
    <Button variant="secondary" onClick={() => command('sync-cancel', t('The run ends'))}>{t('Cancel the run')}</Button>
  ) : (
    <Button onClick={() => command('sync-now', t('The mirror runs'))}>{t('Run now')}</Button>
  );
}

// Facts are what a mirror copies, how, and when.
function Facts({ m, copies, repositories }: { m: Mirror | OrgMirror; copies: string; repositories?: string[] }) {
  return (
    <dl className="g-facts">
      <dt>{t('State')}</dt>
      <dd>
        <StatusLabel status={m.sync_status} /> {!m.is_enabled && <Label isCompact color="orange">{t('Switched off')}</Label>}
      </dd>
      {m.status_message && (
        <>
          <dt>{t('What it says')}</dt>
          <dd>{m.status_message}</dd>
        </>
      )}
      <dt>{t('Copies')}</dt>
      <dd>
        <code>{copies}</code>
      </dd>
      {repositories && (
        <>
          <dt>{t('Repositories')}</dt>
          <dd>{repositories.join(', ') || t('All')}</dd>
        </>
      )}
      <dt>{t('Tags')}</dt>
      <dd>{(m.root_rule?.rule_value ?? []).join(', ')}</dd>
      {!!m.architecture_filter?.length && (
        <>
          <dt>{t('Architectures')}</dt>
          <dd>{m.architecture_filter.join(', ')}</dd>
        </>
      )}
      <dt>{t('As')}</dt>
      <dd>{m.external_registry_username ?? t('Nobody')}</dd>
      <dt>{t('Robot that writes')}</dt>
      <dd>{m.robot_username ?? '–'}</dd>
      <dt>{t('How often')}</dt>
      <dd>{duration(m.sync_interval)}</dd>
      <dt>{t('Last run')}</dt>
      <dd>
        <Time value={m.last_sync_date} never={t('Never')} />
      </dd>
      <dt>{t('Next run')}</dt>
      <dd>{going(m.sync_status) ? '–' : <Time value={m.next_sync_date} never={t('When somebody asks')} />}</dd>
    </dl>
  );
}

/** RepoMirror is the mirror of a repository: what it copies, and its runs. */
export function RepoMirror({ repo, namespace, organization }: { repo: string; namespace: string; organization: boolean }) {
  const dialogs = useDialogs();
  const client = useQueryClient();
  const { run = '' } = useSearch({ strict: false });
  const path = `repository/${enc(repo)}/mirror`;
  const key = ['repository', repo, 'mirror'];
  const again = useAgain(key);
  const outcomes = useAgain(['repository', repo, 'mirror', 'outcomes'], 2_500); // they are written every two seconds
  const [beats, hear] = useBeats();
  const live = useWatch(`repository/${repo}/mirror`, (n) => {
    hear(n);
    if (n.changed) again();
    else outcomes();
  });
  const query = useQuery({
    queryKey: key,
    queryFn: () => call<Mirror>('GET', path).catch((err: unknown) => (absent(err) ? null : Promise.reject(err as Error))),
    refetchInterval: (q) => (soon(q.state.data) && !live ? 1_500 : 10_000),
  });
  const refresh = async () => {
    await client.invalidateQueries({ queryKey: ['repository', repo] });
  };
  const fail = (err: unknown) => dialogs.toast(t('That did not work'), { variant: 'danger', text: err instanceof Error ? err.message : '' });
  const place = placeOf(namespace, organization);
  const edit = async (m: Mirror | null) => {
    const robot = await robotField(place, namespace, m?.robot_username);
    const body = (v: Values) => ({ ...mirrorBody(v), external_reference: v.reference, is_enabled: v.enabled === 'true' });
    dialogs.form({
      title: m ? t('Change the mirror') : t('Make it a mirror'),
      wide: true,
      fields: [
        { name: 'reference', label: t('Repository to copy'), initial: m?.external_reference ?? '', help: t('Such as docker.io/library/alpine; with a :tag, that tag alone') },
        robot,
        ...shared(m ?? undefined),
        { name: 'enabled', label: t('Runs by itself'), kind: 'check', initial: String(m?.is_enabled ?? true) },
      ],
      trial: { label: t('Ask the other registry'), run: (v) => trial(path, { ...body(v), robot_username: undefined }) },
      action: m ? t('Save') : t('Make it a mirror'),
      submit: async (v) => {
        await madeRobot(place, namespace, v.robot ?? '', robot);
        await call(m ? 'PUT' : 'POST', path, body(v));
        await refresh();
      },
    });
  };
  const command = (what: string, said: string) => void call('POST', `${path}/${what}`).then(() => (dialogs.toast(said), refresh()), fail);
  return (
    <Load query={query}>
      {(m) =>
        m === null ? (
          <NoMirror title={t('This repository is no mirror')} text={t('A mirror keeps it equal to a repository of another registry. Nobody else can push to it then.')} make={() => void edit(null).catch(fail)} />
        ) : (
          <>
            <Section
              title={t('Mirror')}
              tools={
                <>
                  <RunButton status={m.sync_status} command={command} />
                  <Menu
                    label={t('Actions for the mirror')}
                    items={[
                      { label: t('Dry run'), onClick: () => command('plan', t('The dry run has begun')) },
                      { label: t('Ask the other registry'), onClick: () => void trial(path, undefined).then((x) => dialogs.toast(x), fail) },
                      !m.organization_mirror && { label: t('Change'), onClick: () => void edit(m).catch(fail) },
                      !m.organization_mirror && {
                        label: t('End the mirror'),
                        danger: true,
                        onClick: () => dialogs.confirm({ title: t('End the mirror of {repo}?', { repo }), text: t('What was mirrored stays, and pushes work again.'), action: t('End the mirror'), submit: () => call('DELETE', path).then(refresh) }),
                      },
                    ]}
                  />
                </>
              }
            >
              <Facts m={m} copies={m.external_reference} />
              {m.organization_mirror && <p className="g-quiet">{t('The mirror of the organization made it, and says what it copies.')}</p>}
            </Section>
            <Runs repo={repo} at={run} beats={beats} live={live} soon={soon(m)} />
          </>
        )
      }
    </Load>
  );
}

/** progressOf is how far a run is, between 0 and 1. */
export const progressOf = (r: Pick<Run, 'tags' | 'status'>) => (r.status !== 'running' ? 1 : (r.tags.done ?? 0) / Math.max(1, r.tags.total ?? 0));

/** runNow is a run as it is told of while it goes on. */
export function runNow(r: Run, n: News | undefined): Run {
  if (!n || r.status !== 'running') return r;
  const { done, total, copied, unchanged, removed, skipped, failed } = n;
  return { ...r, tags: { ...r.tags, done, total, copied, unchanged, removed, skipped, failed }, bytes: n.bytes ?? r.bytes, bytes_per_second: Math.round(n.rate ?? 0), eta_seconds: n.eta_seconds ?? null };
}

function Runs({ repo, at, beats, live, soon }: { repo: string; at: string; beats: ReadonlyMap<string, News>; live: boolean; soon: boolean }) {
  const base = withSearch(repoPath(repo), { tab: 'mirror' });
  const query = useQuery({
    queryKey: ['repository', repo, 'mirror', 'runs'],
    queryFn: async () => (await call<{ runs: Run[] }>('GET', `repository/${enc(repo)}/mirror/runs?limit=20`)).runs,
    refetchInterval: (q) => (!live && (soon || q.state.data?.some((r) => r.status === 'running')) ? 1_500 : 10_000),
  });
  return (
    <Load query={query}>
      {(stored) => {
        const runs = stored.map((r) => runNow(r, beats.get(r.id)));
        const chosen = runs.find((r) => r.id === at) ?? runs[0];
        return (
          <>
            <Section title={t('Runs')}>
              <DataTable
                label={t('Runs')}
                rows={runs}
                rowKey={(r) => r.id}
                empty={{ title: t('It has not run yet'), text: t('A dry run says what a run would change.') }}
                columns={[
                  {
                    key: 'began',
                    title: t('Began'),
                    cell: (r) => (
                      <span className="g-row">
                        <Link href={`${base}&run=${r.id}`} current={r.id === chosen?.id}>
                          <Time value={r.started} never={t('Waits for its turn')} />
                        </Link>
                        {r.kind === 'plan' && <Label isCompact>{t('Dry run')}</Label>}
                      </span>
                    ),
                  },
                  { key: 'status', title: t('State'), narrow: true, cell: (r) => <StatusLabel status={r.status} /> },
                  {
                    key: 'tags',
                    title: t('Tags'),
                    cell: (r) =>
                      r.status === 'running' ? (
                        <span className="g-progress">
                          <Bar share={progressOf(r)} label={t('{n} of {of} tags', { n: r.tags.done ?? 0, of: r.tags.total ?? 0 })} />
                          <span className="g-nowrap">{t('{n} of {of} tags', { n: r.tags.done ?? 0, of: r.tags.total ?? 0 })}</span>
                        </span>
                      ) : (
                        <Counts r={r} />
                      ),
                  },
                  { key: 'bytes', title: t('Fetched'), narrow: true, right: true, cell: (r) => bytes(r.bytes) },
                  { key: 'rate', title: t('Rate'), narrow: true, right: true, wide: true, cell: (r) => t('{size}/s', { size: bytes(r.bytes_per_second) }) },
                  { key: 'eta', title: t('Time left'), narrow: true, right: true, wide: true, cell: (r) => (r.eta_seconds == null ? '–' : left(r.eta_seconds)) },
                ]}
              />
            </Section>
            {chosen && <Outcomes key={chosen.id} repo={repo} run={chosen} live={live} />}
          </>
        );
      }}
    </Load>
  );
}

function Counts({ r }: { r: Run }) {
  const parts = [
    [r.tags.copied, t('copied')],
    [r.tags.unchanged, t('unchanged')],
    [r.tags.removed, t('removed')],
    [r.tags.skipped, t('skipped')],
    [r.tags.failed, t('failed')],
  ] as const;
  return <>{parts.filter(([n]) => n).map(([n, word]) => `${n} ${word}`).join(', ') || t('Nothing to do')}</>;
}

const outcomeName = (o: string) => ({ copied: t('copied'), removed: t('removed'), skipped: t('skipped'), failed: t('failed'), kept: t('kept'), 'rolled back': t('rolled back') })[o] ?? o;

function Outcomes({ repo, run, live }: { repo: string; run: Run; live: boolean }) {
  const { kind = '' } = useSearch({ strict: false });
  const go = useGo();
  const rows = useRows(
    ['repository', repo, 'mirror', 'outcomes', run.id, kind, run.status], // read again when it has ended
    async (next) => {
      const q = new URLSearchParams();
      if (kind) q.set('outcome', kind);
      if (next) q.set('next_page', next);
      const a = await call<{ tags: Outcome[]; next_page?: string }>('GET', `repository/${enc(repo)}/mirror/runs/${enc(run.id)}/tags?${q}`);
      return { rows: a.tags, next: a.next_page ?? '' };
    },
    { every: run.status === 'running' ? (live ? 10_000 : 2_000) : undefined },
  );
  return (
    <Section
      title={run.kind === 'plan' ? t('What a run would change') : t('What became of each tag')}
      text={run.message ?? t('Tags that stay as they are, are not listed.')}
      tools={
        <FormSelect aria-label={t('Outcome')} className="g-auto" value={kind} onChange={(_, v) => go(withSearch(repoPath(repo), { tab: 'mirror', run: run.id, kind: v }), true)}>
          <FormSelectOption value="" label={t('All')} />
          {['copied', 'removed', 'skipped', 'failed', 'kept', 'rolled back'].map((o) => (
            <FormSelectOption key={o} value={o} label={outcomeName(o)} />
          ))}
        </FormSelect>
      }
    >
      <DataTable
        label={t('What became of each tag')}
        {...rows}
        rowKey={(o) => o.tag}
        empty={{ title: t('No tag changed') }}
        columns={[
          { key: 'tag', title: t('Tag'), cell: (o) => (o.outcome === 'removed' ? o.tag : <Link href={repoPath(repo, `/tag/${encodeURIComponent(o.tag)}`)}>{o.tag}</Link>) },
          { key: 'outcome', title: t('Outcome'), narrow: true, cell: (o) => <Label isCompact color={o.outcome === 'failed' ? 'red' : o.outcome === 'copied' ? 'green' : 'grey'}>{outcomeName(o.outcome)}</Label> },
          { key: 'bytes', title: t('Fetched'), narrow: true, right: true, cell: (o) => bytes(o.bytes) },
          { key: 'digest', title: t('Digest'), narrow: true, wide: true, cell: (o) => o.manifest_digest && <Digest value={o.manifest_digest} /> },
          { key: 'message', title: t('Why'), wide: true, cell: (o) => <span className="g-quiet">{o.message}</span> },
        ]}
      />
    </Section>
  );
}

const kinds = () => [
  { value: 'quay', label: 'Quay, Gantry' },
  { value: 'harbor', label: 'Harbor' },
  { value: 'dockerhub', label: 'Docker Hub' },
  { value: 'gitlab', label: 'GitLab' },
  { value: 'catalog', label: t('Another, with a catalog') },
];

/** OrganizationMirror is the mirror of a whole namespace. */
export function OrganizationMirror({ org }: { org: string }) {
  const dialogs = useDialogs();
  const client = useQueryClient();
  const path = `organization/${enc(org)}/mirror`;
  const key = ['organization', org, 'mirror'];
  const again = useAgain(key);
  const [beats, hear] = useBeats((n) => n.repository);
  const [looking, setLooking] = useState<News>();
  const live = useWatch(`organization/${org}/mirror`, (n) => {
    if (n.id) hear(n);
    else setLooking(n.changed ? undefined : n);
    if (n.changed) again();
  });
  const query = useQuery({
    queryKey: key,
    queryFn: () => call<OrgMirror>('GET', path).catch((err: unknown) => (absent(err) ? null : Promise.reject(err as Error))),
    refetchInterval: (q) => (soon(q.state.data) && !live ? 1_500 : 10_000),
  });
  const refresh = () => client.invalidateQueries({ queryKey: ['organization', org] });
  const fail = (err: unknown) => dialogs.toast(t('That did not work'), { variant: 'danger', text: err instanceof Error ? err.message : '' });
  const place = `organization/${enc(org)}`;
  const edit = async (m: OrgMirror | null) => {
    const robot = await robotField(place, org, m?.robot_username);
    const body = (v: Values) => ({
      ...mirrorBody(v),
      external_registry_type: v.type,
      external_registry_url: v.url,
      external_namespace: v.namespace,
      visibility: v.visibility,
      repository_filters: list(v.repositories),
      delete_stale_repos: v.prune === 'true',
      is_enabled: v.enabled === 'true',
    });
    dialogs.form({
      title: m ? t('Change the mirror') : t('Make it a mirror'),
      wide: true,
      fields: [
        { name: 'type', label: t('Kind of registry'), kind: 'select', initial: m?.external_registry_type ?? 'quay', options: kinds() },
        { name: 'url', label: t('Its address'), initial: m?.external_registry_url ?? '', check: (v) => (/^https?:\/\//.test(v) ? undefined : t('An address that begins with https://')), help: t('Such as https://quay.io') },
        { name: 'namespace', label: t('Its namespace'), initial: m?.external_namespace ?? '' },
        { name: 'repositories', label: t('Repositories'), optional: true, initial: (m?.repository_filters ?? []).join(', '), help: t('Globs with commas between them; empty: all') },
        { name: 'visibility', label: t('Who may pull'), kind: 'select', initial: m?.visibility ?? 'private', options: [{ value: 'private', label: t('Private: who is given a role') }, { value: 'public', label: t('Public: everybody') }] },
        robot,
        ...shared(m ?? undefined),
        { name: 'prune', label: t('Delete repositories that are gone there'), kind: 'check', initial: String(m?.delete_stale_repos === true) },
        { name: 'enabled', label: t('Runs by itself'), kind: 'check', initial: String(m?.is_enabled ?? true) },
      ],
      trial: { label: t('Ask the other registry'), run: (v) => trial(path, { ...body(v), robot_username: undefined }) },
      action: m ? t('Save') : t('Make it a mirror'),
      submit: async (v) => {
        await madeRobot(place, org, v.robot ?? '', robot);
        await call(m ? 'PUT' : 'POST', path, body(v));
        await refresh();
      },
    });
  };
  const command = (what: string, said: string) => void call('POST', `${path}/${what}`).then(() => (dialogs.toast(said), refresh()), fail);
  return (
    <Load query={query}>
      {(m) =>
        m === null ? (
          <NoMirror title={t('This organization is no mirror')} text={t('A mirror copies the repositories of a namespace of another registry. Nobody makes others in it then.')} make={() => void edit(null).catch(fail)} />
        ) : (
          <>
            <Section
              title={t('Mirror')}
              tools={
                <>
                  <RunButton status={m.sync_status} command={command} />
                  <Menu
                    label={t('Actions for the mirror')}
                    items={[
                      { label: t('Ask the other registry'), onClick: () => void trial(path, undefined).then((x) => dialogs.toast(x), fail) },
                      { label: t('Change'), onClick: () => void edit(m).catch(fail) },
                      { label: t('End the mirror'), danger: true, onClick: () => dialogs.confirm({ title: t('End the mirror of {repo}?', { repo: org }), text: t('What was mirrored stays, and pushes work again.'), action: t('End the mirror'), typed: org, submit: () => call('DELETE', path).then(refresh) }) },
                    ]}
                  />
                </>
              }
            >
              <Facts m={m} copies={`${m.external_registry_url}/${m.external_namespace}`} repositories={m.repository_filters} />
            </Section>
            <Found org={org} beats={beats} live={live} soon={soon(m)} looking={live && going(m.sync_status) ? looking : undefined} />
          </>
        )
      }
    </Load>
  );
}

function Found({ org, beats, live, soon, looking }: { org: string; beats: ReadonlyMap<string, News>; live: boolean; soon: boolean; looking: News | undefined }) {
  const rows = useRows(
    ['organization', org, 'mirror', 'repositories'],
    async (next) => {
      const page = Number(next || 1);
      const a = await call<{ repositories: Schemas['OrgMirrorRepo'][]; has_next: boolean }>('GET', `organization/${enc(org)}/mirror/repositories?page=${page}&limit=100`);
      return { rows: a.repositories, next: a.has_next ? String(page + 1) : '' };
    },
    { every: live ? 10_000 : soon ? 2_000 : 5_000 },
  );
  return (
    <Section title={t('Repositories that were found')} text={looking && t('{n} of {of} repositories', { n: looking.done ?? 0, of: looking.total ?? 0 })}>
      <DataTable
        label={t('Repositories that were found')}
        {...rows}
        rowKey={(r) => r.name}
        empty={{ title: t('None was found yet'), text: t('The next run looks for them.') }}
        columns={[
          { key: 'name', title: t('Name'), cell: (r) => (r.quay_repository ? <Link href={withSearch(repoPath(`${org}/${r.name}`), { tab: 'mirror' })}>{r.name}</Link> : r.name) },
          { key: 'status', title: t('State'), narrow: true, cell: (r) => <StatusLabel status={r.sync_status} /> },
          { key: 'progress', title: t('Progress'), wide: true, cell: (r) => <Going n={beats.get(`${org}/${r.name}`)} /> },
          { key: 'last', title: t('Last run'), narrow: true, cell: (r) => <Time value={r.last_sync_date} never={t('Never')} /> },
          { key: 'message', title: t('What it says'), wide: true, cell: (r) => <span className="g-quiet">{r.status_message}</span> },
        ]}
      />
    </Section>
  );
}

/** Going is how far a run is that goes on: tags, the rate, the time that is left. */
export function Going({ n }: { n: News | undefined }) {
  if (!n) return <span className="g-quiet">–</span>;
  const text = t('{n} of {of} tags', { n: n.done ?? 0, of: n.total ?? 0 });
  return (
    <span className="g-stacked">
      <Bar share={(n.done ?? 0) / Math.max(1, n.total ?? 0)} label={text} />
      <span className="g-nowrap">
        {text}
        <span className="g-quiet">
          {!!n.rate && ` · ${t('{size}/s', { size: bytes(n.rate) })}`}
          {n.eta_seconds != null && ` · ${t('{time} left', { time: left(n.eta_seconds) })}`}
        </span>
      </span>
    </span>
  );
}
