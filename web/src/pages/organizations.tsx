import { Button, Label, Title } from '@patternfly/react-core';
import { useQueryClient } from '@tanstack/react-query';
import { api } from '../api/client';
import { t } from '../i18n';
import { Face } from '../ui/bits';
import { useDialogs } from '../ui/dialogs';
import { Link, useGo, useTitle } from '../ui/link';
import { useRefreshUser, useUser } from '../ui/session';
import { DataTable } from '../ui/table';

/** orgName says what is wrong with an organization's name; undefined = nothing. */
export const orgName = (v: string) => (/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/.test(v) && v.length >= 2 && v.length <= 255 ? undefined : t('Two or more small letters, digits, dots, dashes and underscores, such as ada or build-team'));

/** Organizations are those that the user belongs to. */
export function Organizations() {
  const user = useUser()!;
  const dialogs = useDialogs();
  const go = useGo();
  const refresh = useRefreshUser();
  const client = useQueryClient();
  useTitle(t('Organizations'));
  const create = () =>
    dialogs.form({
      title: t('Create an organization'),
      text: t('Its repositories are below its name. You are its first administrator.'),
      fields: [
        { name: 'name', label: t('Name'), check: orgName },
        { name: 'email', label: t('E-mail address'), kind: 'email', optional: true },
      ],
      action: t('Create'),
      submit: async ({ name = '', email }) => {
        await api.POST('/organization', { body: { name, email: email || null } });
        await refresh();
        await client.invalidateQueries({ queryKey: ['organizations'] });
        go(`/organization/${encodeURIComponent(name)}`);
      },
    });
  return (
    <>
      <div className="g-head">
        <Title headingLevel="h1">{t('Organizations')}</Title>
        <span className="g-grow" />
        <Button onClick={create}>{t('Create an organization')}</Button>
      </div>
      <DataTable
        label={t('Organizations')}
        rows={user.organizations}
        rowKey={(o) => o.name}
        empty={{ title: t('You are in no organization'), text: t('An organization has repositories that a team works on together, with roles for teams and robots.') }}
        columns={[
          {
            key: 'name',
            title: t('Name'),
            cell: (o) => (
              <span className="g-row">
                <Face name={o.name} color={o.avatar.color} square />
                <Link href={`/organization/${encodeURIComponent(o.name)}`}>{o.name}</Link>
              </span>
            ),
          },
          { key: 'role', title: t('My role'), narrow: true, cell: (o) => (o.is_org_admin ? <Label isCompact color="purple">{t('Admin')}</Label> : <Label isCompact>{t('Member')}</Label>) },
          { key: 'repos', title: '', narrow: true, cell: (o) => <Link href={`/repository?ns=${encodeURIComponent(o.name)}`} label={t('Repositories of {name}', { name: o.name })}>{t('Repositories')}</Link> },
        ]}
      />
    </>
  );
}
