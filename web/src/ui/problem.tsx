import { Alert, Button, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter } from '@patternfly/react-core';
import { ExclamationCircleIcon } from '@patternfly/react-icons/dist/esm/icons/exclamation-circle-icon';
import { LockIcon } from '@patternfly/react-icons/dist/esm/icons/lock-icon';
import { SearchIcon } from '@patternfly/react-icons/dist/esm/icons/search-icon';
import { Problem } from '../api/client';
import { t } from '../i18n';

/** told is what went wrong and what to do, in one title and one sentence. */
export function told(err: unknown): { title: string; text: string; id: string; again: boolean } {
  if (!(err instanceof Problem)) {
    return { title: t('Something broke in this page'), text: err instanceof Error ? err.message : String(err), id: '', again: true };
  }
  const id = err.id;
  switch (true) {
    case err.status === 0:
      return { title: t('The registry does not answer'), text: t('Look at your network, then try again. Nothing was lost.'), id, again: true };
    case err.status === 401:
      return { title: t('You are not signed in'), text: t('Sign in, then open this page again.'), id, again: false };
    case err.status === 403:
      return { title: t('You may not see this, or it is not there'), text: t('Ask an administrator of the namespace for a role. ({detail})', { detail: err.message }), id, again: false };
    case err.status === 404:
      return { title: t('There is no such thing'), text: err.message, id, again: false };
    case err.status === 409:
      return { title: t('Somebody else was faster'), text: t('It changed meanwhile: look at it again. ({detail})', { detail: err.message }), id, again: true };
    case err.status === 429:
      return { title: t('Too many requests'), text: t('Try again in {n} second.|Try again in {n} seconds.', { n: err.retryAfter || 30 }), id, again: true };
    case err.type === 'read_only':
      return { title: t('The registry is read-only at the moment'), text: t('Pulls work; changes have to wait until an administrator ends this.'), id, again: true };
    case err.status >= 500:
      return { title: t('The registry has a problem'), text: t('Try again in a moment. If it stays, tell an administrator. ({detail})', { detail: err.message }), id, again: true };
  }
  return { title: t('This cannot be done'), text: err.message, id, again: false };
}

/** ProblemAlert shows a failure inside of a form or a page. */
export function ProblemAlert({ error, onAgain }: { error: unknown; onAgain?: () => void }) {
  if (!error) return null;
  const p = told(error);
  return (
    <Alert isInline variant="danger" title={p.title} role="alert" actionLinks={onAgain && p.again && <Button variant="link" isInline onClick={onAgain}>{t('Try again')}</Button>}>
      {p.text}
      {p.id && <div className="g-quiet">{t('Request {id}', { id: p.id })}</div>}
    </Alert>
  );
}

/** ProblemPage stands in place of what could not be shown. */
export function ProblemPage({ error, onAgain }: { error: unknown; onAgain?: () => void }) {
  const p = told(error);
  const status = error instanceof Problem ? error.status : -1;
  const icon = status === 401 || status === 403 ? LockIcon : status === 404 ? SearchIcon : ExclamationCircleIcon;
  return (
    <EmptyState titleText={p.title} headingLevel="h2" icon={icon} status={status === 404 || status === 403 ? undefined : 'danger'}>
      <EmptyStateBody>
        <span role="alert">{p.text}</span>
        {p.id && <div className="g-quiet">{t('Request {id}', { id: p.id })}</div>}
      </EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          {onAgain && p.again && <Button onClick={onAgain}>{t('Try again')}</Button>}
          {status === 401 && (
            <Button component="a" href={`/signin?next=${encodeURIComponent(location.pathname + location.search)}`}>
              {t('Sign in')}
            </Button>
          )}
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}
