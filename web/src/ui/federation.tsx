import { Button, Form } from '@patternfly/react-core';
import { useQuery } from '@tanstack/react-query';
import { call, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Command, Load } from './bits';
import { useForm, type Field } from './dialogs';
import { useRefresh } from './list';
import { ProblemAlert } from './problem';

type Identity = Schemas['RobotFederation'][number];

/** issuerFault says what is wrong with an issuer; undefined = nothing. */
export function issuerFault(v: string): string | undefined {
  const fault = t('An address that begins with https://, as the tokens have it');
  try {
    const u = new URL(v);
    return u.protocol === 'https:' && u.hostname && !u.username && !u.search && !u.hash && v === v.trim() ? undefined : fault;
  } catch {
    return fault;
  }
}

/** subjectFault says what is wrong with a subject; undefined = nothing. */
export const subjectFault = (v: string) => (new TextEncoder().encode(v).length <= 255 ? undefined : t('At most 255 bytes'));

const most = 50;

/** Federation shows who may act as a robot by a token of another service, and changes that. path is that of the robot in the API. */
export default function Federation({ path, robot, host }: { path: string; robot: string; host: string }) {
  const key = ['federation', path];
  const refresh = useRefresh(key);
  const query = useQuery({ queryKey: key, queryFn: () => call<Identity[]>('GET', `${path}/federation`) });
  const there = query.data ?? [];
  const save = async (list: Identity[]) => {
    await (list.length === 0 ? call('DELETE', `${path}/federation`) : call('POST', `${path}/federation`, list));
    await refresh();
  };
  const fields: Field[] = [
    { name: 'issuer', label: t('Issuer'), check: issuerFault, help: t('What the tokens have as iss, such as {example}', { example: 'https://token.actions.githubusercontent.com' }) },
    {
      name: 'subject',
      label: t('Subject'),
      help: t('What they have as sub, to the letter, such as {one} or {two}', { one: 'repo:acme/app:ref:refs/heads/main', two: 'system:serviceaccount:shop:ci' }),
      check: (v, all) => (there.some((x) => x.issuer === all.issuer && x.subject === v) ? t('It is in the list already') : subjectFault(v)),
    },
  ];
  const form = useForm(fields, async ({ issuer = '', subject = '' }) => {
    await save([...there, { issuer, subject }]);
    form.setValues({ issuer: '', subject: '' });
  });
  const out = useForm([], async () => undefined); // for what taking one out fails with
  return (
    <div className="g-stack">
      <p>{t('Jobs and pods with a token of one of these services sign in as the robot without a password that somebody has to keep.')}</p>
      <Load query={query} rows={2}>
        {(list) =>
          list.length === 0 ? (
            <p className="g-quiet">{t('Nobody signs in like that yet.')}</p>
          ) : (
            <ul className="g-plain" aria-label={t('Who may act as the robot')}>
              {list.map((x) => (
                <li key={`${x.issuer} ${x.subject}`} className="g-row">
                  <span className="g-grow">
                    <code>{x.subject}</code>
                    <br />
                    <span className="g-quiet">{x.issuer}</span>
                  </span>
                  <Button variant="link" isDanger aria-label={t('Take out {name}', { name: x.subject })} onClick={() => out.onTrial(async () => (await save(list.filter((y) => y !== x)), ''))}>
                    {t('Take out')}
                  </Button>
                </li>
              ))}
            </ul>
          )
        }
      </Load>
      <ProblemAlert error={out.error} />
      {there.length < most && (
        <Form onSubmit={form.onSubmit} noValidate aria-label={t('Add an identity')}>
          {form.body}
          <ProblemAlert error={form.error} />
          <div>
            <Button type="submit" variant="secondary" isLoading={form.busy} isDisabled={form.busy || query.data === undefined}>
              {t('Add an identity')}
            </Button>
          </div>
        </Form>
      )}
      {there.length > 0 && (
        <>
          <p>{t('The job exchanges its token for a password of the robot, which ends after an hour:')}</p>
          <Command text={`curl -fsS -u "${robot}:$JOB_TOKEN" ${location.protocol}//${host}/oauth2/federation/robot/token`} label={t('Exchange of the token')} />
        </>
      )}
    </div>
  );
}
