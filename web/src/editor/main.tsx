import '../styles.css';
import './editor.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { startLanguage, t } from '../i18n';
import { startTheme } from '../ui/theme';
import { App } from './app';
import { load } from './load';

startTheme();

// What the first view needs is asked for before anything is drawn.
const first = load();
first.catch(() => undefined); // the page says what is wrong

// A page that was left open over an upgrade asks for a script that is gone.
addEventListener('vite:preloadError', () => location.reload());

void startLanguage().finally(() => {
  document.title = t('Configuration editor');
  createRoot(document.getElementById('root')!).render(
    <StrictMode>
      <App first={first} />
    </StrictMode>,
  );
});
