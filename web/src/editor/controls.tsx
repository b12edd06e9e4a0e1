import { Button, FormSelect, FormSelectOption, Label, LabelGroup, Switch, TextArea, TextInput } from '@patternfly/react-core';
import { useEffect, useId, useState, type ReactNode } from 'react';
import { t } from '../i18n';
import { equal, isBlock, masked } from './patch';
import type { Config, Field } from './types';
import { boolOf, durationOf, faultOf, inWords, meaning, textOf, valueOf } from './values';

/** A Control edits one value. undefined = it is not set. */
export type ControlProps = {
  field: Field;
  value: unknown;
  onChange: (value: unknown) => void;
  /** id is of the input, for its label; labelledBy names a control of several inputs. */
  id: string;
  labelledBy: string;
  describedBy?: string;
  wrong?: boolean;
  locked?: boolean;
  /** whole is of a whole field: what is beside it takes the value out. */
  whole?: boolean;
};

/** isGroup tells the kinds whose control is of several inputs. */
export const isGroup = (f: Field) => !f.secret && (f.kind === 'list' || f.kind === 'object' || f.kind === 'objects' || f.kind === 'map');

/** Control is the input for a field's kind. */
export function Control(p: ControlProps) {
  const { field } = p;
  if (field.secret) return <Secret {...p} />;
  switch (field.kind) {
    case 'bool':
      return <Bool {...p} />;
    case 'list':
      return <List {...p} />;
    case 'object':
      return <Block {...p} />;
    case 'objects':
      return <Blocks {...p} />;
    case 'map':
      return <Names {...p} />;
    case 'custom':
      return <Json {...p} />;
  }
  return field.allowed && field.allowed.length > 0 ? <Choice {...p} /> : <Text {...p} />;
}

function Text({ field, value, onChange, id, describedBy, wrong, locked }: ControlProps) {
  // What is typed stays as it is typed; the value is what it means.
  const [text, setText] = useState(textOf(value));
  useEffect(() => {
    // An input that was emptied stays so until it is left, although the value is the default again.
    setText((now) => (equal(valueOf(field, now), value) || (now === '' && equal(value, field.default)) ? now : textOf(value)));
  }, [field, value]);
  const number = field.kind === 'int' || field.kind === 'float';
  return (
    <TextInput
      id={id}
      value={text}
      isDisabled={locked}
      inputMode={number ? 'decimal' : undefined}
      className={field.kind === 'text' ? undefined : 'e-short'}
      onChange={(_, s) => {
        setText(s);
        onChange(valueOf(field, s));
      }}
      onBlur={() => setText((now) => (now === '' ? textOf(value) : now))}
      placeholder={field.default === undefined ? undefined : textOf(field.default)}
      validated={wrong ? 'error' : 'default'}
      aria-invalid={wrong || undefined}
      aria-describedby={describedBy}
      autoComplete="off"
      spellCheck={false}
      autoCapitalize="none"
    />
  );
}

function Bool({ field, value, onChange, id, describedBy, locked }: ControlProps) {
  const set = boolOf(value);
  const on = set ?? boolOf(field.default);
  const word = on === undefined ? t('Not set') : on ? t('On') : t('Off');
  return (
    <span className="e-switch">
      <Switch id={id} isChecked={on === true} isDisabled={locked} onChange={(_, x) => onChange(x)} aria-describedby={describedBy} label={set === undefined && on !== undefined ? t('{value}, by default', { value: word }) : word} />
    </span>
  );
}

function Choice({ field, value, onChange, id, describedBy, wrong, locked }: ControlProps) {
  const now = textOf(value);
  const list = field.allowed!;
  return (
    <FormSelect id={id} value={now} isDisabled={locked} className="e-short" onChange={(_, x) => onChange(x === '' ? undefined : x)} validated={wrong ? 'error' : 'default'} aria-describedby={describedBy}>
      {(field.default === undefined || now === '') && <FormSelectOption value="" label={t('Not set')} />}
      {now !== '' && !list.includes(now) && <FormSelectOption value={now} label={now} />}
      {list.map((x) => (
        <FormSelectOption key={x} value={x} label={x} />
      ))}
    </FormSelect>
  );
}

