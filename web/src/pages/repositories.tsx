import { Button, FormSelect, FormSelectOption, Label, SearchInput, Title } from '@patternfly/react-core';
import { OutlinedStarIcon } from '@patternfly/react-icons/dist/esm/icons/outlined-star-icon';
import { StarIcon } from '@patternfly/react-icons/dist/esm/icons/star-icon';
import { useQueryClient } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { api, ok, type Schemas } from '../api/client';
import { code } from '../code';
import { t } from '../i18n';
import { Time } from '../ui/bits';
import { useDialogs, type Field } from '../ui/dialogs';
import { WillFree } from '../ui/freed';
import { useRows, type Slice } from '../ui/infinite';
import { Link, repoPath, useGo, useTitle, withSearch } from '../ui/link';
import { Menu } from '../ui/menu';
import { useUser } from '../ui/session';
import { DataTable, type Column } from '../ui/table';
import { bytes, firstLine } from '../ui/format';

export type Repo = Pick<Schemas['RepositoryEntry'], 'namespace' | 'name' | 'is_public' | 'description'> & Partial<Pick<Schemas['RepositoryEntry'], 'state' | 'is_starred' | 'quota_report' | 'last_modified'>>;

export const nameOf = (r: Pick<Repo, 'namespace' | 'name'>) => `${r.namespace}/${r.name}`;

type Order = 'created' | 'name' | 'pushed';

export const orderOf = (s: string | undefined): Order => (s === 'name' || s === 'pushed' ? s : 'created');

async function list(view: string, ns: string, q: string, sort: Order, next: string): Promise<Slice<Repo>> {
  if (q) {
    const a = await ok(api.GET('/find/repositories', { params: { query: { query: ns ? `${ns}/${q}` : q, page: next ? Number(next) : 1 } } }));
    const rows = a.results.map((r) => ({ namespace: r.namespace.name, name: r.name, is_public: r.is_public, description: r.description }));
    return { rows: ns ? rows.filter((r) => r.namespace === ns) : rows, next: a.has_additional ? String(a.page + 1) : '' };
  }
  const a = await ok(api.GET('/repository', { params: { query: { ...(ns ? { namespace: ns, sort } : view === 'starred' ? { starred: true } : view === 'visible' ? { visible: true, sort } : { public: true }), last_modified: true, next_page: next || undefined } } }));
  return { rows: a.repositories, next: a.next_page ?? '', order: a.order };
}

const repoName = (v: string) => (/^[a-z0-9]+([._-]+[a-z0-9]+)*(\/[a-z0-9]+([._-]+[a-z0-9]+)*)*$/.test(v) && v.length <= 255 ? undefined : t('Small letters and digits, with dots, dashes, underscores and slashes between them, such as app or team/app'));

/** useCreateRepository opens the dialog that makes a repository. */
export function useCreateRepository() {
  const dialogs = useDialogs();
  const user = useUser();
  const go = useGo();
  const client = useQueryClient();
  return (ns?: string) => {
    if (!user) return;
    const spaces = [user.username, ...user.organizations.filter((o) => o.can_create_repo).map((o) => o.name)];
    const fields: Field[] = [
      { name: 'namespace', label: t('Namespace'), kind: 'select', initial: ns ?? user.username, options: spaces.map((s) => ({ value: s, label: s })) },
      { name: 'repository', label: t('Name'), check: repoName },
      { name: 'visibility', label: t('Who may pull'), kind: 'select', options: [{ value: 'private', label: t('Private: who is given a role') }, { value: 'public', label: t('Public: everybody') }] },
      { name: 'description', label: t('Description'), kind: 'area', optional: true, help: t('Markdown') },
    ];
    dialogs.form({
      title: t('Create a repository'),
      text: t('A push creates its repository by itself: this is only needed to choose roles before.'),
      fields,
      action: t('Create'),
      submit: async ({ namespace = '', repository = '', visibility, description = '' }) => {
        await api.POST('/repository', { body: { namespace, repository, description, visibility: visibility as 'public' | 'private', repo_kind: 'image' } });
        await client.invalidateQueries({ queryKey: ['repositories'] });
        go(repoPath(`${namespace}/${repository}`));
      },
    });
  };
}

