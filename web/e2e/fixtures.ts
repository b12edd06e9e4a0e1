import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test as base, expect, type BrowserContext, type Page } from '@playwright/test';
import { type Account, Registry } from './registry';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export { expect };

type Worker = { registry: Registry; ada: Account; kept: Page };
type Each = { signedIn: Page; shown: Page };

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
FEATURE_REPO_MIRROR: true
FEATURE_ORG_MIRROR: true
FEATURE_PROXY_CACHE: true
SSRF_ALLOWED_HOSTS: [127.0.0.1]
REPO_MIRROR_INTERVAL: 1
ORG_MIRROR_INTERVAL: 1
PREFERRED_URL_SCHEME: http
`;

const options = { viewport: { width: 1280, height: 860 }, locale: 'en-US', timezoneId: 'Asia/Seoul', reducedMotion: 'reduce' } as const;

/** enter gives a browser the session of an account. */
export async function enter(context: BrowserContext, a: Account) {
  await context.addCookies(a.session.map((c) => ({ ...c, url: a.registry.base })));
}

/** watch collects what a page must not do. */
export function watch(page: Page, host: string): string[] {
  const broken: string[] = [];
  page.on('pageerror', (e) => broken.push(e.message));
  page.on('console', (m) => m.type() === 'error' && /Content Security Policy|Refused to|Warning:|unique "key"/.test(m.text()) && broken.push(m.text()));
  page.on('request', (r) => {
    const u = new URL(r.url());
    if (u.host !== host && u.protocol !== 'data:' && u.protocol !== 'blob:') broken.push(`a request to ${u.host}`);
  });
  return broken;
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
  /** signedIn is a browser of its own, signed in as ada. */
  signedIn: async ({ page, context, ada }, use) => {
    await enter(context, ada);
    const broken = watch(page, ada.registry.host);
    await use(page);
    expect(broken, 'errors of the page').toEqual([]);
  },
  /** kept is one page for all tests of a worker, signed in as ada: with scripts in its cache, as a browser has them. */
  kept: [
    async ({ browser, ada }, use) => {
      const context = await browser.newContext({ ...options, baseURL: ada.registry.base });
      await enter(context, ada);
      await use(await context.newPage());
      await context.close();
    },
    { scope: 'worker' },
  ],
  /** shown is that page, for a test that only looks. */
  shown: async ({ kept, ada }, use) => {
    const broken = watch(kept, ada.registry.host);
    await use(kept);
    kept.removeAllListeners();
    expect(broken, 'errors of the page').toEqual([]);
  },
});

type Violation = { id: string; help: string; nodes: { html: string; failureSummary?: string }[] };

// What axe checks. The page is the same in the other theme but for its colours, so that there the rules about colours are checked.
const rules = {
  light: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] },
  dark: { type: 'rule', values: ['color-contrast', 'link-in-text-block'] },
};

/** accessible checks a page with axe, in both themes. */
export async function accessible(page: Page) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axeSource); // by the debugger: the Content-Security-Policy lets no script in
  await page.evaluate(() => {
    // A colour that is on its way to another is neither. A sheet that is made by a script is no inline style to the policy.
    const still = new CSSStyleSheet();
    still.replaceSync('*, *::before, *::after { transition: none !important; animation: none !important; }');
    document.adoptedStyleSheets = [still];
  });
  for (const theme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: theme });
    await expect(page.locator('html')).toHaveClass(theme === 'dark' ? /pf-v6-theme-dark/ : /^(?!.*pf-v6-theme-dark)/);
    const list = await page.evaluate(async (runOnly) => {
      const axe = (window as unknown as { axe: { run: (o: object) => Promise<{ violations: Violation[] }> } }).axe;
      return (await axe.run({ runOnly, resultTypes: ['violations'], preload: false })).violations;
    }, rules[theme]);
    expect(list.map((v) => `${theme}: ${v.id}: ${v.help}: ${v.nodes.map((n) => n.html.slice(0, 300) + (n.failureSummary ?? '')).slice(0, 3).join(' | ')}`), `axe at ${page.url()}`).toEqual([]);
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.evaluate(() => void (document.adoptedStyleSheets = []));
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