/** Secret is written and never read: it says whether one is set. */
export function Secret({ value, onChange, id, labelledBy, describedBy, wrong, locked, whole }: ControlProps) {
  // was is whether a secret is set on the server: then it can be kept.
  const [was] = useState(value === masked);
  const [typing, setTyping] = useState(false);
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (typing) document.getElementById(id)?.focus();
  }, [typing]);
  if (value === masked && !typing) {
    return (
      <span className="g-wrap" role="group" aria-labelledby={labelledBy} aria-describedby={describedBy}>
        <Label isCompact color="green">{t('Set, not shown')}</Label>
        {!locked && (
          <>
            <Button id={id} variant="secondary" size="sm" onClick={() => setTyping(true)}>{t('Replace')}</Button>
            {!whole && <Button variant="link" size="sm" onClick={() => onChange(undefined)}>{t('Take out')}</Button>}
          </>
        )}
      </span>
    );
  }
  return (
    <span className="e-secret">
      <TextInput
        id={id}
        type={seen ? 'text' : 'password'}
        aria-labelledby={labelledBy}
        value={value === masked ? '' : textOf(value)}
        isDisabled={locked}
        onChange={(_, s) => onChange(s === '' ? (was && typing ? masked : undefined) : s)}
        validated={wrong ? 'error' : 'default'}
        aria-invalid={wrong || undefined}
        aria-describedby={describedBy}
        autoComplete="new-password"
        spellCheck={false}
      />
      <Button variant="secondary" aria-pressed={seen} onClick={() => setSeen(!seen)} isDisabled={locked}>{seen ? t('Hide') : t('Show')}</Button>
      {was && !locked && (
        <Button
          variant="link"
          onClick={() => {
            setTyping(false);
            onChange(masked);
          }}
        >
          {t('Keep the old one')}
        </Button>
      )}
    </span>
  );
}

const split = (s: string) => s.split(/[\n,]+/).map((x) => x.trim()).filter((x) => x !== '');

/** Adder is an input whose text becomes an item: by Enter, by its button, or when it is left. */
export function Adder({ id, label, placeholder, onAdd, options, locked, describedBy }: { id: string; label: string; placeholder?: string; onAdd: (texts: string[]) => void; options?: string[]; locked?: boolean; describedBy?: string }) {
  const [text, setText] = useState('');
  const add = () => {
    const all = split(text);
    if (all.length > 0) onAdd(all);
    setText('');
  };
  if (locked || options?.length === 0) return null;
  if (options) {
    return (
      <FormSelect id={id} value="" aria-label={label} className="e-short" onChange={(_, x) => x && onAdd([x])} aria-describedby={describedBy}>
        <FormSelectOption value="" label={t('Add …')} />
        {options.map((x) => (
          <FormSelectOption key={x} value={x} label={x} />
        ))}
      </FormSelect>
    );
  }
  return (
    <span className="e-adder">
      <TextInput
        id={id}
        value={text}
        aria-label={label}
        placeholder={placeholder}
        onChange={(_, s) => setText(s)}
        onBlur={add}
        onKeyDown={(e) => {
          if (e.key !== 'Enter' || e.nativeEvent.isComposing) return;
          e.preventDefault();
          add();
        }}
        aria-describedby={describedBy}
        autoComplete="off"
        spellCheck={false}
        autoCapitalize="none"
      />
      <Button variant="secondary" onClick={add} isDisabled={text.trim() === ''} aria-label={label}>{t('Add')}</Button>
    </span>
  );
}

