import { AdjustIcon } from '@patternfly/react-icons/dist/esm/icons/adjust-icon';
import { GlobeIcon } from '@patternfly/react-icons/dist/esm/icons/globe-icon';
import { useState } from 'react';
import { changeLanguage, language, languages, t, type Language } from '../i18n';
import { Menu } from './menu';
import { changeTheme, theme } from './theme';

/** Logo is Gantry's mark. */
export function Logo() {
  return (
    <svg viewBox="0 0 32 32" className="g-logo" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#0d5bb5" />
      <path d="M5 9h22M8 9v16M24 9v16M16 9v5" fill="none" stroke="#fff" strokeWidth="2.4" strokeLinecap="round" />
      <rect x="11.5" y="14" width="9" height="7" rx="1.2" fill="#fff" />
    </svg>
  );
}

/** LanguageMenu chooses the language of the page. */
export function LanguageMenu() {
  return (
    <Menu
      label={t('Language')}
      variant="plainText"
      toggle={
        <span className="g-row">
          <GlobeIcon aria-hidden="true" /> <span className="g-wide-inline">{languages[language()].name}</span>
          <span className="g-offscreen">{t('Language')}</span>
        </span>
      }
      items={Object.entries(languages).map(([k, l]) => ({ label: l.name, onClick: () => changeLanguage(k as Language) }))}
    />
  );
}

/** ThemeMenu chooses between light and dark. */
export function ThemeMenu() {
  const [now, setNow] = useState(theme());
  const set = (to: typeof now) => () => (changeTheme(to), setNow(to));
  const mark = (x: typeof now, label: string) => (now === x ? `${label} ✓` : label);
  return (
    <Menu
      label={t('Appearance')}
      variant="plain"
      toggle={
        <>
          <AdjustIcon aria-hidden="true" />
          <span className="g-offscreen">{t('Appearance')}</span>
        </>
      }
      items={[
        { label: mark('system', t('As the system')), onClick: set('system') },
        { label: mark('light', t('Light')), onClick: set('light') },
        { label: mark('dark', t('Dark')), onClick: set('dark') },
      ]}
    />
  );
}
