import { createHash, createSign, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

// Stand-ins of services that know users: as strict as those of the Go tests
// (internal/auth/oidc/oidctest, internal/auth/keystone) where a registry could
// do something wrong, and without what these tests do not use.

const json = (res: ServerResponse, status: number, v: unknown, headers: Record<string, string> = {}) => res.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(v));

async function bodyOf(req: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const p of req) parts.push(p as Buffer);
  return Buffer.concat(parts).toString();
}

async function listen(handle: (req: IncomingMessage, res: ServerResponse, at: URL) => Promise<unknown> | unknown): Promise<[Server, string]> {
  const server = createServer((req, res) => void Promise.resolve(handle(req, res, new URL(req.url ?? '/', url))).catch((err: unknown) => res.writeHead(500).end(String(err))));
  let url = 'http://127.0.0.1';
  await new Promise<void>((f) => server.listen(0, '127.0.0.1', f));
  const at = server.address();
  url = `http://127.0.0.1:${typeof at === 'object' && at ? at.port : 0}`;
  return [server, url];
}

const stop = (server: Server) => {
  server.closeAllConnections();
  return new Promise((f) => server.close(f));
};

/** An Issuer is a provider of OpenID Connect where whoever `who` says signs in at once. */
export class Issuer {
  who = { name: 'ada', groups: [] as string[] };
  private codes = new Map<string, { nonce: string; challenge: string; redirect: string; who: Issuer['who'] }>();
  private keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  private server!: Server;
  url = '';

  static async start(): Promise<Issuer> {
    const i = new Issuer();
    [i.server, i.url] = await listen((req, res, at) => i.answer(req, res, at));
    return i;
  }

  private async answer(req: IncomingMessage, res: ServerResponse, at: URL) {
    const q = at.searchParams;
    switch (`${req.method} ${at.pathname}`) {
      case 'GET /.well-known/openid-configuration':
        return json(res, 200, { issuer: this.url, authorization_endpoint: `${this.url}/auth`, token_endpoint: `${this.url}/token`, jwks_uri: `${this.url}/keys`, id_token_signing_alg_values_supported: ['RS256'], code_challenge_methods_supported: ['S256'] });
      case 'GET /keys':
        return json(res, 200, { keys: [{ ...this.keys.publicKey.export({ format: 'jwk' }), kid: '1', alg: 'RS256', use: 'sig' }] });
      case 'GET /auth': {
        const redirect = q.get('redirect_uri') ?? '';
        if (q.get('client_id') !== 'gantry' || q.get('response_type') !== 'code' || q.get('code_challenge_method') !== 'S256' || !/\/oauth2\/corp\/callback$/.test(redirect)) return json(res, 400, { error: 'invalid_request' });
        const code = randomBytes(16).toString('hex');
        this.codes.set(code, { nonce: q.get('nonce') ?? '', challenge: q.get('code_challenge') ?? '', redirect, who: this.who });
        const back = new URL(redirect);
        back.searchParams.set('code', code);
        back.searchParams.set('state', q.get('state') ?? '');
        return res.writeHead(302, { Location: back.href }).end();
      }
      case 'POST /token': {
        const f = new URLSearchParams(await bodyOf(req));
        const g = this.codes.get(f.get('code') ?? '');
        this.codes.delete(f.get('code') ?? '');
        const verified = createHash('sha256').update(f.get('code_verifier') ?? '').digest('base64url');
        if (req.headers.authorization !== `Basic ${Buffer.from('gantry:s3cret').toString('base64')}` || !g || g.challenge !== verified || g.redirect !== f.get('redirect_uri')) return json(res, 400, { error: 'invalid_grant' });
        return json(res, 200, { access_token: randomBytes(16).toString('hex'), token_type: 'Bearer', expires_in: 300, id_token: this.sign(g.nonce, g.who) });
      }
    }
    return json(res, 404, {});
  }

