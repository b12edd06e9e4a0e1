import { test as base, expect, type Page } from '@playwright/test';
import { Cluster } from './cluster';
import { EditorServer, enter, password } from './editor';
import { accessible } from './fixtures';

// The editor of a QuayRegistry, on a real API server. Nobody rolls anything out there.

const written = `# Kept by hand.
SERVER_HOSTNAME: quay.example.com
DB_URI: postgresql://quay:db-s3cret-pw@db.example.com/quay # ours
DB_CONNECTION_ARGS: {sslmode: require}
USER_EVENTS_REDIS: {host: redis.example.com}
BUILDLOGS_REDIS: {host: redis.example.com}
TAG_EXPIRATION_OPTIONS: [0s, 1d, 2w]
`;

type Registry = { spec: { components: { kind: string; managed: boolean }[] } };
type Secret = { metadata: { annotations?: Record<string, string> }; data: Record<string, string> };

/** A Ward is a QuayRegistry, of which the user runs database and Redis, with its editor. */
class Ward {
  constructor(
    private readonly cluster: Cluster,
    readonly name: string,
    readonly server: EditorServer,
  ) {}

  get config() {
    return Buffer.from(this.secret.data['config.yaml'] ?? '', 'base64').toString();
  }

  get secret() {
    return this.cluster.get<Secret>('secret', `${this.name}-bundle`);
  }

  /** patch changes the configuration as another program does, and returns the answer's status. */
  async patch(body: object): Promise<number> {
    const at = `${this.server.base}/api/v1/config`;
    const Authorization = `Basic ${Buffer.from(`quayconfig:${password}`).toString('base64')}`;
    const tag = (await fetch(at, { headers: { Authorization } })).headers.get('etag') ?? '';
    return (await fetch(at, { method: 'PATCH', headers: { Authorization, 'If-Match': tag }, body: JSON.stringify(body) })).status;
  }

  get components() {
    return Object.fromEntries(this.cluster.get<Registry>('quayregistry', this.name).spec.components.map((c) => [c.kind, c.managed]));
  }
}

const test = base.extend<{ ward: Ward; page: Page }, { cluster: Cluster }>({
  cluster: [
    // eslint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const c = await Cluster.start();
      await use(c);
      await c.stop();
    },
    { scope: 'worker', timeout: 180_000 },
  ],
  ward: async ({ cluster }, use, info) => {
    const name = `w${info.testId.replace(/[^a-z0-9]/g, '').slice(-12)}r${info.retry}`;
    const meta = (n: string) => ({ name: n, namespace: 'default' });
    cluster.apply(
      { apiVersion: 'v1', kind: 'Secret', metadata: meta(`${name}-bundle`), stringData: { 'config.yaml': written } },
      { apiVersion: 'v1', kind: 'Secret', metadata: meta(`${name}-quay-config-editor-history`) },
      { apiVersion: 'quay.redhat.com/v1', kind: 'QuayRegistry', metadata: meta(name), spec: { configBundleSecret: `${name}-bundle`, components: [{ kind: 'postgres', managed: false }, { kind: 'redis', managed: false }] } },
    );
    const server = await EditorServer.start({}, ['--registry', name, '--namespace', 'default', '--kubeconfig', cluster.kubeconfig]);
    await use(new Ward(cluster, name, server));
    await server.stop();
  },
  page: async ({ browser, ward }, use, info) => {
    const context = await browser.newContext({ ...info.project.use, locale: 'en-US', reducedMotion: 'reduce', baseURL: ward.server.base });
    const page = await context.newPage();
    page.on('dialog', (d) => void d.accept());
    await enter(page);
    await use(page);
    await context.close();
  },
});

const toggle = (page: Page) => page.getByRole('switch', { name: 'Managed by the operator' });
// The input itself is under its label.
const flip = (page: Page) => page.locator('label[for^=manage-]').click();
const row = (page: Page, field: string) => page.locator(`#field-${field}`);

