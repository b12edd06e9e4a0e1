import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from '@playwright/test';
import { enter, expect, test } from '../e2e/fixtures';
import { type Account, Registry } from '../e2e/registry';

const rounds = Number(process.env.ROUNDS ?? 9);
const config = `
SETUP_COMPLETE: true
FEATURE_USER_CREATION: true
SUPER_USERS: [ada]
PREFERRED_URL_SCHEME: http
`;

const row = 'table[aria-label="Tags"] tbody a';

// seen has the page note when something first was there, in milliseconds since
// the load began, or since "begin" was called: the clock of the page, not ours.
const watch = () => {
  const w = window as unknown as { from: number; seen: Record<string, number>; begin: () => void };
  w.from = 0;
  w.seen = {};
  w.begin = () => ((w.from = performance.now()), (w.seen = {}));
  const look = () => {
    for (const [name, selector] of [['h1', 'h1'], ['row', 'table[aria-label="Tags"] tbody a']] as const)
      if (!(name in w.seen) && document.querySelector(selector)) requestAnimationFrame(() => (w.seen[name] ??= performance.now() - w.from));
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
};

const seen = (page: Page, name: string) => page.evaluate((n) => (window as unknown as { seen: Record<string, number> }).seen[n] ?? NaN, name);

async function fresh(browser: Browser, a: Account): Promise<BrowserContext> {
  const context = await browser.newContext({ baseURL: a.registry.base, viewport: { width: 1280, height: 860 }, locale: 'en-US', reducedMotion: 'reduce' });
  await enter(context, a);
  await context.addInitScript(watch);
  return context;
}

const middle = (all: number[]) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)]!;

test('times of the console', async ({ browser }) => {
  const r = await Registry.start(config, ['--orgs', '1', '--repos', '1', '--users', '1', '--tags', '100000', '--logs', '0']);
  try {
    const ada = await r.first('ada');
    const orgs = await ada.call<{ organizations: { name: string }[] }>('GET', '/api/v1/superuser/organizations');
    const org = orgs.organizations[0]!.name;
    await ada.call('POST', `/api/v1/superuser/takeownership/${org}`);
    const repos = await ada.call<{ repositories: { name: string }[] }>('GET', `/api/v1/repository?namespace=${org}`);
    const repo = `${org}/${repos.repositories[0]!.name}`;
    const times: Record<string, number[]> = {};
    const note = (what: string, ms: number) => (times[what] ??= []).push(ms);

    for (let i = 0; i < rounds; i++) {
      const context = await fresh(browser, ada);
      const page = await context.newPage();
      await page.goto('/');
      await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
      note('Overview, with an empty cache', await seen(page, 'h1'));
      await page.goto('/guide');
      await expect(page.locator('h1')).toBeVisible();
      await page.goto('/');
      await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
      note('Overview, loaded before', await seen(page, 'h1'));

      await page.goto(`/repository/${repo}`);
      await expect(page.locator(row).first()).toBeVisible();
      await page.goto(`/repository/${repo}`);
      await expect(page.locator(row).first()).toBeVisible();
      note('Tags of 100,000: first rows, whole page loaded anew', await seen(page, 'row'));

      await page.goto(`/repository?ns=${org}`);
      const link = page.locator('table[aria-label="Repositories"] tbody a').first();
      await expect(link).toBeVisible();
      await link.evaluate((e: HTMLElement) => {
        (window as unknown as { begin: () => void }).begin();
        e.click();
      });
      await expect(page.locator(row).first()).toBeVisible();
      note('Tags of 100,000: first rows, from the list of repositories', await seen(page, 'row'));

      const start = Date.now();
      await ada.call('GET', `/api/v1/repository/${repo}/tag?onlyActiveTags=true&limit=100&page=1`);
      note('of these, the registry’s answer with 100 tags', Date.now() - start);
      const filter = page.getByRole('textbox', { name: 'Filter tags' });
      await filter.fill('no-such-tag-anywhere');
      await expect(page.getByText('No tag has that in its name')).toBeVisible();
      await context.close();
    }
    const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
    const lines = Object.entries(times).map(([what, all]) => `| ${what} | ${Math.round(Math.min(...all))} | ${Math.round(middle(all))} | ${Math.round(Math.max(...all))} |`);
    writeFileSync(
      join(import.meta.dirname, '../../docs/benchmarks-web.md'),
      `# Times of the web console

Written by \`make bench-web\`: \`bin/gantry\` on SQLite and Chromium ${browser.version()}, headless, on one machine over loopback. Times are those of the page's
own clock, from the beginning of the load, or from the click, until what is named is in the page and a frame was drawn; milliseconds.
The repository has 100,000 tags, made by \`gantry dev seed\`.

| What | least | median | most |
|---|---|---|---|
${lines.join('\n')}

${new Date().toISOString().slice(0, 10)}, commit ${commit}, ${cpus().length} processors (${cpus()[0]?.model.trim()}), load of the machine ${loadavg()[0]!.toFixed(1)}, ${rounds} rounds.
`,
    );
    console.log(lines.join('\n'));
  } finally {
    await r.stop();
  }
});
