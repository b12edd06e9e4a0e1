import {
  Alert,
  AlertActionCloseButton,
  AlertGroup,
  Button,
  Label,
  Masthead,
  MastheadBrand,
  MastheadContent,
  MastheadLogo,
  MastheadMain,
  MastheadToggle,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Nav,
  NavItem,
  NavList,
  Page,
  PageSection,
  PageSidebar,
  PageSidebarBody,
  PageToggleButton,
  SearchInput,
} from '@patternfly/react-core';
import { BarsIcon } from '@patternfly/react-icons/dist/esm/icons/bars-icon';
import { LockIcon } from '@patternfly/react-icons/dist/esm/icons/lock-icon';
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from 'react';
import { Problem } from '../api/client';
import { t } from '../i18n';
import { Bones } from '../ui/bits';
import { LanguageMenu, Logo, ThemeMenu } from '../ui/mast';
import { Menu } from '../ui/menu';
import { check, gate, getConfig, getRollout, getState, signOut } from './api';
import { History } from './history';
import { load } from './load';
import { count, none, patchOf, rebase, topOf, type Changes, type Foreign } from './patch';
import { addressOf, go, hasMoved, placeOf, usePlace } from './place';
import { Review } from './review';
import { RolloutNotice } from './rollout';
import { Results, SectionPage } from './section';
import { SignIn, SignInAgain } from './signin';
import { asked, changed, Context, dirty, indexOf, managed, marksOf, taken, useEditor, type Confirm, type Editor, type Loaded, type Notice } from './store';
import { Guard, Trouble } from './trouble';
import type { Fault, Rollout, Section, State } from './types';

const corner = (
  <>
    <LanguageMenu />
    <ThemeMenu />
  </>
);

type Phase = { at: 'loading' } | { at: 'out' } | { at: 'failed'; error: unknown } | { at: 'in'; loaded: Loaded };

/** App is the page: before the session, and in it. */
export function App({ first }: { first: Promise<Loaded> }) {
  const [phase, setPhase] = useState<Phase>({ at: 'loading' });
  const start = (p: Promise<Loaded>) => {
    p.then(
      (loaded) => setPhase({ at: 'in', loaded }),
      (error: unknown) => setPhase(error instanceof Problem && error.status === 401 ? { at: 'out' } : { at: 'failed', error }),
    );
  };
  useEffect(() => start(first), [first]);
  switch (phase.at) {
    case 'out':
      return <SignIn done={() => start(load())} corner={corner} logo={<Logo />} />;
    case 'failed':
      return (
        <main className="g-bare">
          <Trouble error={phase.error} onAgain={() => start(load())} />
        </main>
      );
    case 'in':
      return <Session loaded={phase.loaded} out={() => setPhase({ at: 'out' })} />;
  }
  return (
    <main className="g-bare">
      <div className="g-welcome"><Bones rows={6} /></div>
    </main>
  );
}

type Asked = { done: () => void; refuse: () => void };
type Toast = { id: number; title: string };

