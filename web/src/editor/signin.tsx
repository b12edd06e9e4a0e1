import { Alert, Button, Form, FormGroup, Modal, ModalBody, ModalFooter, ModalHeader, TextInput } from '@patternfly/react-core';
import { useState, type FormEvent } from 'react';
import { Problem } from '../api/client';
import { t } from '../i18n';
import { signIn } from './api';
import { Trouble } from './trouble';

function useSignIn(done: () => void) {
  const [name, setName] = useState('quayconfig');
  const [password, setPassword] = useState('');
  const [seen, setSeen] = useState(false);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const submit = (e: FormEvent) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(undefined);
    signIn(name.trim(), password)
      .then(done, (err: unknown) => {
        setError(err);
        document.getElementById('signin-password')?.focus();
      })
      .finally(() => setBusy(false));
  };
  const wrong = error instanceof Problem && error.status === 401;
  const body = (
    <>
      <FormGroup label={t('User name')} fieldId="signin-name">
        <TextInput id="signin-name" value={name} onChange={(_, s) => setName(s)} autoComplete="username" spellCheck={false} autoCapitalize="none" />
      </FormGroup>
      <FormGroup label={t('Password')} fieldId="signin-password">
        <span className="e-secret">
          <TextInput id="signin-password" type={seen ? 'text' : 'password'} value={password} onChange={(_, s) => setPassword(s)} autoComplete="current-password" validated={wrong ? 'error' : 'default'} aria-invalid={wrong || undefined} aria-describedby={wrong ? 'signin-wrong' : undefined} spellCheck={false} />
          <Button variant="secondary" aria-pressed={seen} onClick={() => setSeen(!seen)}>{seen ? t('Hide') : t('Show')}</Button>
        </span>
      </FormGroup>
      {wrong ? <Alert id="signin-wrong" isInline variant="danger" role="alert" title={t('The user name or the password is not right.')} /> : error instanceof Problem && error.status === 429 ? (
        <Alert isInline variant="warning" role="alert" title={t('Too many wrong passwords')}>{t('Try again in {n} second.|Try again in {n} seconds.', { n: error.retryAfter || 60 })}</Alert>
      ) : <Trouble error={error} />}
    </>
  );
  return { body, submit, busy };
}

/** SignIn is the page before a session. */
export function SignIn({ done, corner, logo }: { done: () => void; corner: React.ReactNode; logo: React.ReactNode }) {
  const form = useSignIn(done);
  return (
    <>
      <div className="g-corner">{corner}</div>
      <main className="g-bare">
        <div className="g-welcome g-stack">
          <span className="g-brand">{logo} Gantry</span>
          <h1 className="pf-v6-c-title pf-m-2xl">{t('Configuration editor')}</h1>
          <Form onSubmit={form.submit} noValidate>
            {form.body}
            <Button type="submit" isLoading={form.busy} isDisabled={form.busy}>{t('Sign in')}</Button>
          </Form>
          <p className="g-quiet">{t('The password is in the Secret that configEditorCredentialsSecret of the QuayRegistry’s status names, or was printed where the editor was started.')}</p>
        </div>
      </main>
    </>
  );
}

/** SignInAgain asks in the middle of something, which then goes on. */
export function SignInAgain({ done, refuse }: { done: () => void; refuse: () => void }) {
  const form = useSignIn(done);
  return (
    <Modal isOpen onClose={refuse} variant="small" aria-labelledby="again-title" elementToFocus="#signin-password">
      <ModalHeader title={t('Your session has ended')} labelId="again-title" />
      <ModalBody>
        <Form id="again" className="g-ask" onSubmit={form.submit} noValidate>
          <p>{t('Sign in to go on where you are. Nothing that you have typed is lost.')}</p>
          {form.body}
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button type="submit" form="again" isLoading={form.busy} isDisabled={form.busy}>{t('Sign in')}</Button>
        <Button variant="link" onClick={refuse}>{t('Cancel')}</Button>
      </ModalFooter>
    </Modal>
  );
}
