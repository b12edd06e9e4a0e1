import { Button, Label, Title } from '@patternfly/react-core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useParams, useSearch } from '@tanstack/react-router';
import { api, call, enc, ok, type Schemas } from '../api/client';
import { t } from '../i18n';
import { CopyButton, Face, Load, RoleLabel, Time } from '../ui/bits';
import { useDialogs, type Field } from '../ui/dialogs';
import { parseEntity } from '../ui/entity';
import { duration, parseDuration } from '../ui/format';
import { Crumbs, Section, TabBar } from '../ui/frame';
import { later } from '../ui/later';
import { Link, useGo, useTitle, withSearch } from '../ui/link';
import { ListSection, useRefresh } from '../ui/list';
import { Logs } from '../ui/logs';
import { Menu } from '../ui/menu';
import { Notifications } from '../ui/notifications';
import { ImmutabilityPolicies, PrunePolicies } from '../ui/policies';
import { QuotaView } from '../ui/quota';
import { Robots } from '../ui/robots';
import { useBoot, useRefreshUser, useUser } from '../ui/session';
import { DataTable } from '../ui/table';
import { Usage } from '../ui/usage';
import { orderOf, RepositoryList } from './repositories';
import { roles } from './repo-settings';

type Org = Schemas['Organization'];
type Team = Schemas['Team'];
type Member = Schemas['Member'];
type Application = Schemas['Application'];

const OrganizationMirror = later(() => import('../ui/mirror').then((m) => m.OrganizationMirror));
const ProxyCache = later(() => import('../ui/proxycache').then((m) => m.ProxyCache));

const orgPath = (name: string) => `/organization/${encodeURIComponent(name)}`;

/** useOrganization is an organization as the user may see it. */
export const useOrganization = (org: string) => useQuery({ queryKey: ['organization', org], queryFn: () => ok(api.GET('/organization/{org}', { params: { path: { org } } })) });

export function Organization() {
  const { org = '' } = useParams({ strict: false }) as { org?: string; team?: string };
  const { tab = 'repositories', q = '', sort } = useSearch({ strict: false });
  const user = useUser()!;
  const go = useGo();
  const boot = useBoot();
  const query = useOrganization(org);
  useTitle(org);
  const base = orgPath(org);
  const place = `organization/${enc(org)}`;
  const mine = user.organizations.find((o) => o.name === org);
  return (
    <Load query={query}>
      {(o) => (
        <>
          <Crumbs items={[{ href: '/organization', text: t('Organizations') }]} />
          <div className="g-head">
            <Face name={o.name} color={o.avatar.color} square />
            <Title headingLevel="h1">{o.name}</Title>
          </div>
          {tab !== 'quota' && <Usage report={o.quota_report} />}
          <TabBar
            at={tab}
            base={base}
            first="repositories"
            tabs={[
              { key: 'repositories', title: t('Repositories') },
              o.is_member && { key: 'teams', title: t('Teams') },
              o.is_admin && { key: 'members', title: t('Members') },
              (o.is_admin || o.is_member) && { key: 'robots', title: t('Robots') },
              o.is_admin && { key: 'defaults', title: t('Default permissions') },
              o.is_admin && { key: 'applications', title: t('Applications') },
              o.is_admin && boot.features.QUOTA_MANAGEMENT && { key: 'quota', title: t('Storage') },
              o.is_admin && boot.features.ORG_MIRROR && { key: 'mirror', title: t('Mirror') },
              o.is_member && boot.features.PROXY_CACHE && { key: 'proxy', title: t('Proxy cache') },
              o.is_admin && { key: 'logs', title: t('Usage logs') },
              o.is_admin && { key: 'settings', title: t('Settings') },
            ]}
          />
          {tab === 'teams' ? (
            <Teams o={o} />
          ) : tab === 'members' ? (
            <Members org={org} />
          ) : tab === 'robots' ? (
            <Robots place={place} namespace={org} may={o.is_admin} />
          ) : tab === 'defaults' ? (
            <Defaults org={org} />
          ) : tab === 'applications' ? (
            <Applications org={org} />
          ) : tab === 'quota' ? (
            <QuotaView namespace={org} report={o.quota_report} quotas={o.quotas} edit={user.super_user ? `superuser/organization/${enc(org)}/quota` : ''} limits={`${place}/quota`} changed={() => void query.refetch()} />
          ) : tab === 'mirror' ? (
            <OrganizationMirror org={org} />
          ) : tab === 'proxy' ? (
            <ProxyCache org={org} may={o.is_admin} />
          ) : tab === 'logs' ? (
            <Logs place={place} base={base} />
          ) : tab === 'settings' ? (
            <Settings o={o} />
          ) : (
            <RepositoryList ns={org} q={q} sort={orderOf(sort)} onQuery={(x) => go(withSearch(base, { q: x, sort }), true)} onSort={(x) => go(withSearch(base, { sort: x, q }))} canCreate={mine?.can_create_repo} />
          )}
        </>
      )}
    </Load>
  );
}

