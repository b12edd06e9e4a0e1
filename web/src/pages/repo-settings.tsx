import { Button, FormSelect, FormSelectOption, Label } from '@patternfly/react-core';
import { useQueryClient } from '@tanstack/react-query';
import { api, ok, type Schemas } from '../api/client';
import { enc } from '../api/client';
import { t } from '../i18n';
import { Face } from '../ui/bits';
import { WillFree } from '../ui/freed';
import { useDialogs } from '../ui/dialogs';
import { parseEntity } from '../ui/entity';
import { Section } from '../ui/frame';
import { useGo, withSearch } from '../ui/link';
import { ListSection, useRefresh } from '../ui/list';
import { Menu } from '../ui/menu';
import { Notifications } from '../ui/notifications';
import { ImmutabilityPolicies, PrunePolicies } from '../ui/policies';
import type { Repository } from './repository';

type Role = Schemas['Role'];
type Grant = { kind: 'user' | 'team'; name: string; role: Role; robot: boolean; outsider: boolean; color: string };

/** roles are what one may have in a repository. */
export const roles = (): { value: Role; label: string }[] => [
  { value: 'read', label: t('Read: pull') },
  { value: 'write', label: t('Write: pull and push') },
  { value: 'admin', label: t('Admin: all, with these settings') },
];

async function grants(repo: string, teams: boolean): Promise<Grant[]> {
  const path = { path: { repo } };
  const [users, groups] = await Promise.all([
    ok(api.GET('/repository/{repo}/permissions/user', { params: path })),
    teams ? ok(api.GET('/repository/{repo}/permissions/team', { params: path })) : { permissions: {} as Record<string, Schemas['TeamPermission']> },
  ]);
  return [
    ...Object.values(groups.permissions).map((p) => ({ kind: 'team' as const, name: p.name, role: p.role, robot: false, outsider: false, color: p.avatar.color })),
    ...Object.values(users.permissions).map((p) => ({ kind: 'user' as const, name: p.name, role: p.role, robot: p.is_robot, outsider: p.is_org_member === false && !p.is_robot, color: p.avatar.color })),
  ];
}

function Permissions({ r }: { r: Repository }) {
  const repo = `${r.namespace}/${r.name}`;
  const dialogs = useDialogs();
  const key = ['repository', repo, 'permissions'];
  const refresh = useRefresh(key);
  const give = async (kind: 'user' | 'team', name: string, role: Role) => {
    if (kind === 'team') await api.PUT('/repository/{repo}/permissions/team/{team}', { params: { path: { repo, team: name } }, body: { role } });
    else await api.PUT('/repository/{repo}/permissions/user/{name}', { params: { path: { repo, name } }, body: { role } });
    await refresh();
  };
  const take = async (g: Grant) => {
    if (g.kind === 'team') await api.DELETE('/repository/{repo}/permissions/team/{team}', { params: { path: { repo, team: g.name } } });
    else await api.DELETE('/repository/{repo}/permissions/user/{name}', { params: { path: { repo, name: g.name } } });
    await refresh();
    dialogs.toast(t('The role of {name} was taken away', { name: g.name }), { undo: () => void give(g.kind, g.name, g.role).catch(fail) });
  };
  const fail = (err: unknown) => {
    dialogs.toast(t('That did not work'), { variant: 'danger', text: err instanceof Error ? err.message : '' });
    void refresh();
  };
  return (
    <ListSection
      title={t('Roles')}
      text={t('Who may pull, push and administer. Administrators of the namespace may do all.')}
      tools={
        <Button
          variant="secondary"
          onClick={() =>
            dialogs.form({
              title: t('Give a role'),
              fields: [
                { name: 'who', label: t('Whom'), kind: 'entity', namespace: r.namespace, teams: r.is_organization },
                { name: 'role', label: t('Role'), kind: 'select', options: roles() },
              ],
              action: t('Give the role'),
              submit: async (v) => {
                const e = parseEntity(v.who ?? '');
                await give(e.kind, e.name, v.role as Role);
              },
            })
          }
        >
          {t('Give a role')}
        </Button>
      }
      queryKey={key}
      get={() => grants(repo, r.is_organization)}
      rowKey={(g) => `${g.kind}:${g.name}`}
      empty={{ title: t('Nobody has a role of their own here'), text: t('Give one to a team, a user, or a robot of a CI job.') }}
      columns={[
        {
          key: 'name',
          title: t('Who'),
          cell: (g) => (
            <span className="g-row">
              <Face name={g.name} color={g.color} square={g.kind === 'team' || g.robot} /> {g.name}
              <Label isCompact>{g.kind === 'team' ? t('Team') : g.robot ? t('Robot') : t('User')}</Label>
              {g.outsider && <Label isCompact color="orange">{t('Not in the organization')}</Label>}
            </span>
          ),
        },
        {
          key: 'role',
          title: t('Role'),
          narrow: true,
          cell: (g) => (
            <FormSelect aria-label={t('Role of {name}', { name: g.name })} value={g.role} onChange={(_, v) => void give(g.kind, g.name, v as Role).catch(fail)}>
              {roles().map((x) => (
                <FormSelectOption key={x.value} value={x.value} label={x.label} />
              ))}
            </FormSelect>
          ),
        },
        { key: 'menu', title: '', narrow: true, cell: (g) => <Menu label={t('Actions for {name}', { name: g.name })} items={[{ label: t('Take the role away'), danger: true, onClick: () => void take(g).catch(fail) }]} /> },
      ]}
    />
  );
}

