import { t } from '../i18n';
import { parseDuration } from './format';

/** every writes seconds as people type them: 86400 is "1d". */
export function every(seconds: number): string {
  for (const [letter, size] of [['w', 604800], ['d', 86400], ['h', 3600], ['m', 60]] as const) if (seconds >= size && seconds % size === 0) return `${seconds / size}${letter}`;
  return `${seconds}s`;
}

/** interval is what is wrong with a time such as 6h. */
export const interval = (v: string) => ((parseDuration(v.trim()) ?? 0) > 0 ? undefined : t('A time such as 30m, 6h or 1d'));
