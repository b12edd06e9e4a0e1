import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test as base, expect, type BrowserContext, type Page } from '@playwright/test';
import { type Account, Registry } from './registry';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export { expect };

type Worker = { registry: Registry; ada: Account };
type Each = { signedIn: Page };

/** config is that of the shared registry: what the console can show is switched on. */
export const config = `
SETUP_COMPLETE: true
FEATURE_USER_CREATION: true
FEATURE_USER_INITIALIZE: true
FEATURE_AUTO_PRUNE: true
FEATURE_IMMUTABLE_TAGS: true
FEATURE_QUOTA_MANAGEMENT: true
FEATURE_SUPERUSER_CONFIGDUMP: true
FEATURE_USER_METADATA: true
FEATURE_USER_LOG_ACCESS: true
PREFERRED_URL_SCHEME: http
`;

/** enter gives a browser the session of an account. */
export async function enter(context: BrowserContext, a: Account) {
  await context.addCookies(a.session.map((c) => ({ ...c, url: a.registry.base })));
}

export const test = base.extend<Each, Worker>({
  registry: [
    // eslint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const r = await Registry.start(config);
      await use(r);
      await r.stop();
    },
    { scope: 'worker' },
  ],
  ada: [async ({ registry }, use) => use(await registry.first('ada')), { scope: 'worker' }],
  baseURL: async ({ registry }, use) => use(registry.base),
  signedIn: async ({ page, context, ada }, use) => {
    await enter(context, ada);
    const broken: string[] = [];
    page.on('pageerror', (e) => broken.push(e.message));
    page.on('console', (m) => m.type() === 'error' && /Content Security Policy|Refused to|Warning:|unique "key"/.test(m.text()) && broken.push(m.text()));
    page.on('request', (r) => {
      const u = new URL(r.url());
      if (u.host !== ada.registry.host && u.protocol !== 'data:' && u.protocol !== 'blob:') broken.push(`a request to ${u.host}`);
    });
    await use(page);
    expect(broken, 'errors of the page').toEqual([]);
  },
});

type Violation = { id: string; help: string; nodes: { html: string; failureSummary?: string }[] };

/** accessible checks a page with axe: all of it in the light theme, and in the dark one what differs there, its colours. */
export async function accessible(page: Page) {
  await page.evaluate(axeSource); // by the debugger: the Content-Security-Policy lets no script in
  for (const theme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: theme });
    await expect(page.locator('html')).toHaveClass(theme === 'dark' ? /pf-v6-theme-dark/ : /^(?!.*pf-v6-theme-dark)/);
    const list = await page.evaluate(async (rules) => {
      // A colour that is on its way to another is neither; what inherits one sets out a frame later.
      const frame = () => new Promise((f) => requestAnimationFrame(f));
      for (let still = 0; still < 5; still++) {
        await frame();
        if (document.getAnimations().some((x) => x instanceof CSSTransition)) still = 0;
      }
      const axe = (window as unknown as { axe: { run: (o: object) => Promise<{ violations: Violation[] }> } }).axe;
      return (await axe.run({ runOnly: rules, resultTypes: ['violations'] })).violations;
    }, theme === 'light' ? ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] : ['color-contrast']);
    expect(list.map((v) => `${theme}: ${v.id}: ${v.help}: ${v.nodes.map((n) => n.html.slice(0, 300) + (n.failureSummary ?? '')).slice(0, 3).join(' | ')}`), `axe at ${page.url()}`).toEqual([]);
  }
  await page.emulateMedia({ colorScheme: 'light' });
}

/** calls counts the requests for data that a page makes; the stream of events is none. */
export function calls(page: Page): string[] {
  const list: string[] = [];
  page.on('request', (r) => {
    const p = new URL(r.url()).pathname;
    if (/^\/(api|config|csrf_token)(\/|$)/.test(p)) list.push(`${r.method()} ${p}`);
  });
  return list;
}
