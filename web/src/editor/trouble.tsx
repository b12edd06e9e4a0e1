import { Alert, Button } from '@patternfly/react-core';
import { Component, type ReactNode } from 'react';
import { Problem } from '../api/client';
import { t } from '../i18n';

/** titled is what a failure is called. The server's message says what to do. */
export function titled(err: unknown): { title: string; text: string } {
  if (!(err instanceof Problem)) return { title: t('Something broke in this page'), text: err instanceof Error ? err.message : String(err) };
  const text = err.message;
  switch (err.status) {
    case 0:
      return { title: t('The editor does not answer'), text: t('Look at your network, then try again. Nothing was lost.') };
    case 401:
      return { title: t('You are not signed in'), text: t('Sign in to go on where you are. Nothing that you have typed is lost.') };
    case 403:
      return { title: t('This may not be changed here'), text };
    case 404:
      return { title: t('There is no such thing'), text };
    case 412:
      return { title: t('Somebody else was faster'), text };
    case 413:
      return { title: t('That is too large'), text };
    case 422:
      return { title: t('The configuration is not valid'), text };
    case 429:
      return { title: t('Too many requests'), text: t('Try again in {n} second.|Try again in {n} seconds.', { n: err.retryAfter || 30 }) };
  }
  return { title: err.status >= 500 ? t('The editor has a problem') : t('This cannot be done'), text };
}

/** Trouble shows a failure. */
export function Trouble({ error, onAgain }: { error: unknown; onAgain?: () => void }) {
  if (!error) return null;
  const { title, text } = titled(error);
  return (
    <Alert isInline variant="danger" title={title} role="alert" actionLinks={onAgain && <Button variant="link" isInline onClick={onAgain}>{t('Try again')}</Button>}>
      {text}
    </Alert>
  );
}

/** Guard keeps a part that breaks from taking the page, and what was typed in it, along. */
export class Guard extends Component<{ children: ReactNode }, { error?: unknown }> {
  override state: { error?: unknown } = {};
  static getDerivedStateFromError(error: unknown) {
    return { error };
  }
  override render() {
    return this.state.error === undefined ? this.props.children : <Trouble error={this.state.error} onAgain={() => this.setState({ error: undefined })} />;
  }
}
