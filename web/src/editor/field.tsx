import { Button, Label } from '@patternfly/react-core';
import { LockIcon } from '@patternfly/react-icons/dist/esm/icons/lock-icon';
import { Fragment, memo } from 'react';
import { t } from '../i18n';
import { Control, defaultText, Doc, isGroup, Said } from './controls';
import { DatabaseControl } from './database';
import { masked } from './patch';
import { LocationsControl, StorageControl } from './storage';
import { faultsAt, lockOf, taken, useEditor, valueIn, type Editor } from './store';
import type { Fault, Field, Source } from './types';
import { meaning, textOf } from './values';

/** Broken lets a name break after its underscores. */
export const Broken = ({ name }: { name: string }) =>
  name.split(/(?<=_)/).map((part, i) => (
    <Fragment key={i}>
      {i > 0 && <wbr />}
      {part}
    </Fragment>
  ));

/** FieldRow is a field with its name, what it is for, and its control. */
export function FieldRow({ name }: { name: string }) {
  const e = useEditor();
  const field = e.fields.get(name);
  if (!field) return null;
  return (
    <Row
      key={e.state.revision}
      field={field}
      value={valueIn(e, name)}
      isChanged={name in e.changes.fields}
      isWritten={e.state.written.includes(name) && e.changes.fields[name] !== null}
      source={taken(e.state, e.changes.manage, name) ? undefined : e.state.source[name]}
      locked={lockOf(e, name) !== undefined}
      sealed={!e.state.writable}
      faults={faultsAt(e, name)}
      operator={e.state.mode === 'operator'}
      set={e.set}
      undo={e.undo}
      locations={field.name === 'DISTRIBUTED_STORAGE_PREFERENCE' || field.name === 'DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS' ? textOf(locationsOf(e)) : ''}
    />
  );
}

const locationsOf = (e: Editor) => Object.keys((valueIn(e, 'DISTRIBUTED_STORAGE_CONFIG') as object | undefined) ?? {});

type Props = {
  field: Field;
  value: unknown;
  isChanged: boolean;
  isWritten: boolean;
  source?: Source;
  locked: boolean;
  sealed: boolean;
  faults: Fault[];
  operator: boolean;
  set: Editor['set'];
  undo: Editor['undo'];
  /** locations are the names of storage locations, as JSON; '' where they do not matter. */
  locations: string;
};

const same = (a: Props, b: Props) => (Object.keys(b) as (keyof Props)[]).every((k) => (k === 'faults' ? JSON.stringify(a.faults) === JSON.stringify(b.faults) : a[k] === b[k]));

const Row = memo(function Row({ field, value, isChanged, isWritten, source, locked, sealed, faults, operator, set, undo, locations }: Props) {
  const { name } = field;
  const id = `in-${name}`;
  const labelId = `name-${name}`;
  const helpId = `help-${name}`;
  const wrong = faults.some((f) => f.severity === 'error');
  const words = meaning(field, value);
  const onChange = (v: unknown) => set(name, v);
  const shared = { field, value, onChange, id, labelledBy: labelId, describedBy: helpId, wrong, locked: locked || sealed, whole: true };
  const special = name === 'DISTRIBUTED_STORAGE_CONFIG' ? 'storage' : name === 'DB_URI' ? 'database' : locations ? 'locations' : '';
  const group = special !== '' || isGroup(field) || (field.secret && value === masked);
  const none = field.default === undefined || field.default === '' || field.secret;
  // What has many inputs gets the whole width.
  const tall = special === 'storage' || special === 'database' || field.kind === 'objects' || field.kind === 'map' || (field.kind === 'object' && value !== undefined && value !== null);
  return (
    <div className={`e-row${tall ? ' e-tall' : ''}${wrong ? ' e-bad' : isChanged ? ' e-changed' : ''}`} id={`field-${name}`} tabIndex={-1}>
      <div className="e-about">
        {group ? <h3 className="e-name" id={labelId}><Broken name={name} /></h3> : <h3 className="e-name"><label id={labelId} htmlFor={id}><Broken name={name} /></label></h3>}
        {field.doc ? <p className="e-doc"><Doc text={field.doc} /></p> : !field.group && <p className="e-doc">{t('The registry does not know this field. It is kept as it is.')}</p>}
        {field.obsolete && <p className="e-doc"><Doc text={field.obsolete} /></p>}
        <div className="e-marks">
          {isChanged && <Label isCompact color="blue">{t('Changed')}</Label>}
          {wrong && <Label isCompact color="red">{t('Wrong')}</Label>}
          {locked && <Label isCompact icon={<LockIcon />}>{t('Managed by the operator')}</Label>}
          {source === 'environment' && <Label isCompact color="orange">{t('Set by environment')}</Label>}
          {source === 'operator' && !locked && <Label isCompact color="purple">{t('Set by the operator')}</Label>}
          {field.obsolete ? <Label isCompact variant="outline">{t('No effect')}</Label> : !field.used && field.group ? <Label isCompact variant="outline">{t('Not used yet')}</Label> : null}
          {field.used && <span className="g-quiet">{field.live ? t('Takes effect at once') : operator ? t('Replaces pods') : t('Needs a restart')}</span>}
        </div>
      </div>
      <div className="e-value">
        {special === 'storage' ? <StorageControl {...shared} /> : special === 'database' ? <DatabaseControl {...shared} /> : special === 'locations' ? <LocationsControl {...shared} names={JSON.parse(locations) as string[]} /> : <Control {...shared} />}
        <div id={helpId} className="e-help">
          {faults.map((f, i) => (
            <div key={i} className={f.severity === 'error' ? 'e-wrong' : 'e-warned'} role={f.severity === 'error' ? 'alert' : undefined}>
              {f.field !== name && <code>{f.field}</code>} <Said text={f.message} />
            </div>
          ))}
          {words && <span className="e-words">{words}</span>}
          {source === 'environment' && <span>{field.env ? t('{name} in the environment wins over the file.', { name: field.env }) : t('The environment wins over the file.')}</span>}
          {!none && !(field.kind === 'object' && Object.keys(field.default as object).length === 0) && <span>{t('Default: {value}', { value: defaultText(field.default) })}</span>}
        </div>
        {!locked && !sealed && (isChanged || isWritten) && (
          <div className="g-wrap">
            {isChanged && <Button variant="link" isInline size="sm" onClick={() => undo(name)} aria-label={t('Undo the change of {name}', { name })}>{t('Undo')}</Button>}
            {isWritten && <Button variant="link" isInline size="sm" onClick={() => set(name, undefined)} aria-label={`${none ? t('Take out') : t('Back to default')}: ${name}`}>{none ? t('Take out') : t('Back to default')}</Button>}
          </div>
        )}
      </div>
    </div>
  );
}, same);

