import { Alert, Label } from '@patternfly/react-core';
import { useState } from 'react';
import { call, Problem, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Time } from './bits';
import { Section } from './frame';
import { useRows } from './infinite';
import { Link, repoPath, withSearch } from './link';
import { useAgain, useBeats, useWatch } from './live';
import { Going, StatusLabel } from './mirror';
import { DataTable } from './table';

type Health = Schemas['MirrorHealth'];
type Standing = { namespace: string; repository: string; sync_status: string; is_enabled: boolean; last_sync_date: string | null; status_message: string | null; tags_pending: number };

/** MirrorHealth is how all mirrors are, for superusers. */
export function MirrorHealth() {
  const [health, setHealth] = useState<Health>();
  const again = useAgain(['superuser', 'mirrors']);
  const [beats, hear] = useBeats((n) => n.repository);
  const live = useWatch('superuser/mirror/health', (n) => {
    hear(n);
    if (n.changed) again();
  });
  const rows = useRows<Standing>(
    ['superuser', 'mirrors'],
    async (next) => {
      const q = new URLSearchParams({ detailed: 'true', limit: '100' });
      if (next) q.set('next_page', next);
      // 503 is an answer too: something is wrong with the mirrors, not with the registry.
      const now = await call<Health>('GET', `superuser/mirror/health?${q}`).catch((err: unknown) => {
        if (err instanceof Problem && typeof err.body.healthy === 'boolean') return err.body as unknown as Health;
        throw err;
      });
      setHealth(now);
      const page = now.repositories.pagination as { next_page?: string | null } | undefined;
      return { rows: (now.repositories.details ?? []) as unknown as Standing[], next: page?.next_page ?? '' };
    },
    { every: live ? 30_000 : 10_000 },
  );
  return (
    <Section title={t('Mirrors')} text={health && t('{n} mirrors: {syncing} running, {waiting} waiting, {failed} failed', { n: health.repositories.total ?? 0, syncing: health.repositories.syncing ?? 0, waiting: health.repositories.waiting ?? 0, failed: health.repositories.failed ?? 0 })}>
      {health?.issues.map((x) => <Alert key={x.message} isInline variant={x.severity === 'error' ? 'danger' : 'warning'} title={x.message ?? ''} />)}
      <DataTable
        label={t('Mirrors')}
        {...rows}
        rowKey={(x) => `${x.namespace}/${x.repository}`}
        empty={{ title: t('There are no mirrors'), text: t('The page of a repository makes it one.') }}
        columns={[
          { key: 'name', title: t('Repository'), cell: (x) => <Link href={withSearch(repoPath(`${x.namespace}/${x.repository}`), { tab: 'mirror' })}>{`${x.namespace}/${x.repository}`}</Link> },
          { key: 'status', title: t('State'), narrow: true, cell: (x) => <span className="g-row"><StatusLabel status={x.sync_status} /> {!x.is_enabled && <Label isCompact color="orange">{t('Switched off')}</Label>}</span> },
          { key: 'pending', title: t('Tags to do'), narrow: true, right: true, cell: (x) => x.tags_pending },
          { key: 'progress', title: t('Progress'), wide: true, cell: (x) => <Going n={beats.get(`${x.namespace}/${x.repository}`)} /> },
          { key: 'last', title: t('Last run'), narrow: true, cell: (x) => <Time value={x.last_sync_date} never={t('Never')} /> },
          { key: 'message', title: t('What it says'), wide: true, cell: (x) => <span className="g-quiet">{x.status_message}</span> },
        ]}
      />
    </Section>
  );
}
