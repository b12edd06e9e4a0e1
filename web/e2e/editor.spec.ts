import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Page } from '@playwright/test';
import { expect, password, secrets, test, written } from './editor';
import { accessible, calls } from './fixtures';

test.describe.configure({ mode: 'default' }); // one editor for all of them

const review = (page: Page) => page.getByRole('button', { name: 'Review' }).click();
const row = (page: Page, field: string) => page.locator(`#field-${field}`);
const ca = readFileSync(join(import.meta.dirname, 'ca.pem'), 'utf8');

/** option adds a time to TAG_EXPIRATION_OPTIONS. */
async function option(page: Page, text: string) {
  await page.getByRole('textbox', { name: 'Add to TAG_EXPIRATION_OPTIONS' }).fill(text);
  await page.keyboard.press('Enter');
}

/** weigh opens the editor with an empty cache, and returns what came over the network until its first view. */
async function weigh(page: Page, title: string): Promise<{ total: number; names: string[] }> {
  const client = await page.context().newCDPSession(page);
  await client.send('Network.enable');
  await client.send('Network.setCacheDisabled', { cacheDisabled: true });
  let total = 0;
  const names: string[] = [];
  const open = new Set<string>();
  client.on('Network.requestWillBeSent', (e) => (open.add(e.requestId), names.push(e.request.url)));
  client.on('Network.loadingFinished', (e) => (open.delete(e.requestId), (total += e.encodedDataLength)));
  await page.goto('/');
  await expect(page.getByRole('heading', { name: title, level: 1 })).toBeVisible();
  await expect.poll(() => open.size).toBe(0);
  return { total, names };
}

test('sign in: a wrong password, then the right one, in few requests and few bytes', async ({ server, browser }) => {
  const context = await browser.newContext({ baseURL: server.base, locale: 'en-US' });
  const page = await context.newPage();
  await page.goto('/#/redis');
  await expect(page.getByRole('heading', { name: 'Configuration editor' })).toBeVisible();
  await accessible(page);
  await page.getByLabel('Password').fill('no');
  await page.keyboard.press('Enter');
  await expect(page.getByText('The user name or the password is not right.')).toBeVisible();
  await expect(page.getByLabel('Password')).toBeFocused();
  await page.getByLabel('Password').fill(password);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Redis', level: 1 })).toBeVisible(); // where the address leads

  const second = await context.newPage();
  const list = calls(second);
  const bytes = await weigh(second, 'Custom SSL Certificates');
  expect(bytes.total).toBeGreaterThan(100 * 1024);
  expect(bytes.total, `${bytes.total} bytes`).toBeLessThanOrEqual(350 * 1024);
  expect(bytes.names.filter((n) => /ko-|form\.ko/.test(n))).toEqual([]); // another language is loaded where it is spoken
  expect(list.length, list.join(', ')).toBeLessThanOrEqual(4);
  await second.getByRole('button', { name: 'More' }).click();
  await second.getByRole('menuitem', { name: 'Sign out' }).click();
  await expect(second.getByRole('button', { name: 'Sign in' })).toBeVisible();
  await context.close();
});

test('too many wrong passwords are told with the time to wait', async ({ server, browser }) => {
  const page = await browser.newPage({ baseURL: server.base, locale: 'en-US' });
  await page.route('**/api/v1/session', (r) => (r.request().method() === 'POST' ? r.fulfill({ status: 429, headers: { 'Retry-After': '42' }, json: { error: 'limited', message: 'wait' } }) : r.continue()));
  await page.goto('/');
  await page.getByLabel('Password').fill('guess');
  await page.keyboard.press('Enter');
  await expect(page.getByText('Try again in 42 seconds.')).toBeVisible();
  await expect(page.getByLabel('Password')).toHaveValue('guess');
  await page.close();
});

