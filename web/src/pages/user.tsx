import { Button, Label, Title } from '@patternfly/react-core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useParams, useSearch } from '@tanstack/react-router';
import { api, call, ok } from '../api/client';
import type { User } from '../api/boot';
import { t } from '../i18n';
import { Face, Load, Time } from '../ui/bits';
import { useDialogs, type Field } from '../ui/dialogs';
import { Section, TabBar } from '../ui/frame';
import { useGo, useTitle } from '../ui/link';
import { ListSection, useRefresh } from '../ui/list';
import { Logs } from '../ui/logs';
import { Menu } from '../ui/menu';
import { Notifications } from '../ui/notifications';
import { PrunePolicies } from '../ui/policies';
import { QuotaView } from '../ui/quota';
import { Robots, Secret } from '../ui/robots';
import { useBoot, useChangeSession, useRefreshUser, useUser } from '../ui/session';
import { Retention } from './organization';
import { RepositoryList } from './repositories';

/** UserPage is the account of the user, or what others may see of somebody. */
export function UserPage() {
  const { name = '' } = useParams({ strict: false }) as { name?: string };
  const me = useUser()!;
  useTitle(name);
  return me.username === name ? <Mine me={me} /> : <Other name={name} />;
}

function Other({ name }: { name: string }) {
  const { q = '' } = useSearch({ strict: false });
  const go = useGo();
  const query = useQuery({ queryKey: ['users', name], queryFn: () => ok(api.GET('/users/{username}', { params: { path: { username: name } } })) });
  return (
    <Load query={query}>
      {(u) => (
        <>
          <div className="g-head">
            <Face name={u.username} color={u.avatar.color} />
            <Title headingLevel="h1">{u.username}</Title>
          </div>
          <RepositoryList ns={name} q={q} onQuery={(x) => go(`/user/${encodeURIComponent(name)}${x ? `?q=${encodeURIComponent(x)}` : ''}`, true)} />
        </>
      )}
    </Load>
  );
}

function Mine({ me }: { me: User }) {
  const { tab = 'account' } = useSearch({ strict: false });
  const boot = useBoot();
  const refresh = useRefreshUser();
  const base = `/user/${encodeURIComponent(me.username)}`;
  return (
    <>
      <div className="g-head">
        <Face name={me.username} color={me.avatar.color} />
        <Title headingLevel="h1">{me.username}</Title>
        {me.super_user && <Label isCompact color="purple">{t('Superuser')}</Label>}
      </div>
      <TabBar
        at={tab}
        base={base}
        first="account"
        tabs={[
          { key: 'account', title: t('Account') },
          { key: 'tokens', title: t('Passwords and tokens') },
          { key: 'robots', title: t('Robots') },
          { key: 'applications', title: t('Applications') },
          boot.features.QUOTA_MANAGEMENT && { key: 'storage', title: t('Storage') },
          { key: 'logs', title: t('Usage logs') },
          { key: 'settings', title: t('Settings') },
        ]}
      />
      {tab === 'tokens' ? (
        <Tokens me={me} />
      ) : tab === 'robots' ? (
        <Robots place="user" namespace={me.username} may />
      ) : tab === 'applications' ? (
        <Authorizations />
      ) : tab === 'storage' ? (
        <QuotaView namespace={me.username} report={me.quota_report} quotas={me.quotas} edit={me.super_user ? `superuser/users/${encodeURIComponent(me.username)}/quota` : ''} limits={`organization/${encodeURIComponent(me.username)}/quota`} changed={() => void refresh()} />
      ) : tab === 'logs' ? (
        <Logs place="user" base={base} />
      ) : tab === 'settings' ? (
        <>
          <Retention seconds={me.tag_expiration_s} save={(s) => api.PUT('/user', { body: { tag_expiration_s: s } }).then(refresh)} />
          <PrunePolicies place="user" may />
          <Notifications path="user/namespacenotifications" events={['quota_warning', 'quota_error']} namespace={me.username} may />
        </>
      ) : (
        <Account me={me} />
      )}
    </>
  );
}

