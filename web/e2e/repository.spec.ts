import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { accessible, enter, expect, test } from './fixtures';
import { password } from './registry';

const run = promisify(execFile);

test('a repository is created, starred, filtered and deleted in bulk', async ({ signedIn: page, ada }) => {
  for (const name of ['one', 'two', 'three']) await ada.call('POST', '/api/v1/repository', { namespace: 'ada', repository: `bulk-${name}`, visibility: 'private', description: '', repo_kind: 'image' });
  await page.goto('/repository?ns=ada');
  await page.getByRole('button', { name: 'Create a repository' }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill('Not Good');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await expect(page.getByText('Small letters and digits')).toBeVisible();
  await page.getByRole('textbox', { name: 'Name' }).fill('made/here');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await expect(page).toHaveURL(/\/repository\/ada\/made\/here$/);
  await expect(page.getByText('There is no tag yet')).toBeVisible();
  await page.goBack();
  await page.getByRole('button', { name: 'Star ada/bulk-one' }).click();
  await expect(page.getByRole('button', { name: 'Star ada/bulk-one' })).toHaveAttribute('aria-pressed', 'true');
  await page.getByRole('textbox', { name: 'Filter repositories' }).fill('bulk');
  await expect(page).toHaveURL(/q=bulk/);
  await expect(page.getByRole('link', { name: 'made/here' })).toHaveCount(0);
  await page.getByRole('checkbox', { name: 'Choose ada/bulk-two' }).check();
  await page.getByRole('checkbox', { name: 'Choose ada/bulk-three' }).check();
  await page.getByRole('button', { name: 'Delete 2' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await expect(dialog.getByText('This is needed')).toBeVisible();
  await dialog.getByRole('textbox').fill('delete 2');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByText('2 repositories deleted')).toBeVisible();
  await expect(page.getByRole('link', { name: 'bulk-two' })).toHaveCount(0);
  await expect(page.getByRole('link', { name: 'bulk-one' })).toBeVisible();
});

test('a tag is added, moved, expired, made immutable, deleted, and brought back', async ({ signedIn: page, ada }) => {
  await ada.image('ada/tags', 'v1');
  const two = await ada.image('ada/tags', 'v2');
  await page.goto('/repository/ada/tags');
  const row = (name: string) => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });
  const act = async (tag: string, what: string) => {
    await page.getByRole('button', { name: `Actions for ${tag}` }).click();
    await page.getByRole('menuitem', { name: what }).click();
  };
  const dialog = page.getByRole('dialog');
  await act('v1', 'Add another tag');
  await dialog.getByRole('textbox').fill('stable');
  await page.keyboard.press('Enter');
  await expect(row('stable')).toBeVisible();

  await act('stable', 'Move');
  await dialog.getByRole('textbox').fill(two.digest);
  await dialog.getByRole('button', { name: 'Move' }).click();
  await expect(row('stable').getByText(two.digest.slice(0, 19))).toBeVisible();
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(row('stable').getByText(two.digest.slice(0, 19))).toHaveCount(0);

  await act('stable', 'Change the expiry');
  await dialog.getByRole('combobox').selectOption('At a time');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(row('stable').getByText('in 6 days')).toBeVisible();

  await act('v2', 'Make it immutable');
  await dialog.getByRole('button', { name: 'Make it immutable' }).click();
  await expect(row('v2').getByText('Immutable')).toBeVisible();
  await page.getByRole('button', { name: 'Actions for v2' }).click();
  await expect(page.getByRole('menuitem', { name: /Delete/ })).toHaveAttribute('aria-disabled', 'true');
  await page.keyboard.press('Escape');

  await act('v1', 'Delete');
  await expect(dialog.getByText(/^It frees (nothing|\d+ B when the time machine)/)).toBeVisible();
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await expect(row('v1')).toHaveCount(0);
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(row('v1')).toBeVisible();

  await page.getByRole('checkbox', { name: 'Choose v1' }).check();
  await page.getByRole('checkbox', { name: 'Choose v2' }).check();
  await page.getByRole('button', { name: 'Compare the two' }).click();
  await expect(page.getByText('config.Env')).toBeVisible();
});