test('4w is added in Time Machine, reviewed and saved; comments stay, and a rollback takes it out', async ({ editor: page, server }) => {
  await accessible(page);
  await expect(row(page, 'DEFAULT_TAG_EXPIRATION')).toContainText('2 weeks');
  await option(page, '4w');
  await expect(row(page, 'TAG_EXPIRATION_OPTIONS').getByText('Changed')).toBeVisible();
  await expect(page.getByRole('link', { name: /Time Machine/ })).toContainText('changed and not saved');
  await review(page);
  await expect(page.getByText('The configuration is valid')).toBeVisible();
  const changes = page.getByRole('list', { name: 'What changes' });
  await expect(changes.getByRole('link', { name: 'TAG_EXPIRATION_OPTIONS' })).toBeVisible();
  await expect(changes.getByText('4w')).toBeVisible();
  await expect(page.getByText('Nothing is restarted: all of it takes effect at once.')).toBeVisible();
  await accessible(page);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'The configuration is saved' })).toBeVisible();
  expect(server.config).toContain('4w');
  expect(server.config.replace(/TAG_EXPIRATION_OPTIONS:.*(\n[ -].*)*\n/, '')).toBe(written.replace(/TAG_EXPIRATION_OPTIONS:.*\n/, '')); // every other line is as it was
  await expect(page.getByText('Nothing is changed.')).toBeVisible();

  await page.getByRole('link', { name: 'History' }).click();
  await expect(page.getByRole('list', { name: 'History' }).getByText('TAG_EXPIRATION_OPTIONS').first()).toBeVisible();
  await accessible(page);
  await page.getByRole('button', { name: /^Roll back to/ }).first().click();
  await accessible(page);
  await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click();
  await expect(page.getByRole('heading', { name: 'Rolled back' })).toBeVisible();
  expect(server.config).toBe(written);
});

test('what is wrong is said at the field, and the review leads to it', async ({ editor: page, server }) => {
  const input = page.getByRole('textbox', { name: 'DEFAULT_TAG_EXPIRATION' });
  await input.fill('3w'); // a duration, and none of the options
  await expect(row(page, 'DEFAULT_TAG_EXPIRATION').getByRole('alert')).toBeVisible(); // by the server's check
  await input.fill('4weeks');
  await expect(row(page, 'DEFAULT_TAG_EXPIRATION').getByRole('alert')).toBeVisible(); // at once
  await expect(input).toHaveAttribute('aria-invalid', 'true');
  await expect(page.getByRole('link', { name: /Time Machine/ })).toContainText('wrong');
  await accessible(page);
  await review(page);
  await expect(page.getByText('1 problem to solve first')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Save', exact: true })).toBeDisabled();
  await page.getByRole('alert').getByRole('link', { name: 'DEFAULT_TAG_EXPIRATION' }).click();
  await expect(page).toHaveURL(/#\/time-machine\/DEFAULT_TAG_EXPIRATION$/);
  await expect(input).toBeFocused();
  await expect(input).toHaveValue('4weeks');
  await page.goBack();
  await expect(page.getByRole('heading', { name: 'Review' })).toBeVisible();
  await page.goForward();
  await page.getByRole('button', { name: 'Undo the change of DEFAULT_TAG_EXPIRATION' }).click();
  await expect(input).toHaveValue('2w');
  await expect(row(page, 'DEFAULT_TAG_EXPIRATION').getByRole('alert')).toHaveCount(0);
  expect(server.config).toBe(written);
});

test('secrets are never in the page nor in an answer; they are kept, and replaced', async ({ editor: page, server, answers }) => {
  await page.goto('/#/database');
  await expect(page.getByLabel('Server', { exact: true })).toHaveValue('127.0.0.1:1');
  await expect(page.getByText('Set, not shown').first()).toBeVisible();
  await accessible(page);
  await page.getByLabel('Database name', { exact: true }).fill('registry'); // the password stays
  await page.getByRole('button', { name: 'As text' }).click();
  await expect(page.getByRole('textbox', { name: 'DB_URI' })).toHaveValue('postgresql://quay:***@127.0.0.1:1/registry');
  await page.goto('/#/redis');
  const redis = row(page, 'USER_EVENTS_REDIS');
  await redis.getByRole('button', { name: 'Replace' }).click();
  await expect(redis.getByLabel('password', { exact: true })).toBeFocused();
  const host = redis.getByRole('textbox', { name: /^host/ });
  await host.focus();
  await page.keyboard.press('End');
  for (const key of ['0', '1', 'Backspace', 'Backspace']) await page.keyboard.press(key); // the focus stays here
  await expect(host).toBeFocused();
  await expect(host).toHaveValue('127.0.0.1');
  await accessible(page);
  await redis.getByLabel('password', { exact: true }).fill('another-one');
  await page.goto('/#/storage');
  await expect(page.getByRole('textbox', { name: /^hostname/ })).toHaveValue('s3.example.com');
  await page.getByRole('textbox', { name: /^bucket_name/ }).fill('images');
  await accessible(page);
  await review(page);
  await expect(page.getByRole('list', { name: 'What changes' }).getByRole('link')).toHaveCount(3);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'The configuration is saved' })).toBeVisible();
  expect(server.config).toContain('postgresql://quay:db-s3cret-pw@127.0.0.1:1/registry');
  expect(server.config).toContain('another-one');
  expect(server.config).toContain('bucket-s3cret-key');
  expect(server.config).toContain('images');
  expect(server.config).toContain('# beside us');
  await page.getByRole('link', { name: 'History' }).click();
  await expect(page.getByRole('list', { name: 'History' })).toBeVisible();
  const html = await page.content();
  expect(answers.length).toBeGreaterThan(5);
  for (const s of [...secrets, 'another-one']) {
    expect(html).not.toContain(s);
    for (const a of answers) expect(a).not.toContain(s);
  }
});

