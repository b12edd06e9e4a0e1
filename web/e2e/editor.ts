import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as base, expect, type Page } from '@playwright/test';
import { watch } from './fixtures';
import { binary, freePort } from './registry';

export const password = 'editor-pass-word';

/** secrets are in the configuration, and nowhere else. */
export const secrets = ['db-s3cret-pw', 'redis-s3cret-pw', 'bucket-s3cret-key', 'session-s3cret-key-0123456789abcdef', 'column-s3cret-key-0123456789abcdef'];

/** written is the config.yaml that each editor begins with. */
export const written = `# Kept by hand: ask ops@example.com.
SERVER_HOSTNAME: quay.example.com
PREFERRED_URL_SCHEME: http
DB_URI: postgresql://quay:db-s3cret-pw@127.0.0.1:1/quay # the main one
USER_EVENTS_REDIS:
  host: 127.0.0.1 # beside us
  port: 1
  password: redis-s3cret-pw
DISTRIBUTED_STORAGE_CONFIG:
  default: [RadosGWStorage, {hostname: s3.example.com, access_key: key, secret_key: bucket-s3cret-key, bucket_name: quay}]
DISTRIBUTED_STORAGE_PREFERENCE: [default]
# The times that people may choose from.
TAG_EXPIRATION_OPTIONS: [0s, 1d, 1w, 2w]
DEFAULT_TAG_EXPIRATION: 2w
SECRET_KEY: session-s3cret-key-0123456789abcdef
DATABASE_SECRET_KEY: column-s3cret-key-0123456789abcdef
SETUP_COMPLETE: true
OUR_OWN_FIELD: {team: platform}
`;

/** An EditorServer is bin/gantry config editor on a folder of its own, or on what it is told. */
export class EditorServer {
  private constructor(
    readonly base: string,
    readonly dir: string,
    private readonly process: ChildProcess,
  ) {}

  get host() {
    return new URL(this.base).host;
  }

  /** config is config.yaml as it is now. */
  get config() {
    return readFileSync(join(this.dir, 'config.yaml'), 'utf8');
  }

  /** write changes config.yaml beside the editor. */
  write(text: string) {
    writeFileSync(join(this.dir, 'config.yaml'), text);
  }

  file(name: string) {
    return readFileSync(join(this.dir, name), 'utf8');
  }

  /** start starts an editor; of is what it edits, in the place of a folder. */
  static async start(env: Record<string, string> = {}, of?: string[]): Promise<EditorServer> {
    const dir = mkdtempSync(join(tmpdir(), 'gantry-editor-'));
    mkdirSync(join(dir, 'conf'));
    writeFileSync(join(dir, 'conf/config.yaml'), written);
    const port = await freePort();
    const child = spawn(binary, ['config', 'editor', ...(of ?? ['--config', join(dir, 'conf')]), '--listen', `127.0.0.1:${port}`], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, QUAY_PASSWORD: password, ...env } });
    const log: string[] = [];
    child.stderr?.on('data', (b: Buffer) => log.push(b.toString()));
    const s = new EditorServer(`http://127.0.0.1:${port}`, join(dir, 'conf'), child);
    for (const end = Date.now() + 60_000; ; ) {
      if (child.exitCode !== null || Date.now() > end) throw new Error(`the editor did not start:\n${log.join('')}`);
      if (await fetch(`${s.base}/`).then((a) => a.ok, () => false)) return s;
      await new Promise((f) => setTimeout(f, 50));
    }
  }

  async stop() {
    if (this.process.exitCode === null) {
      const ended = new Promise((f) => this.process.once('exit', f));
      this.process.kill('SIGTERM');
      await ended;
    }
    rmSync(join(this.dir, '..'), { recursive: true, force: true });
  }
}

/** enter signs a page in. */
export async function enter(page: Page) {
  await page.goto('/');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.locator('#sections')).toBeAttached(); // on a phone it is closed
}

export { expect };

/** test has one editor and one signed-in page for all tests of a worker; each begins with config.yaml as written, and nothing changed. */
export const test = base.extend<{ editor: Page; answers: string[] }, { server: EditorServer; kept: Page }>({
  server: [
    // eslint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const s = await EditorServer.start({ LOGGING_LEVEL: 'DEBUG' });
      await use(s);
      await s.stop();
    },
    { scope: 'worker' },
  ],
  baseURL: async ({ server }, use) => use(server.base),
  kept: [
    async ({ browser, server }, use) => {
      const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, locale: 'en-US', timezoneId: 'Asia/Seoul', reducedMotion: 'reduce', baseURL: server.base });
      const page = await context.newPage();
      await enter(page);
      await use(page);
      await context.close();
    },
    { scope: 'worker' },
  ],
  // answers are the bodies that the page gets.
  // eslint-disable-next-line no-empty-pattern
  answers: async ({}, use) => use([]),
  editor: async ({ kept, server, answers }, use) => {
    if (server.config !== written) server.write(written);
    kept.on('dialog', (d) => void d.accept());
    await kept.goto('about:blank');
    const broken = watch(kept, server.host);
    kept.on('response', (r) => {
      if (r.url().includes('/api/')) void r.text().then((b) => answers.push(b), () => undefined);
    });
    await kept.setViewportSize({ width: 1280, height: 860 });
    await kept.goto('/#/time-machine');
    await expect(kept.getByRole('heading', { name: 'Time Machine', level: 1 })).toBeVisible();
    await use(kept);
    kept.removeAllListeners();
    await kept.unrouteAll({ behavior: 'ignoreErrors' });
    expect(broken, 'errors of the page').toEqual([]);
  },
});
