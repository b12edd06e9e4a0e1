import { Button, Label, Title } from '@patternfly/react-core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { hostOf } from '../api/boot';
import { api, ok, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Command, Digest, Load, Time } from '../ui/bits';
import { useDialogs } from '../ui/dialogs';
import { bytes } from '../ui/format';
import { LazyMarkdown } from '../ui/lazy-markdown';
import { Crumbs, Section } from '../ui/frame';
import { Link, repoPath, useGo, useTitle, withSearch } from '../ui/link';
import { Menu } from '../ui/menu';
import { ProblemPage } from '../ui/problem';
import { useBoot } from '../ui/session';
import { DataTable } from '../ui/table';
import { Problem } from '../api/client';
import { useRepository, type Place, type Repository } from './repository';
import { useTagActions, type Tag } from './repo-tags';

type Manifest = Schemas['Manifest'];
type ArtifactDocument = Schemas['ArtifactDocument'];

export type Platform = { digest: string; size: number; mediaType: string; platform: string; artifactType?: string };

type RawManifest = {
  manifests?: { digest: string; size: number; mediaType: string; artifactType?: string; platform?: { os?: string; architecture?: string; variant?: string; 'os.version'?: string }; annotations?: Record<string, string> }[];
  annotations?: Record<string, string>;
  artifactType?: string;
  config?: { mediaType?: string };
};

export function rawOf(m: Manifest): RawManifest {
  try {
    return JSON.parse(m.manifest_data) as RawManifest;
  } catch {
    return {};
  }
}

/** platformsOf are the images of an index. Attestations that BuildKit hides among them say so. */
export function platformsOf(raw: RawManifest): Platform[] {
  return (raw.manifests ?? []).map((x) => ({
    digest: x.digest,
    size: x.size,
    mediaType: x.mediaType,
    artifactType: x.artifactType,
    platform:
      x.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest'
        ? t('Attestation')
        : [x.platform?.os, x.platform?.architecture, x.platform?.variant].filter(Boolean).join('/') || t('Unknown'),
  }));
}

/** kindOfReferrer names what refers to an image by its type. */
export function kindOfReferrer(type: string | undefined): string {
  const s = (type ?? '').toLowerCase();
  if (/cosign|notary|sigstore|signature|notation/.test(s)) return t('Signature');
  if (/spdx|cyclonedx|sbom|syft/.test(s)) return 'SBOM';
  if (/in-toto|attestation|slsa|provenance|dsse/.test(s)) return t('Attestation');
  if (/sarif|vuln|trivy/.test(s)) return t('Scan report');
  if (/model/.test(s)) return t('Model card');
  return t('Other');
}

type ImageConfig = {
  architecture?: string;
  os?: string;
  created?: string;
  author?: string;
  config?: { Env?: string[]; Entrypoint?: string[]; Cmd?: string[]; User?: string; WorkingDir?: string; ExposedPorts?: Record<string, unknown>; Volumes?: Record<string, unknown>; Labels?: Record<string, string> };
};

/** Tag shows what a tag or a digest stands for. */
export default function TagPage({ repo, tag, digest }: Place) {
  const info = useRepository(repo);
  const found = useQuery({
    queryKey: ['repository', repo, 'tag', tag],
    enabled: !!tag,
    queryFn: async () => {
      const a = await ok(api.GET('/repository/{repo}/tag', { params: { path: { repo }, query: { specificTag: tag, onlyActiveTags: 'true', limit: 1 } } }));
      return a.tags[0] ?? null;
    },
  });
  useTitle(`${repo}${tag ? `:${tag}` : ''}`);
  const at = digest ?? found.data?.manifest_digest;
  return (
    <Load query={info}>
      {(r) =>
        tag && found.data === null ? (
          <ProblemPage error={new Problem(404, 'not_found', t('There is no tag {tag}. The time machine may have it.', { tag }))} />
        ) : found.error ? (
          <ProblemPage error={found.error} onAgain={() => void found.refetch()} />
        ) : at ? (
          <Details r={r} repo={repo} tag={found.data ?? undefined} digest={at} />
        ) : (
          <Load query={found as never}>{() => null}</Load>
        )
      }
    </Load>
  );
}