test('a certificate is chosen, checked, listed with its subject and end, saved and deleted', async ({ editor: page, server }) => {
  await page.goto('/#/certificates');
  const files = page.getByLabel('Files for certificates');
  await files.setInputFiles({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no certificate') });
  await expect(page.getByText(/That is no certificate in PEM/)).toBeVisible();
  await files.setInputFiles({ name: 'company.crt', mimeType: 'application/x-pem-file', buffer: Buffer.from(ca) });
  await expect(page.getByText('extra_ca_certs/company.crt')).toBeVisible();
  await expect(page.getByText(/Gantry test authority · until/)).toBeVisible();
  await accessible(page);
  await review(page);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'The configuration is saved' })).toBeVisible();
  expect(server.file('extra_ca_certs/company.crt')).toBe(ca);
  await page.goto('/#/certificates');
  await expect(page.getByText(/Gantry test authority · until/)).toBeVisible();
  await page.getByRole('button', { name: 'Delete extra_ca_certs/company.crt' }).click();
  await expect(page.getByText('Deleted when you save')).toBeVisible();
  await review(page);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'The configuration is saved' })).toBeVisible();
  await expect(() => expect(() => server.file('extra_ca_certs/company.crt')).toThrow()).toPass();
});

test('a login provider is added and removed, a field that nobody knows is edited as JSON', async ({ editor: page, server }) => {
  await page.goto('/#/login');
  await page.getByRole('textbox', { name: 'Name of a new provider' }).fill('keycloak');
  await page.getByRole('button', { name: 'Add a provider' }).click();
  const provider = row(page, 'KEYCLOAK_LOGIN_CONFIG');
  await provider.getByLabel('OIDC_SERVER').fill('https://sso.example.com/realms/acme/');
  await provider.getByLabel('CLIENT_ID').fill('gantry');
  await provider.getByLabel('CLIENT_SECRET').fill('sso-s3cret');
  await provider.getByLabel('SERVICE_NAME').fill('Keycloak');
  await accessible(page);
  await page.goto('/#/other');
  await page.getByLabel('OUR_OWN_FIELD', { exact: true }).fill('{"team": "platform", ');
  await expect(page.getByText('That is no JSON: the value before it stays.')).toBeVisible();
  await page.getByLabel('OUR_OWN_FIELD', { exact: true }).fill('{"team": "registry"}');
  await review(page);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'The configuration is saved' })).toBeVisible();
  expect(server.config).toContain('KEYCLOAK_LOGIN_CONFIG');
  expect(server.config).toContain('sso-s3cret');
  expect(server.config).toMatch(/OUR_OWN_FIELD:\s*\{?\s*team: registry/);
  await page.goto('/#/login');
  await page.getByRole('button', { name: 'Take out: KEYCLOAK_LOGIN_CONFIG' }).click();
  await expect(row(page, 'KEYCLOAK_LOGIN_CONFIG')).toHaveCount(0);
  await review(page);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'The configuration is saved' })).toBeVisible();
  await expect.poll(() => server.config).not.toContain('KEYCLOAK'); // the heading may be that of the save before
});

