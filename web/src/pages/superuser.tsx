import { Alert, Button, Label, Title } from '@patternfly/react-core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { api, call, enc, ok, Problem, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Face, Load, Time } from '../ui/bits';
import { useDialogs } from '../ui/dialogs';
import { bytes, duration } from '../ui/format';
import { Section, TabBar } from '../ui/frame';
import { useRows } from '../ui/infinite';
import { later } from '../ui/later';
import { Link, useTitle } from '../ui/link';
import { ListSection, useRefresh } from '../ui/list';
import { Logs } from '../ui/logs';
import { Menu } from '../ui/menu';
import { ProblemPage } from '../ui/problem';
import { QuotaView } from '../ui/quota';
import { Secret } from '../ui/robots';
import { useBoot, useUser } from '../ui/session';
import { DataTable } from '../ui/table';
import { LazyMarkdown } from '../ui/lazy-markdown';
import { orgName } from './organizations';
import { accountFields } from './welcome';

const MirrorHealth = later(() => import('../ui/mirror-health').then((m) => m.MirrorHealth));

const Jobs = later(() => import('../ui/jobs').then((m) => m.Jobs));

type RegistryUser = Schemas['RegistryUser'];
type RegistryOrganization = Schemas['RegistryOrganization'];
type Key = Schemas['ServiceKey'];
type Location = Schemas['StorageLocation'];

/** Superuser is the administration of the whole registry. */
export function Superuser() {
  const { tab = 'users' } = useSearch({ strict: false });
  const me = useUser()!;
  const boot = useBoot();
  useTitle(t('Administration'));
  if (!me.super_user && !me.global_readonly_super_user) return <ProblemPage error={new Problem(403, 'insufficient_scope', t('Only superusers administer the registry.'))} />;
  const may = me.super_user === true;
  return (
    <>
      <div className="g-head">
        <Title headingLevel="h1">{t('Administration')}</Title>
      </div>
      <TabBar
        at={tab}
        base="/superuser"
        first="users"
        tabs={[
          { key: 'users', title: t('Users') },
          { key: 'organizations', title: t('Organizations') },
          { key: 'messages', title: t('Messages') },
          { key: 'storage', title: t('Storage') },
          { key: 'jobs', title: t('Jobs') },
          (boot.features.REPO_MIRROR || boot.features.ORG_MIRROR) && { key: 'mirrors', title: t('Mirrors') },
          { key: 'keys', title: t('Service keys') },
          { key: 'logs', title: t('Usage logs') },
          boot.features.SUPERUSER_CONFIGDUMP && { key: 'config', title: t('Configuration') },
        ]}
      />
      {tab === 'organizations' ? <Orgs may={may} /> : tab === 'messages' ? <Messages may={may} /> : tab === 'storage' ? <Storage may={may} /> : tab === 'jobs' ? <Jobs may={may} /> : tab === 'mirrors' ? <MirrorHealth /> : tab === 'keys' ? <Keys may={may} /> : tab === 'logs' ? <Logs place="superuser" base="/superuser" superuser /> : tab === 'config' ? <Config /> : <Users may={may} />}
    </>
  );
}

