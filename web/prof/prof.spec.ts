import { writeFileSync } from 'node:fs';
import { enter, expect, test } from '../e2e/fixtures';
import { Registry } from '../e2e/registry';
const config = `
SETUP_COMPLETE: true
FEATURE_USER_CREATION: true
SUPER_USERS: [ada]
PREFERRED_URL_SCHEME: http
`;
const rounds = Number(process.env.ROUNDS ?? 3);
const middle = (all: number[]) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)]!;
test('profile', async ({ browser }) => {
  const r = await Registry.start(config, ['--orgs', '1', '--repos', '1', '--users', '1', '--tags', process.env.TAGS ?? '3000', '--logs', '0']);
  try {
    const ada = await r.first('ada');
    const org = (await ada.call<{ organizations: { name: string }[] }>('GET', '/api/v1/superuser/organizations')).organizations[0]!.name;
    await ada.call('POST', `/api/v1/superuser/takeownership/${org}`);
    const repo = `${org}/${(await ada.call<{ repositories: { name: string }[] }>('GET', `/api/v1/repository?namespace=${org}`)).repositories[0]!.name}`;
    const all: Record<string, number[]> = {};
    for (let i = 0; i < rounds; i++) {
      const context = await browser.newContext({ baseURL: r.base, viewport: { width: 1280, height: 860 }, locale: 'en-US', reducedMotion: 'reduce' });
      await enter(context, ada);
      await context.addInitScript(() => {
        const w = window as any; w.from = 0; w.seen = {}; w.log = [];
        w.begin = () => { w.from = performance.now(); w.seen = {}; w.log = []; };
        const look = () => {
          for (const [name, sel] of [['h1', 'h1'], ['row', 'table[aria-label="Tags"] tbody a']] as const)
            if (!(name in w.seen) && document.querySelector(sel)) { w.seen[name] ??= 0; w.seen[name + '-dom'] = performance.now() - w.from; requestAnimationFrame(() => (w.seen[name] = performance.now() - w.from)); }
        };
        new MutationObserver(look).observe(document, { childList: true, subtree: true });
      });
      const page = await context.newPage();
      const cdp = await context.newCDPSession(page);
      await cdp.send('Performance.enable');
      const metrics = async () => Object.fromEntries((await cdp.send('Performance.getMetrics')).metrics.map((m) => [m.name, m.value]));
      const add = (k: string, v: number) => (all[k] ??= []).push(v);
      const note = async (what: string, a: any) => {
        const b = await metrics();
        for (const k of ['TaskDuration', 'ScriptDuration', 'LayoutDuration', 'RecalcStyleDuration']) add(`${what} ${k}`, (b[k]! - a[k]!) * 1000);
        const seen = await page.evaluate(() => (window as any).seen);
        for (const [k, v] of Object.entries(seen)) add(`${what} seen ${k}`, v as number);
      };
      const profile = process.env.PROFILE && i === rounds - 1;
      await page.goto('about:blank');
      let m = await metrics();
      if (profile) { await cdp.send('Profiler.enable'); await cdp.send('Profiler.setSamplingInterval', { interval: 200 }); await cdp.send('Profiler.start'); }
      await page.goto('/');
      await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
      await note('overview', m);
      if (profile) writeFileSync('/dev/shm/k6/overview.cpuprofile', JSON.stringify((await cdp.send('Profiler.stop')).profile));
      const res = await page.evaluate(() => performance.getEntriesByType('resource').map((e: any) => `${Math.round(e.startTime)}-${Math.round(e.responseEnd)} ${e.name.replace(location.origin, '')} ${e.transferSize}`).concat(performance.getEntriesByType('paint').map((e) => `${e.name} ${Math.round(e.startTime)}`)));
      if (i === rounds - 1) console.log(res.join('\n'));
      await page.goto(`/repository/${repo}`);
      await expect(page.locator('table[aria-label="Tags"] tbody a').first()).toBeVisible();
      await page.goto(`/repository?ns=${org}`);
      const link = page.locator('table[aria-label="Repositories"] tbody a').first();
      await expect(link).toBeVisible();
      await page.waitForTimeout(1500);
      m = await metrics();
      if (profile) await cdp.send('Profiler.start');
      await link.evaluate((e: HTMLElement) => { performance.clearResourceTimings(); (window as any).begin(); e.click(); });
      await expect(page.locator('table[aria-label="Tags"] tbody a').first()).toBeVisible();
      await note('click', m);
      if (profile) writeFileSync('/dev/shm/k6/click.cpuprofile', JSON.stringify((await cdp.send('Profiler.stop')).profile));
      if (i === rounds - 1) console.log((await page.evaluate(() => performance.getEntriesByType('resource').map((e: any) => `${Math.round(e.startTime - (window as any).from)}-${Math.round(e.responseEnd - (window as any).from)} ${e.name.replace(location.origin, '')} ${e.transferSize}`))).join('\n'));
      await context.close();
    }
    for (const [k, v] of Object.entries(all)) console.log(k.padEnd(36), Math.round(Math.min(...v)), Math.round(middle(v)), Math.round(Math.max(...v)));
  } finally { await r.stop(); }
});