test('a second storage location, with the fields of its engine', async ({ editor: page, server }) => {
  await page.goto('/#/storage');
  await page.getByRole('textbox', { name: 'Name of a new location' }).fill('second');
  await page.getByRole('button', { name: 'Add a location' }).click();
  const second = page.getByRole('group', { name: 'Location second' });
  await second.getByLabel('Engine').selectOption('LocalStorage');
  await second.getByLabel('storage_path').fill('/srv/images');
  await page.getByRole('combobox', { name: 'Add to DISTRIBUTED_STORAGE_PREFERENCE' }).selectOption('second');
  await row(page, 'DISTRIBUTED_STORAGE_PREFERENCE').getByRole('button', { name: 'Move second up' }).click();
  await review(page);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'The configuration is saved' })).toBeVisible();
  expect(server.config).toContain('/srv/images');
  expect(server.config).toMatch(/DISTRIBUTED_STORAGE_PREFERENCE:\s*(\[second, default\]|\n?\s*- second\n\s*- default)/);
});

test('a connection is tested where it is set, and its failure says what to do', async ({ editor: page }) => {
  await page.goto('/#/redis');
  await page.getByRole('button', { name: 'Test Redis' }).click();
  await expect(page.getByRole('heading', { name: /does not work/ }).first()).toBeVisible(); // nothing listens on port 1
  await accessible(page);
});

test('the session ends in the middle: nothing that was typed is lost', async ({ editor: page, server }) => {
  await option(page, '8w');
  await page.context().clearCookies();
  await review(page);
  const dialog = page.getByRole('dialog', { name: 'Your session has ended' });
  await expect(dialog).toBeVisible();
  await accessible(page);
  await dialog.getByLabel('Password').fill(password);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('list', { name: 'What changes' }).getByText('8w')).toBeVisible();
  await page.context().clearCookies();
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await dialog.getByLabel('Password').fill(password);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'The configuration is saved' })).toBeVisible();
  expect(server.config).toContain('8w');
});

test('another was faster: what differs is shown, and the own changes stay on top', async ({ editor: page, server }) => {
  await option(page, '4w');
  await review(page);
  await expect(page.getByText('The configuration is valid')).toBeVisible();
  server.write(written.replace('SERVER_HOSTNAME: quay.example.com', 'SERVER_HOSTNAME: registry.example.com').replace('[0s, 1d, 1w, 2w]', '[0s, 2w, 3w]'));
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'Somebody else changed the configuration meanwhile' })).toBeVisible();
  const theirs = page.getByRole('list', { name: 'What the other changed' });
  await expect(theirs.getByText('registry.example.com')).toBeVisible();
  await expect(theirs.getByText('You changed it too: yours is saved.')).toBeVisible();
  await accessible(page);
  await expect(page.getByText('The configuration is valid')).toBeVisible();
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'The configuration is saved' })).toBeVisible();
  expect(server.config).toContain('registry.example.com');
  expect(server.config).toMatch(/1d[\s\S]*4w/);
});