/** Session holds what is loaded and what is changed. */
function Session({ loaded: begin, out }: { loaded: Loaded; out: () => void }) {
  const [loaded, setLoaded] = useState(begin);
  const [changes, setChanges] = useState<Changes>(none);
  const [faults, setFaults] = useState<Fault[]>([]);
  const [foreign, setForeign] = useState<Foreign[]>([]);
  const [notice, setNotice] = useState<Notice>();
  const [rollout, setRollout] = useState<Rollout>();
  const [following, setFollowing] = useState(begin.state.mode === 'operator');
  const [signingIn, setSigningIn] = useState<Asked>();
  const [asking, setAsking] = useState<Confirm>();
  const [toasts, setToasts] = useState<Toast[]>([]);
  // now is what callbacks see: they stay the same, so that a field is drawn when it changes and not when another does.
  const now = useRef({ loaded, changes });
  now.current = { loaded, changes };

  useEffect(() => {
    gate.signIn = () =>
      new Promise((done, refuse) =>
        setSigningIn({
          done: () => (setSigningIn(undefined), done()),
          refuse: () => (setSigningIn(undefined), refuse(new Error('refused'))),
        }),
      );
    return () => {
      gate.signIn = undefined;
    };
  }, []);

  const isDirty = count(changes) > 0;
  useEffect(() => {
    if (!isDirty) return;
    const warn = (ev: BeforeUnloadEvent) => ev.preventDefault();
    addEventListener('beforeunload', warn);
    return () => removeEventListener('beforeunload', warn);
  }, [isDirty]);

  // The server's word on the changes, a moment after the last one. It comes unasked, so that its failure is no news.
  const said = useRef(false);
  said.current = faults.length > 0;
  useEffect(() => {
    if (!isDirty && !said.current) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      check(patchOf(changes, loaded.bundle['config.yaml'], loaded.state.written), 'offline', { quiet: true, signal: stop.signal }).then(
        (c) => !stop.signal.aborted && setFaults(c.problems),
        () => undefined,
      );
    }, 500);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [changes, loaded, isDirty]);

  // How far the operator is, until it is there.
  useEffect(() => {
    if (!following) return;
    let timer: number | undefined;
    let over = false;
    let quietly = !notice; // the page was opened: what is done already is no news
    const ask = () =>
      getRollout({ quiet: true }).then(
        (r) => {
          if (over) return;
          if (r.state === 'rolling') quietly = false;
          if (!quietly || r.state === 'failed') setRollout(r);
          if (r.state === 'done' || r.state === 'failed' || (r.state === 'unknown' && quietly)) setFollowing(false);
          else timer = window.setTimeout(() => void ask(), 2000);
        },
        () => {
          if (!over) timer = window.setTimeout(() => void ask(), 2000);
        },
      );
    void ask();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [following]);

  const set = useCallback((name: string, value: unknown) => {
    const { bundle, state, form } = now.current.loaded;
    const base = bundle['config.yaml'];
    setChanges((c) => ({ ...c, fields: changed(c.fields, taken(state, c.manage, name) ? { ...base, [name]: form.fields.find((f) => f.name === name)?.default } : base, state.written, name, value) }));
    setFaults((all) => all.filter((f) => topOf(f.field) !== name));
  }, []);
  const undo = useCallback((name: string) => {
    setChanges((c) => {
      const { [name]: _, ...fields } = c.fields;
      return { ...c, fields };
    });
    setFaults((all) => all.filter((f) => topOf(f.field) !== name));
  }, []);
  const setCert = useCallback((name: string, value: string | null | undefined) => {
    setChanges((c) => {
      const { [name]: _, ...certs } = c.certs;
      return { ...c, certs: value === undefined ? certs : { ...certs, [name]: value } };
    });
    setFaults((all) => all.filter((f) => f.field !== '' || !f.file.endsWith(name)));
  }, []);
  const setManaged = useCallback((component: string, on: boolean) => {
    setChanges((c) => managed(c, now.current.loaded.state, component, on));
    setFaults([]);
  }, []);
  const say = useCallback((title: string) => {
    const id = Date.now() + Math.random();
    setToasts((all) => [...all.slice(-2), { id, title }]);
    setTimeout(() => setToasts((all) => all.filter((x) => x.id !== id)), 6_000);
  }, []);
  const reload = useCallback(async (state?: State) => {
    const [bundle, next] = await Promise.all([getConfig(), state ?? getState()]);
    const { loaded: was, changes: mine } = now.current;
    const r = rebase(mine, was.bundle, bundle);
    setLoaded({ ...was, bundle, state: next });
    setChanges({ ...r.changes, manage: asked(r.changes.manage, next) });
    setForeign(r.foreign);
    setFaults([]);
  }, []);
  const saved = useCallback(async (state: State, news: Notice, keep = false) => {
    if (!keep) setChanges((now.current.changes = none));
    await reload(state);
    setForeign([]);
    setNotice(news);
    setRollout(undefined);
    if (state.mode === 'operator') return setFollowing(true);
    // A running server takes some of it at once; which it does not, it says.
    await getRollout({ quiet: true }).then(
      (r) => r.message && setNotice({ ...news, text: [news.text, r.message].filter(Boolean).join(' ') }),
      () => undefined,
    );
  }, []);

  const index = useMemo(() => indexOf(loaded.form, [...Object.keys(loaded.bundle['config.yaml']), ...loaded.state.written, ...Object.keys(changes.fields)]), [loaded, changes.fields]);
  const leave = () => void signOut().then(out, (err: unknown) => say(err instanceof Error ? err.message : String(err)));
  const editor: Editor = {
    ...loaded,
    ...index,
    changes,
    faults,
    foreign,
    notice,
    rollout,
    set,
    setCert,
    setManaged,
    undo,
    discard: () => {
      const before = changes;
      setAsking({
        title: t('Discard the changes?'),
        text: t('{n} change is taken back.|{n} changes are taken back.', { n: count(before) }),
        action: t('Discard'),
        danger: true,
        submit: async () => {
          setChanges(none);
          setFaults([]);
          setForeign([]);
        },
      });
    },
    setFaults,
    setNotice,
    reload,
    saved,
    say,
    confirm: setAsking,
    signOut: () => (isDirty ? setAsking({ title: t('Sign out?'), text: t('{n} change that is not saved is lost.|{n} changes that are not saved are lost.', { n: count(changes) }), action: t('Sign out'), danger: true, submit: async () => leave() }) : leave()),
  };
  return (
    <Context.Provider value={editor}>
      <Frame closeRollout={() => setRollout(undefined)} />
      {asking && <ConfirmDialog spec={asking} close={() => setAsking(undefined)} />}
      {signingIn && <SignInAgain done={signingIn.done} refuse={signingIn.refuse} />}
      <AlertGroup isToast isLiveRegion hasAnimations={false}>
        {toasts.map((x) => (
          <Alert key={x.id} variant="info" title={x.title} actionClose={<AlertActionCloseButton aria-label={t('Close')} onClose={() => setToasts((all) => all.filter((y) => y.id !== x.id))} />} />
        ))}
      </AlertGroup>
    </Context.Provider>
  );
}