const teamRoles = () => [
  { value: 'member', label: t('Member: the roles that it is given') },
  { value: 'creator', label: t('Creator: may make repositories, too') },
  { value: 'admin', label: t('Admin: administers the organization') },
];

function Teams({ o }: { o: Org }) {
  const dialogs = useDialogs();
  const refresh = useRefresh(['organization', o.name]);
  const teams = (o.ordered_teams ?? []).map((n) => o.teams?.[n]).filter((x): x is Team => !!x);
  const save = (name: string, role: string, description: string) =>
    api.PUT('/organization/{org}/team/{team}', { params: { path: { org: o.name, team: name } }, body: { role: role as Team['role'], description } }).then(refresh);
  const edit = (team?: Team) =>
    dialogs.form({
      title: team ? t('Change the team {name}', { name: team.name }) : t('Create a team'),
      fields: [
        ...(team ? [] : [{ name: 'name', label: t('Name'), check: (v: string) => (/^[a-z][a-z0-9]+$/.test(v) ? undefined : t('Two or more small letters and digits, a letter first')) }]),
        { name: 'role', label: t('Role in the organization'), kind: 'select', initial: team?.role ?? 'member', options: teamRoles() },
        { name: 'description', label: t('Description'), kind: 'area', optional: true, initial: team?.description ?? '' },
      ],
      action: t('Save'),
      submit: (v) => save(team?.name ?? v.name ?? '', v.role ?? 'member', v.description ?? ''),
    });
  return (
    <Section title={t('Teams')} text={t('A team is given roles in repositories; its members have them all.')} tools={o.is_admin && <Button variant="secondary" onClick={() => edit()}>{t('Create a team')}</Button>}>
      <DataTable
        label={t('Teams')}
        rows={teams}
        rowKey={(x) => x.name}
        empty={{ title: t('There are no teams') }}
        columns={[
          {
            key: 'name',
            title: t('Name'),
            cell: (x) => (
              <span className="g-row">
                <Face name={x.name} color={x.avatar.color} square />
                {x.can_view ? <Link href={`${orgPath(o.name)}/teams/${encodeURIComponent(x.name)}`}>{x.name}</Link> : x.name}
                {x.is_synced && <Label isCompact color="teal">{t('Follows a group')}</Label>}
              </span>
            ),
          },
          { key: 'description', title: t('Description'), wide: true, cell: (x) => <span className="g-quiet">{x.description}</span> },
          { key: 'role', title: t('Role'), narrow: true, cell: (x) => <RoleLabel role={x.role} /> },
          { key: 'members', title: t('Members'), narrow: true, right: true, cell: (x) => x.member_count },
          { key: 'repos', title: t('Repositories'), narrow: true, right: true, wide: true, cell: (x) => x.repo_count },
          ...(o.is_admin
            ? [
                {
                  key: 'menu',
                  title: '',
                  narrow: true,
                  cell: (x: Team) => (
                    <Menu
                      label={t('Actions for {name}', { name: x.name })}
                      items={[
                        { label: t('Edit'), onClick: () => edit(x) },
                        {
                          label: t('Delete'),
                          danger: true,
                          onClick: () =>
                            dialogs.confirm({
                              title: t('Delete the team {name}?', { name: x.name }),
                              text: t('Its members lose the roles that they have by it.'),
                              action: t('Delete'),
                              typed: x.name,
                              submit: () => api.DELETE('/organization/{org}/team/{team}', { params: { path: { org: o.name, team: x.name } } }).then(refresh),
                            }),
                        },
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

function Members({ org }: { org: string }) {
  const dialogs = useDialogs();
  const key = ['organization', org, 'members'];
  const refresh = useRefresh(key);
  const remove = (name: string) =>
    dialogs.confirm({
      title: t('Remove {name} from the organization?', { name }),
      text: t('{name} leaves all teams and loses all roles in its repositories.', { name }),
      action: t('Remove'),
      typed: name,
      submit: () => api.DELETE('/organization/{org}/members/{name}', { params: { path: { org, name } } }).then(refresh),
    });
  return (
    <>
      <ListSection
        title={t('Members')}
        text={t('Who is in a team. Members are added to a team.')}
        queryKey={[...key, 'in']}
        get={async () => (await call<{ members: Member[] }>('GET', `organization/${enc(org)}/members`)).members}
        rowKey={(m) => m.name}
        empty={{ title: t('Nobody is in a team') }}
        columns={[
          { key: 'name', title: t('Name'), cell: (m) => <span className="g-row"><Face name={m.name} color={m.avatar.color} /> {m.name}</span> },
          { key: 'teams', title: t('Teams'), cell: (m) => m.teams.map((x) => x.name).join(', ') },
          { key: 'repos', title: t('Roles of their own in'), wide: true, cell: (m) => <span className="g-quiet">{m.repositories.slice(0, 5).join(', ')}</span> },
          { key: 'menu', title: '', narrow: true, cell: (m) => <Menu label={t('Actions for {name}', { name: m.name })} items={[{ label: t('Remove'), danger: true, onClick: () => remove(m.name) }]} /> },
        ]}
      />
      <ListSection
        title={t('Collaborators')}
        text={t('Who has roles in repositories and is in no team.')}
        queryKey={[...key, 'out']}
        get={async () => (await call<{ collaborators: Schemas['Collaborator'][] }>('GET', `organization/${enc(org)}/collaborators`)).collaborators}
        rowKey={(m) => m.name}
        empty={{ title: t('There are no collaborators') }}
        columns={[
          { key: 'name', title: t('Name'), cell: (m) => <span className="g-row"><Face name={m.name} color={m.avatar.color} /> {m.name}</span> },
          { key: 'repos', title: t('Repositories'), cell: (m) => m.repositories.join(', ') },
          { key: 'menu', title: '', narrow: true, cell: (m) => <Menu label={t('Actions for {name}', { name: m.name })} items={[{ label: t('Remove'), danger: true, onClick: () => remove(m.name) }]} /> },
        ]}
      />
    </>
  );
}

function Defaults({ org }: { org: string }) {
  const dialogs = useDialogs();
  const key = ['organization', org, 'prototypes'];
  const refresh = useRefresh(key);
  const add = () =>
    dialogs.form({
      title: t('Add a default permission'),
      fields: [
        { name: 'to', label: t('Whom'), kind: 'entity', namespace: org, teams: true },
        { name: 'role', label: t('Role'), kind: 'select', options: roles() },
        { name: 'by', label: t('Only in repositories made by'), kind: 'entity', namespace: org, optional: true, help: t('Empty: made by anybody') },
      ],
      action: t('Add'),
      submit: async (v) => {
        const to = parseEntity(v.to ?? '');
        await api.POST('/organization/{org}/prototypes', {
          params: { path: { org } },
          body: { role: v.role as Schemas['Role'], delegate: { name: to.name, kind: to.kind }, activating_user: v.by ? { name: parseEntity(v.by).name } : null },
        });
        await refresh();
      },
    });
  return (
    <ListSection
      title={t('Default permissions')}
      text={t('Roles that new repositories of the organization give by themselves.')}
      tools={<Button variant="secondary" onClick={add}>{t('Add a default permission')}</Button>}
      queryKey={key}
      get={async () => (await ok(api.GET('/organization/{org}/prototypes', { params: { path: { org } } }))).prototypes}
      rowKey={(p) => p.id}
      empty={{ title: t('New repositories give no roles'), text: t('Only who makes one, and administrators, may use it then.') }}
      columns={[
        { key: 'to', title: t('Whom'), cell: (p) => <span className="g-row"><Face name={p.delegate.name} color={p.delegate.avatar.color} square={p.delegate.kind === 'team'} /> {p.delegate.name}</span> },
        { key: 'role', title: t('Role'), narrow: true, cell: (p) => <RoleLabel role={p.role} /> },
        { key: 'by', title: t('Made by'), cell: (p) => p.activating_user?.name ?? t('Anybody') },
        {
          key: 'menu',
          title: '',
          narrow: true,
          cell: (p) => (
            <Menu
              label={t('Actions for {name}', { name: p.delegate.name })}
              items={[
                ...roles()
                  .filter((x) => x.value !== p.role)
                  .map((x) => ({ label: x.label, onClick: () => void api.PUT('/organization/{org}/prototypes/{id}', { params: { path: { org, id: p.id } }, body: { role: x.value } }).then(refresh) })),
                { label: t('Delete'), danger: true, onClick: () => dialogs.confirm({ title: t('Delete the default permission?'), text: t('Repositories that are there keep their roles.'), action: t('Delete'), submit: () => api.DELETE('/organization/{org}/prototypes/{id}', { params: { path: { org, id: p.id } } }).then(refresh) }) },
              ]}
            />
          ),
        },
      ]}
    />
  );
}

function Applications({ org }: { org: string }) {
  const dialogs = useDialogs();
  const boot = useBoot();
  const key = ['organization', org, 'applications'];
  const refresh = useRefresh(key);
  const path = `organization/${enc(org)}/applications`;
  const address = (v: string) => (/^https?:\/\//.test(v) ? undefined : t('An address that begins with https://'));
  const fields = (a?: Application): Field[] => [
    { name: 'name', label: t('Name'), initial: a?.name ?? '' },
    { name: 'description', label: t('Description'), optional: true, initial: a?.description ?? '' },
    { name: 'application_uri', label: t('Home page'), optional: true, check: address, initial: a?.application_uri ?? '' },
    { name: 'redirect_uri', label: t('Redirect address'), optional: true, check: address, initial: a?.redirect_uri ?? '', help: t('Where users come back to after they have agreed') },
  ];
  const scopes = Object.values(boot.oauth_scopes);
  const token = (a: Application) =>
    dialogs.form({
      title: t('Make a token for {name}', { name: a.name }),
      text: t('It acts as you, within these scopes.'),
      fields: [{ name: 'title', label: t('Name') }, ...scopes.map((x): Field => ({ name: x.scope, label: x.title, kind: 'check', help: x.description }))],
      action: t('Make the token'),
      submit: async (v) => {
        const scope = scopes.filter((x) => v[x.scope] === 'true').map((x) => x.scope).join(' ');
        if (!scope) throw new Error(t('Choose at least one scope'));
        const made = await call<{ token: string }>('POST', `${path}/${enc(a.client_id)}/tokens`, { name: v.title, scope });
        setTimeout(() => dialogs.show({ title: v.title ?? '', body: <Once text={made.token} /> }), 0);
      },
    });
  const show = (a: Application) =>
    dialogs.show({
      title: a.name,
      wide: true,
      body: (
        <>
          <dl className="g-facts">
            <dt>{t('Client id')}</dt>
            <dd>
              <code>{a.client_id}</code> <CopyButton text={a.client_id} />
            </dd>
            <dt>{t('Client secret')}</dt>
            <dd>
              <code>{a.client_secret}</code> <CopyButton text={a.client_secret ?? ''} />
            </dd>
          </dl>
          <Tokens path={`${path}/${enc(a.client_id)}/tokens`} />
        </>
      ),
    });
  return (
    <ListSection
      title={t('Applications')}
      text={t('Programs that call the API for users, by OAuth, and their tokens.')}
      tools={
        <Button
          variant="secondary"
          onClick={() =>
            dialogs.form({
              title: t('Create an application'),
              fields: fields(),
              action: t('Create'),
              submit: async (v) => {
                const a = await call<Application>('POST', path, v);
                await refresh();
                setTimeout(() => show(a), 0);
              },
            })
          }
        >
          {t('Create an application')}
        </Button>
      }
      queryKey={key}
      get={async () => (await call<{ applications: Application[] }>('GET', path)).applications}
      rowKey={(a) => a.client_id}
      empty={{ title: t('There are no applications'), text: t('A token of an application lets scripts and Terraform call the API.') }}
      columns={[
        { key: 'name', title: t('Name'), cell: (a) => a.name },
        { key: 'description', title: t('Description'), wide: true, cell: (a) => <span className="g-quiet">{a.description}</span> },
        { key: 'uri', title: t('Home page'), wide: true, cell: (a) => a.application_uri },
        {
          key: 'menu',
          title: '',
          narrow: true,
          cell: (a) => (
            <Menu
              label={t('Actions for {name}', { name: a.name })}
              items={[
                { label: t('Show its id, secret and tokens'), onClick: () => show(a) },
                { label: t('Make a token'), onClick: () => token(a) },
                { label: t('Edit'), onClick: () => dialogs.form({ title: a.name, fields: fields(a), action: t('Save'), submit: (v) => call('PUT', `${path}/${enc(a.client_id)}`, v).then(refresh) }) },
                { label: t('Replace the secret'), onClick: () => dialogs.confirm({ title: t('Replace the secret of {name}?', { name: a.name }), text: t('The old one ends at once.'), action: t('Replace'), submit: async () => { const n = await call<Application>('POST', `${path}/${enc(a.client_id)}/resetclientsecret`); await refresh(); setTimeout(() => show(n), 0); } }) },
                { label: t('Delete'), danger: true, onClick: () => dialogs.confirm({ title: t('Delete {name}?', { name: a.name }), text: t('All of its tokens end at once.'), action: t('Delete'), typed: a.name, submit: () => call('DELETE', `${path}/${enc(a.client_id)}`).then(refresh) }) },
              ]}
            />
          ),
        },
      ]}
    />
  );
}

/** Once is a secret that is shown this one time. */
export function Once({ text }: { text: string }) {
  return (
    <>
      <p>{t('Copy it now: it is not shown again.')}</p>
      <p>
        <code>{text}</code> <CopyButton text={text} />
      </p>
    </>
  );
}

function Tokens({ path }: { path: string }) {
  const key = ['tokens', path];
  const refresh = useRefresh(key);
  return (
    <ListSection
      title={t('Tokens')}
      queryKey={key}
      get={async () => (await call<{ tokens: Schemas['ApplicationToken'][] }>('GET', path)).tokens}
      rowKey={(x) => x.uuid}
      empty={{ title: t('There are no tokens') }}
      columns={[
        { key: 'name', title: t('Name'), cell: (x) => x.name },
        { key: 'scope', title: t('Scopes'), wide: true, cell: (x) => x.scope },
        { key: 'by', title: t('Acts as'), narrow: true, cell: (x) => x.created_by },
        { key: 'used', title: t('Last used'), narrow: true, wide: true, cell: (x) => <Time value={x.last_accessed} never={t('Never')} /> },
        { key: 'expires', title: t('Expires'), narrow: true, wide: true, cell: (x) => <Time value={x.expires_at} /> },
        { key: 'end', title: '', narrow: true, cell: (x) => <Button variant="link" isDanger size="sm" onClick={() => void call('DELETE', `${path}/${x.uuid}`).then(refresh)}>{t('End it')}</Button> },
      ]}
    />
  );
}

/** Retention lets a namespace choose how far its time machine reaches. */
export function Retention({ seconds, save }: { seconds: number; save: (s: number) => Promise<unknown> }) {
  const boot = useBoot();
  const dialogs = useDialogs();
  if (!boot.features.CHANGE_TAG_EXPIRATION) return null;
  const options = (boot.config.TAG_EXPIRATION_OPTIONS ?? []).map(parseDuration).filter((x) => x !== undefined);
  return (
    <Section
      title={t('Time machine')}
      text={t('What was deleted or moved can be restored for {time}.', { time: duration(seconds) })}
      tools={
        <Button
          variant="secondary"
          onClick={() =>
            dialogs.form({
              title: t('How far does the time machine reach?'),
              fields: [{ name: 's', label: t('Deleted tags stay for'), kind: 'select', initial: String(seconds), options: options.map((s) => ({ value: String(s), label: duration(s) })) }],
              action: t('Save'),
              submit: (v) => save(Number(v.s)),
            })
          }
        >
          {t('Change')}
        </Button>
      }
    />
  );
}

function Settings({ o }: { o: Org }) {
  const dialogs = useDialogs();
  const go = useGo();
  const client = useQueryClient();
  const user = useRefreshUser();
  const refresh = useRefresh(['organization', o.name]);
  const place = `organization/${enc(o.name)}`;
  const put = (body: object) => call('PUT', place, body).then(refresh);
  return (
    <>
      <Section
        title={t('Contact')}
        tools={
          <Button variant="secondary" onClick={() => dialogs.form({ title: t('Contact'), fields: [{ name: 'email', label: t('E-mail address'), kind: 'email', initial: o.email, optional: true }], action: t('Save'), submit: (v) => put({ email: v.email ?? '' }) })}>
            {t('Change')}
          </Button>
        }
      >
        <p>{o.email || <span className="g-quiet">{t('None')}</span>}</p>
      </Section>
      <Retention seconds={o.tag_expiration_s ?? 0} save={(s) => put({ tag_expiration_s: s })} />
      <PrunePolicies place={place} may />
      <ImmutabilityPolicies place={place} may />
      <Notifications path={`${place}/notifications`} events={['quota_warning', 'quota_error']} namespace={o.name} may />
      <Section title={t('Delete')} text={t('The organization goes with its repositories, images, teams and robots, and cannot be restored.')}>
        <Button
          variant="danger"
          onClick={() =>
            dialogs.confirm({
              title: t('Delete {name}?', { name: o.name }),
              text: t('The organization goes with its repositories, images, teams and robots, and cannot be restored.'),
              action: t('Delete'),
              typed: o.name,
              submit: async () => {
                await call('DELETE', place);
                await user();
                await client.invalidateQueries({ queryKey: ['repositories'] });
                go('/organization', true);
              },
            })
          }
        >
          {t('Delete the organization')}
        </Button>
      </Section>
    </>
  );
}
