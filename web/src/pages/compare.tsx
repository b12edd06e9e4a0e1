import { Label, Title } from '@patternfly/react-core';
import { useQuery } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { api, ok, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Digest, Load } from '../ui/bits';
import { bytes } from '../ui/format';
import { Crumbs, Section } from '../ui/frame';
import { repoPath, useTitle } from '../ui/link';
import { DataTable } from '../ui/table';

type Manifest = Schemas['Manifest'];
type Layer = Schemas['Layer'];

export type Change = { key: string; a?: string; b?: string };

/** layersOf tells which layers both images have, and which only one. */
export function layersOf(a: Layer[], b: Layer[]): { layer: Layer; side: 'both' | 'a' | 'b' }[] {
  const inA = new Set(a.map((x) => x.blob_digest));
  const inB = new Set(b.map((x) => x.blob_digest));
  return [
    ...a.filter((x) => inB.has(x.blob_digest)).map((layer) => ({ layer, side: 'both' as const })),
    ...a.filter((x) => !inB.has(x.blob_digest)).map((layer) => ({ layer, side: 'a' as const })),
    ...b.filter((x) => !inA.has(x.blob_digest)).map((layer) => ({ layer, side: 'b' as const })),
  ];
}

/** changesOf are the values of two documents that differ, by their path. */
export function changesOf(a: unknown, b: unknown, path = ''): Change[] {
  if (JSON.stringify(a) === JSON.stringify(b)) return [];
  const object = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null && !Array.isArray(x);
  if (object(a) && object(b)) {
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].sort().flatMap((k) => changesOf(a[k], b[k], path ? `${path}.${k}` : k));
  }
  const text = (x: unknown) => (x === undefined ? undefined : typeof x === 'string' ? x : JSON.stringify(x));
  return [{ key: path, a: text(a), b: text(b) }];
}

async function get(repo: string, tag: string): Promise<Manifest & { tag: string }> {
  const list = await ok(api.GET('/repository/{repo}/tag', { params: { path: { repo }, query: { specificTag: tag, onlyActiveTags: 'true', limit: 1 } } }));
  const digest = list.tags[0]?.manifest_digest;
  if (!digest) throw new Error(t('There is no tag {tag}. The time machine may have it.', { tag }));
  return { ...(await ok(api.GET('/repository/{repo}/manifest/{digest}', { params: { path: { repo, digest }, query: { includeConfig: 'true' } } }))), tag };
}

/** Compare shows how two tags differ. */
export default function Compare({ repo }: { repo: string }) {
  const { a = '', b = '' } = useSearch({ strict: false });
  useTitle(t('Compare {a} and {b}', { a, b }));
  const query = useQuery({ queryKey: ['repository', repo, 'compare', a, b], queryFn: () => Promise.all([get(repo, a), get(repo, b)]) });
  return (
    <>
      <Crumbs items={[{ href: '/repository', text: t('Repositories') }, { href: repoPath(repo), text: repo }]} />
      <div className="g-head">
        <Title headingLevel="h1">{t('Compare {a} and {b}', { a, b })}</Title>
      </div>
      <Load query={query}>
        {([x, y]) => {
          const rows = layersOf(x.layers ?? [], y.layers ?? []);
          const { history: _h, rootfs: _r, ...ca } = (x.config ?? {}) as Record<string, unknown>;
          const { history: _h2, rootfs: _r2, ...cb } = (y.config ?? {}) as Record<string, unknown>;
          const size = (side: string) => rows.filter((r) => r.side === side).reduce((n, r) => n + r.layer.compressed_size, 0);
          return (
            <>
              <Section title={t('Images')}>
                <dl className="g-facts">
                  {[x, y].map((m) => (
                    <div key={m.tag} className="g-contents">
                      <dt>{m.tag}</dt>
                      <dd>
                        <Digest value={m.digest} /> {bytes(m.layers_compressed_size)}
                      </dd>
                    </div>
                  ))}
                  <dt>{t('Shared')}</dt>
                  <dd>{bytes(size('both'))}</dd>
                  <dt>{t('Only in {tag}', { tag: a })}</dt>
                  <dd>{bytes(size('a'))}</dd>
                  <dt>{t('Only in {tag}', { tag: b })}</dt>
                  <dd>{bytes(size('b'))}</dd>
                </dl>
              </Section>
              <Section title={t('Layers')}>
                <DataTable
                  label={t('Layers')}
                  rows={rows}
                  rowKey={(r) => `${r.side}-${r.layer.index}`}
                  empty={{ title: t('There are no layers'), text: x.digest === y.digest ? t('Both tags are the same image.') : undefined }}
                  columns={[
                    { key: 'side', title: t('In'), narrow: true, cell: (r) => <Label isCompact color={r.side === 'both' ? 'grey' : r.side === 'a' ? 'orange' : 'green'}>{r.side === 'both' ? t('Both') : r.side === 'a' ? a : b}</Label> },
                    { key: 'command', title: t('Command'), cell: (r) => <code>{r.layer.command?.join(' ') ?? r.layer.blob_digest.slice(0, 19)}</code> },
                    { key: 'size', title: t('Size'), narrow: true, right: true, cell: (r) => bytes(r.layer.compressed_size) },
                  ]}
                />
              </Section>
              <Section title={t('Configuration')}>
                <DataTable
                  label={t('Configuration')}
                  rows={changesOf(ca, cb)}
                  rowKey={(r) => r.key}
                  empty={{ title: t('The configurations are the same') }}
                  columns={[
                    { key: 'key', title: t('Field'), cell: (r) => <code>{r.key}</code> },
                    { key: 'a', title: a, cell: (r) => r.a ?? '–' },
                    { key: 'b', title: b, cell: (r) => r.b ?? '–' },
                  ]}
                />
              </Section>
            </>
          );
        }}
      </Load>
    </>
  );
}
