import { Button, Label } from '@patternfly/react-core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { call, enc, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Load } from './bits';
import { useDialogs, type Values } from './dialogs';
import { duration, parseDuration } from './format';
import { Section } from './frame';
import { every, interval } from './interval';

type Proxy = Schemas['ProxyCache'];

// changeBody is what the API takes to change a proxy cache. Without a name and a password the stored ones stay.
function changeBody(v: Values): Record<string, unknown> {
  const nobody = v.nobody === 'true';
  return {
    upstream_registry: v.registry,
    ...(nobody || v.username || v.password ? { upstream_registry_username: (!nobody && v.username) || null, upstream_registry_password: (!nobody && v.password) || null } : {}),
    expiration_s: parseDuration((v.expires ?? '').trim()),
    insecure: v.insecure === 'true',
  };
}

/** ProxyCache lets an organization stand for another registry. */
export function ProxyCache({ org, may }: { org: string; may: boolean }) {
  const dialogs = useDialogs();
  const client = useQueryClient();
  const path = `organization/${enc(org)}/proxycache`;
  const key = ['organization', org, 'proxycache'];
  const query = useQuery({ queryKey: key, queryFn: () => call<Proxy>('GET', path) });
  const refresh = () => client.invalidateQueries({ queryKey: key });
  const body = (v: Values) => ({
    upstream_registry: v.registry,
    upstream_registry_username: v.username || null,
    upstream_registry_password: v.password || null,
    expiration_s: parseDuration((v.expires ?? '').trim()),
    insecure: v.insecure === 'true',
  });
  const make = () =>
    dialogs.form({
      title: t('Make it a proxy cache'),
      text: t('The other registry is asked first: what is wrong with its name, its certificate or the credentials is said here.'),
      fields: [
        { name: 'registry', label: t('Registry'), help: t('Such as docker.io, docker.io/library or registry.internal:5000/team') },
        { name: 'username', label: t('User name there'), optional: true, help: t('Empty: as nobody') },
        { name: 'password', label: t('Password or token there'), kind: 'password', optional: true, autoComplete: 'new-password' },
        { name: 'expires', label: t('Forgotten after'), initial: '1d', check: interval, help: t('Since the last pull: a time such as 30m, 6h or 1d') },
        { name: 'insecure', label: t('Plain http'), kind: 'check' },
      ],
      trial: { label: t('Ask the other registry'), run: async (v) => (await call('POST', `organization/${enc(org)}/validateproxycache`, body(v)), t('It answers, and takes the credentials.')) },
      action: t('Make it a proxy cache'),
      submit: async (v) => {
        await call('POST', path, body(v));
        await refresh();
      },
    });
  const change = (p: Proxy) => {
    const named = (v: Values) => v.nobody !== 'true';
    dialogs.form({
      title: t('Change the proxy cache'),
      text: t('The other registry is asked first. What is cached stays.'),
      fields: [
        { name: 'registry', label: t('Registry'), initial: p.upstream_registry },
        { name: 'nobody', label: t('As nobody: forget the name and password that are kept'), kind: 'check' },
        { name: 'username', label: t('User name there'), optional: true, shown: named, help: t('Both empty: what is kept stays, as long as the registry is the same') },
        { name: 'password', label: t('Password or token there'), kind: 'password', optional: true, autoComplete: 'new-password', shown: named },
        { name: 'expires', label: t('Forgotten after'), initial: every(Number(p.expiration_s)), check: interval, help: t('Since the last pull: a time such as 30m, 6h or 1d') },
        { name: 'insecure', label: t('Plain http'), kind: 'check', initial: String(p.insecure === true) },
      ],
      action: t('Save'),
      submit: async (v) => {
        await call('PUT', path, changeBody(v));
        await refresh();
        dialogs.toast(t('The proxy cache was changed'));
      },
    });
  };
  return (
    <Section
      title={t('Proxy cache')}
      text={t('Stands for another registry: what is pulled through it comes from there once, and from here after that.')}
      tools={
        may &&
        query.data &&
        (query.data.upstream_registry ? (
          <>
            <Button variant="secondary" onClick={() => query.data && change(query.data)}>{t('Change')}</Button>
            <Button
              variant="secondary"
              isDanger
              onClick={() => dialogs.confirm({ title: t('End the proxy cache?'), text: t('What is cached stays until its time is over; pulls of anything else fail then.'), action: t('End it'), typed: org, submit: () => call('DELETE', path).then(refresh) })}
            >
              {t('End it')}
            </Button>
          </>
        ) : (
          <Button variant="secondary" onClick={make}>{t('Make it a proxy cache')}</Button>
        ))
      }
    >
      <Load query={query} rows={2}>
        {(p) =>
          p.upstream_registry ? (
            <dl className="g-facts">
              <dt>{t('Registry')}</dt>
              <dd>
                <code>{p.upstream_registry}</code> {p.insecure === true && <Label isCompact color="orange">{t('Plain http')}</Label>}
              </dd>
              <dt>{t('Forgotten after')}</dt>
              <dd>{duration(Number(p.expiration_s))}</dd>
              <dt>{t('Pull')}</dt>
              <dd>
                <code>{t('{org}/the name there', { org: `${location.host}/${org}` })}</code>
              </dd>
            </dl>
          ) : (
            <p>{t('It is none.')}</p>
          )
        }
      </Load>
    </Section>
  );
}
