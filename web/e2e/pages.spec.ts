import type { Page } from '@playwright/test';
import { accessible, calls, expect, test, enter } from './fixtures';
import { prepare } from './prepare';

type Where = [path: string, shows: string | RegExp];

const pages: Record<string, Where[]> = {
  repositories: [
    ['/', 'show/app'],
    ['/repository', 'own-one'],
    ['/repository?ns=show', 'app'],
    ['/repository?view=public', 'Repositories'],
    ['/repository?view=starred', 'show/app'],
    ['/search?q=app', 'show/app'],
    ['/inbox', 'Nothing is new'],
  ],
  repository: [
    ['/repository/show/app', 'multi'],
    ['/repository/show/app?tab=information', 'The app'],
    ['/repository/show/app?tab=history', 'Restore'],
    ['/repository/show/app?tab=logs', 'Push'],
    ['/repository/show/app?tab=rules', 'the newest 50 tags'],
    ['/repository/show/app?tab=settings', 'show+ci'],
    ['/repository/show/app?tab=mirror', 'This repository is no mirror'],
    ['/repository/show/app/tag/v2', 'COPY v2 /app'],
    ['/repository/show/app/tag/multi', 'linux/arm64/v8'],
    ['/repository/show/app/tag/chart', 'How to install it'],
    ['/repository/show/app/tag/model', 'A small model'],
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
    ['/organization/show?tab=mirror', 'This organization is no mirror'],
    ['/organization/show?tab=proxy', 'Stands for another registry'],
    ['/organization/show?tab=settings', 'Auto-prune'],
  ],
  user: [
    ['/user/ada', 'ada@example.com'],
    ['/user/ada?tab=tokens', 'laptop'],
    ['/user/ada?tab=robots', 'ada+own'],
    ['/user/ada?tab=applications', 'Applications that act as me'],
    ['/user/ada?tab=storage', 'Layers that repositories share'],
    ['/user/ada?tab=logs', 'Robot created'],
    ['/user/ada?tab=settings', 'Auto-prune'],
  ],
  superuser: [
    ['/superuser', 'ada'],
    ['/superuser?tab=organizations', 'show'],
    ['/superuser?tab=messages', 'There is no message'],
    ['/superuser?tab=storage', 'Healthy'],
    ['/superuser?tab=jobs', 'Find mirrors that are due'],
    ['/superuser?tab=mirrors', /There are no mirrors|\d+ mirrors: \d+ running/], // whichever tests came before
    ['/superuser?tab=keys', 'Keys of services whose tokens the registry believes'],
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
  for (const [path, shows] of list) {
    test(`${group}: ${path}`, async ({ shown: page, ada }) => {
      await prepare(ada);
      const made = calls(page);
      await settled(page, path);
      await expect(page.locator('main').getByText(shows).filter({ visible: true }).first()).toBeVisible();
      // Beside what the console starts with, whatever its first page is.
      const own = made.filter((x) => x !== 'GET /config' && x !== 'GET /api/v1/user');
      expect(own.length, own.join(', ')).toBeLessThanOrEqual(4);
      await expect(page).toHaveTitle(/· Gantry$/);
      await accessible(page);
    });
  }
}

test('on a phone no page is wider than the screen', async ({ signedIn: page, ada }) => {
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

test('a chart shows its README, Chart.yaml and default values', async ({ shown: page, ada }) => {
  await prepare(ada);
  await settled(page, '/repository/show/app/tag/chart');
  await expect(page.getByRole('heading', { name: 'How to install it' })).toBeVisible();
  await expect(page.locator('pre[aria-label="values.yaml"]')).toHaveText('replicas: 3');
  await expect(page.locator('pre[aria-label="Chart.yaml"]')).toContainText('description: A chart');
  await expect(page.getByText('<script>alert(1)</script>')).toBeVisible();
});

test('what users write brings no markup and no scripts', async ({ signedIn: page, ada }) => {
  await prepare(ada);
  await page.goto('/repository/show/app?tab=information');
  await expect(page.getByText('<img src=x onerror=alert(1)>')).toBeVisible();
  await expect(page.locator('main img')).toHaveCount(0);
  await expect(page.getByRole('link', { name: 'bad' })).toHaveCount(0);
});
