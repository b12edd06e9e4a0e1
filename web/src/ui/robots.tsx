import { Alert, Button, Tab, Tabs, TabTitleText } from '@patternfly/react-core';
import { useQuery } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { hostOf } from '../api/boot';
import { call, enc, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Command, Load, Time } from './bits';
import { useDialogs } from './dialogs';
import { later } from './later';
import { Link, repoPath } from './link';
import { ListSection, useRefresh } from './list';
import { Menu } from './menu';
import { useBoot } from './session';

type Robot = Schemas['Robot'];

const Federation = later(() => import('./federation').then((m) => m.default));

/** Secret is a token or password that is shown once, with the ways to use it. */
export function Secret({ account, secret, once }: { account: string; secret: string; once?: boolean }) {
  const host = hostOf(useBoot());
  const [at, setAt] = useState<string | number>('token');
  const insecure = location.protocol === 'http:';
  const config = JSON.stringify({ auths: { [host]: { auth: btoa(`${account}:${secret}`) } } }, null, 2);
  const ways: [string, string, string][] = [
    ['token', t('Token'), secret],
    ['podman', 'Podman', `podman login${insecure ? ' --tls-verify=false' : ''} -u='${account}' -p='${secret}' ${host}`],
    ['docker', 'Docker', `docker login -u='${account}' -p='${secret}' ${host}`],
    ['kubernetes', 'Kubernetes', `kubectl create secret docker-registry ${account.replace(/[^a-z0-9]+/g, '-')}-pull --docker-server=${host} --docker-username='${account}' --docker-password='${secret}'`],
    ['config', 'config.json', config],
  ];
  return (
    <div className="g-stack">
      {once && <Alert isInline variant="warning" title={t('Copy it now: it is not shown again.')} />}
      <Command text={account} label={t('User name')} />
      <Tabs activeKey={at} onSelect={(_, k) => setAt(k)} aria-label={t('Ways to use it')} mountOnEnter unmountOnExit>
        {ways.map(([k, title, text]) => (
          <Tab key={k} eventKey={k} title={<TabTitleText>{title}</TabTitleText>}>
            <div className="g-padded">
              <Command text={text} label={title} />
            </div>
          </Tab>
        ))}
      </Tabs>
    </div>
  );
}

/** Robots are the accounts for machines of a place: "organization/acme" or "user". */
export function Robots({ place, namespace, may }: { place: string; namespace: string; may: boolean }) {
  const dialogs = useDialogs();
  const host = hostOf(useBoot());
  const { q = '' } = useSearch({ strict: false });
  const key = ['robots', place];
  const refresh = useRefresh(key);
  const path = `${place}/robots`;
  const shortOf = (r: Robot) => r.name.split('+')[1] ?? r.name;
  const show = (r: Robot) => dialogs.show({ title: r.name, wide: true, body: <Secret account={r.name} secret={r.token ?? ''} /> });
  const add = () =>
    dialogs.form({
      title: t('Create a robot'),
      text: t('Its name becomes {name}.', { name: `${namespace}+…` }),
      fields: [
        { name: 'name', label: t('Name'), check: (v) => (/^[a-z][a-z0-9_]{1,254}$/.test(v) ? undefined : t('Two or more small letters, digits and underscores, a letter first')) },
        { name: 'description', label: t('Description'), optional: true },
      ],
      action: t('Create'),
      submit: async (v) => {
        const r = await call<Robot>('PUT', `${path}/${enc(v.name ?? '')}`, { description: v.description ?? '' });
        await refresh();
        setTimeout(() => show(r), 0);
      },
    });
  return (
    <ListSection
      title={t('Robots')}
      text={t('Accounts for CI jobs and clusters. Give them roles in repositories or teams.')}
      tools={may && <Button variant="secondary" onClick={add}>{t('Create a robot')}</Button>}
      queryKey={key}
      get={async () => (await call<{ robots: Robot[] }>('GET', `${path}?permissions=true&token=false`)).robots.filter((r) => !q || r.name.includes(q))}
      rowKey={(r) => r.name}
      empty={{ title: t('There are no robots'), text: t('A robot pulls and pushes with a token of its own, which can be replaced at any time.') }}
      columns={[
        { key: 'name', title: t('Name'), cell: (r) => r.name },
        { key: 'description', title: t('Description'), wide: true, cell: (r) => <span className="g-quiet">{r.description}</span> },
        { key: 'teams', title: t('Teams'), wide: true, cell: (r) => r.teams?.map((x) => x.name).join(', ') },
        { key: 'repositories', title: t('Repositories'), narrow: true, right: true, wide: true, cell: (r) => r.repositories?.length ?? 0 },
        { key: 'created', title: t('Created'), narrow: true, wide: true, cell: (r) => <Time value={r.created} /> },
        { key: 'used', title: t('Last used'), narrow: true, cell: (r) => <Time value={r.last_accessed} never={t('Never')} /> },
        may && {
          key: 'menu',
          title: '',
          narrow: true,
          cell: (r) => (
            <Menu
              label={t('Actions for {name}', { name: r.name })}
              items={[
                { label: t('Show the token'), onClick: () => void call<Robot>('GET', `${path}/${enc(shortOf(r))}`).then(show) },
                { label: t('Show its roles'), onClick: () => dialogs.show({ title: t('Roles of {name}', { name: r.name }), body: <RobotRoles path={`${path}/${enc(shortOf(r))}/permissions`} namespace={namespace} /> }) },
                { label: t('Sign-in without a token'), onClick: () => dialogs.show({ title: t('Sign-in of {name} without a token', { name: r.name }), wide: true, body: <Federation path={`${path}/${enc(shortOf(r))}`} robot={r.name} host={host} /> }) },
                {
                  label: t('Replace the token'),
                  onClick: () =>
                    dialogs.confirm({
                      title: t('Replace the token of {name}?', { name: r.name }),
                      text: t('The old token ends at once: what uses it fails until it has the new one.'),
                      action: t('Replace'),
                      submit: async () => {
                        const n = await call<Robot>('POST', `${path}/${enc(shortOf(r))}/regenerate`);
                        setTimeout(() => show(n), 0);
                      },
                    }),
                },
                {
                  label: t('Delete'),
                  danger: true,
                  onClick: () =>
                    dialogs.confirm({
                      title: t('Delete {name}?', { name: r.name }),
                      text: t('What uses it fails from then on.'),
                      action: t('Delete'),
                      typed: r.name,
                      submit: async () => {
                        await call('DELETE', `${path}/${enc(shortOf(r))}`);
                        await refresh();
                      },
                    }),
                },
              ]}
            />
          ),
        },
      ]}
    />
  );
}

function RobotRoles({ path, namespace }: { path: string; namespace: string }) {
  const query = useQuery({ queryKey: ['robot-roles', path], queryFn: () => call<Schemas['NamespacePermissions']>('GET', path) });
  return (
    <Load query={query}>
      {({ permissions }) =>
        permissions.length === 0 ? (
          <p>{t('It has no role yet: give it one in the settings of a repository.')}</p>
        ) : (
          <ul className="g-md">
            {permissions.map((p) => (
              <li key={p.repository.name}>
                <Link href={repoPath(`${namespace}/${p.repository.name}`)}>{p.repository.name}</Link> – {p.role}
              </li>
            ))}
          </ul>
        )
      }
    </Load>
  );
}
