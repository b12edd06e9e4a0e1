import { useSyncExternalStore } from 'react';

/** A Place is what the address says after its #. */
export type Place = { page: 'section'; section: string; field: string } | { page: 'review' } | { page: 'history' };

/** placeOf reads "#/time-machine", "#/time-machine/DEFAULT_TAG_EXPIRATION", "#/review"; section '' is the first one. */
export function placeOf(hash: string): Place {
  const parts = hash.replace(/^#\/?/, '').split('/').map(decoded);
  if (parts[0] === 'review' || parts[0] === 'history') return { page: parts[0] };
  return { page: 'section', section: parts[0] ?? '', field: parts[1] ?? '' };
}

const decoded = (s: string) => {
  try {
    return decodeURIComponent(s);
  } catch {
    return '';
  }
};

/** addressOf is the address of a section, or of a field in it. */
export const addressOf = (section: string, field = '') => `#/${encodeURIComponent(section)}${field ? `/${encodeURIComponent(field)}` : ''}`;

let last = '';
let moved = false;

/** hasMoved is whether another place was open before this one. */
export const hasMoved = () => moved;

// A # without a slash, as a link to the content has, is no place.
const now = () => (location.hash === '' || location.hash.startsWith('#/') ? (last = location.hash) : last);

/** usePlace is the address's place, as it is now. */
export const usePlace = (): string =>
  useSyncExternalStore((on) => {
    const heard = () => {
      moved = true;
      on();
    };
    addEventListener('hashchange', heard);
    return () => removeEventListener('hashchange', heard);
  }, now);

/** go opens a place. */
export function go(address: string) {
  location.hash = address;
}
