import { accessible, expect, test } from './fixtures';
import { password } from './registry';
// @ts-expect-error it is plain JavaScript, for node alone
import { schemaOf } from '../scripts/client.mjs';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const problem = (status: number, type: string, detail: string) => ({ status, headers: { 'X-Request-Id': 'f00d' }, json: { status, error_type: type, title: type, type, detail, error_message: detail } });

test('a session that ends in the middle is taken up again where it was', async ({ signedIn: page, ada }) => {
  await ada.image('ada/middle', 'v1');
  await page.goto('/repository/ada/middle?tab=information');
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByRole('textbox', { name: 'Description' }).fill('What I typed');
  await page.context().clearCookies();
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('heading', { name: 'Your session has ended' })).toBeVisible();
  await accessible(page);
  await page.getByLabel('Password of ada').fill(password);
  await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await expect(page.getByText('What I typed')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Edit' })).toBeVisible();
});

test('a server that fails says what to do, and goes on when it is back', async ({ signedIn: page }) => {
  await page.route('**/api/v1/repository?*', (route) => route.fulfill(problem(500, 'internal_error', 'internal error')));
  await page.goto('/repository');
  await expect(page.getByText('The registry has a problem')).toBeVisible();
  await expect(page.getByText('Request f00d')).toBeVisible();
  await accessible(page);
  await page.unroute('**/api/v1/repository?*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByText('The registry has a problem')).toHaveCount(0);
});

test('a conflict and a limit are shown in the form, which stays as it is', async ({ signedIn: page }) => {
  await page.goto('/organization');
  await page.getByRole('button', { name: 'Create an organization' }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill('taken');
  await page.route('**/api/v1/organization', (route) => route.fulfill(problem(409, 'invalid_request', 'It is there already')));
  await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
  await expect(page.getByText('Somebody else was faster')).toBeVisible();
  await page.unroute('**/api/v1/organization');
  await page.route('**/api/v1/organization', (route) => route.fulfill({ ...problem(429, 'rate_limited', 'Too many requests'), headers: { 'Retry-After': '7' } }));
  await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
  await expect(page.getByText('Try again in 7 seconds.')).toBeVisible();
  await expect(page.getByRole('textbox', { name: 'Name' })).toHaveValue('taken');
});

test('in Korean the server is understood too, and what is not known stays as it is', async ({ signedIn: page, context }) => {
  await context.addInitScript(() => localStorage.setItem('gantry-language', 'ko'));
  await page.goto('/organization');
  await page.getByRole('button', { name: '조직 만들기' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: '이름' }).fill('ada');
  await dialog.getByRole('button', { name: '만들기' }).click();
  await expect(dialog.getByRole('alert')).toContainText(/[가-힣]/);
  await page.route('**/api/v1/organization', (route) => route.fulfill(problem(400, 'invalid_request', 'Username is already in use: ada')));
  await dialog.getByRole('button', { name: '만들기' }).click();
  await expect(dialog.getByText('ada은(는) 이미 쓰는 이름입니다.')).toBeVisible();
  await page.unroute('**/api/v1/organization');
  await page.route('**/api/v1/organization', (route) => route.fulfill(problem(400, 'invalid_request', 'something new')));
  await dialog.getByRole('button', { name: '만들기' }).click();
  await expect(dialog.getByText('something new')).toBeVisible();
});

test('offline and slow: the page says so, and goes on by itself', async ({ signedIn: page, context, ada }) => {
  await ada.image('ada/slow', 'v1');
  await page.goto('/repository/ada/slow');
  await expect(page.getByRole('link', { name: 'v1' })).toBeVisible();
  await context.setOffline(true);
  await expect(page.getByText('You are offline')).toBeVisible();
  await context.setOffline(false);
  await expect(page.getByText('You are offline')).toHaveCount(0);
  let release = () => {};
  const held = new Promise<void>((f) => (release = f));
  await page.route('**/api/v1/repository/ada/slow/tag?*', async (route) => {
    await held;
    await route.continue();
  });
  await page.goto('/repository/ada/slow?tab=history');
  await expect(page.getByRole('status', { name: 'Loading' })).toBeVisible();
  release();
  await expect(page.getByRole('heading', { name: 'v1' })).toBeVisible();
});

test('what is not there, and what one may not see', async ({ signedIn: page }) => {
  await page.goto('/repository/nobody/nothing');
  await expect(page.getByText('You may not see this, or it is not there')).toBeVisible();
  await page.goto('/no/such/page');
  await expect(page.getByText('There is no such thing')).toBeVisible();
  await accessible(page);
});

test('the types of the client are those of the API', async ({ registry }) => {
  const kept = readFileSync(join(import.meta.dirname, '../src/api/schema.d.ts'), 'utf8');
  expect(kept === (await (schemaOf as (base: string) => Promise<string>)(registry.base)), 'run: npm run client -- http://localhost:8080').toBe(true);
});
