import { Button, FormSelect, FormSelectOption, TextInput, ToggleGroup, ToggleGroupItem } from '@patternfly/react-core';
import { useEffect, useState, type ReactNode } from 'react';
import { t } from '../i18n';
import { Secret, type ControlProps } from './controls';
import { empty, lacks, partsOf, schemes, uriOf, type Parts } from './dburi';
import { masked } from './patch';
import { textOf } from './values';

/** DatabaseControl edits DB_URI by its parts, or as the text that it is. */
export function DatabaseControl({ field, value, onChange, id, labelledBy, describedBy, wrong, locked }: ControlProps) {
  const uri = textOf(value);
  const whole = uri === masked;
  const parsed = uri === '' ? undefined : partsOf(uri);
  const [asText, setAsText] = useState(uri !== '' && !parsed && !whole);
  const [more, setMore] = useState(false);
  const [parts, setParts] = useState<Parts>(parsed ?? empty);
  useEffect(() => {
    // From outside: an undo, or the text.
    setParts((now) => (uriOf(now) === uri || (uri === '' && lacks(now)) ? now : (partsOf(uri) ?? empty)));
  }, [uri]);
  const put = (change: Partial<Parts>) => {
    const next = { ...parts, ...change };
    setParts(next);
    // An address without a server or a name is none yet.
    onChange(lacks(next) && !next.server && !next.name && !next.user && !next.password ? undefined : uriOf(next));
  };
  if (whole) return <Secret field={field} value={value} onChange={onChange} id={id} labelledBy={labelledBy} describedBy={describedBy} wrong={wrong} locked={locked} whole />;
  const line = (key: string, label: string, input: ReactNode, help?: string) => (
    <div className="e-key">
      <label className="e-key-name e-said" htmlFor={`${id}-${key}`} id={`${id}-${key}-label`}>{label}</label>
      {input}
      {help && <div className="e-help" id={`${id}-${key}-help`}>{help}</div>}
    </div>
  );
  const text = (key: 'server' | 'user' | 'name' | 'params', placeholder?: string) => (
    <TextInput id={`${id}-${key}`} value={parts[key]} placeholder={placeholder} isDisabled={locked} onChange={(_, s) => put({ [key]: s })} autoComplete="off" spellCheck={false} autoCapitalize="none" aria-describedby={`${id}-${key}-help`} />
  );
  return (
    <div className="g-stacked" role="group" aria-labelledby={labelledBy} aria-describedby={describedBy}>
      <ToggleGroup aria-label={t('How to edit the address')} isCompact>
        <ToggleGroupItem text={t('By its parts')} buttonId={`${id}-parts`} isSelected={!asText} onChange={() => setAsText(false)} isDisabled={asText && uri !== '' && !parsed} />
        <ToggleGroupItem text={t('As text')} buttonId={`${id}-text`} isSelected={asText} onChange={() => setAsText(true)} />
      </ToggleGroup>
      {asText ? (
        <>
          <TextInput id={id} value={uri} aria-label={field.name} isDisabled={locked} onChange={(_, s) => onChange(s === '' ? undefined : s)} validated={wrong ? 'error' : 'default'} autoComplete="off" spellCheck={false} placeholder="postgresql://user:password@host:5432/name" />
          {uri.includes(`:${masked}@`) && <div className="e-help">{t('*** stands for the password that is set: leave it to keep it.')}</div>}
        </>
      ) : (
        <div className="e-block">
          <div className="e-keys">
            {line('kind', t('Kind'), (
              <FormSelect id={`${id}-kind`} value={parts.kind} isDisabled={locked} className="e-short" onChange={(_, k) => put({ kind: k as Parts['kind'], scheme: schemes[k as Parts['kind']] })}>
                <FormSelectOption value="postgresql" label="PostgreSQL" />
                <FormSelectOption value="mysql" label="MySQL / MariaDB" />
                <FormSelectOption value="sqlite" label={t('SQLite, a file')} />
              </FormSelect>
            ))}
            {parts.kind === 'sqlite' ? (
              line('name', t('File'), text('name', '/var/lib/gantry/gantry.db'), t('A path that begins with / is absolute; others are in the data folder.'))
            ) : (
              <>
                {line('server', t('Server'), text('server', parts.kind === 'mysql' ? 'db.example.com:3306' : 'db.example.com:5432'), parts.kind === 'mysql' ? t('A host, with a port where it is another than usual.') : t('A host, with a port where it is another than usual. Several with commas: whichever takes writes is used.'))}
                {line('user', t('User'), text('user'))}
                <div className="e-key">
                  <label className="e-key-name e-said" id={`${id}-password-label`} htmlFor={`${id}-password`}>{t('Password')}</label>
                  <Secret field={field} value={parts.password || undefined} onChange={(v) => put({ password: textOf(v) })} id={`${id}-password`} labelledBy={`${id}-password-label`} locked={locked} />
                </div>
                {line('name', t('Database name'), text('name', 'quay'))}
              </>
            )}
            {(parts.params || more) && line('params', t('Options'), text('params'), t('What follows the question mark of the address, such as sslmode=verify-full.'))}
          </div>
          {!locked && uri === '' && <div className="e-help">{t('Without an address a SQLite file in the data folder is used.')}</div>}
          {!locked && parts.params === '' && !more && <Button variant="link" isInline size="sm" onClick={() => setMore(true)}>{t('Add options')}</Button>}
        </div>
      )}
    </div>
  );
}
