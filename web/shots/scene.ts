import { randomBytes } from 'node:crypto';
import { archive, type Account } from '../e2e/registry';

const manifest = 'application/vnd.oci.image.manifest.v1+json';

/** An image of a shop: a base that all share, and layers of its own. */
async function image(a: Account, repo: string, tag: string, base: Buffer, own: number, architecture = 'amd64') {
  const layers = [base, randomBytes(own >> 3), randomBytes(own)];
  const put = [];
  for (const l of layers) put.push(await a.blob(repo, l));
  const history = [
    { created: '2026-11-20T08:00:00Z', created_by: 'ADD rootfs.tar.xz / # buildkit' },
    { created: '2026-11-26T09:11:00Z', created_by: 'RUN apk add --no-cache ca-certificates tzdata # buildkit' },
    { created: '2026-11-26T09:12:00Z', created_by: 'COPY /out/shop /usr/local/bin/shop # buildkit' },
  ];
  const config = {
    architecture,
    os: 'linux',
    created: '2026-11-26T09:12:00Z',
    config: { Env: ['PATH=/usr/local/bin:/usr/bin:/bin', 'TZ=UTC'], Entrypoint: ['/usr/local/bin/shop'], Cmd: ['serve'], ExposedPorts: { '8080/tcp': {} }, User: '65532', WorkingDir: '/srv', Labels: { 'org.opencontainers.image.source': 'https://git.example.com/acme/shop' } },
    history,
    rootfs: { type: 'layers', diff_ids: put.map((d) => d.digest) },
  };
  const c = await a.blob(repo, Buffer.from(JSON.stringify(config)));
  return a.manifest(repo, tag, { schemaVersion: 2, mediaType: manifest, config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...c }, layers: put.map((d) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...d })) });
}

/** scene fills a registry with what the pictures show: a shop of acme's. */
export async function scene(a: Account) {
  const MiB = 1 << 20;
  const base = randomBytes(3 * MiB);
  await a.call('POST', '/api/v1/organization/', { name: 'acme' });
  for (const [repo, size] of [['acme/cart', 9], ['acme/mail', 4], ['acme/search', 14]] as const) await image(a, repo, '2.0.1', base, size * MiB);
  for (const [tag, size] of [['1.8.0', 6], ['1.8.1', 6], ['1.9.0', 7]] as const) {
    await image(a, 'acme/shop', tag, base, size * MiB);
    await image(a, 'acme/shop', 'latest', base, size * MiB);
  }
  const amd = await image(a, 'acme/shop', '2.0.0-amd64', base, 8 * MiB);
  const arm = await image(a, 'acme/shop', '2.0.0-arm64', randomBytes(3 * MiB), 8 * MiB, 'arm64');
  const both = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [{ mediaType: manifest, ...amd, platform: { os: 'linux', architecture: 'amd64' } }, { mediaType: manifest, ...arm, platform: { os: 'linux', architecture: 'arm64' } }] };
  await a.manifest('acme/shop', '2.0.0', both);
  await a.call('PUT', '/api/v1/repository/acme/shop/tag/1.9.0', { immutable: true });
  const chart = await a.blob('acme/shop', Buffer.from(JSON.stringify({ name: 'shop', version: '2.0.0', description: 'The shop' })));
  const files = await a.blob(
    'acme/shop',
    archive({
      'shop/Chart.yaml': 'apiVersion: v2\nname: shop\nversion: 2.0.0\ndescription: The shop, with its cart and its search\n',
      'shop/README.md': '# The shop\n\nInstall it beside its database:\n\n```sh\nhelm install shop oci://registry.example.com/acme/shop --version chart\n```\n\n| Value | Meaning |\n|---|---|\n| `replicas` | how many pods there are |\n| `host` | the name by which customers find it |\n',
      'shop/values.yaml': 'replicas: 3\nhost: shop.example.com\nimage:\n  repository: registry.example.com/acme/shop\n  tag: 2.0.0\n',
    }),
  );
  await a.manifest('acme/shop', 'chart', { schemaVersion: 2, mediaType: manifest, config: { mediaType: 'application/vnd.cncf.helm.config.v1+json', ...chart }, layers: [{ mediaType: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip', ...files }] });
  await a.call('PUT', '/api/v1/repository/acme/shop', { description: '# The shop\n' });
  await a.call('PUT', '/api/v1/organization/acme/team/ops', { role: 'member', description: 'They run it' });
  await a.call('PUT', '/api/v1/repository/acme/shop/permissions/team/ops', { role: 'read' });
  await a.call('POST', '/api/v1/repository/acme/shop/autoprunepolicy/', { method: 'number_of_tags', value: 50 });
  await a.call('POST', '/api/v1/superuser/organization/acme/quota', { limit_bytes: 128 * MiB });
  await a.call('POST', '/api/v1/superuser/registrysize/', {});
}
