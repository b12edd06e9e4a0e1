import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { gzipSync } from 'node:zlib';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const password = 'correct-horse';

/** binary is the program under test. */
export const binary = process.env.GANTRY_BIN ?? join(import.meta.dirname, '../../bin/gantry');

/** freePort is a port of this machine that nothing listens on. */
export function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const s = createServer();
    s.on('error', fail);
    s.listen(0, '127.0.0.1', () => {
      const at = s.address();
      s.close(() => (typeof at === 'object' && at ? done(at.port) : fail(new Error('no port'))));
    });
  });
}

/** archive packs files as tar and gzip. */
export function archive(files: Record<string, string>): Buffer {
  const blocks: Buffer[] = [];
  for (const [name, text] of Object.entries(files)) {
    const body = Buffer.from(text);
    const head = Buffer.alloc(512);
    head.write(name, 0);
    head.write('0000644\0', 100);
    head.write(`${body.length.toString(8).padStart(11, '0')}\0`, 124);
    head.write('00000000000\0', 136);
    head.write('        0', 148); // blanks where the sum comes, and the type: a file
    head.write('ustar\x0000', 257);
    head.write(`${head.reduce((a, b) => a + b, 0).toString(8).padStart(6, '0')}\0 `, 148);
    blocks.push(head, body, Buffer.alloc((512 - (body.length % 512)) % 512));
  }
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}

export type Cookie = { name: string; value: string };

/** A Registry is a process of bin/gantry with its own folder. */
export class Registry {
  private constructor(
    readonly base: string,
    readonly dir: string,
    private readonly process: ChildProcess,
    readonly log: string[],
  ) {}

  get host() {
    return new URL(this.base).host;
  }