function Details({ r, repo, tag, digest }: { r: Repository; repo: string; tag?: Tag; digest: string }) {
  const boot = useBoot();
  const go = useGo();
  const { view } = useSearch({ strict: false });
  const acts = useTagActions(repo, () => go(repoPath(repo)));
  const manifest = useQuery({
    queryKey: ['repository', repo, 'manifest', digest],
    queryFn: () => ok(api.GET('/repository/{repo}/manifest/{digest}', { params: { path: { repo, digest }, query: { includeConfig: 'true', includeReferrers: 'true', includeDocuments: 'true' } } })),
  });
  const host = hostOf(boot);
  const image = `${host}/${repo}${tag ? `:${tag.name}` : `@${digest}`}`;
  return (
    <>
      <Crumbs items={[{ href: '/repository', text: t('Repositories') }, { href: repoPath(repo), text: repo }]} />
      <div className="g-head">
        <Title headingLevel="h1">{tag ? tag.name : digest.slice(0, 19)}</Title>
        {tag?.immutable && <Label isCompact color="blue">{t('Immutable')}</Label>}
        <span className="g-grow" />
        {tag && <Link href={withSearch(repoPath(repo), { tab: 'history', tag: tag.name })}>{t('Time machine')}</Link>}
        {tag && r.can_write && (
          <Menu
            label={t('Actions for {name}', { name: tag.name })}
            toggle={t('Actions')}
            items={[
              { label: t('Add another tag'), onClick: () => acts.add(tag) },
              { label: t('Move'), onClick: () => acts.move(tag), off: tag.immutable, why: t('It is immutable') },
              { label: t('Change the expiry'), onClick: () => acts.expire([tag]), off: tag.immutable, why: t('It is immutable') },
              boot.features.IMMUTABLE_TAGS && (r.can_admin || !tag.immutable) && { label: tag.immutable ? t('Let it change') : t('Make it immutable'), onClick: () => acts.fix(tag) },
              { label: t('Delete'), danger: true, onClick: () => acts.remove([tag]), off: tag.immutable, why: t('It is immutable') },
            ]}
          />
        )}
      </div>
      <Load query={manifest} rows={8}>
        {(m) => {
          const raw = rawOf(m);
          const helm = m.config_media_type?.includes('helm') === true;
          const config = (m.config ?? undefined) as ImageConfig | undefined;
          return (
            <>
              <div className="g-two">
                <Section title={t('Image')}>
                  <dl className="g-facts">
                    <dt>{t('Digest')}</dt>
                    <dd>
                      <Digest value={digest} />
                    </dd>
                    {!m.is_manifest_list && (
                      <>
                        <dt>{t('Size')}</dt>
                        <dd>{bytes(m.layers_compressed_size)}</dd>
                      </>
                    )}
                    {tag && (
                      <>
                        <dt>{t('Pushed')}</dt>
                        <dd>
                          <Time value={tag.start_ts} />
                        </dd>
                        <dt>{t('Expires')}</dt>
                        <dd>
                          <Time value={tag.end_ts} never={t('Never')} />
                        </dd>
                      </>
                    )}
                    {!helm && <Config c={config} />}
                    {raw.artifactType && (
                      <>
                        <dt>{t('Type')}</dt>
                        <dd>{raw.artifactType}</dd>
                      </>
                    )}
                    {Object.entries(raw.annotations ?? {}).map(([k, v]) => (
                      <Fact key={k} name={k} value={v} />
                    ))}
                  </dl>
                </Section>
                <Section title={t('Pull')}>
                  {helm ? (
                    <Command text={`helm pull oci://${host}/${repo}${tag ? ` --version ${tag.name.replaceAll('_', '+')}` : ''}`} label="Helm" />
                  ) : (
                    <>
                      <Command text={`podman pull ${image}`} label="Podman" />
                      <Command text={`docker pull ${image}`} label="Docker" />
                      {tag && <Command text={`podman pull ${host}/${repo}@${digest}`} label={t('By digest')} />}
                    </>
                  )}
                </Section>
              </div>
              {(helm || !!m.documents?.length) && <Documents documents={m.documents ?? []} chart={helm ? m.config : undefined} />}
              {m.is_manifest_list && (
                <Section title={t('Platforms')}>
                  <DataTable
                    label={t('Platforms')}
                    rows={platformsOf(raw)}
                    rowKey={(x) => x.digest}
                    empty={{ title: t('The index is empty') }}
                    columns={[
                      { key: 'platform', title: t('Platform'), cell: (x) => <Link href={repoPath(repo, `/manifest/${x.digest}`)}>{x.platform}</Link> },
                      { key: 'digest', title: t('Digest'), narrow: true, cell: (x) => <Digest value={x.digest} /> },
                      { key: 'type', title: t('Type'), wide: true, cell: (x) => <span className="g-quiet">{x.artifactType ?? x.mediaType}</span> },
                    ]}
                  />
                </Section>
              )}
              {m.layers && (
                <Section title={t('Layers')} text={t('The last is the first that was added: the base.')}>
                  <DataTable
                    label={t('Layers')}
                    rows={[...m.layers].reverse()}
                    rowKey={(x) => String(x.index)}
                    empty={{ title: t('There are no layers') }}
                    columns={[
                      { key: 'index', title: '#', narrow: true, right: true, cell: (x) => x.index + 1 },
                      { key: 'command', title: t('Command'), cell: (x) => (x.command ? <code>{x.command.join(' ')}</code> : <span className="g-quiet">{x.comment ?? t('Unknown')}</span>) },
                      { key: 'size', title: t('Size'), narrow: true, right: true, cell: (x) => bytes(x.compressed_size) },
                      { key: 'created', title: t('Created'), narrow: true, wide: true, cell: (x) => <Time value={x.created_datetime} /> },
                      { key: 'digest', title: t('Digest'), narrow: true, wide: true, cell: (x) => <Digest value={x.blob_digest} /> },
                    ]}
                  />
                </Section>
              )}
              <Section title={t('Attached to this image')} text={t('Signatures, SBOMs, attestations and other artifacts that name it as their subject.')}>
                <DataTable
                  label={t('Attached to this image')}
                  rows={m.referrers ?? []}
                  rowKey={(x) => x.digest}
                  empty={{ title: t('Nothing is attached'), text: t('cosign sign, oras attach and notation sign attach to an image.') }}
                  columns={[
                    { key: 'kind', title: t('Kind'), narrow: true, cell: (x) => <Label isCompact color="teal">{kindOfReferrer(x.artifactType)}</Label> },
                    { key: 'type', title: t('Type'), cell: (x) => x.artifactType ?? x.mediaType },
                    { key: 'created', title: t('Created'), narrow: true, wide: true, cell: (x) => <Time value={x.annotations?.['org.opencontainers.image.created']} /> },
                    { key: 'digest', title: t('Digest'), narrow: true, cell: (x) => <Link href={repoPath(repo, `/manifest/${x.digest}`)}>{x.digest.slice(0, 19)}</Link> },
                  ]}
                />
              </Section>
              <Labels repo={repo} digest={digest} may={r.can_write} />
              <Section
                title={t('Documents')}
                tools={
                  <Button variant="link" aria-expanded={view === 'raw'} onClick={() => go(withSearch(location.pathname, { view: view === 'raw' ? '' : 'raw' }), true)}>
                    {view === 'raw' ? t('Hide') : t('Show the manifest and the configuration')}
                  </Button>
                }
              >
                {view === 'raw' && (
                  <div className="g-stack">
                    <Json value={raw} label={t('Manifest')} />
                    {m.config && <Json value={m.config} label={t('Configuration')} />}
                  </div>
                )}
              </Section>
            </>
          );
        }}
      </Load>
    </>
  );
}

