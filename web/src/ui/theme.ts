export type Theme = 'system' | 'light' | 'dark';

const kept = 'gantry-theme';
const dark = matchMedia('(prefers-color-scheme: dark)');

/** theme is the kept choice. */
export function theme(): Theme {
  const v = localStorage.getItem(kept);
  return v === 'light' || v === 'dark' ? v : 'system';
}

function show() {
  const on = theme() === 'dark' || (theme() === 'system' && dark.matches);
  document.documentElement.classList.toggle('pf-v6-theme-dark', on);
  document.documentElement.style.colorScheme = on ? 'dark' : 'light';
}

/** startTheme shows the theme, and follows the system's. */
export function startTheme() {
  show();
  dark.addEventListener('change', show);
}

export function changeTheme(to: Theme) {
  if (to === 'system') localStorage.removeItem(kept);
  else localStorage.setItem(kept, to);
  show();
}