function Users({ may }: { may: boolean }) {
  const dialogs = useDialogs();
  const boot = useBoot();
  const key = ['superuser', 'users'];
  const refresh = useRefresh(key);
  const own = boot.config.AUTHENTICATION_TYPE === undefined || boot.config.AUTHENTICATION_TYPE === 'Database';
  const rows = useRows(key, async (next) => {
    const a = await ok(api.GET('/superuser/users', { params: { query: { limit: 100, next_page: next || undefined } } }));
    return { rows: a.users, next: a.next_page ?? '' };
  });
  const put = (name: string, body: { password?: string; email?: string; enabled?: boolean }) => api.PUT('/superuser/users/{name}', { params: { path: { name } }, body }).then(refresh);
  const fail = (err: unknown) => dialogs.toast(t('That did not work'), { variant: 'danger', text: err instanceof Error ? err.message : '' });
  const create = () =>
    dialogs.form({
      title: t('Create a user'),
      text: t('A password is chosen for the user and shown once.'),
      fields: accountFields(false).slice(0, 2),
      action: t('Create'),
      submit: async (v) => {
        const u = await ok(api.POST('/superuser/users', { body: { username: v.username ?? '', email: v.email } }));
        await refresh();
        setTimeout(() => dialogs.show({ title: u.username, wide: true, body: <Secret account={u.username} secret={u.password} once /> }), 0);
      },
    });
  const items = (u: RegistryUser) =>
    u.super_user
      ? [boot.features.QUOTA_MANAGEMENT && { label: t('Storage'), onClick: () => quota(u) }]
      : [
          own && { label: t('Change the password'), onClick: () => dialogs.form({ title: t('Another password for {name}', { name: u.username }), fields: [{ name: 'password', label: t('New password'), kind: 'password', autoComplete: 'new-password', check: (v) => (v.length >= 8 ? undefined : t('At least 8 characters')) }], action: t('Save'), submit: (v) => put(u.username, { password: v.password }) }) },
          { label: t('Change the e-mail address'), onClick: () => dialogs.form({ title: u.username, fields: [{ name: 'email', label: t('E-mail address'), kind: 'email', initial: u.email }], action: t('Save'), submit: (v) => put(u.username, { email: v.email }) }) },
          boot.features.MAILING && { label: t('Send a mail for recovery'), onClick: () => void api.POST('/superusers/users/{name}/sendrecovery', { params: { path: { name: u.username } } }).then(() => dialogs.toast(t('The mail is on its way')), fail) },
          u.enabled
            ? { label: t('Disable'), onClick: () => dialogs.confirm({ title: t('Disable {name}?', { name: u.username }), text: t('Sessions, tokens and robots stop working until the user is enabled again.'), action: t('Disable'), submit: () => put(u.username, { enabled: false }) }) }
            : { label: t('Enable'), onClick: () => void put(u.username, { enabled: true }).catch(fail) },
          boot.features.QUOTA_MANAGEMENT && { label: t('Storage'), onClick: () => quota(u) },
          { label: t('Take over the namespace'), onClick: () => dialogs.confirm({ title: t('Take over {name}?', { name: u.username }), text: t('The user becomes an organization that you administer, and cannot sign in any more.'), action: t('Take over'), typed: u.username, submit: () => api.POST('/superuser/takeownership/{name}', { params: { path: { name: u.username } } }).then(refresh) }) },
          { label: t('Delete'), danger: true, onClick: () => dialogs.confirm({ title: t('Delete {name}?', { name: u.username }), text: t('The account goes with its repositories, images and robots, and cannot be restored.'), action: t('Delete'), typed: u.username, submit: () => api.DELETE('/superuser/users/{name}', { params: { path: { name: u.username } } }).then(refresh) }) },
        ];
  const quota = (u: RegistryUser) => dialogs.show({ title: u.username, wide: true, body: <QuotaView namespace={u.username} report={u.quota_report} quotas={u.quotas} edit="" limits="" changed={() => undefined} /> });
  return (
    <Section title={t('Users')} tools={may && own && <Button variant="secondary" onClick={create}>{t('Create a user')}</Button>}>
      <DataTable
        label={t('Users')}
        {...rows}
        rowKey={(u) => u.username}
        empty={{ title: t('There are no users') }}
        columns={[
          {
            key: 'name',
            title: t('Name'),
            cell: (u) => (
              <span className="g-row">
                <Face name={u.username} color={u.avatar.color} />
                <Link href={`/user/${encodeURIComponent(u.username)}`}>{u.username}</Link>
                {u.super_user && <Label isCompact color="purple">{t('Superuser')}</Label>}
                {u.global_readonly_super_user && <Label isCompact color="blue">{t('Auditor')}</Label>}
                {!u.enabled && <Label isCompact color="red">{t('Disabled')}</Label>}
              </span>
            ),
          },
          { key: 'email', title: t('E-mail address'), wide: true, cell: (u) => u.email },
          ...(boot.features.QUOTA_MANAGEMENT ? [{ key: 'size', title: t('Stored'), narrow: true, right: true, cell: (u: RegistryUser) => bytes(u.quota_report?.quota_bytes) }] : []),
          ...(may ? [{ key: 'menu', title: '', narrow: true, cell: (u: RegistryUser) => <Menu label={t('Actions for {name}', { name: u.username })} items={items(u)} /> }] : []),
        ]}
      />
    </Section>
  );
}

