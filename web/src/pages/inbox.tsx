import { Button, Title } from '@patternfly/react-core';
import { api, ok, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Time } from '../ui/bits';
import { useDialogs } from '../ui/dialogs';
import { useRows } from '../ui/infinite';
import { Link, repoPath, useTitle } from '../ui/link';
import { useRefresh } from '../ui/list';
import { kindName } from '../ui/kinds';
import { DataTable } from '../ui/table';

type Notice = Schemas['Notice'];

// place is where a notice leads: a repository, or an organization.
function place(n: Notice) {
  const m = n.metadata as Record<string, unknown>;
  const repo = typeof m.repository === 'string' ? m.repository : '';
  if (repo.includes('/')) return <Link href={repoPath(repo)}>{repo}</Link>;
  if (repo && typeof m.namespace === 'string') return <Link href={repoPath(`${m.namespace}/${repo}`)}>{`${m.namespace}/${repo}`}</Link>;
  return n.organization && <Link href={`/organization/${encodeURIComponent(n.organization)}`}>{n.organization}</Link>;
}

/** Inbox is what the registry told the user. */
export function Inbox() {
  const dialogs = useDialogs();
  const key = ['inbox'];
  const refresh = useRefresh(key);
  useTitle(t('Inbox'));
  const rows = useRows(key, async (next) => {
    const page = Number(next || 0);
    const a = await ok(api.GET('/user/notifications', { params: { query: { page, limit: 50 } } }));
    return { rows: a.notifications, next: a.additional ? String(page + 1) : '' };
  });
  const dismiss = async (n: Notice, dismissed: boolean) => {
    await api.PUT('/user/notifications/{uuid}', { params: { path: { uuid: n.id } }, body: { dismissed } });
    await refresh();
    if (dismissed) dialogs.toast(t('Dismissed'), { undo: () => void dismiss(n, false) });
  };
  return (
    <>
      <div className="g-head">
        <Title headingLevel="h1">{t('Inbox')}</Title>
      </div>
      <DataTable
        label={t('Inbox')}
        {...rows}
        rowKey={(n) => n.id}
        empty={{ title: t('Nothing is new'), text: t('Notifications of repositories arrive here when you are whom they tell.') }}
        columns={[
          { key: 'when', title: t('When'), narrow: true, cell: (n) => <Time value={n.created} /> },
          { key: 'what', title: t('What'), cell: (n) => kindName(n.kind) },
          { key: 'where', title: t('Where'), cell: place },
          { key: 'dismiss', title: '', narrow: true, cell: (n) => <Button variant="link" size="sm" onClick={() => void dismiss(n, true)}>{t('Dismiss')}</Button> },
        ]}
      />
    </>
  );
}