function List({ field, value, onChange, id, labelledBy, describedBy, locked }: ControlProps) {
  const items = Array.isArray(value) ? value.map(textOf) : value === undefined || value === null || value === '' ? [] : [textOf(value)];
  const rest = field.allowed && field.allowed.length > 0 ? field.allowed.filter((x) => !items.includes(x)) : undefined;
  return (
    <div className="g-stacked" role="group" aria-labelledby={labelledBy}>
      {items.length > 0 ? (
        <LabelGroup numLabels={20} aria-labelledby={labelledBy} expandedText={t('Show less')} collapsedText={t('{n} more', { n: items.length - 20 })}>
          {items.map((x, i) => {
            const s = /^\d+[smhdwy]$/.test(x) ? durationOf('duration', x) : undefined;
            return (
              <Label key={`${i}-${x}`} variant="outline" onClose={locked ? undefined : () => onChange(items.filter((_, k) => k !== i))} closeBtnAriaLabel={t('Remove {name}', { name: x })} title={s === undefined ? undefined : inWords(s)}>
                {x}
              </Label>
            );
          })}
        </LabelGroup>
      ) : (
        <span className="g-quiet">{t('Empty')}</span>
      )}
      <Adder id={id} label={t('Add to {name}', { name: field.name })} options={rest} onAdd={(more) => onChange([...items, ...more.filter((x) => !items.includes(x))])} locked={locked} describedBy={describedBy} />
    </div>
  );
}

/** defaultText is a default as it is told. */
export const defaultText = (v: unknown) => (Array.isArray(v) ? (v.length === 0 ? t('empty') : v.map(textOf).join(', ')) : typeof v === 'boolean' ? (v ? t('On') : t('Off')) : textOf(v));

/** Doc is what the form says of a field, with code in backquotes. */
export const Doc = ({ text }: { text: string }) => <span>{text.split('`').map((part, i) => (i % 2 === 1 ? <code key={i}>{part}</code> : part))}</span>;

/** Said is what the registry says of a value: in English, whatever the page speaks. */
export const Said = ({ text }: { text: string }) => <span lang="en"><Doc text={text} /></span>;

/** without is a block without a key. */
export function without(block: Config, key: string): Config {
  const { [key]: _, ...rest } = block;
  return rest;
}

const change = (block: Config, key: string, v: unknown) => (v === undefined ? without(block, key) : { ...block, [key]: v });

/** Keys are the inputs of a block. */
export function Keys({ keys, open, value, onChange, locked }: { keys: Field[]; open?: boolean; value: Config; onChange: (v: Config) => void; locked?: boolean }) {
  const known = keys.map((k) => k.name);
  const others = Object.keys(value).filter((k) => !known.includes(k));
  return (
    <div className="e-keys">
      {keys.filter((k) => !k.obsolete || value[k.name] !== undefined).map((k) => (
        <Key key={k.name} field={k} value={value[k.name]} onChange={(v) => onChange(change(value, k.name, v))} locked={locked} />
      ))}
      {others.map((k) => (
        <Key key={k} field={strange(k)} value={value[k]} onChange={(v) => onChange(change(value, k, v))} locked={locked} />
      ))}
      {open && !locked && <NewName label={t('Name of another key')} taken={Object.keys(value)} onAdd={(name) => onChange({ ...value, [name]: '' })} />}
    </div>
  );
}

/** strange is a field that the registry does not know: it is kept, and edited as JSON. */
export function strange(name: string): Field {
  return { name, group: '', section: 'other', kind: 'custom', doc: '', used: false, live: false, secret: false, required: false, later: false };
}

