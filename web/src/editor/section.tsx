import { ExpandableSection, Label, Radio, Title } from '@patternfly/react-core';
import { useEffect, useState, type ReactNode } from 'react';
import { t } from '../i18n';
import { Certificates } from './certs';
import { HandBack, Lock } from './component';
import { Box, NewName } from './controls';
import { FieldRow } from './field';
import { addressOf, hasMoved } from './place';
import { certSection, found, isLogin, lockOf, loginPattern, useEditor, valueIn } from './store';
import { TrialButton, trialsOf } from './trials';
import type { Section } from './types';
import { boolOf } from './values';

/** SectionPage shows the fields of a section, field being the one that the address names. */
export function SectionPage({ section, field }: { section: Section; field: string }) {
  const e = useEditor();
  useEffect(() => {
    if (field) show(field);
    else if (hasMoved()) document.getElementById('title')?.focus();
  }, [section.id, field]);
  const logins = section.fields.includes(loginPattern) ? [...new Set([...Object.keys(e.bundle['config.yaml']), ...Object.keys(e.changes.fields)])].filter((n) => isLogin(n) && (n in e.changes.fields ? e.changes.fields[n] !== null : true)).sort() : [];
  const names = section.fields.filter((n) => n !== loginPattern);
  const alive = names.filter((n) => !e.fields.get(n)?.obsolete || e.state.written.includes(n) || n in e.changes.fields);
  const idle = names.filter((n) => !alive.includes(n));
  const groups = section === e.sections.at(-1) ? [...new Set(alive.map((n) => e.fields.get(n)?.group ?? ''))] : undefined;
  const here = (c: { fields: string[] }) => c.fields.some((f) => section.fields.includes(f));
  const tests = trialsOf(section);
  return (
    <>
      <Title headingLevel="h1" size="2xl" id="title" tabIndex={-1}>{section.title}</Title>
      {e.state.managed.filter(here).map((m) => <Lock key={m.component} managed={m} />)}
      {e.state.own.filter(here).map((o) => <HandBack key={o.component} own={o} />)}
      {certSection(e.sections)?.id === section.id && <Certificates title={t('Files beside config.yaml')} text={t('Certificates of further authorities are trusted by the registry and by its builders. Keys are written and never shown.')} />}
      {names.includes('EXTERNAL_TLS_TERMINATION') && <TlsMode />}
      <div className="e-rows">
        {groups ? groups.map((g) => <Group key={g} title={g || t('Fields that the registry does not know')}>{alive.filter((n) => (e.fields.get(n)?.group ?? '') === g).map((n) => <FieldRow key={n} name={n} />)}</Group>) : alive.map((n) => <FieldRow key={n} name={n} />)}
      </div>
      {section.fields.includes(loginPattern) && (
        <Box title={t('Providers of OpenID Connect')} text={t('Each has a name of its own, which stands in its callback address: /oauth2/name/callback.')}>
          {logins.length === 0 && <p className="g-quiet">{t('There is none.')}</p>}
          <div className="e-rows">{logins.map((n) => <FieldRow key={n} name={n} />)}</div>
          {e.state.writable && !lockOf(e, loginPattern) && (
            <NewName
              label={t('Name of a new provider')}
              placeholder="KEYCLOAK"
              clean={(s) => s.toUpperCase().replace(/[^A-Z0-9_]/g, '_')}
              taken={[...logins.map((n) => n.replace(/_LOGIN_CONFIG$/, '')), 'GITHUB', 'GOOGLE']}
              action={t('Add a provider')}
              onAdd={(n) => e.set(`${n}_LOGIN_CONFIG`, {})}
            />
          )}
        </Box>
      )}
      {tests.length > 0 && (
        <Box title={t('Test the connection')} text={t('Tests use what stands here, saved or not. Nothing is changed by them.')}>
          {tests.map((n) => <TrialButton key={n} name={n} />)}
        </Box>
      )}
      {idle.length > 0 && <Idle names={idle} open={idle.includes(field)} />}
    </>
  );
}

// show brings a field into sight, and the focus to it.
function show(field: string, frames = 60) {
  const row = document.getElementById(`field-${field}`);
  if (!row) {
    if (frames > 0) requestAnimationFrame(() => show(field, frames - 1));
    return;
  }
  row.scrollIntoView({ block: 'center' });
  (row.querySelector<HTMLElement>('.e-value :is(input, select, textarea, button):not(:disabled)') ?? row).focus({ preventScroll: true });
}

