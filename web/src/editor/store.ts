import { createContext, useContext } from 'react';
import { strange } from './controls';
import { count, equal, patchOf, topOf, type Changes, type Foreign } from './patch';
import type { Bundle, Config, Fault, Field, Form, Own, Patch, Rollout, Section, State } from './types';
import { faultOf } from './values';

/** loginPattern stands in the form for every provider of OpenID Connect. */
export const loginPattern = '<NAME>_LOGIN_CONFIG';

/** Loaded is what the server has. */
export type Loaded = { form: Form; state: State; bundle: Bundle };

/** Notice is what the last action came to. */
export type Notice = { variant: 'success' | 'warning' | 'info'; title: string; text?: string };

/** An Index finds fields and sections of a form. */
export type Index = {
  fields: Map<string, Field>;
  /** sections have the fields that are shown there: those of the form, and at the end those that it does not know. */
  sections: Section[];
  sectionOf: Map<string, string>;
};

/** isLogin tells the fields of providers of OpenID Connect. */
export const isLogin = (name: string) => /^[A-Z0-9_]+_LOGIN_CONFIG$/.test(name) && name !== 'GITHUB_LOGIN_CONFIG' && name !== 'GOOGLE_LOGIN_CONFIG';

/** indexOf makes the index of a form; also are names of a configuration, which the form may not know. */
export function indexOf(form: Form, also: Iterable<string>): Index {
  const fields = new Map(form.fields.map((f) => [f.name, f]));
  const sections = form.sections.map((s) => ({ ...s, fields: [...s.fields] }));
  const sectionOf = new Map<string, string>();
  for (const s of sections) for (const name of s.fields) if (!sectionOf.has(name)) sectionOf.set(name, s.id);
  const login = fields.get(loginPattern);
  const last = sections.at(-1);
  for (const name of also) {
    if (fields.has(name)) {
      if (!sectionOf.has(name) && last) {
        last.fields.push(name);
        sectionOf.set(name, last.id);
      }
      continue;
    }
    const home = login && isLogin(name) ? sectionOf.get(loginPattern) : undefined;
    fields.set(name, home ? { ...login!, name } : strange(name));
    const s = sections.find((x) => x.id === home) ?? last;
    if (!s) continue;
    sectionOf.set(name, s.id);
    if (s.id !== home) s.fields.push(name);
  }
  return { fields, sections, sectionOf };
}

export type Editor = Loaded &
  Index & {
    changes: Changes;
    /** faults are what the server last had against the changes, without those of fields that changed since. */
    faults: Fault[];
    foreign: Foreign[];
    notice?: Notice;
    rollout?: Rollout;
    set: (name: string, value: unknown) => void;
    setCert: (name: string, value: string | null | undefined) => void;
    setManaged: (component: string, managed: boolean) => void;
    /** undo takes back what was done to a field. */
    undo: (name: string) => void;
    discard: () => void;
    setFaults: (faults: Fault[]) => void;
    setNotice: (n?: Notice) => void;
    /** reload reads the server again and puts the changes on top. */
    reload: (state?: State) => Promise<void>;
    /** saved is to be called with the state that a save came to: nothing is changed any more. */
    saved: (state: State, notice: Notice, keep?: boolean) => Promise<void>;
    say: (title: string) => void;
    confirm: (c: Confirm) => void;
    signOut: () => void;
  };

/** A Confirm asks before something is done. */
export type Confirm = { title: string; text: string; action: string; danger?: boolean; submit: () => Promise<unknown> };

export const Context = createContext<Editor | null>(null);

export function useEditor(): Editor {
  const e = useContext(Context);
  if (!e) throw new Error('useEditor outside of the editor');
  return e;
}

/** taken tells a field whose value is that of a component which is taken over: the operator's value, and its password, stay with the operator. */
export const taken = (state: State, manage: Changes['manage'], name: string): boolean => state.source[name] === 'operator' && state.managed.some((m) => m.fields.includes(name) && manage[m.component] === false);

/** valueIn is the value of a field with the changes. */
export function valueIn(e: Pick<Editor, 'changes' | 'bundle' | 'fields' | 'state'>, name: string): unknown {
  if (!(name in e.changes.fields)) return taken(e.state, e.changes.manage, name) ? e.fields.get(name)?.default : e.bundle['config.yaml'][name];
  return e.changes.fields[name] === null ? e.fields.get(name)?.default : e.changes.fields[name];
}

/** changed puts a value among the changes; undefined = the field's default. */
export function changed(fields: Config, base: Config, written: readonly string[], name: string, value: unknown): Config {
  const { [name]: _, ...rest } = fields;
  if (value === undefined) return written.includes(name) ? { ...rest, [name]: null } : rest;
  return equal(value, base[name]) ? rest : { ...rest, [name]: value };
}