function Key({ field, value, onChange, locked }: { field: Field; value: unknown; onChange: (v: unknown) => void; locked?: boolean }) {
  const id = useId();
  const fault = faultOf(field, value);
  const [touched, setTouched] = useState(false);
  // An empty input that is needed is no mistake before somebody was there.
  const shown = fault && (touched || (value !== undefined && value !== '')) ? fault : undefined;
  const words = meaning(field, value);
  const group = isGroup(field) || (field.secret && value === masked);
  return (
    <div className="e-key" onBlur={() => setTouched(true)}>
      {group ? (
        <span className="e-key-name" id={`${id}-label`}>{field.name}{field.required && <Needed />}</span>
      ) : (
        <label className="e-key-name" id={`${id}-label`} htmlFor={id}>{field.name}{field.required && <Needed />}</label>
      )}
      <Control field={field} value={value} onChange={onChange} id={id} labelledBy={`${id}-label`} describedBy={`${id}-help`} wrong={shown !== undefined} locked={locked} />
      <div id={`${id}-help`} className="e-help">
        {shown && <div className="e-wrong" role="alert">{shown}</div>}
        {field.doc && <Doc text={field.doc} />}
        {words && <span className="e-words">{words}</span>}
        {field.default !== undefined && field.default !== '' && <span>{t('Default: {value}', { value: defaultText(field.default) })}</span>}
      </div>
    </div>
  );
}

const Needed = () => (
  <span className="e-needed">
    <span aria-hidden="true"> *</span>
    <span className="g-offscreen"> {t('(needed)')}</span>
  </span>
);

function Block({ field, value, onChange, id, labelledBy, locked }: ControlProps) {
  if (!isBlock(value)) {
    return value === undefined || value === null ? (
      <span>{locked ? <span className="g-quiet">{t('Not set')}</span> : <Button id={id} variant="secondary" size="sm" aria-describedby={labelledBy} onClick={() => onChange({})}>{t('Set up')}</Button>}</span>
    ) : (
      <Json field={field} value={value} onChange={onChange} id={id} labelledBy={labelledBy} locked={locked} />
    );
  }
  return (
    <div role="group" aria-labelledby={labelledBy} className="e-block">
      <Keys keys={field.keys ?? []} open={field.open} value={value} onChange={onChange} locked={locked} />
    </div>
  );
}

function Blocks({ field, value, onChange, id, labelledBy, locked }: ControlProps) {
  const list = Array.isArray(value) ? value : [];
  const put = (i: number, v: unknown) => onChange(list.map((x, k) => (k === i ? v : x)));
  return (
    <div role="group" aria-labelledby={labelledBy} className="g-stack">
      {list.map((x, i) => (
        <div key={i} className="e-block" role="group" aria-label={`${field.name} ${i + 1}`}>
          {isBlock(x) ? <Keys keys={field.keys ?? []} open={field.open} value={x} onChange={(v) => put(i, v)} locked={locked} /> : <Json field={strange(`${field.name} ${i + 1}`)} value={x} onChange={(v) => put(i, v)} id={`${id}-${i}`} labelledBy={labelledBy} locked={locked} />}
          {!locked && <Button variant="link" isInline onClick={() => onChange(list.filter((_, k) => k !== i))}>{t('Remove {name}', { name: `${field.name} ${i + 1}` })}</Button>}
        </div>
      ))}
      {!locked && <span><Button id={id} variant="secondary" size="sm" onClick={() => onChange([...list, {}])}>{t('Add one')}</Button></span>}
    </div>
  );
}

function Names({ field, value, onChange, id, labelledBy, locked }: ControlProps) {
  const all = isBlock(value) ? value : {};
  const item: Field = field.item ?? strange('');
  return (
    <div role="group" aria-labelledby={labelledBy} className="g-stack">
      {Object.entries(all).map(([name, v]) => (
        <div key={name} className="e-block">
          <Key field={{ ...item, name, doc: item.doc }} value={v} onChange={(x) => onChange({ ...all, [name]: x === undefined ? (item.kind === 'list' ? [] : '') : x })} locked={locked} />
          {!locked && <Button variant="link" isInline onClick={() => onChange(without(all, name))}>{t('Remove {name}', { name })}</Button>}
        </div>
      ))}
      {!locked && <NewName id={id} label={t('Name to add to {name}', { name: field.name })} taken={Object.keys(all)} onAdd={(name) => onChange({ ...all, [name]: item.kind === 'list' ? [] : item.kind === 'object' ? {} : '' })} />}
    </div>
  );
}