function Idle({ names, open }: { names: string[]; open: boolean }) {
  const [shown, setShown] = useState(open);
  return (
    <ExpandableSection toggleText={t('{n} field without effect|{n} fields without effect', { n: names.length })} isExpanded={shown} onToggle={(_, x) => setShown(x)}>
      {shown && <div className="e-rows">{names.map((n) => <FieldRow key={n} name={n} />)}</div>}
    </ExpandableSection>
  );
}

const Group = ({ title, children }: { title: string; children: ReactNode }) => (
  <section aria-label={title}>
    <Title headingLevel="h2" size="lg" className="e-group">{title}</Title>
    {children}
  </section>
);

/** TlsMode chooses who ends TLS: three answers for two fields. */
function TlsMode() {
  const e = useEditor();
  const outside = boolOf(valueIn(e, 'EXTERNAL_TLS_TERMINATION')) === true;
  const mode = outside ? 'external' : valueIn(e, 'PREFERRED_URL_SCHEME') === 'https' ? 'registry' : 'none';
  const locked = !e.state.writable || lockOf(e, 'EXTERNAL_TLS_TERMINATION') !== undefined || lockOf(e, 'PREFERRED_URL_SCHEME') !== undefined;
  const choose = (to: 'none' | 'registry' | 'external') => () => {
    e.set('EXTERNAL_TLS_TERMINATION', to === 'external');
    e.set('PREFERRED_URL_SCHEME', to === 'none' ? 'http' : 'https');
  };
  const radio = (to: 'none' | 'registry' | 'external', label: string, text: string) => <Radio id={`tls-${to}`} name="tls" label={label} description={text} isChecked={mode === to} onChange={choose(to)} isDisabled={locked} />;
  return (
    <>
      <Box title={t('Who ends TLS')}>
        <div role="radiogroup" aria-label={t('Who ends TLS')} className="g-stacked">
          {radio('registry', t('The registry ends TLS'), t('It needs ssl.cert and ssl.key.'))}
          {radio('external', t('A proxy in front ends TLS'), t('Clients speak TLS to the proxy, the proxy plain HTTP to the registry.'))}
          {radio('none', t('No TLS'), t('Passwords and images travel in the clear: for trials only.'))}
        </div>
      </Box>
      {mode === 'registry' && <Certificates title={t('Certificate and key of the registry')} only={['ssl.cert', 'ssl.key']} />}
    </>
  );
}

/** Results are the fields that a filter finds, in their sections, to be edited at once. */
export function Results({ filter, clear }: { filter: string; clear: () => void }) {
  const e = useEditor();
  const all = found(e, filter);
  const most = 30;
  const shown = all.slice(0, most);
  const sections = e.sections.map((s) => ({ section: s, fields: shown.filter((f) => e.sectionOf.get(f.name) === s.id) })).filter((x) => x.fields.length > 0);
  // The section of the best match comes first.
  const rank = (x: (typeof sections)[number]) => Math.min(...x.fields.map((f) => shown.indexOf(f)));
  sections.sort((a, b) => rank(a) - rank(b));
  return (
    <>
      <Title headingLevel="h1" size="2xl" id="title" tabIndex={-1}>{t('Found')}</Title>
      <p className="g-quiet" role="status">{all.length === 0 ? t('No field has that in its name or description.') : t('{n} field|{n} fields', { n: all.length })}{all.length > most && ` · ${t('the first {n} are shown', { n: most })}`}</p>
      {sections.map(({ section, fields }) => (
        <section key={section.id} aria-label={section.title}>
          <Title headingLevel="h2" size="lg" className="e-group"><a href={addressOf(section.id)} onClick={clear}>{section.title}</a></Title>
          <div className="e-rows">{fields.map((f) => <FieldRow key={f.name} name={f.name} />)}</div>
        </section>
      ))}
    </>
  );
}

/** PodLabels names what is replaced. */
export const PodLabels = ({ pods }: { pods: string[] }) => pods.map((p) => <Label key={p} isCompact variant="outline">{p}</Label>);
