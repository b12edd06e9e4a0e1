import createClient from 'openapi-fetch';
import type { components, paths } from './schema';

export type Schemas = components['schemas'];

/** A Problem is a failure that somebody is told of: what the API answered, or that nothing answered. */
export class Problem extends Error {
  /** status is the HTTP status; 0 where there was no answer. */
  constructor(
    readonly status: number,
    readonly type: string,
    detail: string,
    /** id is that of the request, which the registry's log has; '' = none. */
    readonly id = '',
    /** retryAfter is in seconds; 0 = not said. */
    readonly retryAfter = 0,
    /** body is the whole answer. */
    readonly body: Record<string, unknown> = {},
  ) {
    super(detail);
  }
}

/** problemOf reads an answer that is no success. */
export async function problemOf(res: Response): Promise<Problem> {
  let body: Record<string, unknown> = {};
  try {
    body = (await res.json()) as Record<string, unknown>;
  } catch {
    // A proxy's page, or nothing: the status has to do.
  }
  const text = (key: string) => (typeof body[key] === 'string' ? (body[key] as string) : '');
  const detail = text('detail') || text('message') || text('error_message') || `HTTP ${res.status}`;
  return new Problem(res.status, text('error_type'), detail, res.headers.get('X-Request-Id') ?? '', Number(res.headers.get('Retry-After')) || 0, body);
}

/** Why somebody is asked for the password: the session is too old for this, or it ended. */
export type Reason = 'fresh' | 'ended';

type Session = {
  /** signedIn is whether a 401 means that the session ended. */
  signedIn: boolean;
  /** ask has the user sign in; it rejects where the user does not want to. */
  ask?: (why: Reason) => Promise<void>;
};

/** session is what the client knows of who is there; the shell sets it. */
export const session: Session = { signedIn: false };

let asking: Promise<void> | undefined;

// ask shows one dialog, however many requests wait for it.
function ask(why: Reason): Promise<void> {
  if (!session.ask) return Promise.reject(new Error('nobody to ask'));
  asking ??= session.ask(why).finally(() => (asking = undefined));
  return asking;
}

let csrf: Promise<string> | undefined;

/** forgetToken is to be called when the session is another one. */
export function forgetToken() {
  csrf = undefined;
}

const xhr = { 'X-Requested-With': 'XMLHttpRequest' };

async function fetchToken(): Promise<string> {
  const res = await fetch('/csrf_token', { headers: xhr });
  if (!res.ok) throw await problemOf(res);
  return ((await res.json()) as { csrf_token: string }).csrf_token;
}

function token(): Promise<string> {
  csrf ??= fetchToken().catch((err: unknown) => {
    csrf = undefined;
    throw err;
  });
  return csrf;
}

/** send is fetch with the headers that the API wants. It throws a Problem for every answer that is no success. */
export async function send(request: Request): Promise<Response> {
  const change = request.method !== 'GET' && request.method !== 'HEAD';
  let renewed = false;
  for (;;) {
    const copy = request.clone();
    copy.headers.set('X-Requested-With', 'XMLHttpRequest');
    let res: Response;
    try {
      if (change) copy.headers.set('X-CSRF-Token', await token());
      res = await fetch(copy);
    } catch (err) {
      if (err instanceof Problem || (err instanceof DOMException && err.name === 'AbortError')) throw err;
      throw new Problem(0, 'offline', 'The registry does not answer');
    }
    if (res.ok) return res;
    const problem = await problemOf(res);
    const signing = /\/(signin|signout|user\/clientkey)/.test(new URL(request.url).pathname);
    if (change && res.status === 403 && !renewed && /CSRF/.test(problem.message)) {
      renewed = true; // the session is another one than that of the token
      forgetToken();
      continue;
    }
    if (problem.type === 'fresh_login_required' || (res.status === 401 && session.signedIn && !signing)) {
      try {
        await ask(problem.type === 'fresh_login_required' ? 'fresh' : 'ended');
      } catch {
        throw problem;
      }
      continue;
    }
    throw problem;
  }
}

/** api calls the registry; what is no success is thrown as a Problem. */
export const api = createClient<paths>({
  baseUrl: '/api/v1',
  fetch: send,
  // A repository's name keeps its slashes: proxies refuse %2F.
  pathSerializer: (path, params) =>
    path.replace(/\{([^}]+)\}/g, (_, key: string) => String(params[key]).split('/').map(encodeURIComponent).join('/')),
});

/** ok is the body of an answer. */
export async function ok<T>(call: Promise<{ data?: T }>): Promise<NonNullable<T>> {
  return (await call).data as NonNullable<T>;
}

/**
 * call is api for a path that is made of where a thing belongs: a repository's,
 * an organization's or the user's. The caller names the type of the answer.
 */
export async function call<T>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
  const res = await send(
    new Request(`/api/v1/${path}`, {
      method,
      headers: body === undefined ? undefined : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    }),
  );
  const text = await res.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** enc is a name as a part of a path; a repository's keeps its slashes. */
export const enc = (name: string) => name.split('/').map(encodeURIComponent).join('/');
