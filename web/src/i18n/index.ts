import type { ko } from './ko';

/** A Text is an English sentence that the catalogues translate. "{x}" stands for a value; "one|many" is chosen by n. */
export type Text = keyof typeof ko;
export type Catalogue = Record<Text, string>;
export type Values = Record<string, string | number>;

/** languages are those that the console speaks. A new one is a catalogue and a line here. */
export const languages = {
  en: { name: 'English', load: undefined },
  ko: { name: '한국어', load: async (): Promise<Catalogue> => (await import('./ko')).ko },
} as const;

export type Language = keyof typeof languages;

const kept = 'gantry-language';

const isLanguage = (s: string | null | undefined): s is Language => s != null && Object.hasOwn(languages, s);

/** chooseLanguage is the kept one, else the first of the browser's that there is, else English. */
export function chooseLanguage(stored: string | null, wanted: readonly string[]): Language {
  if (isLanguage(stored)) return stored;
  for (const w of wanted) {
    const short = w.split('-')[0]?.toLowerCase();
    if (isLanguage(short)) return short;
  }
  return 'en';
}

let current: Language = 'en';
let catalogue: Catalogue | undefined;

export const language = () => current;

/** wantedLanguage is what the page is or will be in: it is known before its texts are there. */
export const wantedLanguage = () => chooseLanguage(localStorage.getItem(kept), navigator.languages);

/** startLanguage is to be awaited before anything is shown. */
export async function startLanguage(): Promise<void> {
  await useLanguage(wantedLanguage());
}

/** useLanguage loads a catalogue, without keeping the choice. */
export async function useLanguage(l: Language): Promise<void> {
  catalogue = await languages[l].load?.();
  current = l;
  if (typeof document !== 'undefined') document.documentElement.lang = l;
}

/** changeLanguage keeps a choice and shows the page in it. */
export function changeLanguage(l: Language) {
  localStorage.setItem(kept, l);
  location.reload();
}

/** fill puts values in a text and chooses between its forms for one and many. */
export function fill(text: string, values: Values = {}): string {
  const forms = text.split('|');
  const form = forms.length === 2 ? forms[values.n === 1 ? 0 : 1]! : text;
  return form.replace(/\{(\w+)\}/g, (whole, key: string) => {
    const v = values[key];
    return v === undefined ? whole : typeof v === 'number' ? v.toLocaleString(current) : v;
  });
}

/** t is a text in the language of the page. */
export function t(text: Text, values?: Values): string {
  return fill(catalogue?.[text] ?? text, values);
}
