import { Alert, Button, Checkbox, ExpandableSection, Title } from '@patternfly/react-core';
import { useEffect, useState } from 'react';
import { Problem } from '../api/client';
import { t } from '../i18n';
import { Bones } from '../ui/bits';
import { check, download, faultsOf, save } from './api';
import { dataOf, Handed, keepsData } from './component';
import { Box, Said } from './controls';
import { topOf } from './patch';
import { addressOf } from './place';
import { PodLabels } from './section';
import { certSection, dirty, isFile, patchNow, useEditor, type Editor } from './store';
import { Trials } from './trials';
import { Trouble } from './trouble';
import type { Check, Fault } from './types';
import { textOf } from './values';

/** shown is a value in a list of changes. */
const shown = (v: unknown): string => (Array.isArray(v) && v.length > 0 && v.every((x) => typeof x !== 'object') ? v.map(textOf).join(', ') : v === undefined || v === null ? t('not set') : v === '' ? t('empty') : typeof v === 'object' ? JSON.stringify(v, undefined, 1) : textOf(v));

const homeOf = (e: Editor, f: Fault) => {
  const top = topOf(f.field);
  if (isFile(f)) return addressOf(certSection(e.sections)?.id ?? '');
  return addressOf(e.sectionOf.get(top) ?? e.sections.at(-1)?.id ?? '', top);
};

/** Review is what the changes come to, and where they are saved. */
export function Review() {
  const e = useEditor();
  const operator = e.state.mode === 'operator';
  const [found, setFound] = useState<Check>();
  const [error, setError] = useState<unknown>();
  const [failure, setFailure] = useState<unknown>();
  const [busy, setBusy] = useState<'check' | 'save' | 'test' | 'download'>();
  const [tested, setTested] = useState(false);
  const run = (mode: 'offline' | 'online') => {
    setBusy(mode === 'online' ? 'test' : 'check');
    setError(undefined);
    return check(patchNow(e), mode)
      .then((c) => {
        setFound(c);
        e.setFaults(c.problems);
      }, setError)
      .finally(() => setBusy(undefined));
  };
  useEffect(() => {
    void run('offline');
  }, [e.changes, e.state.revision]);
  useEffect(() => void document.getElementById('title')?.focus(), []);
  const write = async () => {
    setBusy('save');
    setFailure(undefined);
    try {
      const state = await save(patchNow(e), e.state.revision, tested);
      await e.saved(state, operator ? { variant: 'success', title: t('The new configuration is written'), text: t('The operator brings it to the registry now.') } : { variant: 'success', title: t('The configuration is saved') });
    } catch (err) {
      setFailure(err);
      if (err instanceof Problem && err.status === 412) await e.reload().catch(setFailure);
      else if (faultsOf(err).length > 0) e.setFaults(faultsOf(err));
    } finally {
      setBusy(undefined);
    }
  };
  const fetchFile = async () => {
    setBusy('download');
    setFailure(undefined);
    try {
      const url = URL.createObjectURL(await download(patchNow(e)));
      const a = document.createElement('a');
      a.href = url;
      a.download = 'quay-config.tar.gz';
      a.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } catch (err) {
      setFailure(err);
    } finally {
      setBusy(undefined);
    }
  };
  const changes = dirty(e);
  const back = Object.keys(e.changes.manage).filter((c) => e.changes.manage[c]);
  const data = back.filter(keepsData);
  const ask = () =>
    data.length === 0
      ? void write()
      : e.confirm({ title: t('Hand {name} back?', { name: data.join(', ') }), text: data.map(dataOf).join(' '), action: t('Hand back'), danger: true, submit: write });
  const errors = e.faults.filter((f) => f.severity === 'error');
  const warnings = e.faults.filter((f) => f.severity === 'warning');
  const others = e.faults.filter((f) => f.severity === 'not-used-yet' || f.severity === 'ignored');
  const lost = failure instanceof Problem && failure.status === 412;
  return (
    <>
      <Title headingLevel="h1" size="2xl" id="title" tabIndex={-1}>{t('Review')}</Title>
      {e.foreign.length > 0 && <Foreigners />}
      {!lost && <Trouble error={failure} />}
      <Trouble error={error} onAgain={() => void run('offline')} />
      {!found && !error && <Bones rows={4} />}
      {found && (
        <>
          {errors.length > 0 ? (
            <Problems title={t('{n} problem to solve first|{n} problems to solve first', { n: errors.length })} variant="danger" list={errors} />
          ) : (
            <Alert isInline variant="success" title={t('The configuration is valid')} component="h2" />
          )}
          {warnings.length > 0 && <Problems title={t('{n} warning|{n} warnings', { n: warnings.length })} variant="warning" list={warnings} />}
          {others.length > 0 && <Others list={others} />}
          {back.map((c) => <Handed key={c} component={c} />)}
          <Box title={t('What changes')}>
            {!changes ? (
              <p className="g-quiet">{t('Nothing is changed.')}</p>
            ) : (
              <ul className="e-changes" aria-label={t('What changes')}>
                {found.changes.filter((c) => !c.field.startsWith('components.')).map((c) => (
                  <li key={c.field}>
                    <div className="g-wrap">
                      <a href={homeOf(e, { field: c.field, file: e.sectionOf.has(topOf(c.field)) ? 'config.yaml' : c.field, severity: 'error', group: '', line: 0, message: '' })}><code>{c.field}</code></a>
                      <span className="g-quiet">{c.live ? t('Takes effect at once') : operator ? t('Replaces pods') : t('Needs a restart')}</span>
                    </div>
                    <div className="e-fromto">
                      <span><span className="g-offscreen">{t('Before:')} </span><del>{shown(c.from)}</del></span>
                      <span><span className="g-offscreen">{t('Afterwards:')} </span><ins>{shown(c.to)}</ins></span>
                    </div>
                  </li>
                ))}
                {Object.entries(e.changes.certs).filter(([n]) => !found.changes.some((c) => c.field === n || c.field === `certs.${n}`)).map(([n, v]) => <li key={n}><code>{n}</code> {v === null ? t('is deleted') : t('is written')}</li>)}
                {Object.entries(e.changes.manage).map(([n, on]) => <li key={n}>{on ? t('You hand {name} back to the operator', { name: n }) : t('You take {name} over from the operator', { name: n })}</li>)}
              </ul>
            )}
            {changes && (
              <p className="g-wrap">
                {found.pods.length > 0 ? <>{operator ? t('These are replaced, one pod after another:') : t('These have to be restarted:')} <PodLabels pods={found.pods} /></> : <span className="g-quiet">{t('Nothing is restarted: all of it takes effect at once.')}</span>}
              </p>
            )}
          </Box>
          {found.tests.length > 0 && <Box title={t('Connections')}><Trials list={found.tests} /></Box>}
        </>
      )}
      <div className="g-stack e-actions">
        {changes && e.state.writable && <Checkbox id="tested" label={t('Test the connections before saving, and save only if they work')} isChecked={tested} onChange={(_, on) => setTested(on)} />}
        <div className="g-wrap">
          {e.state.writable && (
            <Button onClick={ask} isDisabled={!changes || busy !== undefined || errors.length > 0 || !found} isLoading={busy === 'save'}>
              {operator ? t('Reconfigure') : t('Save')}
            </Button>
          )}
          {!operator && <Button variant="secondary" onClick={() => void fetchFile()} isDisabled={busy !== undefined} isLoading={busy === 'download'}>{t('Download')}</Button>}
          <Button variant="secondary" onClick={() => void run('online')} isDisabled={busy !== undefined} isLoading={busy === 'test'}>{t('Test all connections')}</Button>
          {changes && <Button variant="link" onClick={e.discard}>{t('Discard the changes')}</Button>}
        </div>
      </div>
    </>
  );
}

