import './styles.css';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { firstBoot, firstUser } from './api/boot';
import { Problem, session } from './api/client';
import { code, codeOf } from './code';
import { startLanguage } from './i18n';
import { router } from './router';
import { ProblemPage } from './ui/problem';
import { startTheme } from './ui/theme';

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      refetchOnWindowFocus: true,
      // What was refused stays refused; what did not arrive may yet.
      retry: (failures, err) => failures < 2 && err instanceof Problem && (err.status === 0 || err.status >= 502),
      retryDelay: (n) => 500 * 2 ** n,
    },
  },
});

const root = createRoot(document.getElementById('root')!);

async function start() {
  startTheme();
  for (const name of codeOf(location.pathname, new URLSearchParams(location.search).get('tab'))) void code[name]().catch(() => undefined); // the router asks again
  try {
    const [, boot, user] = await Promise.all([startLanguage(), firstBoot(), firstUser()]);
    client.setQueryData(['boot'], boot);
    client.setQueryData(['user'], user);
    session.signedIn = user !== null;
    document.title = boot.config.REGISTRY_TITLE ?? 'Gantry';
    root.render(
      <StrictMode>
        <QueryClientProvider client={client}>
          <RouterProvider router={router} context={{ client }} />
        </QueryClientProvider>
      </StrictMode>,
    );
  } catch (err) {
    root.render(<ProblemPage error={err} onAgain={() => void start()} />);
  }
}

// A page that was left open over an upgrade asks for a script that is gone.
addEventListener('vite:preloadError', () => location.reload());

void start();
