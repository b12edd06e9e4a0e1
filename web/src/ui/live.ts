import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { t } from '../i18n';
import { useDialogs } from './dialogs';
import { useBoot } from './session';

type Event = { event?: string; data?: { action?: string; namespace?: string; repository?: string } };

/**
 * useLive listens to what the user's clients do, and has the lists that it is
 * about read again. A stream that ends is opened again by the browser.
 */
export function useLive(on: boolean) {
  const client = useQueryClient();
  const events = useBoot().features.USER_EVENTS === true;
  const { toast } = useDialogs();
  useEffect(() => {
    if (!on || !events) return;
    let source: EventSource | undefined;
    // The page comes first.
    const timer = setTimeout(() => {
      source = new EventSource('/realtime/user/subscribe?events=docker-cli');
      source.onmessage = (m: MessageEvent<string>) => {
        const e = JSON.parse(m.data) as Event;
        const { action = '', namespace, repository } = e.data ?? {};
        if (e.event !== 'docker-cli' || !repository || !/push/.test(action)) return;
        const repo = `${namespace}/${repository}`;
        void client.invalidateQueries({ queryKey: ['repositories'] });
        void client.invalidateQueries({ queryKey: ['repository', repo] });
        if (action !== 'push_start') toast(t('{repo} was pushed to', { repo }), { variant: 'info' });
      };
    }, 1000);
    return () => {
      clearTimeout(timer);
      source?.close();
    };
  }, [on, events, client, toast]);
}
