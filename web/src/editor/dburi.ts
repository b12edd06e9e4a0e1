import { masked } from './patch';

/** Parts are those of a DB_URI. */
export type Parts = {
  kind: 'postgresql' | 'mysql' | 'sqlite';
  /** scheme is how it was written, as "postgresql+psycopg2". */
  scheme: string;
  /** server is a host with an optional port, or several of them with commas. */
  server: string;
  user: string;
  /** password is "***" where it is set and not shown. */
  password: string;
  /** name of the database; of SQLite the path of the file. */
  name: string;
  /** params is what follows the question mark, as it was written. */
  params: string;
};

export const schemes = { postgresql: 'postgresql', mysql: 'mysql+pymysql', sqlite: 'sqlite' } as const;

export const empty: Parts = { kind: 'postgresql', scheme: 'postgresql', server: '', user: '', password: '', name: '', params: '' };

const decode = (s: string) => {
  try {
    return decodeURIComponent(s);
  } catch {
    return s; // a bare %: the text is what was meant
  }
};

// encode leaves what the server's masks are made of.
const encode = (s: string) => (s === masked ? s : encodeURIComponent(s).replace(/[!'()]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`));

/** partsOf takes a DB_URI apart; undefined = it is none that the form knows. */
export function partsOf(uri: string): Parts | undefined {
  const m = /^(([a-z]+)(?:\+[a-z0-9]+)?):\/\/(.*)$/s.exec(uri);
  if (!m) return undefined;
  const kind = ({ postgresql: 'postgresql', postgres: 'postgresql', mysql: 'mysql', mariadb: 'mysql', sqlite: 'sqlite' } as const)[m[2]!];
  if (!kind) return undefined;
  const parts: Parts = { ...empty, kind, scheme: m[1]! };
  let rest = m[3]!;
  const q = rest.lastIndexOf('?');
  // A password may hold any character, so the last @ ends it.
  if (q >= 0 && q > rest.lastIndexOf('@')) {
    parts.params = rest.slice(q + 1);
    rest = rest.slice(0, q);
  }
  if (kind === 'sqlite') {
    if (!rest.startsWith('/') || rest.length === 1) return undefined;
    return { ...parts, name: rest.slice(1) };
  }
  const at = rest.lastIndexOf('@');
  if (at >= 0) {
    const account = rest.slice(0, at);
    const colon = account.indexOf(':');
    parts.user = decode(colon < 0 ? account : account.slice(0, colon));
    parts.password = colon < 0 ? '' : decode(account.slice(colon + 1));
    rest = rest.slice(at + 1);
  }
  const slash = rest.indexOf('/');
  parts.server = slash < 0 ? rest : rest.slice(0, slash);
  parts.name = slash < 0 ? '' : decode(rest.slice(slash + 1));
  return parts;
}

/** uriOf puts a DB_URI together. */
export function uriOf(p: Parts): string {
  const tail = p.params ? `?${p.params}` : '';
  if (p.kind === 'sqlite') return `${p.scheme}:///${p.name}${tail}`;
  const account = p.user || p.password ? `${encode(p.user)}${p.password ? `:${encode(p.password)}` : ''}@` : '';
  return `${p.scheme}://${account}${p.server}/${encode(p.name)}${tail}`;
}

/** lacks is the first part that an address cannot be without; undefined = none. */
export function lacks(p: Parts): 'server' | 'name' | undefined {
  if (p.kind !== 'sqlite' && !p.server.trim() && !/(^|&)(host|unix_socket)=/.test(p.params)) return 'server';
  return p.name.trim() ? undefined : 'name';
}