test('what several tags free together is said before they are deleted', async ({ signedIn: page, ada }) => {
  await ada.image('ada/freed', 'a', 'only here');
  await ada.image('ada/freed', 'b', 'only here'); // the same image: each alone frees nothing
  await ada.image('ada/freed', 'c', 'another');
  await page.goto('/repository/ada/freed');
  const dialog = page.getByRole('dialog');
  const choose = async (...tags: string[]) => {
    for (const tag of tags) await page.getByRole('checkbox', { name: `Choose ${tag}`, exact: true }).check();
    await page.getByRole('button', { name: `Delete ${tags.length}` }).click();
  };
  await choose('a');
  await expect(dialog.getByText(/^It frees nothing/)).toBeVisible();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('checkbox', { name: 'Choose a', exact: true }).uncheck();
  await choose('a', 'b');
  await expect(dialog.getByText(/^Together they free \d+ B when the time machine no longer keeps them/)).toBeVisible();
  await accessible(page);
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByRole('link', { name: 'a', exact: true })).toHaveCount(0);
  await expect(page.getByRole('link', { name: 'c', exact: true })).toBeVisible();
});

test('the repositories of one namespace are put in three orders', async ({ signedIn: page, ada }) => {
  await ada.call('POST', '/api/v1/organization/', { name: 'orders' });
  for (const name of ['mid', 'end', 'beg']) await ada.call('POST', '/api/v1/repository', { namespace: 'orders', repository: name, visibility: 'private', description: '', repo_kind: 'image' });
  await ada.image('orders/mid', 'v1');
  const names = () => page.getByRole('table', { name: 'Repositories' }).locator('tbody a').allTextContents();
  await page.goto('/organization/orders');
  await expect.poll(names).toEqual(['beg', 'end', 'mid']); // the newest first
  const order = page.getByRole('combobox', { name: 'Order' });
  await order.selectOption('pushed');
  await expect.poll(names).toEqual(['mid', 'beg', 'end']);
  await expect(page).toHaveURL(/sort=pushed/);
  await order.selectOption('name');
  await expect.poll(names).toEqual(['beg', 'end', 'mid']);
  await page.goBack();
  await expect.poll(names).toEqual(['mid', 'beg', 'end']);
  await page.goto('/repository?ns=orders&sort=pushed');
  await expect.poll(names).toEqual(['mid', 'beg', 'end']);
});