function Fact({ name, value }: { name: string; value: string | undefined }) {
  if (!value) return null;
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}

function Config({ c }: { c: ImageConfig | undefined }) {
  if (!c) return null;
  const x = c.config ?? {};
  return (
    <>
      <Fact name={t('Platform')} value={[c.os, c.architecture].filter(Boolean).join('/')} />
      {c.created && (
        <>
          <dt>{t('Created')}</dt>
          <dd>
            <Time value={c.created} />
          </dd>
        </>
      )}
      <Fact name={t('Entry point')} value={x.Entrypoint?.join(' ')} />
      <Fact name={t('Arguments')} value={x.Cmd?.join(' ')} />
      <Fact name={t('User')} value={x.User} />
      <Fact name={t('Working folder')} value={x.WorkingDir} />
      <Fact name={t('Ports')} value={Object.keys(x.ExposedPorts ?? {}).join(', ')} />
      <Fact name={t('Volumes')} value={Object.keys(x.Volumes ?? {}).join(', ')} />
      <Fact name={t('Environment')} value={x.Env?.join('\n')} />
    </>
  );
}

/** documentsOf are the documents of an artifact in the order in which one reads them: what it is, how it is used, what can be set. */
export function documentsOf(documents: ArtifactDocument[], chart: unknown): ArtifactDocument[] {
  const rank = (d: ArtifactDocument) => (/^(readme|model_?card)/i.test(d.name) ? 0 : d.name === 'Chart.yaml' ? 1 : d.name === 'values.yaml' ? 2 : 3);
  // A chart tells its Chart.yaml in its configuration too, also where its archive cannot be read.
  const own = chart && !documents.some((d) => d.name === 'Chart.yaml') ? [{ name: 'Chart.yaml', text: JSON.stringify(chart, null, 2), truncated: false }] : [];
  return [...documents, ...own].sort((a, b) => rank(a) - rank(b));
}

