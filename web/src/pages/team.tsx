import { Button, Label, Title } from '@patternfly/react-core';
import { useParams } from '@tanstack/react-router';
import { useQuery } from '@tanstack/react-query';
import { api, call, enc, ok, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Face, Load, RoleLabel, Time } from '../ui/bits';
import { useDialogs, type Field } from '../ui/dialogs';
import { parseEntity } from '../ui/entity';
import { Crumbs, Section } from '../ui/frame';
import { Link, repoPath, useTitle } from '../ui/link';
import { ListSection, useRefresh } from '../ui/list';
import { Menu } from '../ui/menu';
import { DataTable } from '../ui/table';

// groupField is the input for a group of the service that keeps the users.
function groupField(can: Schemas['SyncService']): Field {
  if (can.base_dn !== undefined) return { name: 'group_dn', label: t('Name of the group'), help: t('Its distinguished name, whole or below {base}, such as {example}', { base: can.base_dn, example: 'cn=developers,ou=groups' }) };
  if (can.issuer_url !== undefined) return { name: 'group_id', label: t('Id of the group'), help: t('That of the group in {service}', { service: can.issuer_url }) };
  return { name: 'group_name', label: t('Name of the group'), help: t('As the tokens of {service} have it', { service: can.issuer_domain ?? can.service }) };
}

/** Team shows who is in a team, and what they may do by it. */
export function Team() {
  const { org = '', team = '' } = useParams({ strict: false }) as { org?: string; team?: string };
  const dialogs = useDialogs();
  const key = ['organization', org, 'team', team];
  const refresh = useRefresh(['organization', org]);
  useTitle(`${org}/${team}`);
  const query = useQuery({ queryKey: key, queryFn: () => ok(api.GET('/organization/{org}/team/{team}/members', { params: { path: { org, team }, query: { includePending: true } } })) });
  const path = `organization/${enc(org)}/team/${enc(team)}`;
  return (
    <>
      <Crumbs
        items={[
          { href: '/organization', text: t('Organizations') },
          { href: `/organization/${encodeURIComponent(org)}`, text: org },
          { href: `/organization/${encodeURIComponent(org)}?tab=teams`, text: t('Teams') },
        ]}
      />
      <div className="g-head">
        <Title headingLevel="h1">{team}</Title>
      </div>
      <Load query={query}>
        {(d) => {
          const may = d.can_edit && !d.synced;
          const can = d.can_sync;
          return (
            <Section
              title={t('Members')}
              text={
                d.synced && (
                  <>
                    {t('The team follows a group of {service}: members are changed there.', { service: d.synced.service })}
                    {d.synced.config && (
                      <>
                        {' '}
                        <code>{Object.values(d.synced.config).join(', ')}</code> · {t('Compared last')}: <Time value={d.synced.last_updated} never={t('Not yet')} />
                      </>
                    )}
                  </>
                )
              }
              tools={
                <>
                {can && !d.synced && (
                  <Button
                    variant="secondary"
                    onClick={() =>
                      dialogs.form({
                        title: t('Have the team follow a group'),
                        text: t('The members of the group become those of the team. Users who are members now and not in the group lose what the team gives them; robots stay.'),
                        fields: [groupField(can)],
                        action: t('Follow the group'),
                        submit: async (v) => {
                          await call('POST', `${path}/syncing`, v);
                          await refresh();
                          dialogs.toast(t('The team follows the group'));
                        },
                      })
                    }
                  >
                    {t('Follow a group')}
                  </Button>
                )}
                {can && d.synced && (
                  <Button
                    variant="secondary"
                    onClick={() =>
                      dialogs.confirm({
                        title: t('Have the team follow no group any more?'),
                        text: t('Who is in the team stays, and is changed here then.'),
                        action: t('Follow no group'),
                        submit: async () => {
                          await call('DELETE', `${path}/syncing`);
                          await refresh();
                        },
                      })
                    }
                  >
                    {t('Follow no group')}
                  </Button>
                )}
                {may && (
                  <Button
                    variant="secondary"
                    onClick={() =>
                      dialogs.form({
                        title: t('Add a member'),
                        fields: [{ name: 'who', label: t('Whom'), kind: 'entity', namespace: org, help: t('Somebody outside of the organization is invited first.') }],
                        action: t('Add'),
                        submit: async (v) => {
                          const m = await call<Schemas['TeamMember']>('PUT', `${path}/members/${enc(parseEntity(v.who ?? '').name)}`);
                          await refresh();
                          if (m.invited) dialogs.toast(t('{name} was invited', { name: m.name ?? '' }));
                        },
                      })
                    }
                  >
                    {t('Add a member')}
                  </Button>
                )}
                </>
              }
            >
              <DataTable
                label={t('Members')}
                rows={d.members}
                rowKey={(m) => m.name ?? m.email ?? ''}
                empty={{ title: t('Nobody is in this team') }}
                columns={[
                  {
                    key: 'name',
                    title: t('Name'),
                    cell: (m) => (
                      <span className="g-row">
                        <Face name={m.name ?? m.email ?? '?'} color={m.avatar.color} square={m.is_robot} /> {m.name ?? m.email}
                        {m.is_robot && <Label isCompact>{t('Robot')}</Label>}
                        {m.invited && <Label isCompact color="orange">{t('Invited')}</Label>}
                      </span>
                    ),
                  },
                  {
                    key: 'menu',
                    title: '',
                    narrow: true,
                    cell: (m) =>
                      may && (
                        <Menu
                          label={t('Actions for {name}', { name: m.name ?? m.email ?? '' })}
                          items={[
                            {
                              label: t('Remove'),
                              danger: true,
                              onClick: () =>
                                void call('DELETE', m.name ? `${path}/members/${enc(m.name)}` : `${path}/invite/${enc(m.email ?? '')}`)
                                  .then(refresh)
                                  .then(() => dialogs.toast(t('{name} was removed', { name: m.name ?? m.email ?? '' }), { undo: () => void call('PUT', m.name ? `${path}/members/${enc(m.name)}` : `${path}/invite/${enc(m.email ?? '')}`).then(refresh) }))
                                  .catch((err: unknown) => dialogs.toast(t('That did not work'), { variant: 'danger', text: err instanceof Error ? err.message : '' })),
                            },
                          ]}
                        />
                      ),
                  },
                ]}
              />
            </Section>
          );
        }}
      </Load>
      <ListSection
        title={t('Roles')}
        text={t('What the team may use. Roles are given in the settings of a repository.')}
        queryKey={[...key, 'roles']}
        get={async () => (await call<Schemas['NamespacePermissions']>('GET', `${path}/permissions`)).permissions}
        rowKey={(p) => p.repository.name}
        empty={{ title: t('The team has no role yet') }}
        columns={[
          { key: 'repo', title: t('Repository'), cell: (p) => <Link href={repoPath(`${org}/${p.repository.name}`)}>{p.repository.name}</Link> },
          { key: 'role', title: t('Role'), narrow: true, cell: (p) => <RoleLabel role={p.role} /> },
        ]}
      />
    </>
  );
}
