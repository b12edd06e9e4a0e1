import { accessible, expect, test } from './fixtures';
import { password } from './registry';

// The registry mirrors itself: what is upstream of a test is a repository of its own.

test('a repository becomes a mirror, says what a run would do, runs and ends', async ({ signedIn: page, ada, registry }) => {
  for (const tag of ['v1', 'v2', 'old-1']) await ada.image('ada/source', tag);
  await ada.call('POST', '/api/v1/repository/ada/source/changevisibility', { visibility: 'public' });
  await ada.call('POST', '/api/v1/repository', { namespace: 'ada', repository: 'copy', visibility: 'private', description: '', repo_kind: 'image' });
  await page.goto('/repository/ada/copy?tab=mirror');
  await page.getByRole('button', { name: 'Make it a mirror' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Repository to copy' }).fill(`${registry.host}/ada/nothing`);
  await dialog.getByRole('checkbox', { name: 'Check its certificate' }).uncheck();
  await dialog.getByRole('textbox', { name: 'Tags' }).fill('v*');
  await dialog.getByRole('button', { name: 'Ask the other registry' }).click();
  await expect(dialog.getByRole('alert')).toContainText(/ada\/nothing|not|denied|credentials/i);
  await dialog.getByRole('textbox', { name: 'Repository to copy' }).fill(`${registry.host}/ada/source`);
  await dialog.getByRole('button', { name: 'Ask the other registry' }).click();
  await expect(dialog.getByText('The repository can be mirrored.')).toBeVisible();
  await dialog.getByRole('textbox', { name: 'How often' }).fill('often');
  await dialog.getByRole('button', { name: 'Make it a mirror' }).click();
  await expect(dialog.getByText('A time such as 30m, 6h or 1d')).toHaveCount(1);
  await dialog.getByRole('textbox', { name: 'How often' }).fill('6h');
  await dialog.getByLabel('First run').fill('2030-01-01T00:00');
  await dialog.getByLabel('Robot that writes').selectOption('ada+mirror'); // a new one, whatever robots other tests have made
  await accessible(page);
  await dialog.getByRole('button', { name: 'Make it a mirror' }).click();
  await expect(dialog).toHaveCount(0);
  await expect(page.getByText('Never run')).toBeVisible();
  await expect(page.getByText('ada+mirror')).toBeVisible();

  await page.getByRole('button', { name: 'Actions for the mirror' }).click();
  await page.getByRole('menuitem', { name: 'Dry run' }).click();
  await expect(page.getByRole('heading', { name: 'What a run would change' })).toBeVisible();
  const outcomes = page.getByRole('table', { name: 'What became of each tag' });
  await expect(outcomes.getByRole('row', { name: /v2/ })).toBeVisible();
  await expect(outcomes.getByRole('row', { name: /old-1/ })).toHaveCount(0);

  await page.getByRole('button', { name: 'Run now' }).click();
  await expect(page.getByText('In step')).toBeVisible();
  await expect(page.getByRole('table', { name: 'Runs', exact: true }).getByText('2 copied')).toHaveCount(2); // of the dry run and of this one
  await accessible(page);
  await page.getByRole('link', { name: 'Tags' }).first().click();
  await expect(page.getByRole('link', { name: 'v1', exact: true })).toBeVisible();

  await page.goto('/superuser?tab=mirrors');
  await expect(page.getByRole('link', { name: 'ada/copy' })).toBeVisible();
  await accessible(page);

  await page.goto('/repository/ada/copy?tab=mirror');
  await page.getByRole('button', { name: 'Actions for the mirror' }).click();
  await page.getByRole('menuitem', { name: 'End the mirror' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'End the mirror' }).click();
  await expect(page.getByText('This repository is no mirror')).toBeVisible();
});

test('an organization mirrors a namespace', async ({ signedIn: page, ada, registry }) => {
  await ada.call('POST', '/api/v1/organization/', { name: 'upstream' });
  await ada.image('upstream/web', 'v1');
  await ada.call('POST', '/api/v1/repository/upstream/web/changevisibility', { visibility: 'public' });
  await ada.call('POST', '/api/v1/organization/', { name: 'copies' });
  await page.goto('/organization/copies?tab=mirror');
  await accessible(page);
  await page.getByRole('button', { name: 'Make it a mirror' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Its address' }).fill(registry.base);
  await dialog.getByRole('textbox', { name: 'Its namespace' }).fill('upstream');
  await dialog.getByRole('checkbox', { name: 'Check its certificate' }).uncheck();
  await dialog.getByRole('button', { name: 'Ask the other registry' }).click();
  await expect(dialog.getByText('The repositories of upstream can be listed.')).toBeVisible();
  await dialog.getByRole('button', { name: 'Make it a mirror' }).click();
  await expect(dialog).toHaveCount(0);
  await expect(page.getByRole('row', { name: /web.*In step/ })).toBeVisible();
  await accessible(page);
  await page.getByRole('link', { name: 'web' }).click();
  await expect(page.getByText('The mirror of the organization made it')).toBeVisible();
});

test('an organization becomes a proxy cache, after the other registry was asked', async ({ signedIn: page, ada, registry }) => {
  await ada.call('POST', '/api/v1/organization/', { name: 'hub' });
  await page.goto('/organization/hub?tab=proxy');
  await page.getByRole('button', { name: 'Make it a proxy cache' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Registry' }).fill('127.0.0.1:1');
  await dialog.getByRole('button', { name: 'Ask the other registry' }).click();
  await expect(dialog.getByRole('alert')).toContainText('127.0.0.1:1');
  await dialog.getByRole('textbox', { name: 'Registry' }).fill(registry.host);
  await dialog.getByRole('button', { name: 'Ask the other registry' }).click();
  await expect(dialog.getByRole('alert')).toContainText(/TLS|https|http/); // it speaks no TLS
  await dialog.getByRole('checkbox', { name: 'Plain http' }).check();
  await dialog.getByRole('textbox', { name: 'User name there' }).fill('ada');
  await dialog.getByLabel('Password or token there').fill('wrong');
  await dialog.getByRole('button', { name: 'Ask the other registry' }).click();
  await expect(dialog.getByRole('alert')).toContainText('does not take the user name or the password');
  await dialog.getByRole('textbox', { name: 'User name there' }).fill('');
  await dialog.getByLabel('Password or token there').fill('');
  await dialog.getByRole('button', { name: 'Ask the other registry' }).click();
  await expect(dialog.getByText('It answers, and takes the credentials.')).toBeVisible();
  await dialog.getByRole('button', { name: 'Make it a proxy cache' }).click();
  await expect(dialog).toHaveCount(0);
  await expect(page.getByText(registry.host, { exact: true })).toBeVisible();
  await accessible(page);

  // A change: of the credentials, which are asked about, then of the rest, with which they stay.
  const change = async () => {
    await page.getByRole('button', { name: 'Change', exact: true }).click();
    await expect(dialog.getByRole('textbox', { name: 'Registry' })).toHaveValue(registry.host);
    await expect(dialog.getByRole('textbox', { name: 'User name there' })).toHaveValue('');
  };
  const save = dialog.getByRole('button', { name: 'Save' });
  await change();
  await dialog.getByRole('textbox', { name: 'User name there' }).fill('ada');
  await dialog.getByLabel('Password or token there').fill('wrong');
  await save.click();
  await expect(dialog.getByRole('alert')).toContainText('does not take the user name or the password');
  await dialog.getByLabel('Password or token there').fill(password);
  await accessible(page);
  await save.click();
  await expect(dialog).toHaveCount(0);
  await ada.image('ada/kept-for-hub', 'v1'); // private: nobody else may pull it
  await change();
  await dialog.getByRole('textbox', { name: 'Forgotten after' }).fill('3h');
  await save.click();
  await expect(dialog).toHaveCount(0);
  await expect(page.getByText('3 hours')).toBeVisible();
  const pull = await fetch(`${registry.base}/v2/hub/ada/kept-for-hub/manifests/v1`, { headers: { Authorization: `Bearer ${await ada.token('hub/ada/kept-for-hub')}`, Accept: '*/*' } });
  expect(pull.status, await pull.text()).toBe(200);
  // Another registry is not given what was meant for this one.
  await change();
  await dialog.getByRole('textbox', { name: 'Registry' }).fill('127.0.0.1:1');
  await save.click();
  await expect(dialog.getByRole('alert')).toContainText('The credentials are for');
  await dialog.getByRole('textbox', { name: 'Registry' }).fill(registry.host);
  await dialog.getByRole('checkbox', { name: 'As nobody' }).check();
  await expect(dialog.getByRole('textbox', { name: 'User name there' })).toHaveCount(0);
  await save.click();
  await expect(dialog).toHaveCount(0);

  await page.getByRole('button', { name: 'End it' }).click();
  await page.getByRole('dialog').getByRole('textbox').fill('hub');
  await page.getByRole('dialog').getByRole('button', { name: 'End it' }).click();
  await expect(page.getByText('It is none.')).toBeVisible();
});
