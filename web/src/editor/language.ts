import { wantedLanguage, type Language } from '../i18n';
import type { Field, Form } from './types';

/** Texts are by the English ones that the server's form has. */
export type Texts = Record<string, string>;

// The form's own catalogues: they are large, and of no use outside of the editor. A test of internal/config/edit holds them to the form.
const catalogues: Record<Exclude<Language, 'en'>, () => Promise<Texts>> = {
  ko: async () => (await import('./form.ko.json')).default,
};

/** formTexts loads the texts of a form in the language of the page; undefined = the form is in it already. */
export async function formTexts(): Promise<Texts | undefined> {
  const l = wantedLanguage();
  return l === 'en' ? undefined : catalogues[l]();
}

/** translated is a form with the texts that people read in another language; names and values stay. */
export function translated(form: Form, texts: Texts | undefined): Form {
  if (!texts) return form;
  const say = (s: string) => (Object.hasOwn(texts, s) ? texts[s]! : s);
  const sayIf = (s: string | undefined) => (s === undefined ? undefined : say(s));
  const field = (f: Field): Field => ({ ...f, group: say(f.group), doc: say(f.doc), shape: sayIf(f.shape), obsolete: sayIf(f.obsolete), keys: f.keys?.map(field), item: f.item && field(f.item) });
  return {
    sections: form.sections.map((s) => ({ ...s, title: say(s.title) })),
    fields: form.fields.map(field),
    engines: form.engines.map((e) => ({ ...e, title: say(e.title), keys: e.keys.map(field) })),
  };
}
