import type { Bundle, Config, Patch } from './types';

/** masked stands for a secret that is set. Sent back, it means: as it is. */
export const masked = '***';

/** Changes are what is not saved yet. null takes a field or a file out. */
export type Changes = {
  fields: Config;
  certs: Record<string, string | null>;
  /** manage is by component: whether the operator is to run it. */
  manage: Record<string, boolean>;
};

export const none: Changes = { fields: {}, certs: {}, manage: {} };

export const isBlock = (v: unknown): v is Config => typeof v === 'object' && v !== null && !Array.isArray(v);

/** equal compares values of JSON; the order of a block's keys does not matter, a key that is undefined is not there. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((x, i) => equal(x, b[i]));
  if (isBlock(a) && isBlock(b)) return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((k) => equal(a[k], b[k]));
  return false;
}

/** difference is the JSON merge patch that makes to of from. */
export function difference(from: unknown, to: unknown): unknown {
  if (!isBlock(from) || !isBlock(to)) return to;
  const out: Config = {};
  for (const [k, v] of Object.entries(to)) if (v !== undefined && !equal(from[k], v)) out[k] = difference(from[k], v);
  for (const k of Object.keys(from)) if (to[k] === undefined) out[k] = null;
  return out;
}

/** merged applies a JSON merge patch (RFC 7396). */
export function merged(onto: unknown, patch: unknown): unknown {
  if (!isBlock(patch)) return patch;
  const out: Config = isBlock(onto) ? { ...onto } : {};
  for (const [k, v] of Object.entries(patch)) {
    if (v === null) delete out[k];
    else out[k] = merged(out[k], v);
  }
  return out;
}

/** patchOf is what the server is sent. Of a block that the file has, only the keys that changed; of one that it has not, all of it. */
export function patchOf(changes: Changes, base: Config, written: readonly string[]): Patch {
  const out: Patch = {};
  const fields: Config = {};
  for (const [name, v] of Object.entries(changes.fields)) fields[name] = v !== null && written.includes(name) ? difference(base[name], v) : v;
  if (Object.keys(fields).length > 0) out['config.yaml'] = fields;
  if (Object.keys(changes.certs).length > 0) out.certs = changes.certs;
  if (Object.keys(changes.manage).length > 0) out.manage = changes.manage;
  return out;
}

/** count is the number of changes. */
export const count = (c: Changes) => Object.keys(c.fields).length + Object.keys(c.certs).length + Object.keys(c.manage).length;

/** A Foreign is a field or file that another has changed meanwhile. mine: I have changed it too. */
export type Foreign = { name: string; from: unknown; to: unknown; mine: boolean };

/** rebase puts changes that were made from one state on top of another. Of a block the keys that both left alone or only one changed are those of who changed them; of everything else mine stays. */
export function rebase(changes: Changes, was: Bundle, is: Bundle): { changes: Changes; foreign: Foreign[] } {
  const foreign: Foreign[] = [];
  const fields: Config = {};
  const before = was['config.yaml'];
  const now = is['config.yaml'];
  for (const name of new Set([...Object.keys(before), ...Object.keys(now)])) {
    if (!equal(before[name], now[name])) foreign.push({ name, from: before[name], to: now[name], mine: name in changes.fields });
  }
  for (const [name, v] of Object.entries(changes.fields)) {
    if (v === null) {
      if (name in now) fields[name] = null;
      continue;
    }
    const next = isBlock(v) && isBlock(now[name]) && isBlock(before[name]) ? merged(now[name], difference(before[name], v)) : v;
    if (!equal(next, now[name])) fields[name] = next;
  }
  const certs: Changes['certs'] = {};
  for (const name of new Set([...Object.keys(was.certs), ...Object.keys(is.certs)])) {
    if (was.certs[name] !== is.certs[name]) foreign.push({ name, from: was.certs[name], to: is.certs[name], mine: name in changes.certs });
  }
  for (const [name, v] of Object.entries(changes.certs)) if (v === null ? name in is.certs : v !== is.certs[name]) certs[name] = v;
  return { changes: { fields, certs, manage: changes.manage }, foreign };
}

/** topOf is the field of config.yaml that a path is in: "A" of "A.b[0].c". */
export const topOf = (path: string) => /^[^.[]*/.exec(path)![0];