export const patchNow = (e: Editor): Patch => patchOf(e.changes, e.bundle['config.yaml'], e.state.written);

export const dirty = (e: Editor) => count(e.changes) > 0;

/** lockOf is the component of the operator that has a field, as the changes have it: without those that are taken over, with those that are handed back. */
export const lockOf = (e: Pick<Editor, 'state' | 'changes'>, name: string): string | undefined =>
  (e.state.managed.find((m) => m.fields.includes(name) && e.changes.manage[m.component] !== false) ?? e.state.own.find((o) => o.fields.includes(name) && e.changes.manage[o.component] === true))?.component;

/** leaving are the fields of the configuration that a component takes with it when it is handed back. */
export const leaving = (state: State, o: Own): string[] => [...o.fields, ...o.related].filter((n) => state.written.includes(n));

/** managed puts it among the changes whether the operator is to run a component. What was changed of its fields before goes: they are another's then, or as they were. */
export function managed(changes: Changes, state: State, component: string, on: boolean): Changes {
  const own = state.own.find((o) => o.component === component);
  const { [component]: _, ...manage } = changes.manage;
  const fields = { ...changes.fields };
  if (!own) {
    if (on) for (const n of state.managed.find((m) => m.component === component)?.fields ?? []) delete fields[n];
    return { ...changes, fields, manage: on ? manage : { ...manage, [component]: false } };
  }
  for (const n of [...own.fields, ...own.related]) delete fields[n];
  if (on) for (const n of leaving(state, own)) fields[n] = null;
  return { ...changes, fields, manage: on ? { ...manage, [component]: true } : manage };
}

/** asked are the components among the changes that are not yet as they are to be. */
export const asked = (manage: Changes['manage'], state: State): Changes['manage'] =>
  Object.fromEntries(Object.entries(manage).filter(([c, on]) => (on ? state.own : state.managed).some((x) => x.component === c)));

/** faultsAt are the errors and warnings at a field: the page's own, and those of the server. */
export function faultsAt(e: Editor, name: string): Fault[] {
  const field = e.fields.get(name);
  const own = field && name in e.changes.fields && e.changes.fields[name] !== null ? faultOf(field, e.changes.fields[name]) : undefined;
  const theirs = e.faults.filter((f) => topOf(f.field) === name && (f.severity === 'error' || f.severity === 'warning'));
  // The server says it better.
  return own && !theirs.some((f) => f.severity === 'error') ? [{ severity: 'error', group: '', field: name, file: '', line: 0, message: own }, ...theirs] : theirs;
}

/** isFile tells a problem that is about a certificate or key. */
export const isFile = (f: Fault) => f.field === '' && f.file !== '' && !/config\.(yaml|json)$/.test(f.file);

/** certSection is where certificates are managed. */
export const certSection = (sections: Section[]) => sections.find((s) => /cert/.test(s.id)) ?? sections[0];

/** marksOf is what the navigation says of a section. */
export function marksOf(e: Editor, s: Section): { errors: number; changed: number; locked: boolean; environment: boolean } {
  const files = certSection(e.sections)?.id === s.id;
  const names = [...new Set([...s.fields, ...[...Object.keys(e.changes.fields), ...e.faults.map((f) => topOf(f.field))].filter((n) => e.sectionOf.get(n) === s.id)])];
  let errors = files ? e.faults.filter((f) => f.severity === 'error' && isFile(f)).length : 0;
  for (const n of names) errors += faultsAt(e, n).filter((f) => f.severity === 'error').length;
  return {
    errors,
    changed: names.filter((n) => n in e.changes.fields).length + (files ? Object.keys(e.changes.certs).length : 0),
    locked: names.some((n) => lockOf(e, n)),
    environment: names.some((n) => e.state.source[n] === 'environment'),
  };
}

/** found are the fields that a filter finds, those by name first. */
export function found(e: Pick<Index, 'fields' | 'sections'>, filter: string): Field[] {
  const words = filter.toLowerCase().split(/[\s_]+/).filter((w) => w !== '');
  if (words.length === 0) return [];
  const byName: Field[] = [];
  const byText: Field[] = [];
  for (const f of e.fields.values()) {
    if (f.name === loginPattern) continue;
    const name = f.name.toLowerCase();
    if (words.every((w) => name.includes(w))) byName.push(f);
    else {
      const text = `${name} ${f.doc} ${(f.keys ?? []).map((k) => k.name).join(' ')}`.toLowerCase();
      if (words.every((w) => text.includes(w))) byText.push(f);
    }
  }
  return [...byName, ...byText];
}