function Account({ me }: { me: User }) {
  const dialogs = useDialogs();
  const boot = useBoot();
  const refresh = useRefreshUser();
  const change = useChangeSession();
  const go = useGo();
  const own = boot.config.AUTHENTICATION_TYPE === undefined || boot.config.AUTHENTICATION_TYPE === 'Database';
  const put = (body: Record<string, string>) => api.PUT('/user', { body }).then(refresh);
  const facts: [string, string, string][] = boot.features.USER_METADATA
    ? [
        ['given_name', t('Given name'), me.given_name ?? ''],
        ['family_name', t('Family name'), me.family_name ?? ''],
        ['company', t('Company'), me.company ?? ''],
        ['location', t('Location'), me.location ?? ''],
      ]
    : [];
  const fields: Field[] = [
    { name: 'email', label: t('E-mail address'), kind: 'email', optional: true, initial: me.email },
    ...facts.map(([name, label, initial]): Field => ({ name, label, initial, optional: true })),
  ];
  return (
    <>
      <Section title={t('Profile')} tools={<Button variant="secondary" onClick={() => dialogs.form({ title: t('Profile'), fields, action: t('Save'), submit: put })}>{t('Edit')}</Button>}>
        <dl className="g-facts">
          <dt>{t('E-mail address')}</dt>
          <dd>{me.email || '–'}</dd>
          {facts.map(([k, label, v]) => (
            <div key={k} className="g-contents">
              <dt>{label}</dt>
              <dd>{v || '–'}</dd>
            </div>
          ))}
        </dl>
      </Section>
      {own && (
        <Section
          title={t('Password')}
          text={t('Another password ends all other sessions.')}
          tools={
            <Button
              variant="secondary"
              onClick={() =>
                dialogs.form({
                  title: t('Change the password'),
                  fields: [
                    { name: 'password', label: t('New password'), kind: 'password', autoComplete: 'new-password', check: (v) => (v.length >= 8 ? undefined : t('At least 8 characters')) },
                    { name: 'again', label: t('Password again'), kind: 'password', autoComplete: 'new-password', check: (v, all) => (v === all.password ? undefined : t('The passwords differ')) },
                  ],
                  action: t('Change the password'),
                  submit: async (v) => {
                    await api.PUT('/user', { body: { password: v.password } });
                    await change();
                    dialogs.toast(t('The password was changed'));
                  },
                })
              }
            >
              {t('Change the password')}
            </Button>
          }
        />
      )}
      {me.logins.length > 0 && (
        <Section title={t('Sign-in services')}>
          <ul className="g-md">
            {me.logins.map((l) => (
              <li key={l.service}>
                {l.service}: {l.service_identifier}{' '}
                <Button variant="link" isInline isDanger onClick={() => void api.POST('/detachexternal/{service_id}', { params: { path: { service_id: l.service } } }).then(refresh, (err: unknown) => dialogs.toast(t('That did not work'), { variant: 'danger', text: err instanceof Error ? err.message : '' }))}>
                  {t('Untie')}
                </Button>
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Section title={t('Delete')} text={t('The account goes with its repositories, images and robots, and cannot be restored.')}>
        <Button
          variant="danger"
          onClick={() =>
            dialogs.confirm({
              title: t('Delete {name}?', { name: me.username }),
              text: t('The account goes with its repositories, images and robots, and cannot be restored.'),
              action: t('Delete'),
              typed: me.username,
              submit: async () => {
                await api.DELETE('/user');
                await change();
                go('/signin', true);
              },
            })
          }
        >
          {t('Delete the account')}
        </Button>
      </Section>
    </>
  );
}

function Tokens({ me }: { me: User }) {
  const dialogs = useDialogs();
  const boot = useBoot();
  const key = ['user', 'apptokens'];
  const refresh = useRefresh(key);
  const show = (title: string, account: string, secret: string) => setTimeout(() => dialogs.show({ title, wide: true, body: <Secret account={account} secret={secret} once /> }), 0);
  return (
    <>
      {boot.features.APP_SPECIFIC_TOKENS && (
        <ListSection
          title={t('App tokens')}
          text={t('For podman, docker and other clients of yours, in place of the password.')}
          tools={
            <Button
              variant="secondary"
              onClick={() =>
                dialogs.form({
                  title: t('Create an app token'),
                  fields: [{ name: 'title', label: t('What it is for'), help: t('Such as laptop') }],
                  action: t('Create'),
                  submit: async (v) => {
                    const a = await ok(api.POST('/user/apptoken', { body: { title: v.title ?? '' } }));
                    await refresh();
                    show(v.title ?? '', '$app', a.token.token_code ?? '');
                  },
                })
              }
            >
              {t('Create an app token')}
            </Button>
          }
          queryKey={key}
          get={async () => (await ok(api.GET('/user/apptoken'))).tokens}
          rowKey={(x) => x.uuid}
          empty={{ title: t('There are no app tokens'), text: t('A token can be revoked without changing the password.') }}
          columns={[
            { key: 'title', title: t('What it is for'), cell: (x) => x.title },
            { key: 'created', title: t('Created'), narrow: true, wide: true, cell: (x) => <Time value={x.created} /> },
            { key: 'used', title: t('Last used'), narrow: true, cell: (x) => <Time value={x.last_accessed} never={t('Never')} /> },
            { key: 'expires', title: t('Expires'), narrow: true, wide: true, cell: (x) => <Time value={x.expiration} never={t('Never')} /> },
            {
              key: 'menu',
              title: '',
              narrow: true,
              cell: (x) => (
                <Menu
                  label={t('Actions for {name}', { name: x.title })}
                  items={[{ label: t('Revoke'), danger: true, onClick: () => dialogs.confirm({ title: t('Revoke {name}?', { name: x.title }), text: t('What uses it fails from then on.'), action: t('Revoke'), submit: () => api.DELETE('/user/apptoken/{uuid}', { params: { path: { uuid: x.uuid } } }).then(refresh) }) }]}
                />
              ),
            },
          ]}
        />
      )}
      <Section
        title={t('Encrypted password')}
        text={t('For configuration files of clients: only this registry can read it.')}
        tools={
          <Button
            variant="secondary"
            onClick={() =>
              dialogs.form({
                title: t('Encrypt the password'),
                fields: [{ name: 'password', label: t('Password'), kind: 'password' }],
                action: t('Encrypt'),
                submit: async (v) => {
                  const a = await ok(api.POST('/user/clientkey', { body: { password: v.password ?? '' } }));
                  show(t('Encrypted password'), me.username, a.key);
                },
              })
            }
          >
            {t('Encrypt the password')}
          </Button>
        }
      />
    </>
  );
}

function Authorizations() {
  const dialogs = useDialogs();
  const key = ['user', 'authorizations'];
  const refresh = useRefresh(key);
  return (
    <>
      <ListSection
        title={t('Applications that act as me')}
        text={t('Each has a token with these scopes.')}
        queryKey={key}
        get={async () => (await ok(api.GET('/user/authorizations'))).authorizations}
        rowKey={(a) => a.uuid}
        empty={{ title: t('No application acts as you') }}
        columns={[
          { key: 'name', title: t('Application'), cell: (a) => a.application.name || <span className="g-quiet">{t('A token without an application')}</span> },
          { key: 'org', title: t('Organization'), wide: true, cell: (a) => a.application.organization?.name },
          { key: 'scopes', title: t('Scopes'), cell: (a) => <span className="g-wrap">{a.scopes.map((s) => <Label key={s.scope} isCompact color={s.dangerous ? 'red' : 'grey'}>{s.scope}</Label>)}</span> },
          {
            key: 'end',
            title: '',
            narrow: true,
            cell: (a) => (
              <Menu
                label={t('Actions for {name}', { name: a.application.name || a.uuid })}
                items={[{ label: t('End it'), danger: true, onClick: () => dialogs.confirm({ title: t('End the authorization?'), text: t('Its token ends at once.'), action: t('End it'), submit: () => api.DELETE('/user/authorizations/{uuid}', { params: { path: { uuid: a.uuid } } }).then(refresh) }) }]}
              />
            ),
          },
        ]}
      />
      <Assigned />
    </>
  );
}

type Assignment = { uuid: string; application: { name: string; clientId: string }; redirectUri?: string | null; responseType?: string | null; scopes: { scope: string }[] };

function Assigned() {
  const client = useQueryClient();
  const key = ['user', 'assigned'];
  return (
    <ListSection
      title={t('Asked of me')}
      text={t('Administrators ask you to make tokens for these applications.')}
      queryKey={key}
      get={async () => (await call<{ authorizations: Assignment[] }>('GET', 'user/assignedauthorization')).authorizations}
      rowKey={(a) => a.uuid}
      empty={{ title: t('Nobody asks for anything') }}
      columns={[
        { key: 'name', title: t('Application'), cell: (a) => a.application.name },
        { key: 'scopes', title: t('Scopes'), cell: (a) => a.scopes.map((s) => s.scope).join(' ') },
        {
          key: 'menu',
          title: '',
          narrow: true,
          cell: (a) => (
            <Menu
              label={t('Actions for {name}', { name: a.application.name })}
              items={[
                {
                  label: t('Look at it and decide'),
                  onClick: () =>
                    location.assign(
                      `/oauth/authorize?${new URLSearchParams({ client_id: a.application.clientId, scope: a.scopes.map((s) => s.scope).join(' '), response_type: a.responseType ?? 'token', redirect_uri: a.redirectUri ?? '', assignment_uuid: a.uuid }).toString()}`,
                    ),
                },
                { label: t('Refuse'), danger: true, onClick: () => void call('DELETE', `user/assignedauthorization/${a.uuid}`).then(() => client.invalidateQueries({ queryKey: key })) },
              ]}
            />
          ),
        },
      ]}
    />
  );
}

