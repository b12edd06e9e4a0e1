import { createServer, type Socket } from 'node:net';
import { accessible, expect, test } from './fixtures';

test('a job is seen as it runs, cancelled, and tried again', async ({ signedIn: page, ada }) => {
  // A registry that takes connections and never answers.
  const sockets: Socket[] = [];
  const silent = createServer((s) => void sockets.push(s.on('error', () => undefined)));
  const port = await new Promise<number>((done) => silent.listen(0, '127.0.0.1', () => done((silent.address() as { port: number }).port)));
  try {
    await ada.call('PUT', '/api/v1/user/robots/jobs', {});
    await ada.call('POST', '/api/v1/repository', { namespace: 'ada', repository: 'waits', visibility: 'private', description: '', repo_kind: 'image' });
    await ada.call('POST', '/api/v1/repository/ada/waits/mirror', {
      external_reference: `127.0.0.1:${port}/a/b`,
      robot_username: 'ada+jobs',
      sync_interval: 3600,
      sync_start_date: '2030-01-01T00:00:00Z',
      root_rule: { rule_kind: 'tag_glob_csv', rule_value: ['*'] },
      external_registry_config: { verify_tls: false },
    });
    await ada.call('POST', '/api/v1/repository/ada/waits/mirror/sync-now');
    await page.goto('/superuser?tab=jobs&state=running');
    const row = page.getByRole('row', { name: /Mirror a repository/ });
    await expect(row).toContainText('Running');
    await row.getByRole('button', { name: /^Actions for/ }).click();
    await page.getByRole('menuitem', { name: 'Details' }).click();
    await expect(page.getByRole('dialog').getByText('mirror.repository')).toBeVisible();
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
    await row.getByRole('button', { name: /^Actions for/ }).click();
    await page.getByRole('menuitem', { name: 'Cancel' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel the job' }).click();
    await expect(row).toHaveCount(0);
    await page.getByRole('combobox', { name: 'State' }).selectOption('Cancelled');
    await expect(row).toContainText('Cancelled');
    await accessible(page);
    await row.getByRole('button', { name: /^Actions for/ }).click();
    await page.getByRole('menuitem', { name: 'Try it again' }).click();
    await expect(row).toHaveCount(0);
    await page.getByRole('combobox', { name: 'State' }).selectOption('All');
    await expect(row.first()).toContainText(/Running|Waits/);
    await ada.call('DELETE', '/api/v1/repository/ada/waits');
  } finally {
    for (const s of sockets) s.destroy();
    silent.close();
  }
});