test('by the keyboard: skip, find, change, undo', async ({ editor: page }) => {
  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'To the content' })).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.locator('#main')).toBeFocused();
  await expect(page).toHaveURL(/#\/time-machine$/);
  await page.keyboard.press('/');
  const filter = page.getByRole('textbox', { name: 'Find a field by name or description' });
  await expect(filter).toBeFocused();
  await page.keyboard.type('mail server');
  await expect(page.getByRole('heading', { name: 'MAIL_SERVER', exact: true })).toBeVisible();
  await accessible(page);
  await page.getByLabel('MAIL_SERVER', { exact: true }).fill('mail.example.com');
  await page.keyboard.press('Control+k');
  await expect(filter).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('heading', { name: 'Time Machine', level: 1 })).toBeVisible();
  await expect(page.getByRole('link', { name: /E-mail/ })).toContainText('changed and not saved');
  const time = page.getByRole('textbox', { name: 'DEFAULT_TAG_EXPIRATION' });
  await time.focus();
  await page.keyboard.press('End');
  for (const key of ['Backspace', 'Backspace', '1', 'w']) await page.keyboard.press(key); // empty in between, and not filled by itself
  await expect(time).toHaveValue('1w');
  await page.keyboard.press('Backspace');
  await page.keyboard.press('Backspace');
  await page.keyboard.press('Tab');
  await expect(time).toHaveValue('2w'); // left empty it is the default
  await page.getByRole('link', { name: /E-mail/ }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'E-mail', level: 1 })).toBeFocused();
  await expect(page.getByLabel('MAIL_SERVER', { exact: true })).toHaveValue('mail.example.com');
  await page.goBack();
  await expect(page.getByRole('heading', { name: 'Time Machine', level: 1 })).toBeVisible();
});

test('a field that the environment sets is marked, and says that the environment wins', async ({ editor: page }) => {
  await page.goto('/#/other/LOGGING_LEVEL');
  await expect(row(page, 'LOGGING_LEVEL').getByText('Set by environment')).toBeVisible();
  await expect(row(page, 'LOGGING_LEVEL')).toContainText('LOGGING_LEVEL in the environment wins over the file.');
  await expect(page.getByRole('link', { name: /Other settings/ })).toContainText('Set by environment');
  await expect(page.getByLabel('LOGGING_LEVEL', { exact: true })).toBeFocused(); // the address leads to the field
});

test('the whole is downloaded, with what is changed and not saved', async ({ editor: page, server }) => {
  await option(page, '4w');
  await review(page);
  const coming = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download' }).click();
  const file = await coming;
  expect(file.suggestedFilename()).toBe('quay-config.tar.gz');
  const tar = gunzipSync(readFileSync(await file.path())).toString();
  expect(tar).toContain('4w');
  expect(tar).toContain('# Kept by hand');
  expect(server.config).toBe(written);
});

test('leaving with changes asks first', async ({ editor: page }) => {
  await option(page, '4w');
  page.removeAllListeners('dialog');
  const asked = page.waitForEvent('dialog');
  const leaving = page.goto('about:blank').catch(() => undefined);
  const dialog = await asked;
  expect(dialog.type()).toBe('beforeunload');
  await dialog.accept();
  await leaving;
});