test('the time machine restores a tag with one click', async ({ signedIn: page, ada }) => {
  const old = await ada.image('ada/past', 'latest', 'first');
  await ada.image('ada/past', 'latest', 'second');
  await page.goto('/repository/ada/past?tab=history');
  await page.getByRole('button', { name: /Restore latest/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Restore' }).click();
  await expect(page.getByText('latest was restored')).toBeVisible();
  await page.goto('/repository/ada/past/tag/latest');
  await expect(page.getByText(old.digest.slice(0, 19)).first()).toBeVisible();
});

test('roles, visibility, state and rules of a repository', async ({ signedIn: page, ada, registry }) => {
  await registry.account('reader');
  await ada.image('ada/kept', 'v1');
  await page.goto('/repository/ada/kept?tab=settings');
  await page.getByRole('button', { name: 'Give a role' }).click();
  await page.getByRole('combobox', { name: 'Whom' }).pressSequentially('read');
  await page.getByRole('option', { name: /reader/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Give the role' }).click();
  await page.getByRole('combobox', { name: 'Role of reader' }).selectOption('write');
  await page.reload();
  await expect(page.getByRole('combobox', { name: 'Role of reader' })).toHaveValue('write');
  await page.getByRole('button', { name: 'Make it read-only' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Make it read-only' }).click();
  await expect(page.getByText('Read-only: nobody can push')).toBeVisible();
  await page.getByRole('button', { name: 'Make it public' }).click();
  await page.getByRole('dialog').getByRole('textbox').fill('ada/kept');
  await page.getByRole('dialog').getByRole('button', { name: 'Make it public' }).click();
  await expect(page.getByText('Public: everybody may pull.')).toBeVisible();
  await page.getByRole('link', { name: 'Rules for tags' }).click();
  const prune = page.getByRole('region', { name: 'Auto-prune' });
  await prune.getByRole('button', { name: 'Add a rule' }).click();
  await page.getByRole('dialog').getByRole('spinbutton').fill('5');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await expect(prune.getByText('the newest 5 tags')).toBeVisible();
});

test('labels and attachments of an image', async ({ signedIn: page, ada }) => {
  await ada.image('ada/labelled', 'v1');
  await page.goto('/repository/ada/labelled/tag/v1');
  await page.getByRole('button', { name: 'Add a label' }).click();
  await page.getByRole('textbox', { name: 'Key' }).fill('com.example.team');
  await page.getByRole('textbox', { name: 'Value' }).fill('ops');
  await page.getByRole('dialog').getByRole('button', { name: 'Add' }).click();
  await expect(page.getByText('com.example.team')).toBeVisible();
  await expect(page.getByText('Nothing is attached')).toBeVisible();
  await page.getByRole('button', { name: 'Show the manifest' }).click();
  await expect(page.getByLabel('Manifest', { exact: true })).toContainText('schemaVersion');
});

test('a push of podman arrives while one looks', async ({ signedIn: page, ada, registry }) => {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-web-podman-'));
  const podman = (...args: string[]) => run('podman', ['--root', join(dir, 'root'), '--runroot', join(dir, 'run'), '--storage-driver', 'vfs', ...args], { env: { ...process.env, REGISTRY_AUTH_FILE: join(dir, 'auth.json') } });
  try {
    await ada.image('ada/live', 'before');
    const subscribed = page.waitForResponse((r) => r.url().includes('/realtime/user/subscribe'));
    await page.goto('/repository/ada/live');
    await expect(page.getByRole('link', { name: 'before' })).toBeVisible();
    await subscribed;
    await podman('login', '--tls-verify=false', '-u', 'ada', '-p', password, registry.host);
    await podman('pull', '-q', '--tls-verify=false', `${registry.host}/ada/live:before`).catch(() => undefined); // its layers are no archives; the import below is
    await run('tar', ['-cf', join(dir, 'rootfs.tar'), '-C', dir, '--files-from', '/dev/null']);
    await podman('import', '-q', join(dir, 'rootfs.tar'), `${registry.host}/ada/live:arrived`);
    await podman('push', '-q', '--tls-verify=false', `${registry.host}/ada/live:arrived`);
    await expect(page.getByRole('link', { name: 'arrived' })).toBeVisible();
    await expect(page.getByText('ada/live was pushed to')).toBeVisible();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('tags are found by their architecture and their signature', async ({ signedIn: page, ada }) => {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const signed = await ada.image('ada/arch', 'amd');
  await ada.image('ada/arch', 'arm', 'arm', 'arm64');
  const empty = await ada.blob('ada/arch', Buffer.from('{}'));
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', ...empty };
  await ada.manifest('ada/arch', '', { schemaVersion: 2, mediaType, artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json', config, layers: [], subject: { mediaType, ...signed } });
  await page.goto('/repository/ada/arch');
  const row = (name: string) => page.getByRole('row', { name: `Choose ${name}` });
  await expect(row('arm')).toContainText('arm64');
  await expect(row('amd')).toContainText('Signed');
  await expect(row('arm')).not.toContainText('Signed');
  await page.getByRole('combobox', { name: 'Architecture' }).selectOption('arm64');
  await expect(row('amd')).toHaveCount(0);
  await expect(row('arm')).toBeVisible();
  await page.getByRole('combobox', { name: 'Signature' }).selectOption('true');
  await expect(page.getByText('No tag is like that')).toBeVisible();
  await page.getByRole('button', { name: 'Show all' }).click();
  await page.getByRole('combobox', { name: 'Signature' }).selectOption('true');
  await expect(row('arm')).toHaveCount(0);
  await expect(row('amd')).toBeVisible();
  await expect(page).toHaveURL(/signed=true/);
});

test('a hundred thousand tags scroll without end, a page at a time', async ({ signedIn: page, ada }) => {
  await ada.image('ada/many', 'v1');
  const asked: string[] = [];
  // The list is made up here; what the server takes for such a one is measured in docs/benchmarks-api.md.
  await page.route('**/api/v1/repository/ada/many/tag?*', async (route) => {
    const next = new URL(route.request().url()).searchParams.get('next_page') ?? '';
    asked.push(next);
    const n = Number(next || 1);
    const tags = Array.from({ length: 100 }, (_, i) => ({
      name: `build-${100_000 - (n - 1) * 100 - i}`,
      reversion: false,
      start_ts: 1_700_000_000,
      last_modified: 'Tue, 14 Nov 2023 22:13:20 +0000',
      manifest_digest: `sha256:${'0'.repeat(64)}`,
      is_manifest_list: false,
      size: 1,
      immutable: false,
      platforms: ['linux/amd64'],
      signed: false,
    }));
    await route.fulfill({ json: { tags, page: 1, has_additional: n < 1000, next_page: n < 1000 ? String(n + 1) : undefined } });
  });
  await page.goto('/repository/ada/many');
  await expect(page.getByRole('link', { name: 'build-100000' })).toBeVisible();
  expect(asked).toEqual(['']);
  for (let i = 0; i < 30; i++) {
    await page.locator('#main').evaluate((e) => e.scrollTo(0, e.scrollHeight));
    await expect.poll(() => asked.length).toBeGreaterThan(i + 1);
  }
  expect(await page.getByRole('row').count()).toBeLessThan(80);
  await expect(page.getByRole('link', { name: /^build-97\d\d\d$/ }).first()).toBeVisible();
});

test('a row’s menu and hints work by the keyboard', async ({ signedIn: page, ada }) => {
  await ada.image('ada/keys', 'v1');
  await page.goto('/repository/ada/keys');
  const copy = page.getByRole('button', { name: 'Copy the pull command of v1' });
  await expect(copy).toBeVisible();
  await expect(page.getByRole('tooltip')).toHaveCount(0);
  await copy.focus();
  await expect(page.getByRole('tooltip')).toHaveText('Copy the pull command of v1');
  await page.keyboard.press('Escape');
  await expect(page.getByRole('tooltip')).toHaveCount(0);
  await page.keyboard.press('Tab');
  const menu = page.getByRole('button', { name: 'Actions for v1' });
  await expect(menu).toBeFocused();
  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowDown');
  await expect(page.getByRole('menuitem', { name: 'Add another tag' })).toBeFocused();
  await accessible(page);
  await page.keyboard.press('Escape');
  await expect(page.getByRole('menuitem')).toHaveCount(0);
  await expect(menu).toBeFocused();
  await expect(menu).toHaveAttribute('aria-expanded', 'false');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('menuitem', { name: 'Move' })).toBeVisible();
});

test('all repositories that one has a role in, in three orders', async ({ page, context, registry, ada }) => {
  const eve = await registry.account('eve');
  await ada.call('POST', '/api/v1/organization/', { name: 'roles' });
  for (const name of ['zebra', 'ant']) await ada.image(`roles/${name}`, 'v1', name);
  await ada.call('PUT', '/api/v1/repository/roles/zebra/permissions/user/eve', { role: 'read' });
  await eve.call('POST', '/api/v1/repository', { namespace: 'eve', repository: 'bee', visibility: 'private', description: '' });
  await enter(context, eve);
  await page.goto('/repository');
  const names = () => page.getByRole('table', { name: 'Repositories' }).locator('tbody a');
  await expect(names()).toHaveText(['eve/bee', 'roles/zebra']);
  await page.getByRole('combobox', { name: 'Order' }).selectOption('The last pushed to first');
  await expect(page).toHaveURL(/sort=pushed/);
  await expect(names()).toHaveText(['roles/zebra', 'eve/bee']);
  await expect(page.getByRole('row', { name: /eve\/bee/ }).getByText('Never')).toBeVisible();
  await page.getByRole('combobox', { name: 'Order' }).selectOption('By name');
  await expect(names()).toHaveText(['eve/bee', 'roles/zebra']);
  await page.goBack();
  await expect(names()).toHaveText(['roles/zebra', 'eve/bee']);
  await page.route('**/api/v1/repository?*', async (r) => {
    const a = await r.fetch();
    await r.fulfill({ response: a, json: { ...((await a.json()) as object), order: 'created' } });
  });
  await page.reload();
  await expect(page.getByText('There are too many to be put in that order')).toBeVisible();
  await accessible(page);
});