/** RepoRules are the rules by which the tags of a repository go, or stay. */
export function RepoRules({ repo }: { repo: string }) {
  const place = `repository/${enc(repo)}`;
  return (
    <>
      <PrunePolicies place={place} may />
      <ImmutabilityPolicies place={place} may />
    </>
  );
}

/** RepoSettings are what an administrator of a repository decides. */
export default function RepoSettings({ r }: { r: Repository }) {
  const repo = `${r.namespace}/${r.name}`;
  const dialogs = useDialogs();
  const client = useQueryClient();
  const go = useGo();
  const place = `repository/${enc(repo)}`;
  const refresh = async () => {
    await client.invalidateQueries({ queryKey: ['repository', repo, 'info'] });
    await client.invalidateQueries({ queryKey: ['repositories'] });
  };
  const to = r.is_public ? 'private' : 'public';
  const closed = r.state === 'READ_ONLY';
  return (
    <>
      <Permissions r={r} />
      <Section title={t('Visibility')} text={r.is_public ? t('Public: everybody may pull.') : t('Private: only who has a role may pull.')}>
        <Button
          variant="secondary"
          onClick={() =>
            dialogs.confirm({
              title: r.is_public ? t('Make {repo} private?', { repo }) : t('Make {repo} public?', { repo }),
              text: r.is_public ? t('Pulls without a role fail then.') : t('Everybody may pull its images then, without signing in.'),
              action: r.is_public ? t('Make it private') : t('Make it public'),
              typed: r.is_public ? undefined : repo,
              submit: async () => {
                await api.POST('/repository/{repo}/changevisibility', { params: { path: { repo } }, body: { visibility: to } });
                await refresh();
              },
            })
          }
        >
          {r.is_public ? t('Make it private') : t('Make it public')}
        </Button>
      </Section>
      {(r.state === 'NORMAL' || closed) && (
        <Section title={t('State')} text={closed ? t('Read-only: nobody can push or delete.') : t('Normal: who has the role may push.')}>
          <Button
            variant="secondary"
            onClick={() =>
              dialogs.confirm({
                title: closed ? t('Open {repo} for pushes?', { repo }) : t('Close {repo} for pushes?', { repo }),
                text: closed ? t('Pushes work again.') : t('Pulls go on working.'),
                action: closed ? t('Open') : t('Make it read-only'),
                submit: async () => {
                  await api.PUT('/repository/{repo}/changestate', { params: { path: { repo } }, body: { state: closed ? 'NORMAL' : 'READ_ONLY' } });
                  await refresh();
                },
              })
            }
          >
            {closed ? t('Open for pushes') : t('Make it read-only')}
          </Button>
        </Section>
      )}
      <Notifications path={`${place}/notification`} events={['repo_push', 'repo_image_expiry']} namespace={r.namespace} may />
      <Section title={t('Delete')} text={t('The repository goes with all of its tags and images, and cannot be restored.')}>
        <Button
          variant="danger"
          onClick={() =>
            dialogs.confirm({
              title: t('Delete {repo}?', { repo }),
              text: (
                <>
                  <p>{t('The repository goes with all of its tags and images, and cannot be restored.')}</p>
                  <WillFree repo={repo} />
                </>
              ),
              action: t('Delete'),
              typed: repo,
              submit: async () => {
                await api.DELETE('/repository/{repo}', { params: { path: { repo } } });
                await client.invalidateQueries({ queryKey: ['repositories'] });
                go(withSearch('/repository', { ns: r.namespace }), true);
                dialogs.toast(t('{n} repository deleted|{n} repositories deleted', { n: 1 }));
              },
            })
          }
        >
          {t('Delete the repository')}
        </Button>
      </Section>
    </>
  );
}
