import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { enter, expect, test } from './fixtures';
import { type Account, Registry } from './registry';
import { Slow } from './slow';

// What happens somewhere else is shown while it happens. Where a test wants to
// know that the stream of events brought it, the API is out of reach meanwhile.

const big = 3 << 20;

// heavy pushes an image with one layer of three MiB.
async function heavy(a: Account, repo: string, tag: string) {
  const layer = await a.blob(repo, randomBytes(big));
  const config = await a.blob(repo, Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [layer.digest] }, config: { Env: [tag] } })));
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  await a.manifest(repo, tag, {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer }],
  });
}

// colleague makes another account, which may push to a repository of ada's.
async function colleague(ada: Account, name: string, repo: string): Promise<Account> {
  const a = await ada.registry.account(name);
  await ada.call('PUT', `/api/v1/repository/${repo}/permissions/user/${name}`, { role: 'write' });
  return a;
}

test('a mirror and its job are seen to run, with bytes, rate and time left', async ({ signedIn: page, context, ada }) => {
  const upstream = await Registry.start(); // of its own: what is here already is not fetched
  const far = await upstream.first('far');
  for (const tag of ['a', 'b', 'c']) await heavy(far, 'far/app', tag);
  await far.call('POST', '/api/v1/repository/far/app/changevisibility', { visibility: 'public' });
  await ada.call('POST', '/api/v1/repository', { namespace: 'ada', repository: 'near', visibility: 'private', description: '', repo_kind: 'image' });
  await ada.call('PUT', '/api/v1/user/robots/near', {});
  const slow = await Slow.before(upstream.base, big);
  try {
    await ada.call('POST', '/api/v1/repository/ada/near/mirror', {
      external_reference: `${slow.host}/far/app`,
      external_registry_config: { verify_tls: false },
      sync_interval: 86400,
      sync_start_date: '2030-01-01T00:00:00Z',
      root_rule: { rule_kind: 'tag_glob_csv', rule_value: ['*'] },
      robot_username: 'ada+near',
      is_enabled: true,
    });
    await page.goto('/repository/ada/near?tab=mirror');
    await page.getByRole('button', { name: 'Run now' }).click();
    const runs = page.getByRole('table', { name: 'Runs', exact: true });
    await expect(runs.getByText('Running')).toBeVisible();
    await expect.poll(() => slow.held).toBe(3);
    await expect(runs.getByText('0 of 3 tags')).toBeVisible();
    const jobs = await context.newPage();
    await enter(context, ada);
    await jobs.goto('/superuser?tab=jobs');
    const job = jobs.getByRole('row', { name: /Mirror a repository/ }).filter({ hasText: 'Running' });
    await expect(job).toBeVisible();
    // The halves that came are not written down anywhere yet.
    await expect(runs.getByText(/[1-9]\.\d MiB/).first()).toBeVisible();

    // From here on the stream alone says how it goes.
    await page.route(/\/api\/v1\/.*\/mirror/, (r) => r.abort());
    await jobs.route(/\/api\/v1\/superuser\/jobs/, (r) => r.abort());
    slow.one();
    await expect(runs.getByText('1 of 3 tags')).toBeVisible();
    await expect(job.getByText('1 of 3 tags')).toBeVisible();
    slow.one();
    await expect(runs.getByText('2 of 3 tags')).toBeVisible();
    await expect(job.getByText(/2 of 3 tags · .*\/s · .*left/)).toBeVisible();
    await page.unrouteAll();
    await jobs.unrouteAll();
    slow.all();
    await expect(page.getByText('In step')).toBeVisible();
    await expect(runs.getByText('3 copied')).toBeVisible();
    await expect(job).toHaveCount(0);
    await jobs.close();
  } finally {
    await slow.stop();
    await upstream.stop();
  }
});

