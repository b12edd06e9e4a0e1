import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, test } from 'vitest';
import { Problem, problemOf } from '../api/client';
import { daysBetween, kindsOf } from '../ui/chart';
import { faults, type Field } from '../ui/dialogs';
import { parseEntity } from '../ui/entity';
import { hitOf } from '../ui/finder';
import { paceOf } from '../ui/jobs';
import { repoPath, withSearch } from '../ui/link';
import { detailsOf } from '../ui/logs';
import Markdown, { safeHref } from '../ui/markdown';
import { every } from '../ui/interval';
import { mirrorBody, progressOf } from '../ui/mirror';
import { safeNext } from '../ui/next';
import { configOf } from '../ui/notifications';
import { inWords, told } from '../ui/problem';
import { changesOf, layersOf } from './compare';
import { clientsFor } from './guide';
import { linesOf, live } from './repo-history';
import { tagName, type Tag } from './repo-tags';
import { placeOf } from './repository';
import { documentsOf, kindOfReferrer, platformsOf } from './tag';

test('addresses of repositories', () => {
  expect(placeOf('acme/app')).toEqual({ repo: 'acme/app' });
  expect(placeOf('acme/team/app')).toEqual({ repo: 'acme/team/app' });
  expect(placeOf('acme/team/app/tag/v1.0')).toEqual({ repo: 'acme/team/app', tag: 'v1.0' });
  expect(placeOf('acme/app/manifest/sha256:0f')).toEqual({ repo: 'acme/app', digest: 'sha256:0f' });
  expect(placeOf('acme/app/compare')).toEqual({ repo: 'acme/app', compare: true });
  // Too short for a tag below a repository: names of their own.
  expect(placeOf('acme/tag/x')).toEqual({ repo: 'acme/tag/x' });
  expect(placeOf('acme/compare')).toEqual({ repo: 'acme/compare' });
  expect(placeOf('')).toEqual({ repo: '' });
  expect(repoPath('acme/a b', '/tag/v1')).toBe('/repository/acme/a%20b/tag/v1');
  expect(withSearch('/x', { q: 'a&b', ns: '' })).toBe('/x?q=a%26b');
});

test('a sign-in leads to this site only', () => {
  expect(safeNext('/repository/a/b?tab=tags')).toBe('/repository/a/b?tab=tags');
  for (const bad of [undefined, '', '//evil.example', '/\\evil.example', 'https://evil.example', 'javascript:alert(1)', '/a\\b', '/\t/evil.example']) expect(safeNext(bad), String(bad)).toBe('/');
});

const span = (name: string, start: number, end?: number): Tag => ({ name, start_ts: start, end_ts: end, reversion: false, last_modified: null, manifest_digest: `sha256:${start}`, is_manifest_list: false, size: 1, immutable: false });

test('the history of tags', () => {
  const lines = linesOf([span('b', 9), span('a', 8), span('b', 5, 9), span('a', 1, 8)]);
  expect(lines.map((l) => [l.name, l.spans.map((s) => s.start_ts)])).toEqual([['b', [9, 5]], ['a', [8, 1]]]);
  expect([live(span('a', 1), 5), live(span('a', 1, 9), 5), live(span('a', 1, 5), 5)]).toEqual([true, true, false]);
});

test('names of tags', () => {
  expect([tagName('v1.0'), tagName('_x')]).toEqual([undefined, undefined]);
  for (const bad of ['', '.x', '-x', 'a b', 'x'.repeat(129)]) expect(tagName(bad), bad).toBeTruthy();
});

test('two images compared', () => {
  const layer = (blob_digest: string, index: number) => ({ blob_digest, index, compressed_size: 1, is_remote: false, urls: null, command: null, comment: null, author: null, created_datetime: null });
  expect(layersOf([layer('x', 0), layer('y', 1)], [layer('x', 0), layer('z', 1)]).map((l) => [l.layer.blob_digest, l.side])).toEqual([['x', 'both'], ['y', 'a'], ['z', 'b']]);
  expect(changesOf({ a: 1, b: { c: ['x'], d: 2 } }, { a: 1, b: { c: ['y'], d: 2 }, e: 'new' })).toEqual([{ key: 'b.c', a: '["x"]', b: '["y"]' }, { key: 'e', a: undefined, b: 'new' }]);
  expect(changesOf({ a: 1 }, { a: 1 })).toEqual([]);
});

