import { Button, FormSelect, FormSelectOption, TextInput } from '@patternfly/react-core';
import { useQuery, useQueryClient, type InfiniteData } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { call, enc, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Load, Time } from './bits';
import { Chart } from './chart';
import { useDialogs } from './dialogs';
import { short } from './format';
import { useRows, type Slice } from './infinite';
import { useGo, withSearch } from './link';
import { useAgain, useWatch } from './live';
import { useBoot } from './session';
import { DataTable } from './table';
import { kindName } from './kinds';

type Log = Schemas['Log'];

const day = (d: Date) => d.toISOString().slice(0, 10);

// american writes 2026-01-31 as the API wants it: 01/31/2026.
const american = (d: string) => `${d.slice(5, 7)}/${d.slice(8, 10)}/${d.slice(0, 4)}`;

const shown = ['repo', 'tag', 'username', 'member', 'team', 'robot', 'role', 'delegate_user', 'delegate_team', 'application_name', 'title', 'visibility', 'state', 'key', 'label', 'manifest_digest', 'email', 'useragent', 'name'];

/** detailsOf is what an entry of the log is about, in a line. */
export function detailsOf(l: Pick<Log, 'metadata'>): string {
  const m = (l.metadata ?? {}) as Record<string, unknown>;
  return shown
    .filter((k) => typeof m[k] === 'string' && m[k] !== '')
    .map((k) => `${k}: ${k === 'manifest_digest' ? short(String(m[k])) : String(m[k]).slice(0, 80)}`)
    .join(' · ');
}

/** withNew puts entries, the newest first, above those that are there; one that is there stays once. */
export function withNew(pages: Slice<Log>[], came: Log[]): Slice<Log>[] {
  const [head, ...rest] = pages;
  const there = new Set(pages.flatMap((p) => p.rows.map((l) => l.id)));
  const fresh = came.filter((l) => !there.has(l.id));
  return head && fresh.length > 0 ? [{ ...head, rows: [...fresh, ...head.rows] }, ...rest] : pages;
}

/** Logs shows what happened in a place, such as "repository/acme/app" or "superuser", as a chart and as a list. */
export function Logs({ place, base, superuser }: { place: string; base: string; superuser?: boolean }) {
  const s = useSearch({ strict: false });
  const go = useGo();
  const dialogs = useDialogs();
  const boot = useBoot();
  const now = new Date();
  const from = s.from ?? day(new Date(now.getTime() - 6 * 86_400_000));
  const to = s.to ?? day(now);
  const kind = s.kind ?? '';
  const who = s.who ?? '';
  const at = (more: { from?: string; to?: string; kind?: string; who?: string }) => go(withSearch(base, { tab: s.tab, from, to, kind, who, ...more }), true);
  const query = new URLSearchParams({ starttime: american(from), endtime: american(to) });
  if (kind) query.append('kind', kind);
  if (who) query.set('performer', who);
  const text = query.toString();
  const counts = useQuery({
    queryKey: ['logs', place, 'counts', text],
    queryFn: async () =>
      (await call<Schemas['LogCounts']>('GET', `${place}/aggregatelogs?${text}`)).aggregated.map((x) => ({ day: day(new Date(x.datetime ?? 0)), kind: x.kind, n: x.count })),
  });
  const rows = useRows(['logs', place, 'rows', text], async (next) => {
    const a = await call<Schemas['Logs']>('GET', `${place}/logs?${text}${next ? `&next_page=${encodeURIComponent(next)}` : ''}`);
    return { rows: a.logs, next: a.next_page ?? '' };
  });
  const client = useQueryClient();
  const recount = useAgain(['logs', place, 'counts'], 10_000);
  const reread = useAgain(['logs', place]);
  // What happens comes in above what is there, if it is what one looks at.
  useWatch(to >= day(now) ? `${decodeURIComponent(place)}/logs` : undefined, (n) => {
    if (!n.logs) return reread();
    const came = n.logs as Log[];
    const mine = came.filter((l) => (!kind || l.kind === kind) && (!who || l.performer?.name === who));
    client.setQueryData<InfiniteData<Slice<Log>>>(['logs', place, 'rows', text], (old) => old && { ...old, pages: withNew(old.pages, mine) });
    if (mine.length > 0) recount();
  });
  const kinds = [...new Set([...(counts.data ?? []).map((c) => c.kind), ...(kind ? [kind] : [])])].sort();
  const exporting = boot.features.LOG_EXPORT && !superuser;
  return (
    <>
      <div className="g-tools">
        <label htmlFor="log-from">{t('From')}</label>
        <div>
          <TextInput id="log-from" type="date" value={from} max={to} onChange={(_, v) => v && at({ from: v })} />
        </div>
        <label htmlFor="log-to">{t('To')}</label>
        <div>
          <TextInput id="log-to" type="date" value={to} min={from} max={day(now)} onChange={(_, v) => v && at({ to: v })} />
        </div>
        <FormSelect aria-label={t('Kind')} value={kind} onChange={(_, v) => at({ kind: v })} className="g-auto">
          <FormSelectOption value="" label={t('All kinds')} />
          {kinds.map((k) => (
            <FormSelectOption key={k} value={k} label={kindName(k)} />
          ))}
        </FormSelect>
        <div className="g-grow">
          <TextInput
            aria-label={t('By whom')}
            placeholder={t('By whom')}
            defaultValue={who}
            onKeyDown={(e) => e.key === 'Enter' && at({ who: e.currentTarget.value.trim() })}
            onBlur={(e) => e.currentTarget.value.trim() !== who && at({ who: e.currentTarget.value.trim() })}
          />
        </div>
        {exporting && (
          <Button
            variant="secondary"
            onClick={() =>
              dialogs.form({
                title: t('Export the log'),
                text: t('A file of all entries of these days is made; a link to it is sent when it is ready.'),
                fields: [{ name: 'url', label: t('Address that is called, or e-mail address'), check: (v) => (/^https?:\/\/|@/.test(v) ? undefined : t('Such as https://example.com/hook or ada@example.com')) }],
                action: t('Export'),
                submit: async ({ url = '' }) => {
                  await call('POST', `${place}/exportlogs?starttime=${enc(american(from))}&endtime=${enc(american(to))}`, /^https?:/.test(url) ? { callback_url: url } : { callback_email: url });
                  dialogs.toast(t('The export has begun'));
                },
              })
            }
          >
            {t('Export')}
          </Button>
        )}
      </div>
      <Load query={counts}>{(c) => (c.length > 0 ? <Chart counts={c} from={from} to={to} nameOf={kindName} label={t('What happened on each day')} /> : null)}</Load>
      <DataTable
        label={t('Usage logs')}
        {...rows}
        rowKey={(l) => l.id}
        empty={{ title: t('Nothing happened in these days'), text: t('Choose an earlier day, or fewer filters.') }}
        columns={[
          { key: 'when', title: t('When'), narrow: true, cell: (l) => <Time value={l.datetime} /> },
          { key: 'kind', title: t('What'), narrow: true, cell: (l) => kindName(l.kind) },
          { key: 'who', title: t('Who'), narrow: true, cell: (l) => l.performer?.name ?? <span className="g-quiet">{t('Nobody')}</span> },
          { key: 'details', title: t('Details'), wide: true, cell: (l) => <span className="g-quiet">{detailsOf(l)}</span> },
          { key: 'ip', title: 'IP', narrow: true, wide: true, cell: (l) => l.ip },
        ]}
      />
    </>
  );
}
