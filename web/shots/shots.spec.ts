import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { enter as enterEditor, EditorServer } from '../e2e/editor';
import { config, enter, expect, test } from '../e2e/fixtures';
import { Registry } from '../e2e/registry';
import { Slow } from '../e2e/slow';
import { scene } from './scene';

const to = (name: string) => join(import.meta.dirname, '../../docs/web', `${name}.png`);

test('the pictures of docs/web', async ({ browser }) => {
  const registry = await Registry.start(config);
  const upstream = await Registry.start();
  try {
    const ada = await registry.first('ada');
    await scene(ada);
    const open = async (options: object, language = 'en', theme = 'light') => {
      const context = await browser.newContext({ baseURL: registry.base, viewport: { width: 1280, height: 760 }, locale: 'en-US', ...options });
      await enter(context, ada);
      await context.addInitScript(([l, th]) => (localStorage.setItem('gantry-language', l!), localStorage.setItem('gantry-theme', th!)), [language, theme]);
      const page = await context.newPage();
      // Commands name the registry as its users know it.
      await page.route('**/config', async (r) => {
        const a = await r.fetch();
        const body = (await a.json()) as { config: object };
        await r.fulfill({ response: a, json: { ...body, config: { ...body.config, SERVER_HOSTNAME: 'registry.example.com' } } });
      });
      return page;
    };
    type Page = Awaited<ReturnType<typeof open>>;
    const settled = async (page: Page, path: string, heading?: string) => {
      await page.goto(path);
      await expect(page.locator('h1').first()).toBeVisible();
      await expect(page.getByRole('status', { name: /Loading|불러오는/ })).toHaveCount(0);
      if (heading) await expect(page.getByRole('heading', { name: heading })).toBeVisible();
      await page.evaluate(() => document.fonts.ready);
    };
    const shoot = async (page: Page, path: string, name: string, heading?: string) => {
      await settled(page, path, heading);
      await page.screenshot({ path: to(name) });
    };
    const light = await open({});
    await shoot(light, '/repository/acme/shop', 'tags');
    await shoot(light, '/repository/acme/shop?tab=history&tag=latest', 'history');
    await shoot(light, '/repository/acme/shop/tag/1.9.0', 'tag');
    await shoot(light, '/repository/acme/shop?tab=logs', 'logs');
    await shoot(light, '/organization/acme?tab=quota', 'storage');
    await shoot(light, '/repository/acme/shop/tag/chart', 'chart', 'The shop');
    await shoot(await open({}, 'ko'), '/repository/acme/shop', 'korean');
    await shoot(await open({ viewport: { width: 360, height: 740 } }), '/repository/acme/shop', 'phone');

    // A mirror that runs, in the middle.
    const far = await upstream.first('far');
    const size = 24 << 20;
    for (const tag of ['3.20', '3.21', '3.22', 'edge']) {
      const mediaType = 'application/vnd.oci.image.manifest.v1+json';
      const layer = await far.blob('far/linux', randomBytes(size));
      const c = await far.blob('far/linux', Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Env: [tag] }, rootfs: { type: 'layers', diff_ids: [layer.digest] } })));
      await far.manifest('far/linux', tag, { schemaVersion: 2, mediaType, config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...c }, layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...layer }] });
    }
    await far.call('POST', '/api/v1/repository/far/linux/changevisibility', { visibility: 'public' });
    const slow = await Slow.before(upstream.base, size);
    try {
      await ada.call('POST', '/api/v1/repository', { namespace: 'acme', repository: 'linux', visibility: 'private', description: '', repo_kind: 'image' });
      await ada.call('PUT', '/api/v1/organization/acme/robots/mirror', {});
      await ada.call('POST', '/api/v1/repository/acme/linux/mirror', {
        external_reference: `${slow.host}/far/linux`,
        external_registry_config: { verify_tls: false },
        sync_interval: 21600,
        sync_start_date: '2030-01-01T00:00:00Z',
        root_rule: { rule_kind: 'tag_glob_csv', rule_value: ['*'] },
        robot_username: 'acme+mirror',
        is_enabled: true,
      });
      const dark = await open({ colorScheme: 'dark', viewport: { width: 1280, height: 860 } }, 'en', 'dark');
      await settled(dark, '/repository/acme/linux?tab=mirror');
      await dark.getByRole('button', { name: 'Run now' }).click();
      await expect.poll(() => slow.held).toBe(4);
      slow.one();
      const jobs = await open({});
      await settled(jobs, '/superuser?tab=jobs&state=running');
      const runs = dark.getByRole('table', { name: 'Runs', exact: true });
      await expect(runs.getByText('1 of 4 tags')).toBeVisible();
      slow.drip(100);
      await expect(runs.getByText(/MiB\/s|KiB\/s/)).toBeVisible();
      await expect(dark.getByText('The mirror runs')).toHaveCount(0);
      await runs.scrollIntoViewIfNeeded();
      await dark.screenshot({ path: to('dark') });
      await expect(jobs.getByRole('row', { name: /Mirror a repository/ }).getByText(/of 4 tags/)).toBeVisible();
      await jobs.screenshot({ path: to('jobs') });
    } finally {
      await slow.stop();
    }
  } finally {
    await registry.stop();
    await upstream.stop();
  }
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