/** RepositoryList shows repositories: of a namespace, the starred, the public, or all that one has a right to; with a filter, those and what is public. */
export function RepositoryList({ ns, view = '', q, sort = 'created', onQuery, onSort, canCreate, tools }: { ns?: string; view?: string; q: string; sort?: Order; onQuery: (q: string) => void; /** onSort takes another order; undefined = there is none. */ onSort?: (sort: Order | undefined) => void; canCreate?: boolean; tools?: React.ReactNode }) {
  const user = useUser();
  const dialogs = useDialogs();
  const client = useQueryClient();
  const create = useCreateRepository();
  const [text, setText] = useState(q);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => setText(q), [q]);
  useEffect(() => {
    if (text === q) return;
    const timer = setTimeout(() => onQuery(text), 250);
    return () => clearTimeout(timer);
  }, [text, q, onQuery]);
  // What the first click leads to is in the browser by then.
  useEffect(() => {
    const timer = setTimeout(() => void code.tags(), 500);
    return () => clearTimeout(timer);
  }, []);
  const data = useRows(['repositories', 'list', view, ns ?? '', q, sort], (next) => list(view, ns ?? '', q, sort, next));
  const refresh = () => client.invalidateQueries({ queryKey: ['repositories'] });

  const star = async (r: Repo) => {
    if (r.is_starred) await api.DELETE('/user/starred/{repo}', { params: { path: { repo: nameOf(r) } } });
    else await api.POST('/user/starred', { body: { namespace: r.namespace, repository: r.name } });
    await refresh();
  };
  const fail = (err: unknown) => dialogs.toast(t('That did not work'), { variant: 'danger', text: err instanceof Error ? err.message : '' });

  const remove = (names: string[]) =>
    dialogs.confirm({
      title: t('Delete {n} repository?|Delete {n} repositories?', { n: names.length }),
      text: (
        <>
          <p>{t('Their tags and images go with them, and cannot be restored:')}</p>
          <ul className="g-md">{names.slice(0, 10).map((n) => <li key={n}>{n}</li>)}</ul>
          {names.length === 1 && <WillFree repo={names[0]!} />}
          {names.length > 10 && <p>{t('and {n} more', { n: names.length - 10 })}</p>}
        </>
      ),
      action: t('Delete'),
      typed: names.length === 1 ? names[0] : t('delete {n}', { n: names.length }),
      submit: async () => {
        const failed: string[] = [];
        let first: unknown;
        for (const repo of names) {
          try {
            await api.DELETE('/repository/{repo}', { params: { path: { repo } } });
          } catch (err) {
            first ??= err;
            failed.push(repo);
          }
        }
        setChosen(new Set(failed));
        await refresh();
        if (first) throw first;
        dialogs.toast(t('{n} repository deleted|{n} repositories deleted', { n: names.length }));
      },
    });

  const columns: Column<Repo>[] = [
    ...(user && !q
      ? [
          {
            key: 'star',
            title: '',
            narrow: true,
            cell: (r: Repo) => (
              <Button variant="plain" size="sm" aria-pressed={r.is_starred === true} aria-label={t('Star {name}', { name: nameOf(r) })} icon={r.is_starred ? <StarIcon color="var(--pf-t--global--color--status--warning--default)" /> : <OutlinedStarIcon />} onClick={() => void star(r).catch(fail)} />
            ),
          },
        ]
      : []),
    { key: 'name', title: t('Name'), cell: (r) => <Link href={repoPath(nameOf(r))}>{ns ? r.name : nameOf(r)}</Link> },
    { key: 'description', title: t('Description'), wide: true, cell: (r) => <span className="g-quiet">{firstLine(r.description)}</span> },
    {
      key: 'visibility',
      title: t('Visibility'),
      narrow: true,
      cell: (r) => (
        <span className="g-row">
          <Label isCompact color={r.is_public ? 'green' : 'grey'}>{r.is_public ? t('Public') : t('Private')}</Label>
          {r.state === 'READ_ONLY' && <Label isCompact color="orange">{t('Read-only')}</Label>}
        </span>
      ),
    },
    ...(data.rows.some((r) => r.quota_report) ? [{ key: 'size', title: t('Size'), narrow: true, right: true, wide: true, cell: (r: Repo) => bytes(r.quota_report?.quota_bytes) }] : []),
    ...(q ? [] : [{ key: 'pushed', title: t('Last push'), narrow: true, wide: true, cell: (r: Repo) => <Time value={r.last_modified} never={t('Never')} /> }]),
    ...(user
      ? [
          {
            key: 'menu',
            title: '',
            narrow: true,
            cell: (r: Repo) => <Menu label={t('Actions for {name}', { name: nameOf(r) })} items={[{ label: t('Delete'), danger: true, onClick: () => remove([nameOf(r)]) }]} />,
          },
        ]
      : []),
  ];
  return (
    <>
      <div className="g-tools">
        {tools}
        {onSort && !q && (
          <FormSelect aria-label={t('Order')} className="g-auto" value={sort} onChange={(_, v) => onSort(v === 'created' ? undefined : (v as Order))}>
            <FormSelectOption value="created" label={t('The newest first')} />
            <FormSelectOption value="pushed" label={t('The last pushed to first')} />
            <FormSelectOption value="name" label={t('By name')} />
          </FormSelect>
        )}
        <div className="g-grow">
          <SearchInput value={text} onChange={(_, v) => setText(v)} onClear={() => setText('')} placeholder={t('Beginning of a word of the name')} aria-label={t('Filter repositories')} />
        </div>
        {user && chosen.size > 0 && (
          <Button variant="danger" onClick={() => remove([...chosen])}>
            {t('Delete {n}', { n: chosen.size })}
          </Button>
        )}
        {canCreate && (
          <Button onClick={() => create(ns)}>
            {t('Create a repository')}
          </Button>
        )}
      </div>
      {!q && data.order && data.order !== sort && <p className="g-quiet" role="status">{t('There are too many to be put in that order: the newest come first. The filter finds each of them.')}</p>}
      <DataTable
        label={t('Repositories')}
        columns={columns}
        {...data}
        rowKey={nameOf}
        nameOf={nameOf}
        selected={user ? chosen : undefined}
        onSelect={setChosen}
        empty={
          q
            ? { title: t('No repository is called like that'), text: t('The filter looks at the beginning of words: app finds acme/my-app.'), action: <Button variant="link" onClick={() => onQuery('')}>{t('Show all')}</Button> }
            : view === 'starred' && !ns
              ? { title: t('Nothing is starred'), text: t('The star before a repository’s name brings it to your overview.') }
              : { title: t('There are no repositories yet'), text: t('The first push to a name makes its repository.'), action: user && <Link href="/guide">{t('Show me the commands')}</Link> }
        }
      />
    </>
  );
}

