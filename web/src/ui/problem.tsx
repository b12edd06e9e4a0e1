import { Alert, Button, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter } from '@patternfly/react-core';
import { ExclamationCircleIcon } from '@patternfly/react-icons/dist/esm/icons/exclamation-circle-icon';
import { LockIcon } from '@patternfly/react-icons/dist/esm/icons/lock-icon';
import { SearchIcon } from '@patternfly/react-icons/dist/esm/icons/search-icon';
import { Problem } from '../api/client';
import { t } from '../i18n';

// known are details of the server that people meet often, in the language of the page. Others stay as the server says them.
const known: [RegExp, (m: RegExpExecArray) => string][] = [
  [/^(Username is already in use|Username has already been taken): (.+)$/, (m) => t('The name {name} is taken already.', { name: m[2]! })],
  [/^(Email has already been used|E-mail address already used): (.+)$/, (m) => t('The address {name} is used already.', { name: m[2]! })],
  [/^Email domain is not allowed/, () => t('Addresses of that domain are not allowed on this registry.')],
  [/^Invalid username: (.+)$/s, (m) => t('That name is not allowed: {detail}', { detail: m[1]! })],
  [/^Not Found: the feature is off on this registry \((\w+)\)/, (m) => t('That is switched off on this registry ({name}).', { name: m[1]! })],
  [/^Not Found$/, () => t('It is not there.')],
  [/^Unauthorized$/, () => t('You have no role that allows this.')],
  [/^there is no tag (.+) in this repository/, (m) => t('There is no tag {tag} in this repository.', { tag: m[1]! })],
  [/^(User|Team) does not have permission for repo/, () => t('There is no such role in the repository.')],
  [/^the robot is used by the mirror of (.+?);/, (m) => t('The mirror of {repo} writes as this robot: give it another one first.', { repo: m[1]! })],
  [/^the mirror of this repository is that of its organization/, () => t('The mirror of the organization made it, and says what it copies.')],
  [/^the organization mirrors another registry/, () => t('The organization is a mirror: nobody makes repositories in it.')],
  [/^external_registry_password must be given again/, () => t('Another registry needs its password again.')],
  [/^Proxy Cache Configuration already exists/, () => t('The organization is a proxy cache already.')],
  [/^tag .+ has an expiration/, () => t('The tag expires: take that away first.')],
  [/^an equal job waits or runs already/, () => t('An equal job waits or runs already.')],
  [/^the job has ended already/, () => t('The job has ended already.')],
  [/^the user is the only admin of (.+)/, (m) => t('Nobody else administers {name}.', { name: m[1]! })],
  [/^The request's body could not be read/, () => t('The request did not arrive whole: try again.')],
  [/^(.+) answered 401: the user name or the password is wrong/, (m) => t('{host} does not take the user name or the password.', { host: m[1]! })],
  [/^There is no group (.+) in the directory$/, (m) => t('There is no group {name}.', { name: m[1]! })],
  [/^group_dn must be the distinguished name/, () => t('That is no distinguished name of a group.')],
  [/^internal error$/, () => t('Its log says more.')],
];

/** inWords is a detail of the server in the language of the page, where the page knows it. */
export function inWords(detail: string): string {
  for (const [pattern, say] of known) {
    const m = pattern.exec(detail);
    if (m) return say(m);
  }
  return detail;
}

/** told is what went wrong and what to do, in one title and one sentence. */
export function told(err: unknown): { title: string; text: string; id: string; again: boolean } {
  if (!(err instanceof Problem)) {
    return { title: t('Something broke in this page'), text: err instanceof Error ? err.message : String(err), id: '', again: true };
  }
  const id = err.id;
  const detail = inWords(err.message);
  switch (true) {
    case err.status === 0:
      return { title: t('The registry does not answer'), text: t('Look at your network, then try again. Nothing was lost.'), id, again: true };
    case err.status === 401:
      return { title: t('You are not signed in'), text: t('Sign in, then open this page again.'), id, again: false };
    case err.status === 403:
      return { title: t('You may not see this, or it is not there'), text: t('Ask an administrator of the namespace for a role. ({detail})', { detail }), id, again: false };
    case err.status === 404:
      return { title: t('There is no such thing'), text: detail, id, again: false };
    case err.type === 'tag_immutable':
      return { title: t('The tag is immutable'), text: t('Nobody can move, delete or expire it until an administrator of the repository lets it change.'), id, again: false };
    case err.status === 409:
      return { title: t('Somebody else was faster'), text: t('It changed meanwhile: look at it again. ({detail})', { detail }), id, again: true };
    case err.status === 429:
      return { title: t('Too many requests'), text: t('Try again in {n} second.|Try again in {n} seconds.', { n: err.retryAfter || 30 }), id, again: true };
    case err.type === 'read_only':
      return { title: t('The registry is read-only at the moment'), text: t('Pulls work; changes have to wait until an administrator ends this.'), id, again: true };
    case err.status >= 500:
      return { title: t('The registry has a problem'), text: t('Try again in a moment. If it stays, tell an administrator. ({detail})', { detail }), id, again: true };
  }
  return { title: t('This cannot be done'), text: detail, id, again: false };
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
