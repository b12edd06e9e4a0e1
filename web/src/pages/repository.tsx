import { Label, Title } from '@patternfly/react-core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useParams, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { api, ok, type Schemas } from '../api/client';
import { code } from '../code';
import { t } from '../i18n';
import { Load } from '../ui/bits';
import { Crumbs, TabBar } from '../ui/frame';
import { later } from '../ui/later';
import { repoPath, useTitle } from '../ui/link';
import { useAgain, useBeats, useWatch } from '../ui/live';
import { useBoot } from '../ui/session';
import { tagsKey, tagsPage } from '../ui/tags-page';
import { Uploads } from '../ui/uploads';

export type Repository = Schemas['Repository'];

const Information = later(() => import('./repo-information').then((m) => m.default));
const Tags = later(() => code.tags().then((m) => m.default));
const TimeMachine = later(() => import('./repo-history').then((m) => m.default));
const RepoLogs = later(() => import('./repo-logs').then((m) => m.default));
const RepoSettings = later(() => import('./repo-settings').then((m) => m.default));
const RepoRules = later(() => import('./repo-settings').then((m) => m.RepoRules));
const RepoMirror = later(() => import('../ui/mirror').then((m) => m.RepoMirror));
const TagPage = later(() => code.tag().then((m) => m.default));
const Compare = later(() => code.compare().then((m) => m.default));
const Repositories = later(() => code.repositories().then((m) => m.Repositories));

/** A Place is what the part of an address behind /repository/ means. */
export type Place = { repo: string; tag?: string; digest?: string; compare?: boolean };

/** placeOf reads an address: namespace/name, where the name may hold slashes, and a tag, a manifest or a comparison below it. */
export function placeOf(splat: string): Place {
  const parts = splat.split('/').filter(Boolean);
  const last = parts.at(-1);
  const before = parts.at(-2);
  if (parts.length > 3 && before === 'tag' && last) return { repo: parts.slice(0, -2).join('/'), tag: last };
  if (parts.length > 3 && before === 'manifest' && last) return { repo: parts.slice(0, -2).join('/'), digest: last };
  if (parts.length > 2 && last === 'compare') return { repo: parts.slice(0, -1).join('/'), compare: true };
  return { repo: parts.join('/') };
}

/** RepositoryPlace is everything below /repository, and /repository itself. */
export function RepositoryPlace() {
  const { _splat = '' } = useParams({ strict: false });
  const place = placeOf(_splat);
  if (!place.repo) return <Repositories />;
  if (place.compare) return <Compare repo={place.repo} />;
  if (place.tag || place.digest) return <TagPage key={_splat} {...place} />;
  return <RepositoryPage key={place.repo} repo={place.repo} />;
}

/** useRepository is a repository without its tags. */
export function useRepository(repo: string) {
  return useQuery({
    queryKey: ['repository', repo, 'info'],
    queryFn: () => ok(api.GET('/repository/{repo}', { params: { path: { repo }, query: { includeTags: 'false' } } })),
  });
}

/** RepoHead is above every page of a repository. */
export function RepoHead({ r }: { r: Repository }) {
  const repo = `${r.namespace}/${r.name}`;
  return (
    <>
      <Crumbs
        items={[
          { href: '/repository', text: t('Repositories') },
          { href: r.is_organization ? `/organization/${encodeURIComponent(r.namespace)}` : `/repository?ns=${encodeURIComponent(r.namespace)}`, text: r.namespace },
        ]}
      />
      <div className="g-head">
        <Title headingLevel="h1">{repo}</Title>
        <Label isCompact color={r.is_public ? 'green' : 'grey'}>{r.is_public ? t('Public') : t('Private')}</Label>
        {r.state === 'READ_ONLY' && <Label isCompact color="orange">{t('Read-only')}</Label>}
        {(r.state === 'MIRROR' || r.state === 'ORG_MIRROR') && <Label isCompact color="teal">{t('Mirror')}</Label>}
      </div>
    </>
  );
}

function RepositoryPage({ repo }: { repo: string }) {
  const { tab = 'tags', q, arch, signed } = useSearch({ strict: false });
  const client = useQueryClient();
  const query = useRepository(repo);
  // The tags and their code are asked for together with the repository, not after it.
  useState(() => {
    if (tab !== 'tags') return;
    void Tags.fetch();
    void client.prefetchInfiniteQuery({ queryKey: tagsKey(repo, { q, arch, signed }), queryFn: ({ pageParam }) => tagsPage(repo, { q, arch, signed }, pageParam), initialPageParam: '' });
  });
  const boot = useBoot();
  const again = useAgain(['repository', repo]);
  const [uploads, hear] = useBeats();
  const heard = useWatch(`repository/${repo}`, (n) => {
    hear(n);
    if (n.changed && !n.id) again();
  });
  useTitle(repo);
  const base = repoPath(repo);
  return (
    <Load query={query}>
      {(r) => (
        <>
          <RepoHead r={r} />
          <TabBar
            at={tab}
            base={base}
            first="tags"
            tabs={[
              { key: 'tags', title: t('Tags') },
              { key: 'information', title: t('Information') },
              { key: 'history', title: t('Time machine') },
              r.can_admin && { key: 'logs', title: t('Usage logs') },
              r.can_admin && (boot.features.AUTO_PRUNE || boot.features.IMMUTABLE_TAGS) && { key: 'rules', title: t('Rules for tags') },
              r.can_admin && (boot.features.REPO_MIRROR || r.state === 'ORG_MIRROR') && { key: 'mirror', title: t('Mirror') },
              r.can_admin && { key: 'settings', title: t('Settings') },
            ]}
          />
          {tab === 'information' ? <Information r={r} /> : tab === 'history' ? <TimeMachine r={r} /> : tab === 'logs' ? <RepoLogs repo={repo} /> : tab === 'rules' ? <RepoRules repo={repo} /> : tab === 'mirror' ? <RepoMirror repo={repo} namespace={r.namespace} organization={r.is_organization} /> : tab === 'settings' ? <RepoSettings r={r} /> : <Tags r={r} />}
          {heard && <Uploads list={[...uploads.values()]} />}
        </>
      )}
    </Load>
  );
}
