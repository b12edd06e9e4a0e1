import { getConfig, getForm, getState } from './api';
import { formTexts, translated } from './language';
import type { Loaded } from './store';

/** load gets what the page is made of. A session that has ended is for the caller to see. */
export async function load(): Promise<Loaded> {
  const [bundle, state, form, texts] = await Promise.all([getConfig({ quiet: true }), getState({ quiet: true }), getForm({ quiet: true }), formTexts()]);
  return { bundle, state, form: translated(form, texts) };
}