function Problems({ title, variant, list }: { title: string; variant: 'danger' | 'warning'; list: Fault[] }) {
  const e = useEditor();
  return (
    <Alert isInline variant={variant} title={title} component="h2" role={variant === 'danger' ? 'alert' : undefined}>
      <ul className="g-plain">
        {list.slice(0, 100).map((f, i) => (
          <li key={i}>
            <a href={homeOf(e, f)}>{f.field ? <code>{f.field}</code> : (f.file.split('/').pop() ?? '')}</a> <Said text={f.message} />
          </li>
        ))}
      </ul>
    </Alert>
  );
}

function Others({ list }: { list: Fault[] }) {
  const [open, setOpen] = useState(false);
  return (
    <ExpandableSection toggleText={t('{n} remark|{n} remarks', { n: list.length })} isExpanded={open} onToggle={(_, x) => setOpen(x)}>
      <ul className="g-plain">
        {list.map((f, i) => (
          <li key={i}><code>{f.field}</code> <Said text={f.message} /></li>
        ))}
      </ul>
    </ExpandableSection>
  );
}

/** Foreigners are what another changed meanwhile. */
function Foreigners() {
  const e = useEditor();
  return (
    <Alert isInline variant="warning" title={t('Somebody else changed the configuration meanwhile')} component="h2" role="alert">
      <p>{t('Your changes are on top of theirs now. Look at both, then save again.')}</p>
      <ul className="e-changes" aria-label={t('What the other changed')}>
        {e.foreign.map((f) => (
          <li key={f.name}>
            <code>{f.name}</code> {f.mine && <strong>{t('You changed it too: yours is saved.')}</strong>}
            <div className="e-fromto">
              <span><span className="g-offscreen">{t('Before:')} </span><del>{brief(f.name, f.from)}</del></span>
              <span><span className="g-offscreen">{t('Afterwards:')} </span><ins>{brief(f.name, f.to)}</ins></span>
            </div>
          </li>
        ))}
      </ul>
    </Alert>
  );
}

// A file's content tells nobody anything.
const brief = (name: string, v: unknown) => (/^[A-Z0-9_]+$/.test(name) || v === undefined ? shown(v) : t('another file'));