  /** start runs a registry on SQLite; config is its config.yaml, '' = none. seed are flags of "gantry dev seed", which fills it before. */
  static async start(config = '', seed: string[] = []): Promise<Registry> {
    const dir = mkdtempSync(join(tmpdir(), 'gantry-web-'));
    const port = await freePort();
    const args = ['serve', '--listen', `127.0.0.1:${port}`, '--data', join(dir, 'data'), '--metrics', 'off'];
    if (config) {
      writeFileSync(join(dir, 'config.yaml'), config);
      args.push('--config', dir);
    }
    if (seed.length > 0) execFileSync(binary, ['dev', 'seed', '--data', join(dir, 'data'), ...seed], { stdio: 'ignore' });
    const child = spawn(binary, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const log: string[] = [];
    child.stderr?.on('data', (b: Buffer) => log.push(b.toString()));
    const r = new Registry(`http://127.0.0.1:${port}`, dir, child, log);
    for (const end = Date.now() + 60_000; ; ) {
      if (child.exitCode !== null || Date.now() > end) throw new Error(`the registry did not start:\n${log.join('')}`);
      const up = await fetch(`${r.base}/health/instance`).then((a) => a.ok, () => false);
      if (up) return r;
      await new Promise((f) => setTimeout(f, 50));
    }
  }

  async stop() {
    if (this.process.exitCode === null) {
      const ended = new Promise((f) => this.process.once('exit', f));
      this.process.kill('SIGTERM');
      await ended;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** first makes the first account, a superuser, and returns what acts as it. */
  async first(name = 'ada'): Promise<Account> {
    return this.account(name, true);
  }

  /** account makes another account, and returns what acts as it. */
  async account(name: string, fresh = true): Promise<Account> {
    const a = new Account(this, name);
    if (fresh) await a.call('POST', '/api/v1/user', { username: name, password, email: `${name}@example.com` });
    else await a.call('POST', '/api/v1/signin', { username: name, password });
    return a;
  }
}

/** An Account calls the API with a session. */
export class Account {
  private cookies = new Map<string, string>();
  private csrf = '';

  constructor(
    readonly registry: Registry,
    readonly name: string,
  ) {}

  /** session is its cookies, for a browser. */
  get session(): Cookie[] {
    return [...this.cookies].map(([name, value]) => ({ name, value }));
  }

  async call<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { 'X-Requested-With': 'XMLHttpRequest', Accept: 'application/json' };
    if (this.cookies.size > 0) headers.Cookie = [...this.cookies].map(([k, v]) => `${k}=${v}`).join('; ');
    if (method !== 'GET' && this.cookies.size > 0) {
      if (!this.csrf) this.csrf = (await this.call<{ csrf_token: string }>('GET', '/csrf_token')).csrf_token;
      headers['X-CSRF-Token'] = this.csrf;
    }
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const res = await fetch(this.registry.base + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    for (const c of res.headers.getSetCookie()) {
      const [pair = ''] = c.split(';');
      const i = pair.indexOf('=');
      this.cookies.set(pair.slice(0, i), pair.slice(i + 1));
    }
    const text = await res.text();
    if (!res.ok) throw new Error(`${method} ${path}: ${res.status} ${text}`);
    return (text ? JSON.parse(text) : undefined) as T;
  }

  private basic() {
    return 'Basic ' + Buffer.from(`${this.name}:${password}`).toString('base64');
  }

  private tokens = new Map<string, Promise<string>>();

  /** token lets push to and pull from a repository. */
  token(repo: string): Promise<string> {
    let t = this.tokens.get(repo);
    if (!t) {
      t = fetch(`${this.registry.base}/v2/auth?service=${this.registry.host}&scope=repository:${repo}:pull,push`, { headers: { Authorization: this.basic() } }).then(
        async (a) => ((await a.json()) as { token: string }).token,
      );
      this.tokens.set(repo, t);
    }
    return t;
  }

  /** blob pushes bytes and returns their descriptor's digest and size. */
  async blob(repo: string, bytes: Buffer): Promise<{ digest: string; size: number }> {
    const digest = 'sha256:' + createHash('sha256').update(bytes).digest('hex');
    const headers = { Authorization: `Bearer ${await this.token(repo)}` };
    const start = await fetch(`${this.registry.base}/v2/${repo}/blobs/uploads/`, { method: 'POST', headers });
    const to = new URL(start.headers.get('Location') ?? '', this.registry.base);
    to.searchParams.set('digest', digest);
    const end = await fetch(to, { method: 'PUT', headers: { ...headers, 'Content-Type': 'application/octet-stream' }, body: new Uint8Array(bytes) });
    if (end.status !== 201) throw new Error(`push of a blob: ${end.status} ${await end.text()}`);
    return { digest, size: bytes.length };
  }

  /** manifest puts a manifest under a tag or, with tag '', under its digest alone. */
  async manifest(repo: string, tag: string, manifest: { mediaType: string; [key: string]: unknown }): Promise<{ digest: string; size: number }> {
    const bytes = Buffer.from(JSON.stringify(manifest));
    const digest = 'sha256:' + createHash('sha256').update(bytes).digest('hex');
    const res = await fetch(`${this.registry.base}/v2/${repo}/manifests/${tag || digest}`, {
      method: 'PUT',
      headers: { Authorization: `Bearer ${await this.token(repo)}`, 'Content-Type': manifest.mediaType },
      body: bytes,
    });
    if (res.status !== 201) throw new Error(`push of ${repo}:${tag}: ${res.status} ${await res.text()}`);
    return { digest, size: bytes.length };
  }

  /** image pushes a small image and returns its digest. */
  async image(repo: string, tag: string, content = tag, architecture = 'amd64'): Promise<{ digest: string; size: number }> {
    const layer = await this.blob(repo, Buffer.from(`layer of ${content}`));
    const config = await this.blob(
      repo,
      Buffer.from(
        JSON.stringify({
          architecture,
          os: 'linux',
          created: '2026-01-02T03:04:05Z',
          config: { Env: ['PATH=/usr/bin', `CONTENT=${content}`], Entrypoint: ['/app'], Cmd: ['serve'], ExposedPorts: { '8080/tcp': {} }, User: '1001', WorkingDir: '/srv', Labels: { 'org.opencontainers.image.source': 'https://example.com/app' } },
          history: [{ created: '2026-01-02T03:04:05Z', created_by: `COPY ${content} /app` }],
          rootfs: { type: 'layers', diff_ids: [layer.digest] },
        }),
      ),
    );
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    return this.manifest(repo, tag, {
      schemaVersion: 2,
      mediaType,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...layer }],
    });
  }
}
