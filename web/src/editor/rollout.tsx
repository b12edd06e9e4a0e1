import { Alert, AlertActionCloseButton, Spinner } from '@patternfly/react-core';
import { t } from '../i18n';
import { Time } from '../ui/bits';
import type { Rollout } from './types';

/** RolloutNotice is how far the operator is with a new configuration. */
export function RolloutNotice({ rollout: r, close }: { rollout: Rollout; close: () => void }) {
  const rolling = r.state === 'rolling';
  const title = { rolling: t('The registry takes the new configuration'), done: t('The registry runs with the new configuration'), failed: t('The new configuration does not roll out'), unknown: t('It is not known how far the registry is') }[r.state];
  return (
    <Alert isInline variant={({ rolling: 'info', done: 'success', failed: 'danger', unknown: 'warning' } as const)[r.state]} title={title} customIcon={rolling ? <Spinner size="md" aria-label={t('It goes on')} /> : undefined} component="h2" actionClose={rolling ? undefined : <AlertActionCloseButton onClose={close} aria-label={t('Close')} />}>
      <p role="status" lang="en">{r.message}</p>
      {(r.conditions.length > 0 || r.events.length > 0) && (
        <details open={r.state === 'failed'}>
          <summary>{t('Conditions and events')}</summary>
          {r.conditions.length > 0 && (
            <ul className="g-plain" aria-label={t('Conditions')}>
              {r.conditions.map((c) => (
                <li key={c.type}>
                  <strong>{c.type}: {c.status}</strong> {c.reason} <span className="g-quiet"><span lang="en">{c.message}</span> · <Time value={c.at} /></span>
                </li>
              ))}
            </ul>
          )}
          {r.events.length > 0 && (
            <ul className="g-plain" aria-label={t('Events')}>
              {r.events.map((v, i) => (
                <li key={i} className={v.type === 'Warning' ? 'e-warned' : undefined}>
                  <Time value={v.at} /> <strong>{v.reason}</strong> <span lang="en">{v.message}</span>
                </li>
              ))}
            </ul>
          )}
        </details>
      )}
    </Alert>
  );
}
