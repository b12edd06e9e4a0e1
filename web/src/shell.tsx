import {
  Alert,
  Banner,
  Button,
  Masthead,
  MastheadBrand,
  MastheadContent,
  MastheadLogo,
  MastheadMain,
  MastheadToggle,
  Nav,
  NavItem,
  NavList,
  Page,
  PageSection,
  PageSidebar,
  PageSidebarBody,
  PageToggleButton,
  SkipToContent,
  Tooltip,
} from '@patternfly/react-core';
import { BarsIcon } from '@patternfly/react-icons/dist/esm/icons/bars-icon';
import { SearchIcon } from '@patternfly/react-icons/dist/esm/icons/search-icon';
import { onlineManager, useQueryClient } from '@tanstack/react-query';
import { Outlet, useRouterState } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { api } from './api/client';
import { t } from './i18n';
import { DialogProvider } from './ui/dialogs';
import { later } from './ui/later';
import { useLive } from './ui/live';
import { LazyMarkdown } from './ui/lazy-markdown';
import { Link, useGo } from './ui/link';
import { LanguageMenu, Logo, ThemeMenu } from './ui/mast';
import { Menu } from './ui/menu';
import { SignInDialog, useBoot, useChangeSession, useUser } from './ui/session';

const Finder = later(
  () => import('./ui/finder').then((m) => m.default),
  () => null,
);

const bare = ['/signin', '/createaccount', '/forgot'];

/** Shell is what is around every page. */
export function Shell() {
  // Of the page that is shown, not of the one that is on its way: a page that is
  // leaving keeps its place.
  const path = useRouterState({ select: (s) => s.matches.at(-1)?.pathname.replace(/(.)\/$/, '$1') ?? s.location.pathname });
  return (
    <DialogProvider>
      {bare.includes(path) ? <Bare /> : <Framed path={path} />}
      <SignInDialog />
    </DialogProvider>
  );
}

function Bare() {
  return (
    <>
      <div className="g-corner">
        <LanguageMenu />
        <ThemeMenu />
      </div>
      <main className="g-bare">
        <Outlet />
      </main>
    </>
  );
}

/** Brand is the registry's mark and name. */
export function Brand() {
  const boot = useBoot();
  return (
    <span className="g-brand">
      <Logo />
      {boot.config.REGISTRY_TITLE_SHORT || boot.config.REGISTRY_TITLE || 'Gantry'}
    </span>
  );
}

function Framed({ path }: { path: string }) {
  const user = useUser();
  const [finding, setFinding] = useState(false);
  useLive(user !== null);
  useEffect(() => {
    const on = (e: KeyboardEvent) => {
      const typing = e.target instanceof HTMLElement && (/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) || e.target.isContentEditable);
      if ((e.key === 'k' && (e.metaKey || e.ctrlKey)) || (e.key === '/' && !typing && !e.metaKey && !e.ctrlKey)) {
        e.preventDefault();
        setFinding(true);
      }
    };
    addEventListener('keydown', on);
    return () => removeEventListener('keydown', on);
  }, []);
  const mac = navigator.platform.startsWith('Mac');
  return (
    <Page
      isManagedSidebar
      skipToContent={<SkipToContent href="#main">{t('To the content')}</SkipToContent>}
      mainContainerId="main"
      mainTabIndex={-1}
      masthead={
        <Masthead>
          <MastheadMain>
            <MastheadToggle>
              <PageToggleButton variant="plain" aria-label={t('Navigation')} id="nav-toggle">
                <BarsIcon />
              </PageToggleButton>
            </MastheadToggle>
            <MastheadBrand>
              <MastheadLogo component={(props: object) => <Link href="/" {...props} />}>
                <Brand />
              </MastheadLogo>
            </MastheadBrand>
          </MastheadMain>
          <MastheadContent>
            <div className="g-mast">
              <Button variant="secondary" icon={<SearchIcon />} className="g-find" onClick={() => setFinding(true)} aria-keyshortcuts="Control+K Meta+K">
                <span>{t('Search')}</span> <kbd aria-hidden="true">{mac ? '⌘K' : 'Ctrl K'}</kbd>
              </Button>
              <span className="g-grow" />
              <LanguageMenu />
              <ThemeMenu />
              <UserMenu />
            </div>
          </MastheadContent>
        </Masthead>
      }
      sidebar={
        <PageSidebar>
          <PageSidebarBody>
            <Navigation path={path} />
          </PageSidebarBody>
        </PageSidebar>
      }
    >
      <Notices />
      <PageSection hasBodyWrapper={false} className="g-page">
        <Outlet />
      </PageSection>
      <Footer />
      {finding && <Finder close={() => setFinding(false)} />}
    </Page>
  );
}