function Orgs({ may }: { may: boolean }) {
  const dialogs = useDialogs();
  const boot = useBoot();
  const client = useQueryClient();
  const key = ['superuser', 'organizations'];
  const refresh = async () => {
    await client.invalidateQueries({ queryKey: key });
    await client.invalidateQueries({ queryKey: ['user'] });
  };
  const rows = useRows(key, async (next) => {
    const a = await ok(api.GET('/superuser/organizations', { params: { query: { limit: 100, next_page: next || undefined } } }));
    return { rows: a.organizations, next: a.next_page ?? '' };
  });
  return (
    <Section title={t('Organizations')}>
      <DataTable
        label={t('Organizations')}
        {...rows}
        rowKey={(o) => o.name}
        empty={{ title: t('There are no organizations') }}
        columns={[
          { key: 'name', title: t('Name'), cell: (o) => <span className="g-row"><Face name={o.name} color={o.avatar.color} square /> <Link href={`/organization/${encodeURIComponent(o.name)}`}>{o.name}</Link></span> },
          { key: 'email', title: t('E-mail address'), wide: true, cell: (o) => o.email },
          ...(boot.features.QUOTA_MANAGEMENT ? [{ key: 'size', title: t('Stored'), narrow: true, right: true, cell: (o: RegistryOrganization) => bytes(o.quota_report?.quota_bytes) }, { key: 'quota', title: t('Quota'), narrow: true, right: true, wide: true, cell: (o: RegistryOrganization) => o.quotas?.[0]?.limit ?? '–' }] : []),
          ...(may
            ? [
                {
                  key: 'menu',
                  title: '',
                  narrow: true,
                  cell: (o: RegistryOrganization) => (
                    <Menu
                      label={t('Actions for {name}', { name: o.name })}
                      items={[
                        { label: t('Rename'), onClick: () => dialogs.form({ title: t('Rename {name}', { name: o.name }), text: t('Pull commands with the old name fail then.'), fields: [{ name: 'name', label: t('Name'), initial: o.name, check: orgName }], action: t('Rename'), submit: (v) => api.PUT('/superuser/organizations/{org}', { params: { path: { org: o.name } }, body: { name: v.name } }).then(refresh) }) },
                        boot.features.QUOTA_MANAGEMENT && { label: t('Storage'), onClick: () => dialogs.show({ title: o.name, wide: true, body: <QuotaView namespace={o.name} report={o.quota_report} quotas={o.quotas} edit="" limits="" changed={() => undefined} /> }) },
                        { label: t('Take it over'), onClick: () => dialogs.confirm({ title: t('Take over {name}?', { name: o.name }), text: t('You become an administrator of the organization.'), action: t('Take over'), submit: () => api.POST('/superuser/takeownership/{name}', { params: { path: { name: o.name } } }).then(refresh) }) },
                        { label: t('Delete'), danger: true, onClick: () => dialogs.confirm({ title: t('Delete {name}?', { name: o.name }), text: t('The organization goes with its repositories, images, teams and robots, and cannot be restored.'), action: t('Delete'), typed: o.name, submit: () => api.DELETE('/superuser/organizations/{org}', { params: { path: { org: o.name } } }).then(refresh) }) },
                      ]}
                    />
                  ),
                },
              ]
            : []),
        ]}
      />
    </Section>
  );
}

function Messages({ may }: { may: boolean }) {
  const dialogs = useDialogs();
  const client = useQueryClient();
  const key = ['superuser', 'messages'];
  const refresh = async () => {
    await client.invalidateQueries({ queryKey: key });
    await client.invalidateQueries({ queryKey: ['boot'] });
  };
  const severity = (s: string) => ({ info: t('Notice'), warning: t('Warning'), error: t('Important') })[s] ?? s;
  return (
    <ListSection
      title={t('Messages')}
      text={t('What everybody sees above every page.')}
      tools={
        may && (
          <Button
            variant="secondary"
            onClick={() =>
              dialogs.form({
                title: t('Tell everybody'),
                fields: [
                  { name: 'content', label: t('Message'), kind: 'area', help: t('Markdown'), check: (v) => (new TextEncoder().encode(v).length <= 4096 ? undefined : t('At most 4096 bytes')) },
                  { name: 'severity', label: t('Kind'), kind: 'select', options: ['info', 'warning', 'error'].map((x) => ({ value: x, label: severity(x) })) },
                ],
                action: t('Tell'),
                submit: async (v) => {
                  await api.POST('/messages', { body: { message: { content: v.content ?? '', media_type: 'text/markdown', severity: v.severity as 'info' } } });
                  await refresh();
                },
              })
            }
          >
            {t('Tell everybody')}
          </Button>
        )
      }
      queryKey={key}
      get={async () => (await ok(api.GET('/messages'))).messages}
      rowKey={(m) => m.uuid}
      empty={{ title: t('There is no message') }}
      columns={[
        { key: 'severity', title: t('Kind'), narrow: true, cell: (m) => <Label isCompact color={m.severity === 'error' ? 'red' : m.severity === 'warning' ? 'orange' : 'blue'}>{severity(m.severity)}</Label> },
        { key: 'content', title: t('Message'), cell: (m) => (m.media_type === 'text/markdown' ? <LazyMarkdown text={m.content} /> : m.content) },
        may && { key: 'delete', title: '', narrow: true, cell: (m) => <Menu label={t('Actions')} items={[{ label: t('Take it back'), danger: true, onClick: () => dialogs.confirm({ title: t('Take the message back?'), text: m.content.slice(0, 200), action: t('Take it back'), submit: () => api.DELETE('/message/{uuid}', { params: { path: { uuid: m.uuid } } }).then(refresh) }) }]} /> },
      ]}
    />
  );
}