test('platforms and attachments', () => {
  expect(platformsOf({ manifests: [{ digest: 'd', size: 1, mediaType: 'm', platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }, { digest: 'e', size: 1, mediaType: 'm', annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } }, { digest: 'f', size: 1, mediaType: 'm' }] }).map((p) => p.platform)).toEqual(['linux/arm64/v8', 'Attestation', 'Unknown']);
  expect(['application/vnd.dev.cosign.artifact.sig.v1+json', 'application/vnd.cncf.notary.signature', 'application/spdx+json', 'application/vnd.in-toto+json', undefined].map(kindOfReferrer)).toEqual(['Signature', 'Signature', 'SBOM', 'Attestation', 'Other']);
});

test('commands are those of each client', () => {
  const of = (insecure: boolean) => Object.fromEntries(clientsFor('reg.example', 'acme+ci', 'acme/app', insecure).map((c) => [c.id, c.steps.map((s) => s.text).join('\n')]));
  const tls = of(false);
  expect(Object.keys(tls)).toEqual(['podman', 'docker', 'helm', 'oras', 'kubernetes', 'containerd']);
  expect(tls.podman).toContain("podman login -u 'acme+ci' reg.example");
  expect(tls.helm).toContain('oci://reg.example/acme');
  expect(Object.values(tls).join()).not.toMatch(/tls-verify|plain-http|http:\/\//);
  const plain = of(true);
  expect(plain.podman).toContain('--tls-verify=false');
  expect(plain.oras).toContain('--plain-http');
});

describe('Markdown', () => {
  const html = (text: string) => renderToStaticMarkup(<Markdown text={text} />);
  test('is shown', () => {
    expect(html('# A\n\n*b* `c<d`\n\n- e\n- f')).toBe('<div class="g-md"><h3>A</h3><p><em>b</em> <code>c&lt;d</code></p><ul><li>e</li><li>f</li></ul></div>');
  });
  test('brings no markup, no scripts and no pictures of its own', () => {
    for (const bad of ['<script>alert(1)</script>', '<img src=x onerror=alert(1)>', '![x](https://evil.example/track.png)', '[x](javascript:alert(1))', '[x](data:text/html,x)', '<a href="javascript:x">y</a>', '[x]: javascript:alert(1)\n\n[x]']) {
      expect(html(bad), bad).not.toMatch(/<(script|img|iframe|svg|style)|href="(javascript|data)|<a href="javascript/i);
    }
  });
  test('links are safe', () => {
    expect([safeHref('https://a.example'), safeHref('/x'), safeHref('#y'), safeHref('mailto:a@b')]).toEqual(['https://a.example', '/x', '#y', 'mailto:a@b']);
    expect(['javascript:x', ' JavaScript:x', 'data:x', '//evil.example', 'vbscript:x', 'file:///etc/passwd'].map(safeHref)).toEqual(Array(6).fill(undefined));
  });
});

test('charts', () => {
  expect(daysBetween('2026-02-27', '2026-03-01')).toEqual(['2026-02-27', '2026-02-28', '2026-03-01']);
  expect(daysBetween('2020-01-01', '2026-01-01')).toHaveLength(400);
  expect(kindsOf([{ day: 'd', kind: 'a', n: 1 }, { day: 'd', kind: 'b', n: 3 }, { day: 'e', kind: 'a', n: 1 }], 1)).toEqual(['b']);
});

test('entries of the log in a line', () => {
  expect(detailsOf({ metadata: null } as never)).toBe('');
  expect(detailsOf({ metadata: { repo: 'app', tag: 'v1', manifest_digest: `sha256:${'a'.repeat(64)}`, secret: 'x', n: 1 } as never })).toBe(`repo: app · tag: v1 · manifest_digest: sha256:${'a'.repeat(12)}`);
});

test('what was found leads somewhere', () => {
  const avatar = { name: 'x', hash: '', color: '#000000', kind: 'user' as const };
  expect(hitOf({ kind: 'robot', title: 'robot', name: 'acme+ci', avatar, score: 1, href: '', organization: { kind: 'organization', title: '', name: 'acme', avatar, score: 1, href: '' } }).href).toBe('/organization/acme?tab=robots&q=acme%2Bci');
  expect(hitOf({ kind: 'user', title: 'user', name: 'ada', avatar, score: 1, href: '' }).href).toBe('/user/ada');
});

test('whom', () => {
  expect(parseEntity('team:ops')).toEqual({ kind: 'team', robot: false, name: 'ops' });
  expect(parseEntity('robot:acme+ci')).toEqual({ kind: 'user', robot: true, name: 'acme+ci' });
  expect(parseEntity('ada')).toEqual({ kind: 'user', robot: false, name: 'ada' });
  expect(configOf({ method: 'quay_notification', target: 'team:ops' })).toEqual({ target: { kind: 'team', name: 'ops' } });
  expect(configOf({ method: 'webhook', url: 'https://x', template: '' })).toEqual({ url: 'https://x' });
});

test('what is wrong with a form', () => {
  const fields: Field[] = [
    { name: 'a', label: 'A' },
    { name: 'b', label: 'B', optional: true, check: (v) => (v === 'x' ? undefined : 'not x') },
    { name: 'c', label: 'C', shown: (v) => v.a === 'show' },
  ];
  expect(faults(fields, { a: ' ', b: '' })).toEqual({ a: 'This is needed' });
  expect(faults(fields, { a: 'show', b: 'y', c: '' })).toEqual({ b: 'not x', c: 'This is needed' });
  expect(faults(fields, { a: 'hide', b: 'x' })).toEqual({});
});

test('failures say what to do', async () => {
  const p = await problemOf(new Response('{"status":429,"error_type":"rate_limited","detail":"slow"}', { status: 429, headers: { 'Retry-After': '5', 'X-Request-Id': 'abc' } }));
  expect([p.status, p.type, p.message, p.retryAfter, p.id]).toEqual([429, 'rate_limited', 'slow', 5, 'abc']);
  expect(told(p).text).toBe('Try again in 5 seconds.');
  expect((await problemOf(new Response('<html>Bad gateway', { status: 502 }))).message).toBe('HTTP 502');
  expect(told(new Problem(0, 'offline', '')).again).toBe(true);
  expect(told(new Problem(503, 'read_only', 'x')).title).toMatch(/read-only/);
  expect(told(new Problem(400, 'invalid_request', 'name is taken'))).toMatchObject({ text: 'name is taken', again: false });
});

test('the pace of a job is what it did since it was seen first', () => {
  expect(paceOf(undefined, { at: 5_000, done: 10 })).toBe(0);
  expect(paceOf({ at: 0, done: 10 }, { at: 500, done: 20 })).toBe(0); // too early to tell
  expect(paceOf({ at: 0, done: 10 }, { at: 4_000, done: 30 })).toBe(5);
  expect(paceOf({ at: 0, done: 10 }, { at: 4_000, done: 10 })).toBe(0);
});

test('what a mirror form says becomes what the API takes', () => {
  const v = { username: '', password: '', interval: '6h', start: '2030-01-01T00:00', tags: 'v*, !*-rc*', architectures: '', tls: 'true', signed: '', referrers: 'true', keep: '', proxied: '', https_proxy: 'http://kept', robot: 'a+b' };
  const b = mirrorBody(v);
  expect(b).toMatchObject({ external_registry_username: null, external_registry_password: null, sync_interval: 21_600, root_rule: { rule_value: ['v*', '!*-rc*'] }, architecture_filter: [], external_registry_config: { verify_tls: true, only_signed: false, proxy: { https_proxy: null } } });
  // An empty password keeps the one that is stored.
  expect(mirrorBody({ ...v, username: 'me' })).not.toHaveProperty('external_registry_password');
  expect(mirrorBody({ ...v, proxied: 'true' })).toMatchObject({ external_registry_config: { proxy: { https_proxy: 'http://kept' } } });
  expect([86_400, 90, 604_800, 5_400].map(every)).toEqual(['1d', '90s', '1w', '90m']);
  expect(progressOf({ status: 'running', tags: { done: 1, total: 4 } })).toBe(0.25);
  expect(progressOf({ status: 'failed', tags: {} })).toBe(1);
});

test('what the server says is said in words of the page, where it is known', () => {
  expect(inWords('Username has already been taken: ada')).toBe('The name ada is taken already.');
  expect(inWords('Not Found: the feature is off on this registry (FEATURE_REPO_MIRROR)')).toContain('FEATURE_REPO_MIRROR');
  expect(inWords('something new')).toBe('something new');
  expect(told(new Problem(409, 'tag_immutable', 'x')).title).toBe('The tag is immutable');
});

test('documents stand in the order in which one reads them', () => {
  const d = (name: string) => ({ name, text: '', truncated: false });
  expect(documentsOf([d('values.schema.json'), d('values.yaml'), d('Chart.yaml'), d('README.md')], {}).map((x) => x.name)).toEqual(['README.md', 'Chart.yaml', 'values.yaml', 'values.schema.json']);
  expect(documentsOf([], { name: 'a' }).map((x) => x.name)).toEqual(['Chart.yaml']);
  expect(documentsOf([d('README.md')], undefined)).toHaveLength(1);
});
