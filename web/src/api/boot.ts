import { Problem, problemOf, type Schemas } from './client';

export type User = Schemas['Me'];
export type Message = Schemas['GlobalMessage'];

/** Boot is what /config says, as far as the console uses it. */
export type Boot = {
  config: {
    REGISTRY_TITLE?: string;
    REGISTRY_TITLE_SHORT?: string;
    SERVER_HOSTNAME?: string;
    PREFERRED_URL_SCHEME?: string;
    AUTHENTICATION_TYPE?: string;
    TAG_EXPIRATION_OPTIONS?: string[];
    PERMANENTLY_DELETE_TAGS?: boolean;
    CONTACT_INFO?: string[];
    FOOTER_LINKS?: Record<string, string> | null;
    LIBRARY_NAMESPACE?: string;
    DEFAULT_TAG_EXPIRATION?: string;
  };
  features: Record<string, boolean | undefined>;
  oauth_scopes: Record<string, { scope: string; title: string; description: string; dangerous: boolean }>;
  external_login: { id: string; title: string; icon: string }[];
  registry_state: 'normal' | 'readonly';
  messages: Message[];
};

// early is the answer that public/early.js has asked for; it is taken once, by
// the start of the console: later on it would be old.
function early(path: string): Promise<Response> | undefined {
  const all = (window as { early?: Record<string, Promise<Response>> }).early;
  const answer = all?.[path];
  delete all?.[path];
  return answer;
}

async function get<T>(path: string, first = false): Promise<T> {
  let res: Response;
  try {
    res = await ((first && early(path)) || fetch(path, { headers: { 'X-Requested-With': 'XMLHttpRequest', Accept: 'application/json' } }));
  } catch {
    throw new Problem(0, 'offline', 'The registry does not answer');
  }
  if (!res.ok) throw await problemOf(res);
  return (await res.json()) as T;
}

/** fetchBoot gets what every page starts with, as it is now. */
export const fetchBoot = () => get<Boot>('/config');

/** fetchUser is who is signed in now; null = nobody. */
export const fetchUser = () => user(false);

/** firstBoot and firstUser are the same for the start, which may have asked already. */
export const firstBoot = () => get<Boot>('/config', true);
export const firstUser = () => user(true);

async function user(first: boolean): Promise<User | null> {
  try {
    return await get<User>('/api/v1/user', first);
  } catch (err) {
    if (err instanceof Problem && err.status === 401) return null;
    throw err;
  }
}

/** fetchEmpty is whether the registry waits for its first account. */
export const fetchEmpty = async () => (await get<{ status: string }>('/api/v1/superuser/registrystatus')).status === 'create-superuser';

/** hostOf is the registry's name as clients write it. */
export function hostOf(boot: Boot): string {
  return boot.config.SERVER_HOSTNAME || location.host;
}
