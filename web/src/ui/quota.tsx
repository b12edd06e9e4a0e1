import { Button, Label } from '@patternfly/react-core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, call, ok, type Schemas } from '../api/client';
import { t } from '../i18n';
import { useDialogs } from './dialogs';
import { sizeOf, useFreed } from './freed';
import { bytes, parseBytes } from './format';
import { Section } from './frame';
import { Link, repoPath } from './link';
import { Menu } from './menu';
import { DataTable } from './table';
import { Bar, Usage } from './usage';
import { Load } from './bits';

type Quota = Schemas['Quota'];

const size = (v: string) => (parseBytes(v) > 0 ? undefined : t('A size such as 10 GiB'));

/** QuotaView shows how much a namespace may store, and which repositories use the space. edit is where a superuser changes it; '' = nobody may here. */
export function QuotaView({ namespace, report, quotas, edit, limits, changed }: { namespace: string; report?: Schemas['QuotaReport']; quotas?: Quota[]; edit: string; limits: string; changed: () => void }) {
  const dialogs = useDialogs();
  const client = useQueryClient();
  const quota = quotas?.[0];
  const own = quota && !quota.default_config ? quota : undefined;
  const done = async () => {
    await client.invalidateQueries({ queryKey: ['quota', namespace] });
    changed();
  };
  const set = () =>
    dialogs.form({
      title: own ? t('Change the quota') : t('Set a quota'),
      fields: [{ name: 'limit', label: t('At most'), initial: own?.limit.replace(' ', '') ?? '10GiB', check: size, help: t('A size such as 10 GiB') }],
      action: t('Save'),
      submit: async (v) => {
        const body = { limit_bytes: parseBytes(v.limit ?? '') };
        await (own ? call('PUT', `${edit}/${own.id}`, body) : call('POST', edit, body));
        await done();
      },
    });
  const addLimit = () =>
    dialogs.form({
      title: t('Add a limit'),
      fields: [
        { name: 'type', label: t('What happens'), kind: 'select', options: [{ value: 'Reject', label: t('Pushes are refused') }, { value: 'Warning', label: t('Administrators are warned') }] },
        { name: 'percent', label: t('At percent of the quota'), kind: 'number', initial: '90', check: (v) => (Number(v) >= 1 && Number(v) <= 100 ? undefined : t('A number from 1 to 100')) },
      ],
      action: t('Add'),
      submit: async (v) => {
        await call('POST', `${limits}/${own!.id}/limit`, { type: v.type, threshold_percent: Number(v.percent) });
        await done();
      },
    });
  return (
    <Section
      title={t('Storage')}
      tools={
        edit && (
          <>
            <Button variant="secondary" onClick={set}>{own ? t('Change the quota') : t('Set a quota')}</Button>
            {own && (
              <Menu
                label={t('Actions')}
                items={[
                  { label: t('Add a limit'), onClick: addLimit },
                  { label: t('Take the quota away'), danger: true, onClick: () => dialogs.confirm({ title: t('Take the quota away?'), text: t('The namespace may store as much as the default allows then.'), action: t('Take away'), submit: async () => (await call('DELETE', `${edit}/${own.id}`), await done()) }) },
                ]}
              />
            )}
          </>
        )
      }
    >
      <Usage report={report} />
      {quota && (
        <p className="g-quiet">
          {quota.default_config ? t('The default quota of the registry: {limit}', { limit: quota.limit }) : t('Quota: {limit}', { limit: quota.limit })}
          {quota.limits.map((l) => (
            <Label key={l.id} isCompact color={l.type === 'Reject' ? 'red' : 'orange'}>
              {l.type === 'Reject' ? t('Refused at {n} %', { n: l.limit_percent }) : t('Warned at {n} %', { n: l.limit_percent })}
            </Label>
          ))}
        </p>
      )}
      <SpaceUsed namespace={namespace} />
    </Section>
  );
}

// Freed counts what deleting a repository frees, when it is asked to: that looks at every layer.
function Freed({ repo }: { repo: string }) {
  const [asked, ask] = useState(false);
  const query = useFreed(repo, undefined, asked);
  const freed = query.data?.freed;
  if (query.data) return <>{!freed ? t('Only its administrators see that') : sizeOf(freed)}</>;
  return (
    <Button variant="link" isInline isLoading={query.isFetching} onClick={() => (query.error ? void query.refetch() : ask(true))} aria-label={t('Count what deleting {repo} frees', { repo })}>
      {query.error ? t('Try again') : t('Count')}
    </Button>
  );
}

function SpaceUsed({ namespace }: { namespace: string }) {
  const query = useQuery({
    queryKey: ['quota', namespace, 'repositories'],
    queryFn: async () => {
      const a = await ok(api.GET('/repository', { params: { query: { namespace } } }));
      return { more: !!a.next_page, rows: a.repositories.filter((r) => r.quota_report).sort((x, y) => y.quota_report!.quota_bytes - x.quota_report!.quota_bytes) };
    },
  });
  return (
    <Load query={query}>
      {({ rows, more }) => {
        const whole = Math.max(1, rows.reduce((sum, r) => sum + (r.quota_report?.quota_bytes ?? 0), 0));
        return (
          <>
            <DataTable
              label={t('What uses the space')}
              rows={rows.slice(0, 20)}
              rowKey={(r) => r.name}
              empty={{ title: t('Nothing is stored') }}
              columns={[
                { key: 'name', title: t('Repository'), cell: (r) => <Link href={repoPath(`${r.namespace}/${r.name}`)}>{r.name}</Link> },
                { key: 'size', title: t('Size'), narrow: true, right: true, cell: (r) => bytes(r.quota_report?.quota_bytes) },
                { key: 'freed', title: t('Deleting frees'), narrow: true, cell: (r) => <Freed repo={`${r.namespace}/${r.name}`} /> },
                { key: 'bar', title: t('Share'), cell: (r) => <Bar share={(r.quota_report?.quota_bytes ?? 0) / whole} label={bytes(r.quota_report?.quota_bytes)} /> },
              ]}
            />
            <p className="g-quiet">{more ? t('Of the first page of repositories. Layers that repositories share are counted in each, but stored once.') : t('Layers that repositories share are counted in each, but stored once: deleting one frees what it does not share.')}</p>
          </>
        );
      }}
    </Load>
  );
}
