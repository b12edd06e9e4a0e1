import type { Page } from '@playwright/test';
import { accessible, calls, expect, test, enter } from './fixtures';
import type { Account } from './registry';

// prepare fills a registry with what the pages show.
let prepared: Promise<string> | undefined;
function prepare(ada: Account): Promise<string> {
  prepared ??= (async () => {
    const index = 'application/vnd.oci.image.index.v1+json';
    const manifest = 'application/vnd.oci.image.manifest.v1+json';
    await ada.call('POST', '/api/v1/organization/', { name: 'show' });
    await ada.image('show/app', 'v1');
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
    await ada.manifest('show/app', 'chart', { schemaVersion: 2, mediaType: manifest, config: { mediaType: 'application/vnd.cncf.helm.config.v1+json', ...chart }, layers: [] });
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

type Where = [path: string, shows: string | RegExp];

const pages: Record<string, Where[]> = {
  repositories: [
    ['/', 'show/app'],
    ['/repository', 'show/app'],
    ['/repository?view=starred', 'show/app'],
    ['/search?q=app', 'show/app'],
    ['/inbox', 'Nothing is new'],
  ],
  repository: [
    ['/repository/show/app', 'multi'],
    ['/repository/show/app?tab=information', 'The app'],
    ['/repository/show/app?tab=history', 'Restore'],
    ['/repository/show/app?tab=logs', 'Push'],
    ['/repository/show/app?tab=settings', 'show+ci'],
    ['/repository/show/app/tag/v2', 'COPY v2 /app'],
    ['/repository/show/app/tag/multi', 'linux/arm64/v8'],
    ['/repository/show/app/tag/chart', 'A chart'],
    ['/repository/show/app/compare?a=v1&b=v2', 'Only in v1'],
  ],
  organization: [
    ['/organization', 'show'],
    ['/organization/show', 'app'],
    ['/organization/show?tab=teams', 'ops'],
    ['/organization/show/teams/ops', 'ada'],
    ['/organization/show?tab=members', 'ada'],
    ['/organization/show?tab=robots', 'show+ci'],
    ['/organization/show?tab=defaults', 'ops'],
    ['/organization/show?tab=applications', 'terraform'],
    ['/organization/show?tab=quota', 'Quota: 10 GiB'],
    ['/organization/show?tab=logs', 'Push'],
    ['/organization/show?tab=settings', 'Auto-prune'],
  ],
  user: [
    ['/user/ada', 'ada@example.com'],
    ['/user/ada?tab=tokens', 'laptop'],
    ['/user/ada?tab=robots', 'ada+own'],
    ['/user/ada?tab=applications', 'Applications that act as me'],
    ['/user/ada?tab=storage', 'What uses the space'],
    ['/user/ada?tab=logs', 'Robot created'],
    ['/user/ada?tab=settings', 'Auto-prune'],
  ],
  superuser: [
    ['/superuser', 'ada'],
    ['/superuser?tab=organizations', 'show'],
    ['/superuser?tab=messages', 'There is no message'],
    ['/superuser?tab=storage', 'Healthy'],
    ['/superuser?tab=keys', 'There are no service keys'],
    ['/superuser?tab=logs', 'Push'],
    ['/superuser?tab=config', 'FEATURE_USER_CREATION'],
  ],
};

async function settled(page: Page, path: string) {
  await page.goto(path);
  await expect(page.locator('h1').first()).toBeVisible();
  await expect(page.getByRole('status', { name: 'Loading' })).toHaveCount(0);
}

for (const [group, list] of Object.entries(pages)) {
  test(`the pages of ${group} are there, for everybody, in both themes`, async ({ signedIn: page, ada }) => {
    test.setTimeout(180_000);
    await prepare(ada);
    for (const [path, shows] of list) {
      await test.step(path, async () => {
        const made = calls(page);
        await settled(page, path);
        await expect(page.locator('main').getByText(shows).first()).toBeVisible();
        expect(made.length, `${path}: ${made.join(', ')}`).toBeLessThanOrEqual(4);
        await expect(page).toHaveTitle(/· Gantry$/);
        page.removeAllListeners('request');
        await accessible(page);
      });
    }
  });
}

test('on a phone no page is wider than the screen', async ({ signedIn: page, ada }) => {
  test.setTimeout(120_000);
  await prepare(ada);
  await page.setViewportSize({ width: 360, height: 740 });
  for (const path of ['/', '/repository', '/repository/show/app', '/repository/show/app?tab=history', '/repository/show/app/tag/v2', '/repository/show/app?tab=settings', '/organization/show?tab=teams', '/user/ada', '/superuser?tab=storage']) {
    await settled(page, path);
    const wide = await page.evaluate(() => document.getElementById('main')!.scrollWidth - document.getElementById('main')!.clientWidth);
    expect(wide, path).toBeLessThanOrEqual(0);
  }
});

test('the pages speak Korean', async ({ context, ada }) => {
  await prepare(ada);
  await enter(context, ada);
  await context.addInitScript(() => localStorage.setItem('gantry-language', 'ko'));
  const page = await context.newPage();
  const list: Where[] = [['/', '개요'], ['/repository', '리포지토리'], ['/repository/show/app', '태그'], ['/repository/show/app?tab=history', '복원'], ['/repository/show/app?tab=settings', '역할 주기'], ['/organization/show?tab=teams', '팀 만들기'], ['/user/ada?tab=tokens', '앱 토큰'], ['/superuser?tab=storage', '저장 위치']];
  for (const [path, shows] of list) {
    await page.goto(path);
    await expect(page.getByText(shows).first()).toBeVisible();
  }
  await accessible(page);
});

test('what users write brings no markup and no scripts', async ({ signedIn: page, ada }) => {
  await prepare(ada);
  await page.goto('/repository/show/app?tab=information');
  await expect(page.getByText('<img src=x onerror=alert(1)>')).toBeVisible();
  await expect(page.locator('main img')).toHaveCount(0);
  await expect(page.getByRole('link', { name: 'bad' })).toHaveCount(0);
});