function Storage({ may }: { may: boolean }) {
  const dialogs = useDialogs();
  const client = useQueryClient();
  const size = useQuery({ queryKey: ['superuser', 'size'], queryFn: () => ok(api.GET('/superuser/registrysize')), refetchInterval: (q) => (q.state.data?.queued || q.state.data?.running ? 2_000 : false) });
  const count = () =>
    void api.POST('/superuser/registrysize').then(
      () => client.invalidateQueries({ queryKey: ['superuser', 'size'] }),
      (err: unknown) => dialogs.toast(t('That did not work'), { variant: 'danger', text: err instanceof Error ? err.message : '' }),
    );
  const copies = (l: Location) => dialogs.show({ title: l.name, wide: true, body: <Copies name={l.name} /> });
  const breaker = (l: Location) => (l.reads === 'closed' && l.writes === 'closed' ? <Label isCompact color="green">{t('Healthy')}</Label> : l.reads === 'open' || l.writes === 'open' ? <Label isCompact color="red">{t('Failing')}</Label> : <Label isCompact color="orange">{t('Being tried again')}</Label>);
  return (
    <>
      <Section title={t('Size of the registry')} tools={may && <Button variant="secondary" onClick={count} isLoading={size.data?.running || size.data?.queued}>{t('Count again')}</Button>}>
        <Load query={size} rows={1}>
          {(s) => (
            <p>
              <strong>{bytes(s.size_bytes)}</strong> <span className="g-quiet">{s.last_ran ? <>{t('counted')} <Time value={s.last_ran / 1000} /></> : t('Not counted yet')}</span>
            </p>
          )}
        </Load>
      </Section>
      <ListSection
        title={t('Storage locations')}
        text={t('Where blobs are kept, as the instance that answers sees them.')}
        queryKey={['superuser', 'locations']}
        get={async () => (await ok(api.GET('/superuser/storage'))).locations}
        rowKey={(l) => l.name}
        empty={{ title: t('There are no locations') }}
        columns={[
          { key: 'name', title: t('Name'), cell: (l) => <span className="g-row">{l.name}{l.default && <Label isCompact>{t('Default')}</Label>}{l.state !== 'active' && <Label isCompact color="orange">{l.state === 'draining' ? t('Draining') : t('Removed')}</Label>}</span> },
          { key: 'health', title: t('Health'), narrow: true, cell: breaker },
          { key: 'latency', title: t('Latency'), narrow: true, right: true, wide: true, cell: (l) => `${Math.round(l.latency_ms)} ms` },
          { key: 'lag', title: t('Behind'), narrow: true, right: true, cell: (l) => (l.lag_blobs === 0 ? <span className="g-quiet">{t('Nothing')}</span> : t('{n} blob, {size}, {time}|{n} blobs, {size}, {time}', { n: l.lag_blobs, size: bytes(l.lag_bytes), time: duration(Math.round(l.lag_oldest_seconds)) })) },
          { key: 'error', title: t('Last error'), wide: true, cell: (l) => l.last_error && <span className="g-quiet">{l.last_error} <Time value={l.last_failure} /></span> },
          { key: 'copies', title: '', narrow: true, cell: (l) => l.lag_blobs > 0 && <Button variant="link" size="sm" onClick={() => copies(l)}>{t('What waits')}</Button> },
        ]}
      />
    </>
  );
}

function Copies({ name }: { name: string }) {
  return (
    <ListSection
      title={t('What waits')}
      queryKey={['superuser', 'copies', name]}
      get={async () => (await ok(api.GET('/superuser/storage/locations/{name}', { params: { path: { name } } }))).copies}
      rowKey={(c) => c.digest}
      empty={{ title: t('Nothing waits') }}
      columns={[
        { key: 'digest', title: t('Digest'), cell: (c) => <code>{c.digest.slice(0, 19)}</code> },
        { key: 'size', title: t('Size'), narrow: true, right: true, cell: (c) => bytes(c.size) },
        { key: 'since', title: t('Since'), narrow: true, cell: (c) => <Time value={c.wanted} /> },
        { key: 'next', title: t('Next try'), narrow: true, wide: true, cell: (c) => <Time value={c.next} /> },
        { key: 'error', title: t('Last error'), wide: true, cell: (c) => <span className="g-quiet">{c.error}</span> },
      ]}
    />
  );
}

