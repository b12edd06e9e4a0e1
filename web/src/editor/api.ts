import { Problem, problemOf } from '../api/client';
import type { Bundle, Check, Fault, Form, Patch, Revision, Rollout, State, Trial, TrialName } from './types';

/** signIn asks for the password in the middle of something; it rejects where the user does not want to. The page sets it. */
export const gate: { signIn?: () => Promise<void> } = {};

let asking: Promise<void> | undefined;

// ask shows one dialog, however many requests wait for it.
function ask(): Promise<void> {
  if (!gate.signIn) return Promise.reject(new Error('nobody to ask'));
  asking ??= gate.signIn().finally(() => (asking = undefined));
  return asking;
}

type Options = { method?: string; body?: unknown; revision?: string; signal?: AbortSignal; /** quiet: a session that has ended is no reason to ask. */ quiet?: boolean };

// send is fetch with the header that tells the page from another site. It throws a Problem for every answer that is no success.
async function send(path: string, { method = 'GET', body, revision, signal, quiet }: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { 'X-Requested-With': 'gantry-editor', Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (revision !== undefined) headers['If-Match'] = revision;
  for (;;) {
    let res: Response;
    try {
      res = await fetch(`/api/v1/${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
    } catch (err) {
      if (err instanceof DOMException && err.name === 'AbortError') throw err;
      throw new Problem(0, 'offline', 'The editor does not answer');
    }
    if (res.ok) return res;
    const problem = await problemOf(res);
    if (res.status !== 401 || quiet || path === 'session') throw problem;
    try {
      await ask();
    } catch {
      throw problem;
    }
  }
}

const json = async <T>(path: string, options?: Options) => (await (await send(path, options)).json()) as T;

// tag writes a revision as If-Match wants it.
const tag = (revision: string) => (/^(W\/)?"/.test(revision) ? revision : `"${revision}"`);

export const getConfig = (o?: Options) => json<Bundle>('config', o);
export const getState = (o?: Options) => json<State>('config/state', o);
export const getForm = (o?: Options) => json<Form>('config/form', o);
export const getHistory = () => json<Revision[]>('config/history');
export const getRollout = (o?: Options) => json<Rollout>('config/rollout', o);
export const signIn = async (username: string, password: string) => void (await send('session', { method: 'POST', body: { username, password } }));
export const signOut = async () => void (await send('session', { method: 'DELETE' }));
export const check = (patch: Patch, mode: 'online' | 'offline', o?: Options) => json<Check>(`config/check?mode=${mode}`, { ...o, method: 'POST', body: patch });
export const tryOut = (name: TrialName, patch: Patch) => json<Trial[]>(`config/test/${name}`, { method: 'POST', body: patch });
export const save = (patch: Patch, revision: string, tested: boolean) => json<State>(`config${tested ? '?mode=online' : ''}`, { method: 'PATCH', body: patch, revision: tag(revision) });
export const rollback = (to: string, revision: string) => json<State>(`config/rollback/${encodeURIComponent(to)}`, { method: 'POST', revision: tag(revision) });
export const download = async (patch: Patch) => (await send('config/download', { method: 'POST', body: patch })).blob();

/** faultsOf are the problems that an answer has with a configuration. */
export function faultsOf(err: unknown): Fault[] {
  return err instanceof Problem && Array.isArray(err.body.problems) ? (err.body.problems as Fault[]) : [];
}
