import { Alert, Button, FormGroup, FormSelect, FormSelectOption, Label, TextArea, TextInput } from '@patternfly/react-core';
import { useRef, useState } from 'react';
import { t } from '../i18n';
import { Box, Said } from './controls';
import { masked } from './patch';
import { useEditor, isFile } from './store';
import { base64Of, certificatesOf, textOfFile } from './x509';

/** maxFile is what the server takes of one file, in bytes. */
const maxFile = 1 << 20;

/** isAuthority tells the names under which certificates of further authorities are kept. */
export const isAuthority = (name: string) => /^extra_ca_cert(s$|s\/|_)/.test(name);

/** nameFor is the name under which a file is kept that was chosen for a use: itself, or 'ca'. */
export function nameFor(use: string, file: string): string {
  if (use !== 'ca') return use;
  const clean = file.replace(/^.*[\\/]/, '').replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '').slice(0, 190) || 'ca';
  return `extra_ca_certs/${/\.(crt|pem|cer|cert)$/i.test(clean) ? clean : `${clean}.crt`}`;
}

/** holds says whether a text is what a name wants: a certificate, or a private key. */
export function holds(name: string, text: string): string | undefined {
  const key = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text);
  if (/\.key$/.test(name)) return key ? undefined : t('That is no private key in PEM (-----BEGIN PRIVATE KEY-----).');
  if (isAuthority(name) && key) return t('That file has a private key in it: take it out, only the certificate is needed.');
  if (/signing-key/.test(name)) return undefined;
  return /-----BEGIN (TRUSTED )?CERTIFICATE-----/.test(text) ? undefined : t('That is no certificate in PEM (-----BEGIN CERTIFICATE-----).');
}

type File = { name: string; text: string; saved: boolean; hidden: boolean; gone: boolean };

/** CertFile is a line of the list of files. */
function CertFile({ file }: { file: File }) {
  const e = useEditor();
  const certs = file.hidden ? [] : certificatesOf(file.text);
  const past = (d: Date) => d.getTime() < Date.now();
  return (
    <li className="e-file">
      <div>
        <code>{file.name}</code> {!file.saved && <Label isCompact color="blue">{t('Not saved')}</Label>} {file.gone && <Label isCompact color="red">{t('Deleted when you save')}</Label>}
        {file.hidden && <span className="g-quiet"> {t('A private key: set, not shown')}</span>}
        {certs.slice(0, 5).map((c, i) => (
          <div key={i} className={past(c.until) ? 'e-wrong' : 'g-quiet'}>
            {c.subject} · {past(c.until) ? t('ended {date}', { date: c.until.toLocaleDateString() }) : t('until {date}', { date: c.until.toLocaleDateString() })}
          </div>
        ))}
        {certs.length > 5 && <div className="g-quiet">{t('and {n} more', { n: certs.length - 5 })}</div>}
        {e.faults.filter((f) => isFile(f) && f.file.endsWith(file.name)).map((f, i) => (
          <div key={i} className={f.severity === 'error' ? 'e-wrong' : 'e-warned'} role="alert"><Said text={f.message} /></div>
        ))}
      </div>
      {e.state.writable && (
        <span className="g-wrap">
          {(file.gone || !file.saved) && <Button variant="link" isInline onClick={() => e.setCert(file.name, undefined)} aria-label={t('Undo the change of {name}', { name: file.name })}>{t('Undo')}</Button>}
          {file.saved && !file.gone && <Button variant="link" isInline isDanger onClick={() => e.setCert(file.name, null)} aria-label={t('Delete {name}', { name: file.name })}>{t('Delete')}</Button>}
        </span>
      )}
    </li>
  );
}

/** Certificates lists the files beside config.yaml, and takes more. only shows those names alone. */
export function Certificates({ title, text, only }: { title: string; text?: string; only?: string[] }) {
  const e = useEditor();
  const { certs } = e.bundle;
  const files: File[] = [...new Set([...Object.keys(certs), ...Object.keys(e.changes.certs)])].filter((n) => !only || only.includes(n)).sort().map((name) => {
    const change = e.changes.certs[name];
    const body = change ?? certs[name] ?? '';
    return { name, text: textOfFile(body), saved: change === undefined || change === null, hidden: body === masked, gone: change === null };
  });
  // Problems of files that are not in the list, such as a missing key, are told here.
  const others = e.faults.filter((f) => isFile(f) && !files.some((x) => f.file.endsWith(x.name)));
  return (
    <Box title={title} text={text}>
      {others.map((f, i) => (
        <Alert key={i} isInline isPlain variant={f.severity === 'error' ? 'danger' : 'warning'} title={f.message} />
      ))}
      {files.length === 0 ? <p className="g-quiet">{t('There is none.')}</p> : <ul className="g-plain" aria-label={title}>{files.map((f) => <CertFile key={f.name} file={f} />)}</ul>}
      {e.state.writable && <Upload only={only} />}
    </Box>
  );
}

