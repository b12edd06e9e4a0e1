import { expect, test } from './fixtures';
import { password } from './registry';

test('an organization, a team, a member, a robot and an application', async ({ signedIn: page, registry }) => {
  await registry.account('grace');
  await page.goto('/organization');
  await page.getByRole('button', { name: 'Create an organization' }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill('acme');
  await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
  await expect(page).toHaveURL(/\/organization\/acme$/);
  const tab = (name: string) => page.getByRole('navigation', { name: 'Parts of the page' }).getByRole('link', { name, exact: true }).click();

  await tab('Teams');
  await page.getByRole('button', { name: 'Create a team' }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill('ops');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await page.getByRole('link', { name: 'ops' }).click();
  await page.getByRole('button', { name: 'Add a member' }).click();
  await page.getByRole('combobox', { name: 'Whom' }).pressSequentially('gra');
  await expect(page.getByRole('option', { name: /grace/ })).toBeVisible();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('row', { name: /grace/ })).toBeVisible();
  await page.goBack();

  await tab('Robots');
  await page.getByRole('button', { name: 'Create a robot' }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill('ci');
  await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('heading', { name: 'acme+ci' })).toBeVisible();
  await page.getByRole('tab', { name: 'Kubernetes' }).click();
  await expect(page.getByText(/kubectl create secret docker-registry acme-ci-pull/)).toBeVisible();
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();

  await tab('Default permissions');
  await page.getByRole('button', { name: 'Add a default permission' }).click();
  await page.getByRole('combobox', { name: 'Whom' }).pressSequentially('op');
  await page.getByRole('option', { name: /ops/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Add' }).click();
  await expect(page.getByRole('cell', { name: 'Anybody' })).toBeVisible();

  await tab('Applications');
  await page.getByRole('button', { name: 'Create an application' }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill('terraform');
  await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
  await expect(page.getByText('Client secret')).toBeVisible();
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
  await page.getByRole('button', { name: 'Actions for terraform' }).click();
  await page.getByRole('menuitem', { name: 'Make a token' }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill('plan');
  await page.getByRole('checkbox', { name: 'View all visible repositories' }).check();
  await page.getByRole('dialog').getByRole('button', { name: 'Make the token' }).click();
  await expect(page.getByText('Copy it now: it is not shown again.')).toBeVisible();
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();

  await tab('Storage');
  await page.getByRole('button', { name: 'Set a quota' }).click();
  await page.getByRole('textbox', { name: 'At most' }).fill('2 GiB');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Quota: 2 GiB')).toBeVisible();

  await tab('Settings');
  await page.getByRole('button', { name: 'Delete the organization' }).click();
  await page.getByRole('dialog').getByRole('textbox').fill('acme');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(page).toHaveURL(/\/organization$/);
});

test('tokens and the encrypted password are shown once', async ({ signedIn: page }) => {
  await page.goto('/user/ada?tab=tokens');
  await page.getByRole('button', { name: 'Create an app token' }).click();
  await page.getByRole('textbox', { name: 'What it is for' }).fill('desk');
  await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
  await expect(page.getByText('Copy it now: it is not shown again.')).toBeVisible();
  await expect(page.getByLabel('User name', { exact: true })).toHaveText('$app');
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
  await page.getByRole('button', { name: 'Actions for desk' }).click();
  await page.getByRole('menuitem', { name: 'Revoke' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await expect(page.getByRole('cell', { name: 'desk' })).toHaveCount(0);
  await page.getByRole('button', { name: 'Encrypt the password' }).click();
  await page.getByRole('dialog').getByLabel('Password').fill(password);
  await page.getByRole('dialog').getByRole('button', { name: 'Encrypt' }).click();
  await expect(page.getByRole('heading', { name: 'Encrypted password' })).toBeVisible();
});

test('a superuser makes a user, tells everybody something, and counts the registry', async ({ signedIn: page }) => {
  await page.goto('/superuser');
  await page.getByRole('button', { name: 'Create a user' }).click();
  await page.getByRole('textbox', { name: 'User name' }).fill('hedy');
  await page.getByRole('textbox', { name: 'E-mail address' }).fill('hedy@example.com');
  await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
  await expect(page.getByText('Copy it now: it is not shown again.')).toBeVisible();
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
  await page.getByRole('button', { name: 'Actions for hedy' }).click();
  await page.getByRole('menuitem', { name: 'Disable' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Disable' }).click();
  await expect(page.getByRole('row', { name: /hedy/ }).getByText('Disabled')).toBeVisible();

  await page.goto('/superuser?tab=messages');
  await page.getByRole('button', { name: 'Tell everybody' }).click();
  await page.getByRole('textbox', { name: 'Message' }).fill('We move on **Sunday**');
  await page.getByRole('dialog').getByRole('button', { name: 'Tell' }).click();
  await expect(page.locator('.pf-v6-c-banner').getByText('Sunday')).toBeVisible();
  await page.getByRole('button', { name: 'Actions', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Take it back' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Take it back' }).click();
  await expect(page.locator('.pf-v6-c-banner')).toHaveCount(0);

  await page.goto('/superuser?tab=storage');
  await page.getByRole('button', { name: 'Count again' }).click();
  await expect(page.getByText('counted')).toBeVisible();
});

test('the storage page counts what deleting a repository frees', async ({ signedIn: page, ada }) => {
  await ada.call('POST', '/api/v1/organization/', { name: 'room' });
  await ada.image('room/one', 'v1', 'shared');
  await ada.image('room/two', 'v1', 'shared');
  await ada.image('room/two', 'v2', 'x'.repeat(5000));
  await page.goto('/organization/room?tab=quota');
  const row = (name: string) => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });
  await page.getByRole('button', { name: 'Count what deleting room/one frees' }).click();
  await expect(row('one').getByRole('cell').nth(2)).toHaveText('0 B');
  await page.getByRole('button', { name: 'Count what deleting room/two frees' }).click();
  await expect(row('two').getByRole('cell').nth(2)).toHaveText(/KiB/);
});
