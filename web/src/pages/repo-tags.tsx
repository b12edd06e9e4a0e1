import { Button, FormSelect, FormSelectOption, Label, SearchInput } from '@patternfly/react-core';
import { CheckCircleIcon } from '@patternfly/react-icons/dist/esm/icons/check-circle-icon';
import { LockIcon } from '@patternfly/react-icons/dist/esm/icons/lock-icon';
import { useQueryClient } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { hostOf } from '../api/boot';
import { api, type Schemas } from '../api/client';
import { t } from '../i18n';
import { CopyButton, Digest, Time } from '../ui/bits';
import { useDialogs } from '../ui/dialogs';
import { bytes } from '../ui/format';
import { WillFree } from '../ui/freed';
import { useRows } from '../ui/infinite';
import { Link, repoPath, useGo, withSearch } from '../ui/link';
import { Menu } from '../ui/menu';
import { useBoot } from '../ui/session';
import { DataTable, type Column } from '../ui/table';
import { tagsKey, tagsPage, type TagFilter } from '../ui/tags-page';
import { Commands } from './guide';
import type { Repository } from './repository';
import { useUser } from '../ui/session';

export type Tag = Schemas['Tag'];

/** tagName says what is wrong with a tag's name; undefined = nothing. */
export const tagName = (v: string) => (/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(v) ? undefined : t('At most 128 letters, digits, dots, dashes and underscores'));

const local = (seconds: number) => {
  const d = new Date(seconds * 1000);
  return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};

/** useTagActions are what can be done to a tag. after is called when a tag is gone. */
export function useTagActions(repo: string, after?: () => void) {
  const dialogs = useDialogs();
  const client = useQueryClient();
  const refresh = () => client.invalidateQueries({ queryKey: ['repository', repo] });
  const put = async (tag: string, body: { manifest_digest?: string; expiration?: number | null; immutable?: boolean }) => {
    await api.PUT('/repository/{repo}/tag/{tag}', { params: { path: { repo, tag } }, body });
    await refresh();
  };
  const restore = async (tag: string, manifest_digest: string) => {
    await api.POST('/repository/{repo}/tag/{tag}/restore', { params: { path: { repo, tag } }, body: { manifest_digest } });
    await refresh();
  };
  const fail = (err: unknown) => dialogs.toast(t('That did not work'), { variant: 'danger', text: err instanceof Error ? err.message : '' });
  return {
    put,
    restore,
    fail,
    refresh,
    add: (tag: Pick<Tag, 'name' | 'manifest_digest'>) =>
      dialogs.form({
        title: t('Add another tag to the image of {tag}', { tag: tag.name }),
        text: t('A tag of that name is moved; the time machine keeps what it pointed to.'),
        fields: [{ name: 'name', label: t('Name of the tag'), check: tagName }],
        action: t('Add the tag'),
        submit: async ({ name = '' }) => {
          await put(name, { manifest_digest: tag.manifest_digest });
          dialogs.toast(t('{tag} points to the image now', { tag: name }));
        },
      }),
    move: (tag: Pick<Tag, 'name' | 'manifest_digest'>) =>
      dialogs.form({
        title: t('Move {tag}', { tag: tag.name }),
        text: t('Point the tag to another image of this repository.'),
        fields: [{ name: 'digest', label: t('Digest of the image'), check: (v) => (/^sha(256|512):[0-9a-f]{64,128}$/.test(v.trim()) ? undefined : t('A digest such as sha256:0123…, which each tag’s row copies')) }],
        action: t('Move'),
        submit: async ({ digest = '' }) => {
          await put(tag.name, { manifest_digest: digest.trim() });
          dialogs.toast(t('{tag} was moved', { tag: tag.name }), { undo: () => void restore(tag.name, tag.manifest_digest).catch(fail) });
        },
      }),
    expire: (tags: Pick<Tag, 'name' | 'end_ts'>[]) =>
      dialogs.form({
        title: tags.length === 1 ? t('When does {tag} expire?', { tag: tags[0]!.name }) : t('When do {n} tags expire?', { n: tags.length }),
        text: t('An expired tag is deleted; the time machine can bring it back for a while.'),
        fields: [
          { name: 'kind', label: t('Expiry'), kind: 'select', initial: tags[0]?.end_ts ? 'at' : 'never', options: [{ value: 'never', label: t('Never') }, { value: 'at', label: t('At a time') }] },
          {
            name: 'at',
            label: t('Time'),
            kind: 'datetime-local',
            initial: local(tags[0]?.end_ts ?? Date.now() / 1000 + 7 * 86400),
            shown: (v) => v.kind === 'at',
            check: (v) => (new Date(v).getTime() > Date.now() ? undefined : t('A time in the future')),
            help: t('In your time zone, {zone}', { zone: Intl.DateTimeFormat().resolvedOptions().timeZone }),
          },
        ],
        action: t('Save'),
        submit: async (v) => {
          const expiration = v.kind === 'at' ? Math.floor(new Date(v.at ?? '').getTime() / 1000) : null;
          for (const x of tags) await api.PUT('/repository/{repo}/tag/{tag}', { params: { path: { repo, tag: x.name } }, body: { expiration } });
          await refresh();
          dialogs.toast(t('The expiry was set'));
        },
      }),
    fix: (tag: Pick<Tag, 'name' | 'immutable'>) =>
      dialogs.confirm({
        title: tag.immutable ? t('Let {tag} change again?', { tag: tag.name }) : t('Make {tag} immutable?', { tag: tag.name }),
        text: tag.immutable ? t('It can be moved and deleted then.') : t('Nobody can move, delete or expire it then. Only an administrator of the repository can undo this.'),
        action: tag.immutable ? t('Let it change') : t('Make it immutable'),
        submit: () => put(tag.name, { immutable: !tag.immutable }),
      }),
    remove: (tags: Pick<Tag, 'name' | 'manifest_digest'>[]) =>
      dialogs.confirm({
        title: tags.length === 1 ? t('Delete the tag {tag}?', { tag: tags[0]!.name }) : t('Delete {n} tags?', { n: tags.length }),
        text: (
          <>
            <p>{t('The time machine can bring tags back as long as it reaches.')}</p>
            <WillFree repo={repo} tags={tags.map((x) => x.name)} />
          </>
        ),
        action: t('Delete'),
        typed: tags.length > 5 ? t('delete {n}', { n: tags.length }) : undefined,
        submit: async () => {
          const gone: typeof tags = [];
          try {
            for (const x of tags) {
              await api.DELETE('/repository/{repo}/tag/{tag}', { params: { path: { repo, tag: x.name } } });
              gone.push(x);
            }
          } finally {
            await refresh();
          }
          after?.();
          dialogs.toast(t('{n} tag deleted|{n} tags deleted', { n: gone.length }), {
            undo: () => void Promise.all(gone.map((x) => restore(x.name, x.manifest_digest))).catch(fail),
          });
        },
      }),
  };
}

