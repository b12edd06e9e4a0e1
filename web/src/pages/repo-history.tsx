import { Alert, Button, Label, SearchInput, Spinner } from '@patternfly/react-core';
import { useQueryClient } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { api, ok } from '../api/client';
import { t } from '../i18n';
import { Bones, Digest, Time } from '../ui/bits';
import { useDialogs } from '../ui/dialogs';
import { bytes, duration } from '../ui/format';
import { useRows } from '../ui/infinite';
import { Link, repoPath, useGo, withSearch } from '../ui/link';
import { ProblemPage } from '../ui/problem';
import { useBoot } from '../ui/session';
import { useTagActions, type Tag } from './repo-tags';
import type { Repository } from './repository';

/** live is whether a span of a tag's history is what it points to now. */
export const live = (x: Pick<Tag, 'end_ts'>, now = Date.now() / 1000) => x.end_ts === undefined || x.end_ts > now;

export type Line = { name: string; spans: Tag[] };

/** linesOf puts the spans of each tag together: tags in the order of their newest span, spans the newest first. */
export function linesOf(spans: Tag[]): Line[] {
  const lines = new Map<string, Line>();
  for (const s of spans) {
    const line = lines.get(s.name) ?? { name: s.name, spans: [] };
    line.spans.push(s);
    lines.set(s.name, line);
  }
  return [...lines.values()];
}

/** TimeMachine shows what each tag pointed to, and brings it back. */
export default function TimeMachine({ r }: { r: Repository }) {
  const repo = `${r.namespace}/${r.name}`;
  const { tag = '' } = useSearch({ strict: false });
  const boot = useBoot();
  const go = useGo();
  const dialogs = useDialogs();
  const client = useQueryClient();
  const acts = useTagActions(repo);
  const [text, setText] = useState(tag);
  useEffect(() => setText(tag), [tag]);
  useEffect(() => {
    if (text === tag) return;
    const timer = setTimeout(() => go(withSearch(repoPath(repo), { tab: 'history', tag: text }), true), 250);
    return () => clearTimeout(timer);
  }, [text, tag]);
  const data = useRows(['repository', repo, 'history', tag], async (next) => {
    const page = next ? Number(next) : 1;
    const a = await ok(api.GET('/repository/{repo}/tag', { params: { path: { repo }, query: { limit: 100, page, filter_tag_name: tag ? `like:${tag}` : undefined } } }));
    return { rows: a.tags, next: a.has_additional ? String(page + 1) : '' };
  });
  const lines = linesOf(data.rows);
  const restore = (x: Tag, now: Tag | undefined) =>
    dialogs.confirm({
      title: t('Restore {tag}?', { tag: x.name }),
      text: now ? t('It points to another image now, which stays in the history.') : t('The tag was deleted. It comes back with this image.'),
      action: t('Restore'),
      submit: async () => {
        await acts.restore(x.name, x.manifest_digest);
        dialogs.toast(t('{tag} was restored', { tag: x.name }), now ? { undo: () => void acts.restore(x.name, now.manifest_digest).catch(acts.fail) } : {});
      },
    });
  const forget = (x: Tag) =>
    dialogs.confirm({
      title: t('Delete this part of the history for good?'),
      text: t('Nobody can restore it then.'),
      action: t('Delete for good'),
      typed: x.name,
      submit: async () => {
        await api.POST('/repository/{repo}/tag/{tag}/expire', { params: { path: { repo, tag: x.name } }, body: { manifest_digest: x.manifest_digest, is_alive: live(x), include_submanifests: true } });
        await client.invalidateQueries({ queryKey: ['repository', repo] });
      },
    });
  return (
    <>
      <div className="g-tools">
        <div className="g-grow">
          <SearchInput value={text} onChange={(_, v) => setText(v)} onClear={() => setText('')} placeholder={t('Part of a tag’s name')} aria-label={t('Filter tags')} />
        </div>
        <span className="g-quiet">{t('What was deleted or moved can be restored for {time}.', { time: duration(r.tag_expiration_s) })}</span>
      </div>
      {data.error !== undefined && <ProblemPage error={data.error} onAgain={data.more} />}
      {data.loading && lines.length === 0 && <Bones rows={6} />}
      {!data.loading && lines.length === 0 && !data.error && <Alert isInline variant="info" title={t('There is no history yet')}>{t('Each push to a tag is kept here, and can be brought back with one click.')}</Alert>}
      {lines.map((line) => {
        const now = line.spans.find((x) => live(x));
        return (
          <section key={line.name} className="g-section g-history" aria-label={line.name}>
            <div className="g-row">
              <h2 className="pf-v6-c-title pf-m-md">{now ? <Link href={repoPath(repo, `/tag/${encodeURIComponent(line.name)}`)}>{line.name}</Link> : line.name}</h2>
              {!now && <Label isCompact color="red">{t('Deleted')}</Label>}
            </div>
            <ol className="g-line">
              {line.spans.map((x) => {
                const is = live(x);
                return (
                  <li key={`${x.start_ts}-${x.manifest_digest}-${x.end_ts}`} className={is ? 'g-now' : undefined}>
                    <Digest value={x.manifest_digest} />
                    <span className="g-quiet">{bytes(x.size)}</span>
                    <span>
                      <Time value={x.start_ts} /> – {is ? (x.end_ts ? <Time value={x.end_ts} /> : t('now')) : <Time value={x.end_ts} />}
                    </span>
                    {x.reversion && <Label isCompact color="teal">{t('Restored')}</Label>}
                    {is && <Label isCompact color="green">{t('Now')}</Label>}
                    {!is && r.can_write && x.manifest_digest !== now?.manifest_digest && (
                      <Button variant="secondary" size="sm" isDisabled={now?.immutable} onClick={() => restore(x, now)} aria-label={t('Restore {tag} as of {digest}', { tag: x.name, digest: x.manifest_digest.slice(7, 19) })}>
                        {t('Restore')}
                      </Button>
                    )}
                    {!is && r.can_admin && boot.config.PERMANENTLY_DELETE_TAGS && (
                      <Button variant="link" isDanger size="sm" onClick={() => forget(x)}>
                        {t('Delete for good')}
                      </Button>
                    )}
                  </li>
                );
              })}
            </ol>
          </section>
        );
      })}
      {data.loading && lines.length > 0 && <Spinner size="md" aria-label={t('Loading')} />}
      {data.more && !data.loading && !data.error && (
        <Button variant="link" onClick={data.more}>
          {t('Load more')}
        </Button>
      )}
    </>
  );
}
