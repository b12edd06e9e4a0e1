import { Alert, Button } from '@patternfly/react-core';
import { useState } from 'react';
import { t } from '../i18n';
import { tryOut } from './api';
import { patchNow, useEditor } from './store';
import { Trouble } from './trouble';
import { loginPattern } from './store';
import type { Section, Trial, TrialName } from './types';

// marks are fields by which the section of a test is known.
const marks: Record<TrialName, string[]> = {
  database: ['DB_URI'],
  redis: ['USER_EVENTS_REDIS', 'BUILDLOGS_REDIS'],
  storage: ['DISTRIBUTED_STORAGE_CONFIG'],
  ldap: ['LDAP_URI'],
  oidc: [loginPattern, 'GOOGLE_LOGIN_CONFIG'],
  smtp: ['MAIL_SERVER'],
  clair: ['SECURITY_SCANNER_V4_ENDPOINT'],
};

/** trialsOf are the tests that belong to a section. */
export const trialsOf = (s: Section): TrialName[] => (Object.keys(marks) as TrialName[]).filter((k) => marks[k].some((f) => s.fields.includes(f)));

const titleOf = (n: TrialName) =>
  ({ database: t('Test the database'), redis: t('Test Redis'), storage: t('Test the storage'), ldap: t('Test the directory'), oidc: t('Test the login providers'), smtp: t('Test the mail server'), clair: t('Test the scanner') })[n];

/** TrialButton tries a connection out, with what is changed and not saved. */
export function TrialButton({ name }: { name: TrialName }) {
  const e = useEditor();
  const [busy, setBusy] = useState(false);
  const [found, setFound] = useState<Trial[]>();
  const [error, setError] = useState<unknown>();
  const run = () => {
    setBusy(true);
    setError(undefined);
    tryOut(name, patchNow(e))
      .then(setFound, setError)
      .finally(() => setBusy(false));
  };
  return (
    <div className="g-stacked">
      <span>
        <Button variant="secondary" onClick={run} isLoading={busy} isDisabled={busy}>{titleOf(name)}</Button>
      </span>
      <Trouble error={error} />
      {found && <Trials list={found} />}
    </div>
  );
}

/** Trials are what came of tests. */
export function Trials({ list }: { list: Trial[] }) {
  return (
    <div className="g-stacked" role="status">
      {list.length === 0 && <Alert isInline isPlain variant="info" title={t('There is nothing to test: it is not set up.')} />}
      {list.map((r, i) => (
        <Alert key={i} isInline variant={r.skipped ? 'info' : r.ok ? 'success' : 'danger'} title={r.skipped ? t('{name}: not tested', { name: r.name }) : r.ok ? t('{name}: works', { name: r.name }) : t('{name}: does not work', { name: r.name })} component="h3">
          <div className="g-stacked">
            <span><span lang="en">{r.skipped || r.message}</span>{!r.skipped && <span className="g-quiet"> · {t('{n} ms', { n: r.latency_ms })}</span>}</span>
            {r.next && <strong lang="en">{r.next}</strong>}
            {r.chain && r.chain.length > 0 && (
              <details>
                <summary>{t('Certificates of the server')}</summary>
                <ol className="g-plain">
                  {r.chain.map((c, k) => (
                    <li key={k}>
                      {c.subject}
                      <div className="g-quiet">{t('issued by {name}, until {date}', { name: c.issuer, date: new Date(c.not_after).toLocaleDateString() })}</div>
                    </li>
                  ))}
                </ol>
              </details>
            )}
          </div>
        </Alert>
      ))}
    </div>
  );
}