test('in Korean the form is in Korean, from a catalogue that fits the first load', async ({ server, browser }) => {
  const context = await browser.newContext({ baseURL: server.base, locale: 'ko-KR', reducedMotion: 'reduce' });
  const page = await context.newPage();
  await page.goto('/');
  await page.getByLabel('비밀번호').fill(password);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: '사용자 지정 SSL 인증서', level: 1 })).toBeVisible();
  const second = await context.newPage();
  const bytes = await weigh(second, '사용자 지정 SSL 인증서');
  expect(bytes.names.filter((n) => /form\.ko/.test(n))).toHaveLength(1);
  expect(bytes.total, `${bytes.total} bytes`).toBeLessThanOrEqual(350 * 1024);
  await second.close();
  for (const section of ['basic', 'storage', 'login', 'other']) {
    await page.goto(`/#/${section}`);
    await expect(page.locator('#title')).toBeVisible();
    const docs = await page.locator('.e-doc').allTextContents();
    expect(docs.length, section).toBeGreaterThan(3);
    expect(docs.filter((x) => !/[가-힣]/.test(x)), section).toEqual([]);
    expect(await page.locator('.e-doc [lang=en]').count(), section).toBe(0);
    await accessible(page);
  }
  await expect(page.getByRole('heading', { name: 'Gantry 고유 필드', level: 2 })).toBeVisible(); // a group
  await page.goto('/#/storage');
  await expect(page.getByLabel('엔진')).toContainText('로컬에 마운트한 디렉터리 (LocalStorage)');
  await expect(row(page, 'DISTRIBUTED_STORAGE_CONFIG').getByText('버킷의 이름입니다.')).toBeVisible(); // a key of an engine
  const filter = page.getByRole('textbox', { name: '이름이나 설명으로 필드 찾기' });
  await filter.fill('타임머신');
  await expect(page.getByRole('heading', { name: 'DEFAULT_TAG_EXPIRATION', exact: true })).toBeVisible();
  await filter.fill('');
  await page.goto('/#/time-machine');
  await page.getByRole('textbox', { name: 'DEFAULT_TAG_EXPIRATION' }).fill('3w');
  await expect(row(page, 'DEFAULT_TAG_EXPIRATION').getByRole('alert').locator('[lang=en]')).toBeVisible(); // what the server finds is in English, and is marked so
  await context.close();
});

