import { language, t } from '../i18n';

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** bytes writes a size: 1536 is "1.5 KiB". */
export function bytes(n: number | null | undefined): string {
  if (n == null) return '–';
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${n.toLocaleString(language(), { maximumFractionDigits: n < 10 && i > 0 ? 1 : 0 })} ${units[i]}`;
}

/** parseBytes reads "10 GiB", "1.5G" or "500"; NaN = it is no size. */
export function parseBytes(text: string): number {
  const m = /^\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?b)?\s*$/i.exec(text);
  if (!m) return NaN;
  const power = ' kmgtp'.indexOf((m[2] || ' ').toLowerCase());
  return Math.round(Number(m[1]) * 1024 ** power);
}

/** when reads a date of the API: RFC 2822, ISO, or seconds since 1970. */
export function when(v: string | number | null | undefined): Date | undefined {
  if (v == null || v === '') return undefined;
  const d = new Date(typeof v === 'number' ? v * 1000 : v);
  return Number.isNaN(d.getTime()) ? undefined : d;
}

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 365 * 86400],
  ['month', 30 * 86400],
  ['week', 7 * 86400],
  ['day', 86400],
  ['hour', 3600],
  ['minute', 60],
];

/** ago writes how far a time is from now: "2 hours ago", "in 3 days". */
export function ago(d: Date, now = Date.now()): string {
  const s = (d.getTime() - now) / 1000;
  const f = new Intl.RelativeTimeFormat(language(), { numeric: 'auto' });
  for (const [unit, size] of steps) if (Math.abs(s) >= size) return f.format(Math.trunc(s / size), unit);
  return t('just now');
}

/** exact writes a time in full, in the zone of the user. */
export function exact(d: Date): string {
  return d.toLocaleString(language(), { dateStyle: 'full', timeStyle: 'long' });
}

/** short is the beginning of a digest: "sha256:0123456789ab". */
export function short(digest: string): string {
  const [kind, hex] = digest.split(':');
  return hex ? `${kind}:${hex.slice(0, 12)}` : digest;
}

/** duration writes seconds as "14 days". */
export function duration(s: number): string {
  for (const [unit, size] of [['week', 604800], ['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]] as const)
    if (s >= size && s % size === 0)
      return (s / size).toLocaleString(language(), { style: 'unit', unit, unitDisplay: 'long' });
  return (0).toLocaleString(language(), { style: 'unit', unit: 'second', unitDisplay: 'long' });
}

/** left writes how long something still takes, as one says it: "2 min 5 s". */
export function left(s: number): string {
  const say = (n: number, unit: string) => n.toLocaleString(language(), { style: 'unit', unit, unitDisplay: 'short' });
  const at = Math.max(1, Math.round(s));
  if (at < 60) return say(at, 'second');
  if (at < 3600) return [say(Math.floor(at / 60), 'minute'), at < 600 && at % 60 > 0 && say(at % 60, 'second')].filter(Boolean).join(' ');
  if (at < 86400) return [say(Math.floor(at / 3600), 'hour'), at % 3600 >= 60 && say(Math.floor((at % 3600) / 60), 'minute')].filter(Boolean).join(' ');
  return say(Math.round(at / 86400), 'day');
}

const letters: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };

/** parseDuration reads "2w" into seconds; undefined = it is none. */
export function parseDuration(text: string): number | undefined {
  const m = /^(\d+)([smhdw])$/.exec(text);
  return m ? Number(m[1]) * letters[m[2]!]! : undefined;
}

/** firstLine is how a text in Markdown begins, without its marks. */
export function firstLine(text: string | null | undefined): string {
  return (text ?? '').trimStart().split('\n')[0]!.replace(/^[#>*\-\s]+/, '').slice(0, 120);
}
