import { Button, Label, Title } from '@patternfly/react-core';
import { useEffect, useState } from 'react';
import { Problem } from '../api/client';
import { t } from '../i18n';
import { Bones, Time } from '../ui/bits';
import { getHistory, rollback } from './api';
import { useEditor } from './store';
import { Trouble } from './trouble';
import type { Revision } from './types';

/** History lists what was saved before, and brings it back. */
export function History() {
  const e = useEditor();
  const [list, setList] = useState<Revision[]>();
  const [error, setError] = useState<unknown>();
  const load = () => {
    setError(undefined);
    getHistory().then(setList, setError);
  };
  useEffect(load, [e.state.revision]);
  useEffect(() => void document.getElementById('title')?.focus(), []);
  const back = (r: Revision) =>
    e.confirm({
      title: t('Roll back?'),
      text: t('The configuration becomes what it was at {time}, secrets and certificates included. That is saved as a new revision: you can come back from it. Changes that you have not saved stay with you.', { time: new Date(r.at).toLocaleString() }),
      action: t('Roll back'),
      danger: true,
      submit: async () => {
        try {
          const state = await rollback(r.revision, e.state.revision);
          await e.saved(state, { variant: 'success', title: t('Rolled back'), text: t('The configuration is that of {time} again.', { time: new Date(r.at).toLocaleString() }) }, true);
        } catch (err) {
          if (err instanceof Problem && err.status === 412) await e.reload();
          throw err;
        }
      },
    });
  return (
    <>
      <Title headingLevel="h1" size="2xl" id="title" tabIndex={-1}>{t('History')}</Title>
      <p className="g-quiet">{t('The last 20 configurations that were saved, the newest first.')}</p>
      <Trouble error={error} onAgain={load} />
      {!list && !error && <Bones rows={4} />}
      {list?.length === 0 && <p>{t('Nothing was saved here yet.')}</p>}
      {list && list.length > 0 && (
        <ul className="e-history" aria-label={t('History')}>
          {list.map((r, i) => (
            <li key={`${r.revision}-${i}`}>
              <div className="g-wrap">
                <strong><Time value={r.at} /></strong>
                <span className="g-quiet">{new Date(r.at).toLocaleString()}</span>
                {r.current && <Label isCompact color="green">{t('Current')}</Label>}
                <span className="g-grow" />
                {!r.current && e.state.writable && <Button variant="secondary" size="sm" onClick={() => back(r)} aria-label={t('Roll back to {time}', { time: new Date(r.at).toLocaleString() })}>{t('Roll back')}</Button>}
              </div>
              <div className="e-names">{r.changed.length > 0 ? r.changed.map((n) => <code key={n}>{n}</code>) : <span className="g-quiet">{t('The first one that is known')}</span>}</div>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
