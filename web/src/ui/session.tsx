import { Button, Form, Modal, ModalBody, ModalFooter, ModalHeader } from '@patternfly/react-core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { fetchBoot, fetchUser, type Boot, type User } from '../api/boot';
import { api, forgetToken, session, type Reason } from '../api/client';
import { t } from '../i18n';
import { useForm } from './dialogs';
import { ProblemAlert } from './problem';

/** useBoot is the registry's own description. It is there before any page is. */
export function useBoot(): Boot {
  return useQuery({ queryKey: ['boot'], queryFn: fetchBoot, staleTime: 120_000, refetchInterval: 300_000 }).data!;
}

/** useUser is who is signed in; null = nobody. It is known before any page is. */
export function useUser(): User | null {
  return useQuery({ queryKey: ['user'], queryFn: fetchUser, staleTime: 120_000 }).data ?? null;
}

/** useRefreshUser reads again who is signed in, after a change to the account or its organizations. */
export function useRefreshUser() {
  const client = useQueryClient();
  return () => client.invalidateQueries({ queryKey: ['user'] });
}

/** useChangeSession is for after a sign-in or sign-out: what the other session had seen is forgotten. */
export function useChangeSession() {
  const client = useQueryClient();
  return async () => {
    forgetToken();
    const user = await fetchUser();
    session.signedIn = user !== null;
    client.removeQueries({ predicate: (q) => q.queryKey[0] !== 'boot' && q.queryKey[0] !== 'user' });
    client.setQueryData(['user'], user);
  };
}

type Asked = { why: Reason; done: () => void; refuse: () => void };

/** SignInDialog asks for the password in the middle of something, which then goes on. */
export function SignInDialog() {
  const user = useUser();
  const [asked, setAsked] = useState<Asked>();
  useEffect(() => {
    session.ask = (why) =>
      new Promise((done, refuse) =>
        setAsked({
          why,
          done: () => (setAsked(undefined), done()),
          refuse: () => (setAsked(undefined), refuse(new Error('refused'))),
        }),
      );
    return () => {
      session.ask = undefined;
    };
  }, []);
  if (!asked || !user) return null;
  return <Ask asked={asked} name={user.username} />;
}

function Ask({ asked, name }: { asked: Asked; name: string }) {
  const fresh = asked.why === 'fresh';
  const form = useForm([{ name: 'password', label: t('Password of {name}', { name }), kind: 'password' }], async ({ password = '' }) => {
    if (fresh) await api.POST('/signin/verify', { body: { password } });
    else {
      await api.POST('/signin', { body: { username: name, password } });
      forgetToken();
    }
    asked.done();
  });
  return (
    <Modal isOpen onClose={asked.refuse} variant="small" aria-labelledby="ask-title" elementToFocus=".g-ask input">
      <ModalHeader title={fresh ? t('Give your password again') : t('Your session has ended')} labelId="ask-title" />
      <ModalBody>
        <Form id="ask-form" className="g-ask" onSubmit={form.onSubmit} noValidate>
          <p>{fresh ? t('This needs a sign-in of the last minutes. It goes on when you have given your password.') : t('Sign in to go on where you are. Nothing that you have typed is lost.')}</p>
          {form.body}
          <ProblemAlert error={form.error} />
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button type="submit" form="ask-form" isLoading={form.busy} isDisabled={form.busy}>
          {fresh ? t('Go on') : t('Sign in')}
        </Button>
        <Button variant="link" onClick={asked.refuse}>
          {t('Cancel')}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