function Navigation({ path }: { path: string }) {
  const user = useUser();
  const at = (base: string) => path === base || path.startsWith(`${base}/`);
  const item = (href: string, title: string, active: boolean) => (
    <NavItem key={href} isActive={active}>
      <Link href={href} current={active}>
        {title}
      </Link>
    </NavItem>
  );
  return (
    <Nav aria-label={t('Navigation')}>
      <NavList>
        {user && item('/', t('Overview'), path === '/')}
        {item('/repository', t('Repositories'), at('/repository'))}
        {user && item('/organization', t('Organizations'), at('/organization'))}
        {user && item(`/user/${encodeURIComponent(user.username)}`, t('My account'), at('/user'))}
        {user && item('/guide', t('Push and pull'), at('/guide'))}
        {(user?.super_user || user?.global_readonly_super_user) && item('/superuser', t('Administration'), at('/superuser'))}
        <NavItem>
          <a href="/api/v1/docs" target="_blank" rel="noopener">
            {t('REST API')}
          </a>
        </NavItem>
      </NavList>
    </Nav>
  );
}

function UserMenu() {
  const user = useUser();
  const go = useGo();
  const change = useChangeSession();
  if (!user) {
    return (
      <Button component="a" href={`/signin?next=${encodeURIComponent(location.pathname + location.search)}`}>
        {t('Sign in')}
      </Button>
    );
  }
  const me = `/user/${encodeURIComponent(user.username)}`;
  return (
    <Menu
      label={t('Account')}
      variant="plainText"
      toggle={user.username}
      items={[
        { label: t('My account'), onClick: () => go(me) },
        { label: t('Robots'), onClick: () => go(`${me}?tab=robots`) },
        { label: t('Inbox'), onClick: () => go('/inbox') },
        {
          label: t('Sign out'),
          onClick: () =>
            void api
              .POST('/signout')
              .then(change)
              .then(() => go('/signin')),
        },
      ]}
    />
  );
}

// Notices are what everybody is to know: messages, that nothing can be written, that the network is away.
function Notices() {
  const boot = useBoot();
  const client = useQueryClient();
  const [online, setOnline] = useState(onlineManager.isOnline());
  useEffect(() => onlineManager.subscribe(setOnline), []);
  const colors = { info: 'blue', warning: 'yellow', error: 'red' } as const;
  const words = { info: t('Notice'), warning: t('Warning'), error: t('Important') } as const;
  return (
    <div aria-live="polite">
      {!online && (
        <Alert isInline variant="warning" title={t('You are offline')}>
          {t('What you see may be old. The page goes on by itself when the network is back.')}
        </Alert>
      )}
      {boot.registry_state === 'readonly' && (
        <Alert isInline variant="info" title={t('The registry is read-only at the moment')} actionLinks={<Button variant="link" isInline onClick={() => void client.invalidateQueries({ queryKey: ['boot'] })}>{t('Look again')}</Button>}>
          {t('Pulls work; changes have to wait until an administrator ends this.')}
        </Alert>
      )}
      {(boot.messages ?? []).map((m) => (
        <Banner key={m.uuid} color={colors[m.severity as keyof typeof colors] ?? 'blue'} screenReaderText={words[m.severity as keyof typeof words] ?? ''}>
          {m.media_type === 'text/markdown' ? <LazyMarkdown text={m.content} /> : m.content}
        </Banner>
      ))}
    </div>
  );
}

function Footer() {
  const { FOOTER_LINKS: links, CONTACT_INFO: contact } = useBoot().config;
  const all = Object.entries(links ?? {}).filter(([, v]) => /^https?:/.test(v));
  if (all.length === 0 && !contact?.length) return null;
  return (
    <footer className="g-footer">
      {all.map(([k, v]) => (
        <a key={k} href={v} rel="noopener noreferrer">
          {({ TERMS_OF_SERVICE_URL: t('Terms of service'), PRIVACY_POLICY_URL: t('Privacy policy'), SECURITY_URL: t('Security'), ABOUT_URL: t('About') } as Record<string, string>)[k] ?? k}
        </a>
      ))}
      {(contact ?? []).filter((c) => /^(mailto|https?|tel):/.test(c)).map((c) => (
        <Tooltip key={c} content={c}>
          <a href={c} rel="noopener noreferrer">
            {t('Contact')}
          </a>
        </Tooltip>
      ))}
    </footer>
  );
}