// The architectures that can be chosen; an address may ask for another one.
const common = ['amd64', 'arm64', 'arm', 'ppc64le', 's390x', 'riscv64', '386'];

/** architectures are those of a tag's image, shortly. */
export function architectures(x: Pick<Tag, 'platforms'>): string {
  const all = [...new Set((x.platforms ?? []).map((p) => p.split('/')[1] ?? ''))];
  return all.length > 3 ? t('{some} and {n} more', { some: all.slice(0, 2).join(', '), n: all.length - 2 }) : all.join(', ');
}

/** Tags lists the tags of a repository, the newest first. */
export default function Tags({ r }: { r: Repository }) {
  const repo = `${r.namespace}/${r.name}`;
  const { q = '', arch = '', signed = '' } = useSearch({ strict: false });
  const boot = useBoot();
  const user = useUser();
  const go = useGo();
  const acts = useTagActions(repo);
  const [text, setText] = useState(q);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const filter = (f: TagFilter) => go(withSearch(repoPath(repo), { q, arch, signed, ...f }), true);
  useEffect(() => setText(q), [q]);
  useEffect(() => {
    if (text === q) return;
    const timer = setTimeout(() => filter({ q: text }), 250);
    return () => clearTimeout(timer);
  }, [text, q]);
  const data = useRows(tagsKey(repo, { q, arch, signed }), (next) => tagsPage(repo, { q, arch, signed }, next), { every: 60_000 });
  const picked = data.rows.filter((x) => chosen.has(x.name));
  const free = picked.filter((x) => !x.immutable);
  const columns: Column<Tag>[] = [
    {
      key: 'name',
      title: t('Tag'),
      cell: (x) => (
        <span className="g-row">
          <Link href={repoPath(repo, `/tag/${encodeURIComponent(x.name)}`)}>{x.name}</Link>
          {x.immutable && (
            <Label isCompact icon={<LockIcon />} color="blue">
              {t('Immutable')}
            </Label>
          )}
          {x.signed && (
            <Label isCompact icon={<CheckCircleIcon />} color="green">
              {t('Signed')}
            </Label>
          )}
        </span>
      ),
    },
    { key: 'architecture', title: t('Architecture'), wide: true, cell: (x) => <span title={x.platforms?.join(', ')}>{architectures(x)}</span> },
    { key: 'size', title: t('Size'), narrow: true, right: true, cell: (x) => bytes(x.size) },
    { key: 'modified', title: t('Pushed'), narrow: true, cell: (x) => <Time value={x.start_ts} /> },
    { key: 'expires', title: t('Expires'), narrow: true, wide: true, cell: (x) => <Time value={x.end_ts} never={t('Never')} /> },
    { key: 'digest', title: t('Digest'), narrow: true, wide: true, cell: (x) => <Digest value={x.manifest_digest} /> },
    { key: 'pull', title: '', narrow: true, wide: true, cell: (x) => <CopyButton text={`podman pull ${hostOf(boot)}/${repo}:${x.name}`} label={t('Copy the pull command of {tag}', { tag: x.name })} /> },
    ...(r.can_write
      ? [
          {
            key: 'menu',
            title: '',
            narrow: true,
            cell: (x: Tag) => (
              <Menu
                label={t('Actions for {name}', { name: x.name })}
                items={[
                  { label: t('Add another tag'), onClick: () => acts.add(x) },
                  { label: t('Move'), onClick: () => acts.move(x), off: x.immutable, why: t('It is immutable') },
                  { label: t('Change the expiry'), onClick: () => acts.expire([x]), off: x.immutable, why: t('It is immutable') },
                  boot.features.IMMUTABLE_TAGS && (r.can_admin || !x.immutable) && { label: x.immutable ? t('Let it change') : t('Make it immutable'), onClick: () => acts.fix(x) },
                  { label: t('Delete'), danger: true, onClick: () => acts.remove([x]), off: x.immutable, why: t('It is immutable') },
                ]}
              />
            ),
          },
        ]
      : []),
  ];
  const filtered = !!(q || arch || signed);
  const nothing = data.rows.length === 0 && !data.loading && !data.more && !data.error && !filtered;
  return (
    <>
      {!nothing && (
        <div className="g-tools">
          <div className="g-grow">
            <SearchInput value={text} onChange={(_, v) => setText(v)} onClear={() => setText('')} placeholder={t('Part of a tag’s name')} aria-label={t('Filter tags')} />
          </div>
          <FormSelect aria-label={t('Architecture')} className="g-auto" value={arch} onChange={(_, v) => filter({ arch: v })}>
            <FormSelectOption value="" label={t('Any architecture')} />
            {[...new Set([...common, ...(arch ? [arch] : [])])].map((a) => (
              <FormSelectOption key={a} value={a} label={a} />
            ))}
          </FormSelect>
          <FormSelect aria-label={t('Signature')} className="g-auto" value={signed} onChange={(_, v) => filter({ signed: v })}>
            <FormSelectOption value="" label={t('Signed or not')} />
            <FormSelectOption value="true" label={t('Signed')} />
            <FormSelectOption value="false" label={t('Not signed')} />
          </FormSelect>
          {picked.length === 2 && (
            <Button variant="secondary" onClick={() => go(withSearch(repoPath(repo, '/compare'), { a: picked[1]!.name, b: picked[0]!.name }))}>
              {t('Compare the two')}
            </Button>
          )}
          {r.can_write && free.length > 0 && (
            <>
              <Button variant="secondary" onClick={() => acts.expire(free)}>
                {t('Change the expiry')}
              </Button>
              <Button variant="danger" onClick={() => acts.remove(free)}>
                {t('Delete {n}', { n: free.length })}
              </Button>
            </>
          )}
        </div>
      )}
      <DataTable
        label={t('Tags')}
        columns={columns}
        {...data}
        rowKey={(x) => x.name}
        selected={chosen}
        onSelect={setChosen}
        empty={
          filtered
            ? { title: arch || signed ? t('No tag is like that') : t('No tag has that in its name'), text: arch && t('Of images that were pushed to an older release the architecture is noted within a day of the upgrade.'), action: <Button variant="link" onClick={() => filter({ q: '', arch: '', signed: '' })}>{t('Show all')}</Button> }
            : { title: t('There is no tag yet'), text: t('Push an image, and it arrives here.') }
        }
      />
      {nothing && user && r.can_write && <Commands account={user.username} repo={repo} />}
    </>
  );
}
