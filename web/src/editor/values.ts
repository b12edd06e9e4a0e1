import { language, t } from '../i18n';
import { masked } from './patch';
import type { Field } from './types';

const seconds: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, y: 31_536_000 };
const units = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week', y: 'year' } as const;

/** durationOf reads "2w", or a bare number of the kind's own unit, into seconds; undefined = it is none. */
export function durationOf(kind: 'duration' | 'seconds' | 'minutes', text: string): number | undefined {
  const m = /^(\d{1,12})([smhdwy])$/.exec(text);
  if (m) return Number(m[1]) * seconds[m[2]!]!;
  if (kind === 'duration') return text === '0' ? 0 : undefined;
  return /^\d{1,12}(\.\d{1,6})?$/.test(text) ? Number(text) * (kind === 'minutes' ? 60 : 1) : undefined;
}

/** inWords writes seconds in the largest unit that divides them: "2 weeks". A year is none: it has 52 weeks and a day. */
export function inWords(s: number): string {
  for (const u of ['w', 'd', 'h', 'm'] as const) if (s >= seconds[u]! && s % seconds[u]! === 0) return unit(s / seconds[u]!, units[u]);
  return unit(s, 'second');
}

const unit = (n: number, name: string) => n.toLocaleString(language(), { style: 'unit', unit: name, unitDisplay: 'long' });

// sizeText is "20G", "10GiB", "1.5TB" or a number of bytes.
const sizeText = /^\d{1,16}(\.\d+)?\s*([kmgtp]i?)?b?$/i;

/** textOf is a value as it stands in an input. */
export const textOf = (v: unknown) => (v === undefined || v === null ? '' : typeof v === 'string' ? v : typeof v === 'object' ? JSON.stringify(v) : String(v));

/** boolOf reads what config.yaml takes for true and false; undefined = neither. */
export function boolOf(v: unknown): boolean | undefined {
  if (typeof v === 'boolean') return v;
  const s = textOf(v).toLowerCase();
  return ['true', 'yes', 'on', '1'].includes(s) ? true : ['false', 'no', 'off', '0'].includes(s) ? false : undefined;
}

/** valueOf is what is written for a text: a number where the field wants one and the text is one. undefined = nothing. */
export function valueOf(f: Field, text: string): unknown {
  const s = text.trim();
  switch (f.kind) {
    case 'int':
    case 'seconds':
    case 'minutes':
    case 'size':
      return s === '' ? undefined : /^-?\d{1,15}$/.test(s) ? Number(s) : s;
    case 'float':
      return s === '' ? undefined : /^-?\d{1,15}(\.\d{1,15})?$/.test(s) ? Number(s) : s;
    case 'duration':
      return s === '' ? undefined : s;
  }
  return text === '' ? undefined : text;
}

/** faultOf is what is plainly wrong with a value; the server knows the rest. undefined = nothing is. */
export function faultOf(f: Field, v: unknown): string | undefined {
  if (v === undefined || v === null || v === '') return f.required ? t('This is needed') : undefined;
  if (v === masked) return undefined;
  const text = textOf(v).trim();
  const { min, max } = f;
  const outside = (n: number) => {
    if (min !== undefined && n < min) return max ? t('From {min} to {max}', { min, max }) : t('At least {min}', { min });
    return max && n > max ? t('From {min} to {max}', { min: min ?? 0, max }) : undefined;
  };
  switch (f.kind) {
    case 'text':
      return f.allowed && f.allowed.length > 0 && !f.allowed.includes(text) ? t('One of {list}', { list: f.allowed.join(', ') }) : undefined;
    case 'bool':
      return boolOf(v) === undefined ? t('True or false') : undefined;
    case 'int':
      return /^-?\d+$/.test(text) ? outside(Number(text)) : t('A whole number');
    case 'float':
      return /^-?\d+(\.\d+)?$/.test(text) ? outside(Number(text)) : t('A number');
    case 'duration':
      return durationOf('duration', text) === undefined ? t('A number and a unit, such as 30m, 12h or 2w (s, m, h, d, w, y)') : undefined;
    case 'seconds':
    case 'minutes': {
      const n = durationOf(f.kind, text);
      if (n === undefined) return f.kind === 'seconds' ? t('A number of seconds, or a number and a unit such as 30m or 12h') : t('A number of minutes, or a number and a unit such as 30m or 12h');
      return outside(f.kind === 'minutes' ? n / 60 : n);
    }
    case 'size':
      return !sizeText.test(text) ? t('A number of bytes, or a number and a unit such as 20G or 512MiB') : undefined;
    case 'list':
      if (!Array.isArray(v)) return typeof v === 'string' ? undefined : t('A list');
      return v.length > 0 && f.allowed && f.allowed.length > 0 && v.some((x) => !f.allowed!.includes(textOf(x))) ? t('One of {list}', { list: f.allowed.join(', ') }) : undefined;
  }
  return undefined;
}

/** meaning says a value in words, where that helps: "2w" is "2 weeks". '' = it does not. */
export function meaning(f: Field, v: unknown): string {
  const text = textOf(v).trim();
  if (text === '' || v === masked) return '';
  if (f.kind === 'duration' || f.kind === 'seconds' || f.kind === 'minutes') {
    const s = durationOf(f.kind, text);
    return s === undefined ? '' : inWords(s);
  }
  if (f.kind === 'size' && /^\d+$/.test(text)) {
    const n = Number(text);
    return n >= 1024 ? bytesInWords(n) : '';
  }
  return '';
}

function bytesInWords(n: number): string {
  let i = 0;
  for (; n >= 1024 && i < 5; i++) n /= 1024;
  return `${n.toLocaleString(language(), { maximumFractionDigits: 1 })} ${['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'][i]}`;
}