  private sign(nonce: string, { name, groups }: Issuer['who']): string {
    const now = Math.floor(Date.now() / 1000);
    const part = (v: object) => Buffer.from(JSON.stringify(v)).toString('base64url');
    const text = `${part({ alg: 'RS256', kid: '1' })}.${part({ iss: this.url, aud: 'gantry', iat: now, exp: now + 300, nonce, sub: `sub-${name}`, preferred_username: name, email: `${name}@example.org`, email_verified: true, groups })}`;
    return `${text}.${createSign('RSA-SHA256').update(text).sign(this.keys.privateKey).toString('base64url')}`;
  }

  stop() {
    return stop(this.server);
  }

  /** config is what a registry needs in its config.yaml to take its users from here. */
  get config(): string {
    return `
AUTHENTICATION_TYPE: OIDC
SUPER_USERS: [ada]
FEATURE_TEAM_SYNCING: true
CORP_LOGIN_CONFIG:
  OIDC_SERVER: ${this.url}/
  CLIENT_ID: gantry
  CLIENT_SECRET: s3cret
  SERVICE_NAME: Corp
`;
  }
}

/** A Keystone has the users ada and bob, whose passwords are ada-password and bob-password, and the group g1, of which members are. */
export class Keystone {
  members = ['ada', 'bob'];
  private server!: Server;
  url = '';
  private people = ['ada', 'bob'].map((name) => ({ id: `id-${name}`, name, email: `${name}@example.org`, domain_id: 'default', enabled: true }));

  static async start(): Promise<Keystone> {
    const k = new Keystone();
    [k.server, k.url] = await listen((req, res, at) => k.answer(req, res, at));
    return k;
  }

  private async answer(req: IncomingMessage, res: ServerResponse, at: URL) {
    const path = at.pathname;
    if (path === '/v3') return json(res, 200, { version: { id: 'v3.14' } });
    if (path === '/v3/auth/tokens' && req.method === 'POST') {
      const { auth } = JSON.parse(await bodyOf(req)) as { auth: { identity: { password: { user: { name: string; password: string; domain: { id: string } } } }; scope?: unknown } };
      const { name, password, domain } = auth.identity.password.user;
      const p = this.people.find((x) => x.name === name);
      const admin = name === 'gantry' && password === 'secret' && !!auth.scope;
      if (domain.id !== 'default' || (!admin && (!p || password !== `${name}-password`))) return json(res, 401, { error: { code: 401 } });
      const token = { expires_at: new Date(Date.now() + 3_600_000).toISOString().replace('Z', '000Z'), user: { id: p?.id ?? '0', name } };
      return json(res, 201, { token }, { 'X-Subject-Token': admin ? 'admin' : 'user' });
    }
    if (req.headers['x-auth-token'] !== 'admin') return json(res, 401, { error: { code: 401 } });
    const links = { next: null };
    if (path === '/v3/users') return json(res, 200, { users: this.people.filter((p) => (at.searchParams.get('name') ?? p.name) === p.name && p.name.startsWith(at.searchParams.get('name__startswith') ?? '')), links });
    if (path === '/v3/groups/g1') return json(res, 200, { group: { id: 'g1' } });
    if (path === '/v3/groups/g1/users') return json(res, 200, { users: this.people.filter((p) => this.members.includes(p.name)), links });
    const one = this.people.find((p) => path === `/v3/users/${p.id}`);
    return one ? json(res, 200, { user: one }) : json(res, 404, {});
  }

  stop() {
    return stop(this.server);
  }

  /** config is what a registry needs in its config.yaml to take its users from here. */
  get config(): string {
    return `
AUTHENTICATION_TYPE: Keystone
KEYSTONE_AUTH_URL: ${this.url}/v3
KEYSTONE_AUTH_VERSION: 3
KEYSTONE_ADMIN_USERNAME: gantry
KEYSTONE_ADMIN_PASSWORD: secret
KEYSTONE_ADMIN_TENANT: service
FEATURE_TEAM_SYNCING: true
TEAM_SYNC_WORKER_FREQUENCY: 1
TEAM_RESYNC_STALE_TIME: 1s
SUPER_USERS: [ada]
`;
  }
}
