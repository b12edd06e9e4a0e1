import { join } from 'node:path';
import { enter as enterEditor, EditorServer } from '../e2e/editor';
import { enter, expect, test } from '../e2e/fixtures';
import { prepare } from '../e2e/prepare';
import { Registry } from '../e2e/registry';

const to = (name: string) => join(import.meta.dirname, '../../docs/web', `${name}.png`);

test('the pictures of docs/web', async ({ browser, ada }) => {
  await prepare(ada);
  const open = async (options: object, language = 'en', theme = 'light') => {
    const context = await browser.newContext({ baseURL: ada.registry.base, viewport: { width: 1280, height: 760 }, locale: 'en-US', ...options });
    await enter(context, ada);
    await context.addInitScript(([l, th]) => (localStorage.setItem('gantry-language', l!), localStorage.setItem('gantry-theme', th!)), [language, theme]);
    return context.newPage();
  };
  const shoot = async (page: Awaited<ReturnType<typeof open>>, path: string, name: string, heading?: string) => {
    await page.goto(path);
    await expect(page.locator('h1').first()).toBeVisible();
    await expect(page.getByRole('status', { name: /Loading|불러오는/ })).toHaveCount(0);
    if (heading) await expect(page.getByRole('heading', { name: heading })).toBeVisible();
    await page.evaluate(() => document.fonts.ready);
    await page.screenshot({ path: to(name) });
  };
  const light = await open({});
  await shoot(light, '/repository/show/app', 'tags');
  await shoot(light, '/repository/show/app?tab=history', 'history');
  await shoot(light, '/repository/show/app/tag/v2', 'tag');
  await shoot(light, '/repository/show/app?tab=logs', 'logs');
  await shoot(light, '/organization/show?tab=quota', 'storage');
  await shoot(light, '/repository/show/app/tag/chart', 'chart', 'How to install it');
  await shoot(await open({}, 'ko'), '/repository/show/app', 'korean');
  await shoot(await open({ colorScheme: 'dark' }, 'en', 'dark'), '/superuser?tab=storage', 'dark');
  await shoot(await open({ viewport: { width: 360, height: 740 } }), '/repository/show/app', 'phone');
});

test('the picture of the first account', async ({ browser }) => {
  const r = await Registry.start();
  try {
    const page = await browser.newPage({ baseURL: r.base, viewport: { width: 1280, height: 860 } });
    await page.goto('/');
    await expect(page.getByRole('heading', { name: /first account/ })).toBeVisible();
    await page.screenshot({ path: to('first') });
    await page.close();
  } finally {
    await r.stop();
  }
});

test('the pictures of the configuration editor', async ({ browser }) => {
  const editor = await EditorServer.start();
  try {
    for (const [name, viewport] of [['editor', { width: 1280, height: 860 }], ['editor-phone', { width: 360, height: 740 }]] as const) {
      const page = await browser.newPage({ baseURL: editor.base, viewport, locale: 'en-US', colorScheme: 'light', reducedMotion: 'reduce' });
      // A folder of its own for each run is no sight.
      await page.route('**/api/v1/config/state', async (r) => {
        const answer = await r.fetch();
        return r.fulfill({ response: answer, json: { ...((await answer.json()) as object), dir: '/etc/gantry' } });
      });
      await enterEditor(page);
      await page.goto('/#/time-machine');
      await page.getByRole('textbox', { name: 'Add to TAG_EXPIRATION_OPTIONS' }).fill('4w');
      await page.keyboard.press('Enter');
      await expect(page.getByText('Changed', { exact: true })).toBeVisible();
      await page.evaluate(() => document.fonts.ready);
      await page.screenshot({ path: to(name) });
      await page.close();
    }
  } finally {
    await editor.stop();
  }
});
