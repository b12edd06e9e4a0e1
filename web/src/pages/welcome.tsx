import { Alert, Button, Card, CardBody, Divider, Form, Title } from '@patternfly/react-core';
import { useQuery } from '@tanstack/react-query';
import { Navigate, useSearch } from '@tanstack/react-router';
import { useEffect, useState, type ReactNode } from 'react';
import { fetchEmpty, type Boot } from '../api/boot';
import { api, ok, Problem } from '../api/client';
import { t } from '../i18n';
import { Bones, Command } from '../ui/bits';
import { useForm, type Field } from '../ui/dialogs';
import { Link, useGo, useTitle, withSearch } from '../ui/link';
import { safeNext } from '../ui/next';
import { ProblemAlert, ProblemPage } from '../ui/problem';
import { useBoot, useChangeSession, useUser } from '../ui/session';
import { Brand } from '../shell';

// ownAccounts is whether accounts are made here; else who is known elsewhere signs in, and has one.
const ownAccounts = (boot: Boot) => boot.config.AUTHENTICATION_TYPE === undefined || boot.config.AUTHENTICATION_TYPE === 'Database';

const useEmpty = () => useQuery({ queryKey: ['empty'], queryFn: fetchEmpty, staleTime: 0 });

function Frame({ title, children }: { title: string; children: ReactNode }) {
  useTitle(title);
  return (
    <Card className="g-welcome" isLarge>
      <CardBody>
        <div className="g-stack">
          <Brand />
          <Title headingLevel="h1" size="xl">
            {title}
          </Title>
          {children}
        </div>
      </CardBody>
    </Card>
  );
}

// Onward goes to a page in place of this one, once somebody is signed in.
function Onward({ to }: { to: string }) {
  const go = useGo();
  useEffect(() => go(to, true), []);
  return <Bones />;
}

export function SignIn() {
  const boot = useBoot();
  const user = useUser();
  const empty = useEmpty();
  const { next } = useSearch({ strict: false });
  const change = useChangeSession();
  const form = useForm(
    [
      { name: 'username', label: t('User name'), autoComplete: 'username' },
      { name: 'password', label: t('Password'), kind: 'password' },
    ],
    async ({ username = '', password = '' }) => {
      try {
        await api.POST('/signin', { body: { username, password } });
      } catch (err) {
        throw err instanceof Problem && err.status === 403 ? new Problem(400, err.type, t('The user name or the password is not right.')) : err;
      }
      await change();
    },
  );
  if (user) return <Onward to={safeNext(next)} />;
  const own = ownAccounts(boot);
  if (empty.data && own) return <Navigate to="/createaccount" replace />;
  const direct = boot.features.DIRECT_LOGIN !== false;
  return (
    <Frame title={t('Sign in')}>
      {direct && (
        <Form onSubmit={form.onSubmit} noValidate>
          {form.body}
          <ProblemAlert error={form.error} />
          <Button type="submit" isBlock isLoading={form.busy} isDisabled={form.busy}>
            {t('Sign in')}
          </Button>
        </Form>
      )}
      {direct && boot.external_login.length > 0 && <Divider />}
      <External />
      {direct && own && boot.features.MAILING && <Link href="/forgot">{t('I forgot my password')}</Link>}
      {direct && own && boot.features.USER_CREATION && (
        <p>
          {t('New here?')} <Link href={withSearch('/createaccount', { next })}>{t('Create an account')}</Link>
        </p>
      )}
      {boot.features.ANONYMOUS_ACCESS && <Link href="/repository">{t('Look at public repositories')}</Link>}
    </Frame>
  );
}

/** External are the services by which one can sign in. */
function External() {
  const boot = useBoot();
  const [error, setError] = useState<unknown>();
  const begin = (id: string) =>
    ok(api.POST('/externallogin/{service_id}', { params: { path: { service_id: id } }, body: { kind: 'login' } })).then(
      (a) => location.assign(a.auth_url),
      setError,
    );
  return (
    <>
      {boot.external_login.map((s) => (
        <Button key={s.id} variant="secondary" isBlock onClick={() => void begin(s.id)}>
          {t('Sign in with {service}', { service: s.title })}
        </Button>
      ))}
      <ProblemAlert error={error} />
    </>
  );
}

const nameOk = (v: string) => (/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/.test(v) && v.length <= 255 && v.length >= 2 ? undefined : t('Two or more small letters, digits, dots, dashes and underscores, such as ada or build-team'));