function Keys({ may }: { may: boolean }) {
  const dialogs = useDialogs();
  const key = ['superuser', 'keys'];
  const refresh = useRefresh(key);
  const at = (s: string) => (s ? Math.floor(new Date(s).getTime() / 1000) : null);
  const create = () =>
    dialogs.form({
      title: t('Create a service key'),
      fields: [
        { name: 'service', label: t('Service'), initial: 'quay', check: (v) => (/^[a-z0-9][a-z0-9_-]{0,63}$/.test(v) ? undefined : t('Small letters, digits, dashes and underscores')) },
        { name: 'name', label: t('Name'), optional: true },
        { name: 'expires', label: t('Expires'), kind: 'datetime-local', optional: true },
      ],
      action: t('Create'),
      submit: async (v) => {
        const made = await call<{ kid: string; private_key?: string }>('POST', 'superuser/keys', { service: v.service, name: v.name ?? '', expiration: at(v.expires ?? '') });
        await refresh();
        setTimeout(() => dialogs.show({ title: made.kid, wide: true, body: <><Alert isInline variant="warning" title={t('Copy it now: it is not shown again.')} /><pre className="g-code" tabIndex={0} aria-label={t('Private key')}>{made.private_key}</pre></> }), 0);
      },
    });
  return (
    <ListSection
      title={t('Service keys')}
      text={t('Keys of services whose tokens the registry believes.')}
      tools={may && <Button variant="secondary" onClick={create}>{t('Create a service key')}</Button>}
      queryKey={key}
      get={async () => (await call<{ keys: Key[] }>('GET', 'superuser/keys')).keys}
      rowKey={(k) => k.kid}
      empty={{ title: t('There are no service keys') }}
      columns={[
        { key: 'name', title: t('Name'), cell: (k) => <span title={k.kid}>{k.name || k.kid.slice(0, 12)}</span> },
        { key: 'service', title: t('Service'), narrow: true, cell: (k) => k.service },
        { key: 'created', title: t('Created'), narrow: true, wide: true, cell: (k) => <Time value={k.created_date} /> },
        { key: 'expires', title: t('Expires'), narrow: true, cell: (k) => <Time value={k.expiration_date} never={t('Never')} /> },
        { key: 'approval', title: t('Approved'), narrow: true, cell: (k) => (k.approval ? <Time value={k.approval.approved_date} /> : <Label isCompact color="orange">{t('Waits for approval')}</Label>) },
        may && {
          key: 'menu',
          title: '',
          narrow: true,
          cell: (k) => (
            <Menu
              label={t('Actions for {name}', { name: k.name || k.kid })}
              items={[
                !k.approval && { label: t('Approve'), onClick: () => dialogs.confirm({ title: t('Approve {name}?', { name: k.name || k.kid }), text: t('The registry believes tokens that are signed with it then. Compare its id: {kid}', { kid: k.kid }), action: t('Approve'), submit: () => call('POST', `superuser/approvedkeys/${enc(k.kid)}`, { notes: '' }).then(refresh) }) },
                { label: t('Rename'), onClick: () => dialogs.form({ title: t('Rename {name}', { name: k.name || k.kid }), fields: [{ name: 'name', label: t('Name'), initial: k.name }], action: t('Save'), submit: (v) => call('PUT', `superuser/keys/${enc(k.kid)}`, { name: v.name }).then(refresh) }) },
                { label: t('Delete'), danger: true, onClick: () => dialogs.confirm({ title: t('Delete {name}?', { name: k.name || k.kid }), text: t('Tokens that are signed with it are refused from then on.'), action: t('Delete'), typed: k.name || k.kid.slice(0, 12), submit: () => call('DELETE', `superuser/keys/${enc(k.kid)}`).then(refresh) }) },
              ]}
            />
          ),
        },
      ]}
    />
  );
}

function Config() {
  const query = useQuery({ queryKey: ['superuser', 'config'], queryFn: () => ok(api.GET('/superuser/config')) });
  return (
    <Section title={t('Configuration')} text={t('What is in effect; secrets are masked.')}>
      <Load query={query} rows={8}>
        {(c) => (
          <pre className="g-code" tabIndex={0} aria-label={t('Configuration')}>
            {JSON.stringify(c.config, null, 2)}
          </pre>
        )}
      </Load>
    </Section>
  );
}