// Documents are what an artifact brings to be read: a README, a chart's default values, a model card.
function Documents({ documents, chart }: { documents: ArtifactDocument[]; chart: unknown }) {
  const list = documentsOf(documents, chart);
  return (
    <>
      {list.map((d) => (
        <Section key={d.name} title={d.name === 'values.yaml' ? t('Default values') : d.name} text={d.truncated ? t('It is longer: this is its beginning.') : undefined}>
          {/\.(ya?ml|json)$/.test(d.name) ? (
            <pre className="g-code" tabIndex={0} aria-label={d.name}>
              {d.text}
            </pre>
          ) : (
            <LazyMarkdown text={d.text} />
          )}
        </Section>
      ))}
    </>
  );
}

function Json({ value, label }: { value: unknown; label: string }) {
  return (
    <pre className="g-code" tabIndex={0} aria-label={label}>
      {JSON.stringify(value, null, 2)}
    </pre>
  );
}

function Labels({ repo, digest, may }: { repo: string; digest: string; may: boolean }) {
  const dialogs = useDialogs();
  const client = useQueryClient();
  const key = ['repository', repo, 'labels', digest];
  const query = useQuery({ queryKey: key, queryFn: async () => (await ok(api.GET('/repository/{repo}/manifest/{digest}/labels', { params: { path: { repo, digest } } }))).labels });
  const add = () =>
    dialogs.form({
      title: t('Add a label'),
      fields: [
        { name: 'key', label: t('Key'), check: (v) => (/^[a-zA-Z0-9._/-]{1,255}$/.test(v) ? undefined : t('Letters, digits, dots, dashes and slashes, such as com.example.team')) },
        { name: 'value', label: t('Value') },
      ],
      action: t('Add'),
      submit: async (v) => {
        await api.POST('/repository/{repo}/manifest/{digest}/labels', { params: { path: { repo, digest } }, body: { key: v.key ?? '', value: v.value ?? '', media_type: 'text/plain' } });
        await client.invalidateQueries({ queryKey: key });
      },
    });
  const remove = async (x: Schemas['Label']) => {
    await api.DELETE('/repository/{repo}/manifest/{digest}/labels/{id}', { params: { path: { repo, digest, id: x.id } } });
    await client.invalidateQueries({ queryKey: key });
    dialogs.toast(t('The label {key} was deleted', { key: x.key }), {
      undo: () =>
        void api
          .POST('/repository/{repo}/manifest/{digest}/labels', { params: { path: { repo, digest } }, body: { key: x.key, value: x.value, media_type: x.media_type } })
          .then(() => client.invalidateQueries({ queryKey: key })),
    });
  };
  return (
    <Section title={t('Labels')} tools={may && <Button variant="secondary" onClick={add}>{t('Add a label')}</Button>}>
      <Load query={query} rows={2}>
        {(labels) => (
          <DataTable
            label={t('Labels')}
            rows={labels}
            rowKey={(x) => x.id}
            empty={{ title: t('There are no labels'), text: t('An image brings its labels along; others can be added here.') }}
            columns={[
              { key: 'key', title: t('Key'), cell: (x) => <code>{x.key}</code> },
              { key: 'value', title: t('Value'), cell: (x) => x.value },
              { key: 'menu', title: '', narrow: true, cell: (x) => may && x.source_type === 'api' && <Menu label={t('Actions for {name}', { name: x.key })} items={[{ label: t('Delete'), danger: true, onClick: () => void remove(x) }]} /> },
            ]}
          />
        )}
      </Load>
    </Section>
  );
}