/** NewName asks for the name of something that is added. check says what is wrong with a name. */
export function NewName({ id, label, taken, onAdd, check, placeholder, action, clean }: { id?: string; label: string; taken: string[]; onAdd: (name: string) => void; check?: (name: string) => string | undefined; placeholder?: string; action?: string; clean?: (s: string) => string }) {
  const own = useId();
  const [text, setText] = useState('');
  const name = text.trim();
  const wrong = name === '' ? undefined : taken.includes(name) ? t('The name {name} is taken already.', { name }) : check?.(name);
  const add = () => {
    if (name === '' || wrong) return;
    onAdd(name);
    setText('');
  };
  return (
    <div>
      <span className="e-adder">
        <TextInput
          id={id ?? own}
          value={text}
          aria-label={label}
          placeholder={placeholder}
          onChange={(_, s) => setText(clean ? clean(s) : s)}
          onKeyDown={(e) => {
            if (e.key !== 'Enter' || e.nativeEvent.isComposing) return;
            e.preventDefault();
            add();
          }}
          validated={wrong ? 'error' : 'default'}
          aria-describedby={`${own}-help`}
          autoComplete="off"
          spellCheck={false}
          autoCapitalize="none"
        />
        <Button variant="secondary" onClick={add} isDisabled={name === '' || !!wrong}>{action ?? t('Add')}</Button>
      </span>
      <div id={`${own}-help`} className="e-help">{wrong && <div className="e-wrong" role="alert">{wrong}</div>}</div>
    </div>
  );
}

/** Json edits a value as its text in JSON. What is no JSON is not taken. */
export function Json({ field, value, onChange, id, describedBy, wrong, locked }: ControlProps) {
  const [text, setText] = useState(() => pretty(value));
  const [bad, setBad] = useState(false);
  useEffect(() => {
    setText((now) => (equal(parse(now), value) ? now : pretty(value)));
    setBad(false);
  }, [value]);
  return (
    <div className="g-stacked">
      <TextArea
        id={id}
        value={text}
        isDisabled={locked}
        rows={Math.min(14, Math.max(2, text.split('\n').length))}
        className="e-json"
        onChange={(_, s) => {
          setText(s);
          const v = s.trim() === '' ? undefined : parse(s);
          const broken = s.trim() !== '' && v === undefined;
          setBad(broken);
          if (!broken) onChange(v);
        }}
        validated={bad || wrong ? 'error' : 'default'}
        aria-invalid={bad || wrong || undefined}
        aria-describedby={describedBy}
        resizeOrientation="vertical"
        spellCheck={false}
      />
      {bad ? (
        <div className="e-help e-wrong" role="alert">{t('That is no JSON: the value before it stays. Texts are in double quotes.')}</div>
      ) : (
        <div className="e-help">{field.shape ? <>{t('As JSON:')} <code>{field.shape}</code></> : t('As JSON')}</div>
      )}
    </div>
  );
}

const pretty = (v: unknown) => (v === undefined ? '' : JSON.stringify(v, undefined, 2));

function parse(s: string): unknown {
  try {
    return JSON.parse(s) as unknown;
  } catch {
    return undefined;
  }
}

/** Box is a part of a section with a title of its own. */
export function Box({ title, text, children, tools }: { title: string; text?: ReactNode; children?: ReactNode; tools?: ReactNode }) {
  return (
    <section className="e-box" aria-label={title}>
      <div className="e-box-head">
        <h2 className="pf-v6-c-title pf-m-md">{title}</h2>
        {tools}
      </div>
      {text && <p className="g-quiet">{text}</p>}
      {children}
    </section>
  );
}
