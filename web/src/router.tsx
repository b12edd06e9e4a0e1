import type { QueryClient } from '@tanstack/react-query';
import { createRootRouteWithContext, createRoute, createRouter, lazyRouteComponent, redirect } from '@tanstack/react-router';
import { code } from './code';
import { Shell } from './shell';
import { ProblemPage } from './ui/problem';
import { Problem } from './api/client';
import { t } from './i18n';
import { Bones } from './ui/bits';

type Context = { client: QueryClient };

/** A Search is the part of an address behind the question mark, as far as pages use it. */
export type Search = { tab?: string; q?: string; ns?: string; view?: string; next?: string; from?: string; to?: string; kind?: string; tag?: string; a?: string; b?: string; who?: string; run?: string; state?: string; sort?: string; arch?: string; signed?: string };

const keys = ['tab', 'q', 'ns', 'view', 'next', 'from', 'to', 'kind', 'tag', 'a', 'b', 'who', 'run', 'state', 'sort', 'arch', 'signed'] as const;

/** readSearch takes what pages use from an address, as text. */
export function readSearch(raw: Record<string, unknown>): Search {
  const out: Search = {};
  for (const k of keys) {
    const v = raw[k];
    if (typeof v === 'string' || typeof v === 'number') out[k] = String(v);
  }
  return out;
}

const root = createRootRouteWithContext<Context>()({
  component: Shell,
  validateSearch: readSearch,
  notFoundComponent: () => <ProblemPage error={new Problem(404, 'not_found', t('No page has this address.'))} />,
  errorComponent: ({ error, reset }) => <ProblemPage error={error} onAgain={reset} />,
});

const signedIn = ({ context, location }: { context: Context; location: { href: string } }) => {
  if (!context.client.getQueryData(['user'])) throw redirect({ to: '/signin', search: location.href === '/' ? {} : { next: location.href }, replace: true });
};

const page = <P extends string>(path: P, load: () => Promise<Record<string, unknown>>, name: string, guard?: typeof signedIn) =>
  createRoute({ getParentRoute: () => root, path, beforeLoad: guard, component: lazyRouteComponent(load as never, name) as never });

export const router = createRouter({
  routeTree: root.addChildren([
    page('/', code.overview, 'Overview', signedIn),
    page('/signin', code.welcome, 'SignIn'),
    page('/createaccount', code.welcome, 'CreateAccount'),
    page('/forgot', code.welcome, 'Forgot'),
    page('/guide', code.guide, 'Guide', signedIn),
    page('/repository/$', code.repository, 'RepositoryPlace'),
    page('/search', code.search, 'Search'),
    page('/organization', code.organizations, 'Organizations', signedIn),
    page('/organization/$org', code.organization, 'Organization', signedIn),
    page('/organization/$org/teams/$team', code.team, 'Team', signedIn),
    page('/user/$name', code.user, 'UserPage', signedIn),
    page('/inbox', code.inbox, 'Inbox', signedIn),
    page('/superuser', code.superuser, 'Superuser', signedIn),
  ]),
  context: { client: undefined as unknown as QueryClient },
  // Addresses hold plain text: ?q=acme, not JSON.
  parseSearch: (s) => Object.fromEntries(new URLSearchParams(s)),
  stringifySearch: (o) => {
    const p = new URLSearchParams();
    for (const [k, v] of Object.entries(o)) if (v !== undefined && v !== '') p.set(k, String(v));
    const s = p.toString();
    return s ? `?${s}` : '';
  },
  defaultPreload: 'intent',
  scrollRestoration: true,
  defaultPendingMs: 200,
  defaultPendingComponent: () => <Bones rows={6} />,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
