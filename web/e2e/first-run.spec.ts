import { accessible, expect, test, calls, enter } from './fixtures';
import { password, Registry } from './registry';

test('a new registry leads from the first account to the commands of a first push', async ({ browser }) => {
  const r = await Registry.start();
  const context = await browser.newContext({ baseURL: r.base });
  try {
    const page = await context.newPage();
    await page.goto('/');
    await expect(page.getByRole('heading', { name: 'Welcome: create the first account' })).toBeVisible();
    await accessible(page);
    await page.getByLabel('User name').fill('Ada Lovelace');
    await page.getByRole('textbox', { name: 'Password', exact: true }).fill('short');
    await page.getByRole('button', { name: 'Create the account' }).click();
    await expect(page.getByText('Two or more small letters')).toBeVisible();
    await expect(page.getByLabel('User name')).toBeFocused();
    await page.getByLabel('User name').fill('ada');
    await page.getByRole('textbox', { name: 'Password', exact: true }).fill(password);
    await page.getByLabel('Password again').fill(password);
    await page.keyboard.press('Enter');
    // Signed in at once, and told how to go on.
    await expect(page.getByRole('heading', { name: 'Push and pull' })).toBeVisible();
    await expect(page.getByText(`podman push --tls-verify=false ${r.host}/ada/app:latest`)).toBeVisible();
    for (const client of ['Docker', 'Helm', 'ORAS', 'Kubernetes', 'containerd']) {
      await page.getByRole('tab', { name: client }).click();
      await expect(page.getByRole('tabpanel').getByText(r.host).first()).toBeVisible();
    }
    await page.getByRole('tab', { name: 'Podman' }).click();
    await accessible(page);
    await expect(page.getByRole('link', { name: 'Administration' })).toBeVisible(); // the first account is a superuser
  } finally {
    await context.close();
    await r.stop();
  }
});

test('with FEATURE_USER_CREATION off the page says how accounts are made', async ({ browser }) => {
  const r = await Registry.start('SETUP_COMPLETE: true\nFEATURE_USER_CREATION: false\n');
  const context = await browser.newContext({ baseURL: r.base });
  try {
    const page = await context.newPage();
    await page.goto('/');
    await expect(page.getByRole('heading', { name: 'This registry has no account yet' })).toBeVisible();
    await expect(page.getByText('FEATURE_USER_CREATION is off')).toBeVisible();
    await expect(page.getByText('gantry user create NAME')).toBeVisible();
    await accessible(page);
  } finally {
    await context.close();
    await r.stop();
  }
});

test('sign in, to the page that was asked for, and out', async ({ page, ada }) => {
  await page.goto('/guide');
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
  await accessible(page);
  await page.getByLabel('User name').fill(ada.name);
  await page.getByLabel('Password').fill('not-the-password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByText('The user name or the password is not right.')).toBeVisible();
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('heading', { name: 'Push and pull' })).toBeVisible();
  await page.getByRole('button', { name: ada.name }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await expect(page).toHaveURL(/\/signin$/);
  await expect(page.getByRole('heading', { name: 'Sign in', exact: true })).toBeVisible();
  await expect.poll(() => page.context().cookies().then((all) => all.filter((c) => c.name === 'session' && c.value))).toEqual([]);
});

test('an account is created, and its overview says how to begin', async ({ page, ada: _ }) => {
  await page.goto('/signin');
  await page.getByRole('link', { name: 'Create an account' }).click();
  await page.getByLabel('User name').fill('newcomer');
  await page.getByRole('textbox', { name: 'Password', exact: true }).fill(password);
  await page.getByLabel('Password again').fill(password);
  await page.getByRole('button', { name: 'Create the account' }).click();
  await expect(page.getByText('Push your first image')).toBeVisible();
  await accessible(page);
});

test('the search opens by the keyboard, finds names and goes there', async ({ signedIn: page, ada }) => {
  await ada.image('ada/found-me', 'v1');
  await page.goto('/');
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
  await page.keyboard.press('Control+k');
  await expect(page.getByRole('combobox', { name: 'Search' })).toBeFocused();
  await page.keyboard.type('found');
  await expect(page.getByRole('option', { name: /ada\/found-me/ })).toBeVisible();
  await accessible(page);
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toBeHidden();
  await page.keyboard.press('/');
  await expect(page.getByRole('combobox', { name: 'Search' })).toBeFocused();
  await page.keyboard.type('found');
  await expect(page.getByRole('option').first()).toContainText('ada/found-me');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/repository\/ada\/found-me$/);
  await page.goBack();
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
});

test('Korean, and a dark page, stay chosen', async ({ signedIn: page }) => {
  await page.goto('/guide');
  await page.getByRole('button', { name: /Language/ }).click();
  await page.getByRole('menuitem', { name: '한국어' }).click();
  await expect(page.getByRole('heading', { name: '푸시와 풀' })).toBeVisible();
  await expect(page.locator('html')).toHaveAttribute('lang', 'ko');
  await page.getByRole('button', { name: '화면 모드' }).click();
  await page.getByRole('menuitem', { name: '어둡게' }).click();
  await page.reload();
  await expect(page.getByRole('heading', { name: '푸시와 풀' })).toBeVisible();
  await expect(page.locator('html')).toHaveClass(/pf-v6-theme-dark/);
});

test('on a phone the navigation opens over the page', async ({ signedIn: page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.goto('/guide');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(wide).toBeLessThanOrEqual(360);
  await page.getByRole('button', { name: 'Navigation' }).click();
  await page.getByRole('link', { name: 'Overview' }).click();
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
  await accessible(page);
});

test('the first load is at most 350 KiB, and asks for little', async ({ context, ada }) => {
  await enter(context, ada);
  const page = await context.newPage();
  const client = await context.newCDPSession(page);
  await client.send('Network.enable');
  let bytes = 0;
  const open = new Set<string>(); // what is asked for and has not come; the stream of events never ends
  client.on('Network.requestWillBeSent', (e) => /\/realtime\//.test(e.request.url) || open.add(e.requestId));
  client.on('Network.loadingFinished', (e) => (open.delete(e.requestId), (bytes += e.encodedDataLength)));
  const list = calls(page);
  await page.goto('/');
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
  await expect(page.getByRole('status', { name: 'Loading' })).toHaveCount(0);
  await expect.poll(() => open.size).toBe(0);
  expect(bytes).toBeGreaterThan(100 * 1024);
  expect(bytes, `${bytes} bytes`).toBeLessThanOrEqual(350 * 1024);
  expect(list.length, list.join(', ')).toBeLessThanOrEqual(4);
});