test('on a phone, in Korean and dark', async ({ editor: page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.evaluate(() => localStorage.setItem('gantry-language', 'ko'));
  await page.reload();
  try {
    await expect(page.getByRole('heading', { name: '타임머신', level: 1 })).toBeVisible();
    await expect(page.locator('html')).toHaveAttribute('lang', 'ko');
    await expect(row(page, 'DEFAULT_TAG_EXPIRATION')).toContainText('2주');
    await accessible(page);
    await page.getByRole('button', { name: '탐색' }).click();
    await page.getByRole('link', { name: '레지스트리 스토리지' }).click();
    await expect(page.getByRole('heading', { name: '레지스트리 스토리지', level: 1 })).toBeVisible();
    await accessible(page);
    for (const place of ['time-machine', 'database', 'storage', 'login', 'other', 'review', 'history']) {
      await page.goto(`/#/${place}`);
      await expect(page.locator('#title')).toBeVisible();
      expect(await page.evaluate(() => document.getElementById('main')!.scrollWidth), place).toBeLessThanOrEqual(360);
    }
  } finally {
    await page.evaluate(() => localStorage.removeItem('gantry-language'));
  }
});

test('sections with every kind of field are accessible', async ({ editor: page }) => {
  await expect(page.getByRole('navigation', { name: 'Sections' }).getByRole('link')).toHaveCount(24); // with the review and the history
  for (const section of ['basic', 'server', 'action-logs', 'authentication', 'builds', 'other']) {
    await page.goto(`/#/${section}`);
    await expect(page.locator('#title')).toBeVisible();
    await accessible(page);
  }
});

test.describe('with an operator', () => {
  // The page does what the answers of the operator's editor say: here they are given to it, with the form and the values of the real one.
  const state = { mode: 'operator', registry: 'quay', namespace: 'prod', secret: 'quay-config', version: 'test', revision: 'r1', written: ['USER_EVENTS_REDIS', 'TAG_EXPIRATION_OPTIONS'], source: { LOGGING_LEVEL: 'environment', SERVER_HOSTNAME: 'operator' }, managed: [{ component: 'redis', group: 'Redis', fields: ['USER_EVENTS_REDIS', 'BUILDLOGS_REDIS'], unmanageable: true }], own: [], writable: true, warnings: ['The Secret quay-config is owned by Argo CD, which may put it back'] };

  test('managed components are locked and can be taken over; a rollout is shown until it is done', async ({ editor: page }) => {
    const sent: { manage?: Record<string, boolean>; match?: string }[] = [];
    let asked = 0;
    await page.route('**/api/v1/config/state', (r) => r.fulfill({ json: state }));
    await page.route('**/api/v1/config/rollout', (r) => {
      asked++;
      const rolling = sent.length > 0 && asked < 3;
      return r.fulfill({
        json: {
          state: rolling ? 'rolling' : 'done',
          message: rolling ? '1 of 2 pods run the new configuration' : 'All pods run the new configuration',
          conditions: [{ type: 'Available', status: 'True', reason: 'HealthChecksPassing', message: 'All components are healthy', at: '2026-01-02T03:04:05Z' }],
          events: [{ at: '2026-01-02T03:04:05Z', type: 'Normal', reason: 'RolloutBlocked', message: 'waits for quay-app' }],
        },
      });
    });
    await page.route('**/api/v1/config/check*', (r) => r.fulfill({ json: { valid: true, problems: [], tests: [], changes: [], pods: ['quay-app', 'quay-mirror'] } }));
    await page.route('**/api/v1/config', (r) => {
      if (r.request().method() !== 'PATCH') return r.continue();
      const body = r.request().postDataJSON() as { manage?: Record<string, boolean> };
      sent.push({ manage: body.manage, match: r.request().headers()['if-match'] });
      return r.fulfill({ json: { ...state, revision: 'r2', managed: [] } });
    });
    asked = 0;
    await page.goto('about:blank');
    await page.goto('/#/redis');
    await expect(page.getByText('prod/quay')).toBeVisible();
    await expect(page.getByText('owned by Argo CD')).toBeVisible();
    await expect(row(page, 'USER_EVENTS_REDIS').getByText('Managed by the operator')).toBeVisible();
    await expect(row(page, 'USER_EVENTS_REDIS').getByRole('textbox', { name: /^host/ })).toBeDisabled();
    await expect(page.getByRole('link', { name: /Redis/ })).toContainText('Managed by the operator');
    await accessible(page);
    await page.getByRole('switch', { name: 'Managed by the operator' }).focus();
    await page.keyboard.press('Space');
    await expect(page.getByRole('heading', { name: /You take redis over from the operator/ })).toBeVisible();
    await expect(row(page, 'USER_EVENTS_REDIS').getByRole('textbox', { name: /^host/ })).toBeEnabled();
    await accessible(page);
    await review(page);
    await expect(page.getByText('quay-mirror')).toBeVisible();
    await expect(page.getByRole('button', { name: 'Download' })).toHaveCount(0);
    await page.getByRole('button', { name: 'Reconfigure' }).click();
    await expect(page.getByRole('heading', { name: 'The new configuration is written' })).toBeVisible();
    await expect(page.getByText('1 of 2 pods run the new configuration')).toBeVisible();
    await page.getByText('Conditions and events').click();
    await expect(page.getByText('RolloutBlocked')).toBeVisible();
    await expect(page.getByRole('heading', { name: 'The registry runs with the new configuration' })).toBeVisible();
    await accessible(page);
    expect(sent).toEqual([{ manage: { redis: false }, match: '"r1"' }]);
  });

  test('where nothing can be written the page says why, and offers nothing', async ({ editor: page }) => {
    await page.route('**/api/v1/config/state', (r) => r.fulfill({ json: { ...state, writable: false, reason: 'The Secret quay-config is immutable: make another one' } }));
    await page.goto('about:blank');
    await page.goto('/#/time-machine');
    await expect(page.getByText('The Secret quay-config is immutable: make another one')).toBeVisible();
    await expect(page.getByRole('textbox', { name: 'DEFAULT_TAG_EXPIRATION' })).toBeDisabled();
    await expect(page.getByRole('textbox', { name: 'Add to TAG_EXPIRATION_OPTIONS' })).toHaveCount(0);
    await accessible(page);
    await review(page);
    await expect(page.getByRole('button', { name: 'Reconfigure' })).toHaveCount(0);
  });
});

