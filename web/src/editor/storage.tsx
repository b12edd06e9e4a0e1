import { Button, FormSelect, FormSelectOption, Label } from '@patternfly/react-core';
import { t } from '../i18n';
import { Json, Keys, NewName, strange, without, type ControlProps } from './controls';
import { isBlock } from './patch';
import { useEditor } from './store';
import type { Config, Engine } from './types';
import { textOf } from './values';

/** A Location is a value of DISTRIBUTED_STORAGE_CONFIG: its class and its parameters. */
export type Location = [string, Config];

const isLocation = (v: unknown): v is Location => Array.isArray(v) && typeof v[0] === 'string' && (v.length === 1 || isBlock(v[1]));

/** moved is a location with another engine: it keeps those parameters that both have, but no secret of the old one. */
export function moved(at: Location, to: string, engines: Engine[]): Location {
  const keys = engines.find((e) => e.class === to)?.keys ?? [];
  return [to, Object.fromEntries(Object.entries(at[1] ?? {}).filter(([k]) => keys.some((x) => x.name === k && !x.secret)))];
}

/** checkLocation says what is wrong with the name of a location. */
const checkLocation = (name: string) => (/^[A-Za-z0-9._-]{1,100}$/.test(name) ? undefined : t('Letters, digits and . _ - only'));

/** StorageControl edits the storage locations, each through the fields of its engine. */
export function StorageControl(p: ControlProps) {
  const { engines } = useEditor().form;
  const { value, onChange, id, labelledBy, locked } = p;
  if (value !== undefined && value !== null && !isBlock(value)) return <Json {...p} />;
  const all = (value ?? {}) as Config;
  const names = Object.keys(all);
  const first = engines[0]?.class ?? 'LocalStorage';
  return (
    <div className="g-stack" role="group" aria-labelledby={labelledBy}>
      {names.map((name) => {
        const at = all[name];
        return (
          <div key={name} className="e-block" role="group" aria-label={t('Location {name}', { name })}>
            <div className="e-box-head">
              <h4 className="e-name">{name}</h4>
              {!locked && <Button variant="link" isInline onClick={() => onChange(names.length === 1 ? undefined : without(all, name))}>{t('Remove {name}', { name })}</Button>}
            </div>
            {isLocation(at) ? <LocationFields name={name} at={at} engines={engines} put={(v) => onChange({ ...all, [name]: v })} locked={locked} /> : <Json field={strange(name)} value={at} onChange={(v) => onChange({ ...all, [name]: v })} id={`${id}-${name}`} labelledBy={labelledBy} locked={locked} />}
          </div>
        );
      })}
      {names.length === 0 && <span className="g-quiet">{t('None: files are kept in the data folder.')}</span>}
      {!locked && <NewName id={id} label={t('Name of a new location')} placeholder="default" taken={names} check={checkLocation} action={t('Add a location')} onAdd={(name) => onChange({ ...all, [name]: [first, {}] })} />}
    </div>
  );
}

function LocationFields({ name, at, engines, put, locked }: { name: string; at: Location; engines: Engine[]; put: (v: Location) => void; locked?: boolean }) {
  const engine = engines.find((e) => e.class === at[0]);
  const id = `engine-${name}`;
  return (
    <div className="g-stacked">
      <div className="e-key">
        <label className="e-key-name e-said" htmlFor={id}>{t('Engine')}</label>
        <FormSelect id={id} value={at[0]} isDisabled={locked} className="e-engine" onChange={(_, to) => put(moved(at, to, engines))}>
          {!engine && <FormSelectOption value={at[0]} label={at[0]} />}
          {engines.map((e) => (
            <FormSelectOption key={e.class} value={e.class} label={e.title === e.class || !e.title ? e.class : `${e.title} (${e.class})`} />
          ))}
        </FormSelect>
      </div>
      <Keys key={at[0]} keys={engine?.keys ?? []} open value={at[1] ?? {}} onChange={(v) => put([at[0], v])} locked={locked} />
    </div>
  );
}

/** LocationsControl chooses among the storage locations, in an order. */
export function LocationsControl({ field, value, onChange, id, labelledBy, describedBy, locked, names }: ControlProps & { names: string[] }) {
  const list = Array.isArray(value) ? value.map(textOf) : [];
  const rest = names.filter((n) => !list.includes(n));
  const swap = (i: number) => list.map((x, k) => (k === i - 1 ? list[i]! : k === i ? list[i - 1]! : x));
  return (
    <div className="g-stacked" role="group" aria-labelledby={labelledBy} aria-describedby={describedBy}>
      {list.length === 0 && <span className="g-quiet">{t('Empty')}</span>}
      <ol className="e-order">
        {list.map((n, i) => (
          <li key={n}>
            <span>{n}</span>
            {!names.includes(n) && <Label isCompact color="red">{t('No such location')}</Label>}
            {!locked && i > 0 && <Button variant="link" isInline size="sm" onClick={() => onChange(swap(i))}>{t('Move {name} up', { name: n })}</Button>}
            {!locked && <Button variant="link" isInline size="sm" onClick={() => onChange(list.length === 1 ? undefined : list.filter((x) => x !== n))}>{t('Remove {name}', { name: n })}</Button>}
          </li>
        ))}
      </ol>
      {!locked && rest.length > 0 && (
        <FormSelect id={id} value="" aria-label={t('Add to {name}', { name: field.name })} className="e-short" onChange={(_, x) => x && onChange([...list, x])}>
          <FormSelectOption value="" label={t('Add …')} />
          {rest.map((n) => (
            <FormSelectOption key={n} value={n} label={n} />
          ))}
        </FormSelect>
      )}
    </div>
  );
}