function Upload({ only }: { only?: string[] }) {
  const e = useEditor();
  const uses: [string, string][] = only
    ? only.map((n) => [n, n])
    : [
        ['ca', t('A further authority to trust')],
        ['ssl.cert', t('ssl.cert: the registry’s certificate')],
        ['ssl.key', t('ssl.key: its private key')],
        ['database.pem', t('database.pem: authority of the database')],
        ['ldap.crt', t('ldap.crt: authority of the directory')],
        ['default-cloudfront-signing-key.pem', 'default-cloudfront-signing-key.pem'],
      ];
  const [use, setUse] = useState(uses[0]![0]);
  const [pasted, setPasted] = useState('');
  const [name, setName] = useState('');
  const [pasting, setPasting] = useState(false);
  const [wrong, setWrong] = useState('');
  const input = useRef<HTMLInputElement>(null);
  const id = only ? only[0]!.replace('.', '-') : 'certs';
  const take = (as: string, bytes: Uint8Array): boolean => {
    const bad = bytes.length > maxFile ? t('{name} is larger than 1 MiB.', { name: as }) : holds(as, new TextDecoder().decode(bytes));
    if (bad) {
      setWrong(`${as}: ${bad}`);
      return false;
    }
    e.setCert(as, base64Of(bytes));
    return true;
  };
  const chosen = async (list: FileList | null) => {
    setWrong('');
    // A pair that is chosen together goes to its places.
    for (const f of [...(list ?? [])].slice(0, 50)) {
      const target = only?.length === 2 && /\.key$/i.test(f.name) ? only.find((n) => n.endsWith('.key'))! : nameFor(use, f.name);
      take(target, new Uint8Array(await f.arrayBuffer()));
    }
    if (input.current) input.current.value = '';
  };
  const put = () => {
    setWrong('');
    const text = `${pasted.trim()}\n`;
    const subject = certificatesOf(text)[0]?.subject;
    if (!take(nameFor(use, name.trim() || subject || 'ca'), new TextEncoder().encode(text))) return;
    setPasted('');
    setName('');
    setPasting(false);
  };
  return (
    <div className="g-stacked">
      <div className="g-wrap">
        <FormSelect value={use} onChange={(_, x) => setUse(x)} aria-label={t('What the file is for')} className="e-short">
          {uses.map(([k, label]) => (
            <FormSelectOption key={k} value={k} label={label} />
          ))}
        </FormSelect>
        <Button variant="secondary" onClick={() => input.current?.click()}>{t('Choose files')}</Button>
        <input ref={input} type="file" multiple={use === 'ca' || only?.length === 2} accept=".crt,.pem,.cer,.cert,.key" className="g-offscreen" tabIndex={-1} aria-label={t('Files for {name}', { name: only ? only.join(', ') : t('certificates') })} onChange={(ev) => void chosen(ev.target.files)} />
        <Button variant="link" onClick={() => setPasting(!pasting)} aria-expanded={pasting}>{t('Paste a text')}</Button>
      </div>
      {wrong && <div className="e-wrong" role="alert">{wrong}</div>}
      {pasting && (
        <div className="e-block g-stacked">
          {use === 'ca' && (
            <FormGroup label={t('Name of the file')} fieldId={`${id}-name`}>
              <TextInput id={`${id}-name`} value={name} placeholder="company-ca.crt" onChange={(_, s) => setName(s)} autoComplete="off" spellCheck={false} />
            </FormGroup>
          )}
          <FormGroup label={t('Text in PEM')} fieldId={`${id}-pem`}>
            <TextArea id={`${id}-pem`} value={pasted} rows={6} className="e-json" onChange={(_, s) => setPasted(s)} placeholder="-----BEGIN CERTIFICATE-----" spellCheck={false} resizeOrientation="vertical" />
          </FormGroup>
          <span><Button variant="secondary" isDisabled={pasted.trim() === ''} onClick={put}>{t('Add')}</Button></span>
        </div>
      )}
    </div>
  );
}
