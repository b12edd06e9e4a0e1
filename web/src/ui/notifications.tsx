import { Button, Label } from '@patternfly/react-core';
import { call, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Time } from './bits';
import { useDialogs, type Field, type Values } from './dialogs';
import { parseEntity } from './entity';
import { ListSection, useRefresh } from './list';
import { Menu } from './menu';
import { useBoot } from './session';

type Notification = Schemas['Notification'];

const eventName = (e: string) => ({ repo_push: t('Push'), repo_image_expiry: t('A tag expires soon'), quota_warning: t('Quota warning'), quota_error: t('Quota exceeded') })[e] ?? e.replaceAll('_', ' ');
const methodName = (m: string) => ({ quay_notification: t('Inbox'), email: t('E-mail'), webhook: 'Webhook', slack: 'Slack', teams: 'Microsoft Teams', cloudevents: 'CloudEvents', flowdock: 'Flowdock', hipchat: 'HipChat' })[m] ?? m;

const url = (v: string) => (/^https?:\/\/[^\s]+$/.test(v) ? undefined : t('An address that begins with https://'));

/** configOf is what a method needs, from the values of the form. */
export function configOf(v: Values): Record<string, unknown> {
  switch (v.method) {
    case 'quay_notification': {
      const e = parseEntity(v.target ?? '');
      return { target: { kind: e.kind, name: e.name } };
    }
    case 'email':
      return { email: v.email };
    case 'webhook':
      return v.template ? { url: v.url, template: v.template } : { url: v.url };
  }
  return { url: v.url };
}

/** Notifications are whom a place tells of what happens in it. path is where the API has them. */
export function Notifications({ path, events, namespace, may }: { path: string; events: string[]; namespace: string; may: boolean }) {
  const dialogs = useDialogs();
  const boot = useBoot();
  const key = ['notifications', path];
  const refresh = useRefresh(key);
  const methods = ['quay_notification', ...(boot.features.MAILING ? ['email'] : []), 'webhook', 'slack', 'teams', 'cloudevents'];
  const fields: Field[] = [
    { name: 'event', label: t('When'), kind: 'select', options: events.map((e) => ({ value: e, label: eventName(e) })) },
    { name: 'days', label: t('Days before'), kind: 'number', initial: '7', shown: (v) => v.event === 'repo_image_expiry', check: (v) => (/^[1-9]\d*$/.test(v) ? undefined : t('A whole number of at least 1')) },
    { name: 'method', label: t('How'), kind: 'select', options: methods.map((m) => ({ value: m, label: methodName(m) })) },
    { name: 'target', label: t('Whom'), kind: 'entity', namespace, teams: true, shown: (v) => v.method === 'quay_notification' },
    { name: 'email', label: t('E-mail address'), kind: 'email', shown: (v) => v.method === 'email', check: (v) => (v.includes('@') ? undefined : t('An address such as ada@example.com')) },
    { name: 'url', label: t('Address'), shown: (v) => !['quay_notification', 'email'].includes(v.method ?? ''), check: url },
    { name: 'template', label: t('Template of the body'), kind: 'area', optional: true, shown: (v) => v.method === 'webhook', help: t('Empty: the event as JSON') },
    { name: 'title', label: t('Title'), optional: true },
  ];
  const act = (n: Notification, sub: string, said: string) => async () => {
    await call('POST', `${path}/${n.uuid}${sub}`);
    dialogs.toast(said);
    await refresh();
  };
  const fail = (err: unknown) => dialogs.toast(t('That did not work'), { variant: 'danger', text: err instanceof Error ? err.message : '' });
  return (
    <ListSection
      title={t('Notifications')}
      text={t('Who is told of what happens here.')}
      tools={
        may && (
          <Button
            variant="secondary"
            onClick={() =>
              dialogs.form({
                title: t('Add a notification'),
                fields,
                action: t('Add'),
                submit: async (v) => {
                  await call('POST', path, { event: v.event, method: v.method, config: configOf(v), eventConfig: v.event === 'repo_image_expiry' ? { days: Number(v.days) } : {}, title: v.title || null });
                  await refresh();
                },
              })
            }
          >
            {t('Add a notification')}
          </Button>
        )
      }
      queryKey={key}
      get={async () => (await call<{ notifications: Notification[] }>('GET', path)).notifications}
      rowKey={(n) => n.uuid}
      empty={{ title: t('Nobody is told'), text: t('A webhook can start a deployment when an image arrives.') }}
      columns={[
        { key: 'title', title: t('Title'), cell: (n) => n.title || <span className="g-quiet">{t('None')}</span> },
        { key: 'event', title: t('When'), narrow: true, cell: (n) => eventName(n.event) },
        { key: 'method', title: t('How'), narrow: true, cell: (n) => methodName(n.method) },
        {
          key: 'state',
          title: t('State'),
          narrow: true,
          cell: (n) =>
            n.disabled ? <Label isCompact color="red">{t('Disabled after failures')}</Label> : n.last_error ? <Label isCompact color="orange">{t('The last try failed')}</Label> : <span className="g-quiet">{n.last_success ? <Time value={n.last_success} /> : t('Nothing sent yet')}</span>,
        },
        { key: 'error', title: t('Last error'), wide: true, cell: (n) => <span className="g-quiet">{n.last_error}</span> },
        may && {
          key: 'menu',
          title: '',
          narrow: true,
          cell: (n) => (
            <Menu
              label={t('Actions for {name}', { name: n.title || eventName(n.event) })}
              items={[
                { label: t('Send a test'), onClick: () => void act(n, '/test', t('The test is on its way'))().catch(fail) },
                n.number_of_failures > 0 && { label: t('Enable again'), onClick: () => void act(n, '', t('It is enabled again'))().catch(fail) },
                n.failed > 0 && { label: t('Send again what failed'), onClick: () => void act(n, '/failed', t('It is sent again'))().catch(fail) },
                { label: t('Delete'), danger: true, onClick: () => dialogs.confirm({ title: t('Delete the notification?'), text: t('What waits for it is deleted, too.'), action: t('Delete'), submit: async () => (await call('DELETE', `${path}/${n.uuid}`), await refresh()) }) },
              ]}
            />
          ),
        },
      ]}
    />
  );
}
