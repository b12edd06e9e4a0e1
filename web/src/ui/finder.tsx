import { Modal, ModalBody, ModalHeader, Spinner, TextInput } from '@patternfly/react-core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useDeferredValue, useEffect, useRef, useState } from 'react';
import { api, ok } from '../api/client';
import { t } from '../i18n';
import { Face } from './bits';
import { repoPath, useGo } from './link';
import { ProblemAlert } from './problem';
import { useUser } from './session';

export type Hit = { key: string; title: string; kind: string; href: string; color?: string };

type Found = Awaited<ReturnType<typeof find>>[number];

const find = async (query: string) => (await ok(api.GET('/find/all', { params: { query: { query } } }))).results;

/** hitOf is where a thing that was found is shown. */
export function hitOf(r: Found): Hit {
  switch (r.kind) {
    case 'repository': {
      const repo = `${r.namespace.name}/${r.name}`;
      return { key: `r/${repo}`, title: repo, kind: t('Repository'), href: repoPath(repo), color: r.namespace.avatar.color };
    }
    case 'organization':
      return { key: `o/${r.name}`, title: r.name, kind: t('Organization'), href: `/organization/${encodeURIComponent(r.name)}`, color: r.avatar.color };
    case 'team': {
      const org = r.organization?.name ?? '';
      return { key: `t/${org}/${r.name}`, title: `${org}/${r.name}`, kind: t('Team'), href: `/organization/${encodeURIComponent(org)}/teams/${encodeURIComponent(r.name)}`, color: r.avatar.color };
    }
    case 'robot': {
      const ns = r.name.split('+')[0] ?? '';
      return { key: `b/${r.name}`, title: r.name, kind: t('Robot'), href: `${r.organization ? '/organization/' : '/user/'}${encodeURIComponent(ns)}?tab=robots&q=${encodeURIComponent(r.name)}`, color: r.avatar.color };
    }
  }
  return { key: `u/${r.name}`, title: r.name, kind: t('User'), href: `/user/${encodeURIComponent(r.name)}`, color: r.avatar.color };
}

/** Finder is the search that opens with ⌘K: names of all kinds, and the console's own pages. */
export default function Finder({ close }: { close: () => void }) {
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const query = useDeferredValue(text.trim());
  const go = useGo();
  const user = useUser();
  const list = useRef<HTMLUListElement>(null);
  const found = useQuery({ queryKey: ['find', query], queryFn: () => find(query), enabled: query !== '', placeholderData: keepPreviousData, staleTime: 30_000 });
  const pages: Hit[] = user
    ? [
        { key: 'p1', title: t('Repositories'), kind: t('Page'), href: '/repository' },
        { key: 'p2', title: t('Organizations'), kind: t('Page'), href: '/organization' },
        { key: 'p3', title: t('Robots'), kind: t('Page'), href: `/user/${user.username}?tab=robots` },
        { key: 'p4', title: t('Push and pull'), kind: t('Page'), href: '/guide' },
      ]
    : [{ key: 'p1', title: t('Repositories'), kind: t('Page'), href: '/repository' }];
  const low = text.trim().toLowerCase();
  const hits = [...(query ? (found.data ?? []).map(hitOf) : []), ...pages.filter((p) => p.title.toLowerCase().includes(low))];
  if (query) hits.push({ key: 'all', title: t('All repositories with “{query}”', { query }), kind: t('Search'), href: `/search?q=${encodeURIComponent(query)}` });
  useEffect(() => setAt(0), [query]);
  const open = (h: Hit | undefined) => {
    if (!h) return;
    close();
    go(h.href);
  };
  return (
    <Modal isOpen onClose={close} variant="medium" position="top" aria-labelledby="find-title" elementToFocus="#finder input">
      <ModalHeader title={t('Search')} labelId="find-title" />
      <ModalBody>
        <div
          id="finder"
          onKeyDown={(e) => {
            if (e.key === 'ArrowDown') setAt((at + 1) % hits.length);
            else if (e.key === 'ArrowUp') setAt((at - 1 + hits.length) % hits.length);
            else if (e.key === 'Enter') open(hits[at]);
            else return;
            e.preventDefault();
          }}
        >
          <TextInput
            value={text}
            onChange={(_, v) => setText(v)}
            type="search"
            aria-label={t('Search')}
            placeholder={t('Repositories, organizations, users, robots, teams')}
            role="combobox"
            aria-expanded={hits.length > 0}
            aria-controls="finder-list"
            aria-autocomplete="list"
            aria-activedescendant={hits[at] ? `hit-${at}` : undefined}
            autoComplete="off"
            spellCheck={false}
          />
        </div>
        <ProblemAlert error={found.error} onAgain={() => void found.refetch()} />
        <ul className="g-options g-static" id="finder-list" role="listbox" aria-label={t('Found')} ref={list}>
          {hits.map((h, i) => (
            <li key={h.key} id={`hit-${i}`} role="option" aria-selected={i === at} onMouseEnter={() => setAt(i)} onClick={() => open(h)}>
              {h.color ? <Face name={h.title.split('/').pop()!} color={h.color} square={h.kind !== t('User')} /> : <span className="g-face" />} <span className="g-grow g-clip">{h.title}</span> <span className="g-quiet">{h.kind}</span>
            </li>
          ))}
        </ul>
        {found.isFetching && <Spinner size="md" aria-label={t('Loading')} />}
        {query && !found.isFetching && found.data?.length === 0 && <p className="g-quiet">{t('No name begins like that.')}</p>}
      </ModalBody>
    </Modal>
  );
}