export function Repositories() {
  const user = useUser();
  const go = useGo();
  const search = useSearch({ strict: false });
  const { q = '' } = search;
  const ns = search.ns ?? '';
  const view = ns ? '' : (search.view ?? (user ? 'visible' : 'public'));
  const sort = orderOf(search.sort);
  useTitle(t('Repositories'));
  const at = (s: { ns?: string; view?: string; q?: string; sort?: string }, replace = false) => go(withSearch('/repository', s), replace);
  return (
    <>
      <div className="g-head">
        <Title headingLevel="h1">{t('Repositories')}</Title>
      </div>
      <RepositoryList
        key={ns + view}
        ns={ns}
        view={view}
        q={q}
        sort={view === 'visible' || ns ? sort : 'created'}
        onSort={view === 'visible' || ns ? (v) => at({ ns: search.ns, view: search.view, sort: v, q }) : undefined}
        onQuery={(x) => at({ ns: search.ns, view: search.view, sort: search.sort, q: x }, true)}
        canCreate={!!user}
        tools={
          user && (
            <FormSelect aria-label={t('Whose repositories')} className="g-auto" value={ns ? `ns:${ns}` : view} onChange={(_, v) => at(v.startsWith('ns:') ? { ns: v.slice(3) } : v === 'visible' ? {} : { view: v })}>
              <FormSelectOption value="visible" label={t('All that I have a role in')} />
              <FormSelectOption value="public" label={t('All that are public')} />
              <FormSelectOption value="starred" label={t('Starred')} />
              {[user.username, ...user.organizations.map((o) => o.name)].map((n) => (
                <FormSelectOption key={n} value={`ns:${n}`} label={n} />
              ))}
              {ns && ns !== user.username && !user.organizations.some((o) => o.name === ns) && <FormSelectOption value={`ns:${ns}`} label={ns} />}
            </FormSelect>
          )
        }
      />
    </>
  );
}
