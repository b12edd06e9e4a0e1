import { Directory } from './directory';
import { accessible, enter, expect, test } from './fixtures';
import { Issuer, Keystone } from './providers';
import { Account, Registry } from './registry';

test('a robot signs in without a token of its own', async ({ signedIn: page, ada }) => {
  await ada.call('PUT', '/api/v1/user/robots/keyless', {});
  await page.goto('/user/ada?tab=robots');
  await page.getByRole('button', { name: 'Actions for ada+keyless' }).click();
  await page.getByRole('menuitem', { name: 'Sign-in without a token' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByText('Nobody signs in like that yet.')).toBeVisible();
  const add = dialog.getByRole('button', { name: 'Add an identity' });
  const issuer = dialog.getByRole('textbox', { name: 'Issuer' });
  const subject = dialog.getByRole('textbox', { name: 'Subject' });
  await add.click();
  await expect(dialog.getByText('This is needed')).toHaveCount(2);
  await issuer.fill('http://ci.example.com');
  await subject.fill('x'.repeat(256));
  await add.click();
  await expect(dialog.getByText('An address that begins with https://, as the tokens have it')).toBeVisible();
  await expect(dialog.getByText('At most 255 bytes')).toBeVisible();
  await issuer.fill('https://ci.example.com');
  await subject.fill('repo:acme/app');
  await add.click();
  const list = dialog.getByRole('list', { name: 'Who may act as the robot' });
  await expect(list.getByText('repo:acme/app')).toBeVisible();
  await expect(dialog.getByText(/curl .*ada\+keyless:\$JOB_TOKEN.*\/oauth2\/federation\/robot\/token/)).toBeVisible();
  await accessible(page);
  expect(await ada.call('GET', '/api/v1/user/robots/keyless/federation')).toEqual([{ issuer: 'https://ci.example.com', subject: 'repo:acme/app' }]);
  // Twice is once too often; what the registry refuses is said in the dialog.
  await issuer.fill('https://ci.example.com');
  await subject.fill('repo:acme/app');
  await add.click();
  await expect(dialog.getByText('It is in the list already')).toBeVisible();
  await page.route('**/federation', (r) => r.fulfill({ status: 400, json: { status: 400, error_type: 'invalid_request', detail: 'subject must be 1 to 255 bytes long' } }));
  await subject.fill('repo:acme/other');
  await add.click();
  await expect(dialog.getByRole('alert').getByText('subject must be 1 to 255 bytes long')).toBeVisible();
  await page.unroute('**/federation');
  await add.click();
  await expect(list.getByRole('listitem')).toHaveCount(2);
  await dialog.getByRole('button', { name: 'Take out repo:acme/app', exact: true }).click();
  await expect(list.getByRole('listitem')).toHaveCount(1);
  await dialog.getByRole('button', { name: 'Take out repo:acme/other' }).click();
  await expect(dialog.getByText('Nobody signs in like that yet.')).toBeVisible();
  expect(await ada.call('GET', '/api/v1/user/robots/keyless/federation')).toEqual([]);
});

test('a team follows a group of the directory', async ({ page, context }) => {
  const directory = await Directory.start();
  try {
    const registry = await Registry.start(`SETUP_COMPLETE: true\nPREFERRED_URL_SCHEME: http\n${directory.config}`);
    try {
      const ada = new Account(registry, 'ada');
      await ada.call('POST', '/api/v1/signin', { username: 'ada', password: 'ada-password' });
      await ada.call('POST', '/api/v1/organization/', { name: 'acme' });
      await ada.call('PUT', '/api/v1/organization/acme/team/devs', { role: 'member' });
      await enter(context, ada);
      await page.goto(`${registry.base}/organization/acme/teams/devs`);
      await page.getByRole('button', { name: 'Follow a group' }).click();
      const dialog = page.getByRole('dialog');
      await expect(dialog.getByText('whole or below dc=example,dc=org')).toBeVisible();
      const name = dialog.getByRole('textbox', { name: 'Name of the group' });
      const go = dialog.getByRole('button', { name: 'Follow the group' });
      await go.click();
      await expect(dialog.getByText('This is needed')).toBeVisible();
      await name.fill('nonsense');
      await go.click();
      await expect(dialog.getByText('That is no distinguished name of a group.')).toBeVisible();
      await name.fill('cn=nobody,ou=groups');
      await go.click();
      await expect(dialog.getByText(/There is no group cn=nobody/)).toBeVisible();
      await name.fill('cn=developers,ou=groups');
      await go.click();
      await expect(page.getByText('The team follows a group of ldap: members are changed there.')).toBeVisible();
      await expect(page.getByText('cn=developers,ou=groups')).toBeVisible();
      await expect(page.getByRole('button', { name: 'Add a member' })).toHaveCount(0);
      await accessible(page);
      await page.getByRole('button', { name: 'Follow no group' }).click();
      await dialog.getByRole('button', { name: 'Follow no group' }).click();
      await expect(page.getByRole('button', { name: 'Follow a group' })).toBeVisible();
      await expect(page.getByRole('button', { name: 'Add a member' })).toBeVisible();
    } finally {
      await registry.stop();
    }
  } finally {
    await directory.stop();
  }
});

test('somebody signs in at an OpenID Connect provider, and a team follows a group of it', async ({ page, browser }) => {
  const issuer = await Issuer.start();
  const registry = await Registry.start(`SETUP_COMPLETE: true\nPREFERRED_URL_SCHEME: http\n${issuer.config}`);
  try {
    await page.goto(registry.base); // an empty registry, whose accounts are made elsewhere: nobody is asked to make the first one here
    await expect(page).toHaveURL(/\/signin/);
    await accessible(page);
    await page.getByRole('button', { name: 'Sign in with Corp' }).click();
    await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
    const dialog = page.getByRole('dialog');
    await page.goto(`${registry.base}/organization`);
    await page.getByRole('button', { name: 'Create an organization' }).click();
    await dialog.getByRole('textbox', { name: 'Name' }).fill('acme');
    await dialog.getByRole('button', { name: 'Create' }).click();
    await expect(page).toHaveURL(/\/organization\/acme$/);
    await page.goto(`${registry.base}/organization/acme?tab=teams`);
    await page.getByRole('button', { name: 'Create a team' }).click();
    await dialog.getByRole('textbox', { name: 'Name' }).fill('devs');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await expect(dialog).toHaveCount(0);
    await page.goto(`${registry.base}/organization/acme/teams/devs`);
    await page.getByRole('button', { name: 'Follow a group' }).click();
    await dialog.getByRole('button', { name: 'Follow the group' }).click();
    await expect(dialog.getByText('This is needed')).toBeVisible();
    await dialog.getByRole('textbox').fill('developers');
    await accessible(page);
    await dialog.getByRole('button', { name: 'Follow the group' }).click();
    await expect(page.getByText('The team follows a group of corp: members are changed there.')).toBeVisible();
    await expect(page.getByRole('button', { name: 'Add a member' })).toHaveCount(0);
    // Who signs in and is in the group, is in the team.
    issuer.who = { name: 'eve', groups: ['developers'] };
    const other = await browser.newContext();
    const hers = await other.newPage();
    await hers.goto(`${registry.base}/signin`);
    await hers.getByRole('button', { name: 'Corp' }).click();
    await expect(hers.getByRole('link', { name: 'acme' })).toBeVisible();
    await other.close();
    await page.reload();
    await expect(page.getByRole('table', { name: 'Members' }).getByText('eve')).toBeVisible();
  } finally {
    await registry.stop();
    await issuer.stop();
  }
});

test('a team follows a group of Keystone', async ({ page, context }) => {
  const keystone = await Keystone.start();
  const registry = await Registry.start(`SETUP_COMPLETE: true\nPREFERRED_URL_SCHEME: http\n${keystone.config}`);
  try {
    const ada = new Account(registry, 'ada');
    await ada.call('POST', '/api/v1/signin', { username: 'ada', password: 'ada-password' });
    await ada.call('POST', '/api/v1/organization/', { name: 'acme' });
    await ada.call('PUT', '/api/v1/organization/acme/team/devs', { role: 'member' });
    await enter(context, ada);
    await page.goto(`${registry.base}/organization/acme/teams/devs`);
    await page.getByRole('button', { name: 'Follow a group' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('textbox').fill('g2');
    await dialog.getByRole('button', { name: 'Follow the group' }).click();
    await expect(dialog.getByRole('alert')).toContainText('g2');
    await dialog.getByRole('textbox').fill('g1');
    await accessible(page);
    await dialog.getByRole('button', { name: 'Follow the group' }).click();
    await expect(page.getByText('The team follows a group of keystone: members are changed there.')).toBeVisible();
    const members = page.getByRole('table', { name: 'Members' });
    const comes = (who: string[]) =>
      expect.poll(async () => (await ada.call<{ members: { name: string }[] }>('GET', '/api/v1/organization/acme/team/devs/members')).members.map((m) => m.name).sort()).toEqual(who);
    await comes(['ada', 'bob']);
    await page.reload();
    await expect(members.getByText('bob')).toBeVisible();
    keystone.members = ['ada'];
    await comes(['ada']);
    await page.reload();
    await expect(members.getByText('ada')).toBeVisible();
    await expect(members.getByText('bob')).toHaveCount(0);
  } finally {
    await registry.stop();
    await keystone.stop();
  }
});