/** accountFields are those of a new account. */
export function accountFields(email: boolean): Field[] {
  return [
    { name: 'username', label: t('User name'), autoComplete: 'username', check: nameOk, help: t('Your repositories are below it: it is in every pull command.') },
    { name: 'email', label: t('E-mail address'), kind: 'email', optional: !email, autoComplete: 'email', check: (v) => (/^[^@\s]+@[^@\s]+$/.test(v) ? undefined : t('An address such as ada@example.com')) },
    { name: 'password', label: t('Password'), kind: 'password', autoComplete: 'new-password', check: (v) => (v.length >= 8 ? undefined : t('At least 8 characters')), help: t('At least 8 characters') },
    { name: 'again', label: t('Password again'), kind: 'password', autoComplete: 'new-password', check: (v, all) => (v === all.password ? undefined : t('The passwords differ')) },
  ];
}

export function CreateAccount() {
  const boot = useBoot();
  const user = useUser();
  const empty = useEmpty();
  const { next } = useSearch({ strict: false });
  const [waiting, setWaiting] = useState('');
  const [then, setThen] = useState('');
  const change = useChangeSession();
  const first = empty.data === true;
  const may = boot.features.USER_CREATION === true && boot.features.DIRECT_LOGIN !== false;
  const form = useForm(accountFields(boot.features.MAILING === true && !first), async ({ username = '', email = '', password = '' }) => {
    const body = { username, password, email };
    if (may) {
      const a = await ok(api.POST('/user', { body }));
      if ('awaiting_verification' in a) return setWaiting(email);
    } else {
      await api.POST('/user/initialize', { body });
      await api.POST('/signin', { body: { username, password } });
    }
    if (first && !next) setThen('/guide');
    await change();
  });
  useEffect(() => {
    if (first) document.querySelector<HTMLInputElement>('[name=username]')?.focus();
  }, [first]);
  if (!user && !ownAccounts(boot)) return <Navigate to="/signin" replace />;
  if (user) return <Onward to={then || safeNext(next)} />;
  if (empty.error) return <ProblemPage error={empty.error} onAgain={() => void empty.refetch()} />;
  if (empty.data === undefined) return <Bones />;
  if (waiting) {
    return (
      <Frame title={t('Look into your mail')}>
        <p>{t('A mail went to {email}. Open its link, then sign in.', { email: waiting })}</p>
        <Link href="/signin">{t('Sign in')}</Link>
      </Frame>
    );
  }
  if (!may && (!first || !boot.features.USER_INITIALIZE)) {
    return (
      <Frame title={first ? t('This registry has no account yet') : t('Accounts are not created here')}>
        <Alert isInline variant="info" title={t('Nobody can sign up on this registry (FEATURE_USER_CREATION is off)')}>
          {first ? t('An administrator of the machine creates the first account:') : t('Ask an administrator for an account. On the machine of the registry, it is made by:')}
        </Alert>
        <Command text="gantry user create NAME" />
        {!first && <Link href="/signin">{t('Sign in')}</Link>}
        {first && <Button onClick={() => void empty.refetch()}>{t('Look again')}</Button>}
      </Frame>
    );
  }
  return (
    <Frame title={first ? t('Welcome: create the first account') : t('Create an account')}>
      {first && <p>{t('This registry is empty. The first account administers it; you are signed in at once.')}</p>}
      <Form onSubmit={form.onSubmit} noValidate>
        {form.body}
        <ProblemAlert error={form.error} />
        <Button type="submit" isBlock isLoading={form.busy} isDisabled={form.busy}>
          {t('Create the account')}
        </Button>
      </Form>
      {!first && (
        <p>
          {t('You have one?')} <Link href={withSearch('/signin', { next })}>{t('Sign in')}</Link>
        </p>
      )}
    </Frame>
  );
}

export function Forgot() {
  const boot = useBoot();
  const [sent, setSent] = useState('');
  const form = useForm([{ name: 'email', label: t('E-mail address'), kind: 'email', autoComplete: 'email' }], async ({ email = '' }) => {
    await api.POST('/recovery', { body: { email } });
    setSent(email);
  });
  return (
    <Frame title={t('I forgot my password')}>
      {!boot.features.MAILING ? (
        <Alert isInline variant="info" title={t('This registry sends no mail')}>
          {t('Ask an administrator: a superuser can give you another password.')}
        </Alert>
      ) : sent ? (
        <p role="status">{t('If {email} belongs to an account, a mail is on its way. Its link lets you choose another password.', { email: sent })}</p>
      ) : (
        <Form onSubmit={form.onSubmit} noValidate>
          {form.body}
          <ProblemAlert error={form.error} />
          <Button type="submit" isBlock isLoading={form.busy}>
            {t('Send me a mail')}
          </Button>
        </Form>
      )}
      <Link href="/signin">{t('Back to the sign-in')}</Link>
    </Frame>
  );
}