function ConfirmDialog({ spec, close }: { spec: Confirm; close: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const back = useRef(document.activeElement);
  const end = () => {
    close();
    const to = back.current;
    setTimeout(() => (to instanceof HTMLElement && to.isConnected ? to : document.getElementById('title'))?.focus(), 0);
  };
  const submit = () => {
    setBusy(true);
    setError(undefined);
    spec.submit().then(end, (err: unknown) => {
      setError(err);
      setBusy(false);
    });
  };
  return (
    <Modal isOpen onClose={end} variant="small" aria-labelledby="confirm-title" aria-describedby="confirm-text" elementToFocus="#confirm-go">
      <ModalHeader title={spec.title} labelId="confirm-title" />
      <ModalBody>
        <div className="g-stacked">
          <p id="confirm-text">{spec.text}</p>
          <Trouble error={error} />
        </div>
      </ModalBody>
      <ModalFooter>
        <Button id="confirm-go" variant={spec.danger ? 'danger' : 'primary'} onClick={submit} isLoading={busy} isDisabled={busy}>{spec.action}</Button>
        <Button variant="link" onClick={end}>{t('Cancel')}</Button>
      </ModalFooter>
    </Modal>
  );
}

// A field that the address names is scrolled to by its section.
const placeHasField = (address: string) => address.split('/').length > 2;

const wide = () => innerWidth >= 1200;

function Frame({ closeRollout }: { closeRollout: () => void }) {
  const e = useEditor();
  const address = usePlace();
  const place = placeOf(address);
  const [open, setOpen] = useState(wide);
  const small = useRef<boolean>(undefined);
  const [filter, setFilter] = useState('');
  const sought = useDeferredValue(filter.trim());
  useEffect(() => {
    setFilter('');
    if (small.current) setOpen(false);
    if (hasMoved() && !placeHasField(address)) document.getElementById('main')?.scrollTo(0, 0);
  }, [address]);
  useEffect(() => {
    const on = (ev: KeyboardEvent) => {
      if (ev.key === 'Escape' && small.current) setOpen(false);
      const typing = ev.target instanceof HTMLElement && (/^(INPUT|TEXTAREA|SELECT)$/.test(ev.target.tagName) || ev.target.isContentEditable);
      if ((ev.key !== 'k' || !(ev.metaKey || ev.ctrlKey)) && (ev.key !== '/' || typing || ev.metaKey || ev.ctrlKey)) return;
      if (document.querySelector('[role=dialog]')) return;
      ev.preventDefault();
      const input = document.querySelector<HTMLInputElement>('.e-filter input');
      input?.focus();
      input?.select();
    };
    addEventListener('keydown', on);
    return () => removeEventListener('keydown', on);
  }, []);
  const { sections, state } = e;
  const at = place.page === 'section' ? (sections.find((s) => s.id === place.section) ?? sections[0]) : undefined;
  const name = place.page === 'review' ? t('Review') : place.page === 'history' ? t('History') : at ? at.title : '';
  const whose = state.mode === 'operator' ? `${state.namespace}/${state.registry}` : (state.dir ?? '');
  useEffect(() => {
    document.title = [name, whose, t('Configuration editor')].filter(Boolean).join(' · ');
  }, [name, whose]);
  const n = count(e.changes);
  const mac = navigator.platform.startsWith('Mac');
  return (
    <Page
      onPageResize={(_, { mobileView }) => {
        if (small.current !== mobileView) setOpen(!mobileView);
        small.current = mobileView;
      }}
      mainContainerId="main"
      mainTabIndex={-1}
      skipToContent={
        <a
          className="e-skip"
          href="#main"
          onClick={(ev) => {
            ev.preventDefault(); // the address has the place after its #
            document.getElementById('main')?.focus();
          }}
        >
          {t('To the content')}
        </a>
      }
      masthead={
        <Masthead>
          <MastheadMain>
            <MastheadToggle>
              <PageToggleButton variant="plain" aria-label={t('Navigation')} isSidebarOpen={open} onSidebarToggle={() => setOpen(!open)} id="nav-toggle">
                <BarsIcon />
              </PageToggleButton>
            </MastheadToggle>
            <MastheadBrand>
              <MastheadLogo component="a" aria-label={t('Configuration editor')} href={addressOf(sections[0]?.id ?? '')}>
                <span className="g-brand g-nowrap"><Logo /><span className="g-wide-inline">{t('Configuration editor')}</span></span>
              </MastheadLogo>
            </MastheadBrand>
          </MastheadMain>
          <MastheadContent>
            <div className="g-mast">
              <span className="e-whose g-grow g-clip g-quiet" title={whose}>{whose}</span>
              {corner}
              <Menu label={t('More')} items={[{ label: t('History'), onClick: () => go('#/history') }, { label: t('Sign out'), onClick: e.signOut }]} />
            </div>
          </MastheadContent>
        </Masthead>
      }
      sidebar={
        <PageSidebar isSidebarOpen={open}>
          <PageSidebarBody>
            <Sections at={at?.id} page={place.page} />
          </PageSidebarBody>
        </PageSidebar>
      }
    >
      <div className="e-bar" role="search" aria-label={t('Fields')}>
        <SearchInput
          className="e-filter"
          value={filter}
          onChange={(_, s) => setFilter(s)}
          onClear={() => setFilter('')}
          onKeyDown={(ev) => ev.key === 'Escape' && setFilter('')}
          placeholder={t('Find a field by name or description')}
          aria-label={t('Find a field by name or description')}
          resetButtonLabel={t('Clear')}
        />
        <kbd className="g-wide-inline g-quiet" aria-hidden="true">{mac ? '⌘K' : 'Ctrl K'}</kbd>
        <div className="g-wrap">
          {n > 0 && <span role="status">{t('{n} change|{n} changes', { n })}</span>}
          {place.page !== 'review' && <Button variant={n > 0 ? 'primary' : 'secondary'} onClick={() => go('#/review')}>{t('Review')}</Button>}
        </div>
      </div>
      <PageSection hasBodyWrapper={false} className="g-page">
        <div className="e-page">
          <Banners />
          {e.notice && (
            <Alert isInline variant={e.notice.variant} title={e.notice.title} role="status" component="h2" actionClose={<AlertActionCloseButton aria-label={t('Close')} onClose={() => e.setNotice(undefined)} />}>
              {e.notice.text}
            </Alert>
          )}
          {e.rollout && <RolloutNotice rollout={e.rollout} close={closeRollout} />}
          <Guard key={sought ? 'found' : (at?.id ?? place.page)}>
            {sought ? (
              <Results filter={sought} clear={() => setFilter('')} />
            ) : place.page === 'review' ? (
              <Review />
            ) : place.page === 'history' ? (
              <History />
            ) : (
              at && <SectionPage key={at.id} section={at} field={place.page === 'section' ? place.field : ''} />
            )}
          </Guard>
        </div>
      </PageSection>
    </Page>
  );
}

/** Banners are what everybody is to know before a change. */
function Banners() {
  const { state } = useEditor();
  return (
    <>
      {!state.writable && (
        <Alert isInline variant="warning" title={t('Nothing can be changed here')} component="h2">
          {state.reason}
        </Alert>
      )}
      {state.warnings.map((w) => (
        <Alert key={w} isInline variant="warning" title={w} component="h2" />
      ))}
    </>
  );
}

function Sections({ at, page }: { at?: string; page: string }) {
  const e = useEditor();
  useEffect(() => {
    void document.querySelector('#sections [aria-current]')?.scrollIntoView({ block: 'nearest' });
  }, [at, page]);
  return (
    <Nav aria-label={t('Sections')} id="sections">
      <NavList>
        {e.sections.map((s) => (
          <NavItem key={s.id} isActive={s.id === at}>
            <a href={addressOf(s.id)} aria-current={s.id === at ? 'page' : undefined}>
              <span className="g-grow">{s.title}</span>
              <Marks section={s} />
            </a>
          </NavItem>
        ))}
        <NavItem isActive={page === 'review'}>
          <a href="#/review" aria-current={page === 'review' ? 'page' : undefined}><span className="g-grow">{t('Review')}</span>{dirty(e) && <Label isCompact color="blue">{count(e.changes)}</Label>}</a>
        </NavItem>
        <NavItem isActive={page === 'history'}>
          <a href="#/history" aria-current={page === 'history' ? 'page' : undefined}>{t('History')}</a>
        </NavItem>
      </NavList>
    </Nav>
  );
}

function Marks({ section }: { section: Section }) {
  const m = marksOf(useEditor(), section);
  return (
    <span className="e-nav-marks">
      {m.errors > 0 && <Label isCompact color="red">{m.errors}<span className="g-offscreen"> {t('wrong')}</span></Label>}
      {m.changed > 0 && <Label isCompact color="blue">{m.changed}<span className="g-offscreen"> {t('changed and not saved')}</span></Label>}
      {m.environment && <span className="e-env" title={t('Set by environment')}>env<span className="g-offscreen"> {t('Set by environment')}</span></span>}
      {m.locked && <span title={t('Managed by the operator')}><LockIcon aria-hidden="true" /><span className="g-offscreen">{t('Managed by the operator')}</span></span>}
    </span>
  );
}