test('Redis is handed back by the keyboard: what leaves is listed, reviewed and gone, in the bundle and in the resource', async ({ page, ward }) => {
  await page.goto('/#/redis');
  await expect(page.getByRole('heading', { name: 'You run redis yourself' })).toBeVisible();
  await expect(row(page, 'USER_EVENTS_REDIS').getByRole('textbox', { name: /^host/ })).toHaveValue('redis.example.com');
  await accessible(page);
  await toggle(page).focus();
  await page.keyboard.press('Space');
  await expect(page.getByRole('heading', { name: 'You hand redis back to the operator' })).toBeVisible();
  await expect(page.getByRole('list', { name: 'Fields that leave the configuration' }).getByRole('listitem')).toHaveText(['BUILDLOGS_REDIS', 'USER_EVENTS_REDIS']);
  await expect(page.getByText('The operator’s Redis is not yours, and begins empty.')).toBeVisible();
  await expect(row(page, 'USER_EVENTS_REDIS').getByText('Managed by the operator')).toBeVisible();
  await expect(row(page, 'USER_EVENTS_REDIS').getByRole('button')).toHaveCount(0); // it is the operator's
  await expect(toggle(page)).toBeFocused();
  await accessible(page);
  await page.getByRole('button', { name: 'Review' }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByText('The configuration is valid')).toBeVisible();
  await expect(page.getByRole('heading', { name: 'You hand redis back to the operator' })).toBeVisible();
  const changes = page.getByRole('list', { name: 'What changes' });
  await expect(changes.getByRole('link')).toHaveText(['BUILDLOGS_REDIS', 'USER_EVENTS_REDIS']);
  await expect(changes.getByText('You hand redis back to the operator')).toHaveCount(1);
  await expect(changes.getByText('redis.example.com').first()).toBeVisible();
  await accessible(page);
  expect(ward.config).toBe(written); // nothing yet
  await page.getByRole('button', { name: 'Reconfigure' }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'The new configuration is written' })).toBeVisible();
  expect(ward.config).toBe(written.replace(/USER_EVENTS_REDIS.*\n|BUILDLOGS_REDIS.*\n/g, ''));
  expect(ward.components).toEqual({ postgres: false, redis: true });
  expect(ward.secret.metadata.annotations?.['quay-config-editor/unfinished']).toBeUndefined();
  await page.goto('/#/redis');
  await expect(page.getByRole('heading', { name: 'The operator manages redis' })).toBeVisible();
  await expect(row(page, 'USER_EVENTS_REDIS').getByRole('textbox', { name: /^host/ })).toBeDisabled();

  // And taken over again, with another one.
  await flip(page);
  for (const f of ['USER_EVENTS_REDIS', 'BUILDLOGS_REDIS']) {
    await row(page, f).getByRole('button', { name: 'Set up' }).click(); // nothing is left of the operator's, whose password nobody can keep
    await row(page, f).getByRole('textbox', { name: /^host/ }).fill('other.example.com');
  }
  await page.getByRole('button', { name: 'Review' }).click();
  await expect(page.getByText('The configuration is valid')).toBeVisible();
  await page.getByRole('button', { name: 'Reconfigure' }).click();
  await expect.poll(() => ward.components.redis).toBe(false);
  expect(ward.config).toContain('other.example.com');
});

test('the database is handed back after a warning, and not by a slip', async ({ page, ward }) => {
  await page.goto('/#/database');
  await page.getByLabel('Database name', { exact: true }).fill('changed'); // goes with the rest
  await flip(page);
  await expect(page.getByText('Accounts, repositories and tags that are only in yours are gone')).toBeVisible();
  await expect(page.getByRole('list', { name: 'Fields that leave the configuration' }).getByRole('listitem')).toHaveText(['DB_URI', 'DB_CONNECTION_ARGS']);
  await accessible(page);
  await flip(page);
  await expect(page.getByRole('heading', { name: 'You run postgres yourself' })).toBeVisible();
  await expect(page.getByLabel('Database name', { exact: true })).toHaveValue('quay');
  await expect(page.getByText(/^\d+ changes?$/)).toHaveCount(0);

  await flip(page);
  await page.getByRole('button', { name: 'Review' }).click();
  await expect(page.getByText('The configuration is valid')).toBeVisible();
  const go = page.getByRole('button', { name: 'Reconfigure' });
  await go.click();
  const dialog = page.getByRole('dialog', { name: 'Hand postgres back?' });
  await expect(dialog.getByText('Make a backup first.')).toBeVisible();
  await accessible(page);
  await page.keyboard.press('Escape');
  await expect(dialog).toHaveCount(0);
  await expect(go).toBeFocused();
  expect(ward.config).toBe(written);
  expect(ward.components).toEqual({ postgres: false, redis: false });
  await go.click();
  await dialog.getByRole('button', { name: 'Hand back' }).click();
  await expect(page.getByRole('heading', { name: 'The new configuration is written' })).toBeVisible();
  await expect(dialog).toHaveCount(0);
  expect(ward.config).toBe(written.replace(/DB_.*\n/g, ''));
  expect(ward.components).toEqual({ postgres: true, redis: false });
  expect(await page.content()).not.toContain('db-s3cret-pw');
});

test('what is handed back is said in Korean, on a phone', async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.evaluate(() => localStorage.setItem('gantry-language', 'ko'));
  await page.goto('/#/database');
  await page.reload();
  await expect(page.getByRole('heading', { name: 'postgres을(를) 직접 운영하고 있습니다' })).toBeVisible();
  await flip(page);
  await expect(page.getByText('먼저 백업하세요.')).toBeVisible();
  await accessible(page);
  expect(await page.evaluate(() => document.getElementById('main')!.scrollWidth)).toBeLessThanOrEqual(360);
  await page.getByRole('button', { name: '검토' }).click();
  await expect(page.getByRole('heading', { name: 'postgres을(를) 오퍼레이터에게 돌려줍니다' })).toBeVisible();
  await page.getByRole('button', { name: '재구성' }).click();
  await expect(page.getByRole('dialog', { name: 'postgres을(를) 돌려줄까요?' })).toBeVisible();
  await accessible(page);
});

test('where another has handed it back meanwhile, nothing is left to do', async ({ page, ward }) => {
  await page.goto('/#/redis');
  await flip(page);
  const other = await ward.patch({ manage: { redis: true }, 'config.yaml': { USER_EVENTS_REDIS: null, BUILDLOGS_REDIS: null } });
  expect(other).toBe(200);
  await page.getByRole('button', { name: 'Review' }).click();
  await expect(page.getByRole('button', { name: 'Reconfigure' })).toBeEnabled();
  await page.getByRole('button', { name: 'Reconfigure' }).click();
  await expect(page.getByRole('heading', { name: 'Somebody else changed the configuration meanwhile' })).toBeVisible();
  await expect(page.getByText('You hand redis back to the operator')).toHaveCount(0);
  expect(ward.components).toEqual({ postgres: false, redis: true });
});
