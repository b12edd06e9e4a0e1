import { archive, type Account } from './registry';

let prepared: Promise<string> | undefined;
/** prepare fills a registry, once for each worker, with what the pages show. */
export function prepare(ada: Account): Promise<string> {
  prepared ??= (async () => {
    const index = 'application/vnd.oci.image.index.v1+json';
    const manifest = 'application/vnd.oci.image.manifest.v1+json';
    await ada.call('POST', '/api/v1/organization/', { name: 'show' });
    await ada.image('show/app', 'v1');
    await ada.image('ada/own-one', 'v1');
    const amd = await ada.image('show/app', 'v2');
    const arm = await ada.image('show/app', 'arm', 'v2', 'arm64');
    await ada.image('show/app', 'latest', 'v1');
    await ada.image('show/app', 'latest', 'v2');
    await ada.manifest('show/app', 'multi', {
      schemaVersion: 2,
      mediaType: index,
      manifests: [
        { mediaType: manifest, ...amd, platform: { os: 'linux', architecture: 'amd64' } },
        { mediaType: manifest, ...arm, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
      ],
    });
    const empty = await ada.blob('show/app', Buffer.from('{}'));
    await ada.manifest('show/app', '', {
      schemaVersion: 2,
      mediaType: manifest,
      artifactType: 'application/spdx+json',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', ...empty },
      layers: [],
      subject: { mediaType: manifest, ...amd },
    });
    const chart = await ada.blob('show/app', Buffer.from(JSON.stringify({ name: 'chart', version: '0.1.0', description: 'A chart' })));
    const files = await ada.blob('show/app', archive({ 'chart/Chart.yaml': 'name: chart\nversion: 0.1.0\ndescription: A chart\n', 'chart/README.md': '# How to install it\n\nWith **helm**. <script>alert(1)</script>\n', 'chart/values.yaml': 'replicas: 3\n' }));
    await ada.manifest('show/app', 'chart', { schemaVersion: 2, mediaType: manifest, config: { mediaType: 'application/vnd.cncf.helm.config.v1+json', ...chart }, layers: [{ mediaType: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip', ...files }] });
    const card = await ada.blob('show/app', Buffer.from('# A small model\n\nIt counts.\n'));
    await ada.manifest('show/app', 'model', {
      schemaVersion: 2,
      mediaType: manifest,
      artifactType: 'application/vnd.cncf.model.manifest.v1+json',
      config: { mediaType: 'application/vnd.cncf.model.config.v1+json', ...empty },
      layers: [{ mediaType: 'application/vnd.cncf.model.doc.v1.raw', annotations: { 'org.cncf.model.filepath': 'README.md' }, ...card }],
    });
    await ada.call('PUT', '/api/v1/repository/show/app', { description: '# The app\n\nWhat *everybody* uses. <img src=x onerror=alert(1)> [bad](javascript:alert(1))\n' });
    await ada.call('PUT', '/api/v1/organization/show/robots/ci', { description: 'builds' });
    await ada.call('PUT', '/api/v1/user/robots/own', {});
    await ada.call('PUT', '/api/v1/repository/show/app/permissions/user/show+ci', { role: 'write' });
    await ada.call('PUT', '/api/v1/organization/show/team/ops', { role: 'member', description: 'They run it' });
    await ada.call('PUT', '/api/v1/organization/show/team/ops/members/ada', {});
    await ada.call('PUT', '/api/v1/repository/show/app/permissions/team/ops', { role: 'read' });
    await ada.call('POST', '/api/v1/organization/show/prototypes', { role: 'read', delegate: { name: 'ops', kind: 'team' } });
    await ada.call('POST', '/api/v1/organization/show/applications', { name: 'terraform', description: 'It plans' });
    await ada.call('POST', '/api/v1/repository/show/app/notification', { event: 'repo_push', method: 'webhook', config: { url: 'https://example.com/hook' }, eventConfig: {}, title: 'deploy' });
    await ada.call('POST', '/api/v1/repository/show/app/autoprunepolicy/', { method: 'number_of_tags', value: 50 });
    await ada.call('POST', '/api/v1/user/apptoken', { title: 'laptop' });
    await ada.call('POST', '/api/v1/superuser/organization/show/quota', { limit_bytes: 10 * 1024 ** 3 });
    await ada.call('POST', '/api/v1/user/starred', { namespace: 'show', repository: 'app' });
    await ada.call('POST', '/api/v1/superuser/registrysize/', {});
    return amd.digest;
  })();
  return prepared;
}