test('without the stream a mirror is asked for from time to time', async ({ signedIn: page, ada, registry }) => {
  await page.route(/\/realtime\//, (r) => r.abort());
  await ada.image('ada/still', 'v1');
  await ada.call('POST', '/api/v1/repository/ada/still/changevisibility', { visibility: 'public' });
  await ada.call('POST', '/api/v1/repository', { namespace: 'ada', repository: 'polled', visibility: 'private', description: '', repo_kind: 'image' });
  await ada.call('PUT', '/api/v1/user/robots/polled', {});
  await ada.call('POST', '/api/v1/repository/ada/polled/mirror', {
    external_reference: `${registry.host}/ada/still`,
    external_registry_config: { verify_tls: false },
    sync_interval: 86400,
    sync_start_date: '2030-01-01T00:00:00Z',
    root_rule: { rule_kind: 'tag_glob_csv', rule_value: ['*'] },
    robot_username: 'ada+polled',
    is_enabled: true,
  });
  await page.goto('/repository/ada/polled?tab=mirror');
  await page.getByRole('button', { name: 'Run now' }).click();
  await expect(page.getByText('In step')).toBeVisible();
  await expect(page.getByRole('table', { name: 'Runs', exact: true }).getByText('1 copied')).toBeVisible();
});

test('what another pushes is seen to arrive, and its tag comes', async ({ signedIn: page, ada, registry }) => {
  await ada.image('ada/shared', 'v1');
  const bob = await colleague(ada, 'bob', 'ada/shared');
  await page.goto('/repository/ada/shared');
  await expect(page.getByRole('link', { name: 'v1', exact: true })).toBeVisible();
  const token = await bob.token('ada/shared');
  const start = await fetch(`${registry.base}/v2/ada/shared/blobs/uploads/`, { method: 'POST', headers: { Authorization: `Bearer ${token}` } });
  const to = new URL(start.headers.get('Location') ?? '', registry.base);
  const sent = request(to, { method: 'PATCH', headers: { Authorization: `Bearer ${token}`, 'Content-Length': 4 * big, 'Content-Type': 'application/octet-stream' } });
  const ended = new Promise<number>((done, fail) => sent.on('response', (r) => (r.resume(), done(r.statusCode ?? 0))).on('error', fail));
  const shown = page.getByRole('complementary', { name: 'Uploads' });
  sent.write(randomBytes(big));
  await expect
    .poll(async () => {
      sent.write(randomBytes(16 << 10)); // it is told of as it comes
      return shown.isVisible();
    })
    .toBe(true);
  await expect(shown).toContainText(/MiB of 12 MiB/);
  sent.destroy();
  await ended.catch(() => 0);
  await expect(shown).toHaveCount(0);
  await bob.image('ada/shared', 'from-bob');
  await expect(page.getByRole('link', { name: 'from-bob', exact: true })).toBeVisible();
});

test('a log grows while one looks at it, and what one reads stays where it is', async ({ signedIn: page, ada }) => {
  const { digest } = await ada.image('ada/logged', 'v1');
  for (let i = 0; i < 40; i++) await ada.call('PUT', `/api/v1/repository/ada/logged/tag/t${i}`, { manifest_digest: digest });
  const stream = page.waitForResponse((r) => /\/realtime\/.*logs/.test(r.url()));
  await page.goto('/repository/ada/logged?tab=logs');
  const row = (tag: string) => page.getByRole('row', { name: new RegExp(`tag: ${tag}( |$)`) });
  await expect(row('t39')).toBeVisible();
  await stream;
  await ada.image('ada/logged', 'v2');
  await expect(row('v2')).toBeVisible();

  const main = page.locator('#main');
  await main.evaluate((e) => e.scrollTo(0, 900));
  await expect(row('t25')).toBeVisible();
  const place = async () => ({ y: Math.round((await row('t25').boundingBox())?.y ?? -1), index: Number(await row('t25').getAttribute('data-index')) });
  const before = await place();
  await ada.image('ada/logged', 'v3');
  await expect.poll(async () => (await place()).index).toBeGreaterThan(before.index);
  expect((await place()).y).toBe(before.y);
  await main.evaluate((e) => e.scrollTo(0, 0));
  await expect(row('v3')).toBeVisible();
});
