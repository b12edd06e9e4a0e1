import { Button, Form, TextArea } from '@patternfly/react-core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { hostOf } from '../api/boot';
import { api } from '../api/client';
import { t } from '../i18n';
import { LazyMarkdown } from '../ui/lazy-markdown';
import { Command } from '../ui/bits';
import { Section } from '../ui/frame';
import { ProblemAlert } from '../ui/problem';
import { useBoot, useUser } from '../ui/session';
import { Commands } from './guide';
import type { Repository } from './repository';

/** Information is what a repository is for, and how to get at it. */
export default function Information({ r }: { r: Repository }) {
  const repo = `${r.namespace}/${r.name}`;
  const user = useUser();
  const boot = useBoot();
  return (
    <div className="g-two">
      <Description r={r} />
      <Section title={t('Push and pull')}>
        {user ? <Commands account={user.username} repo={repo} /> : <Command text={`podman pull ${hostOf(boot)}/${repo}`} />}
      </Section>
    </div>
  );
}

function Description({ r }: { r: Repository }) {
  const repo = `${r.namespace}/${r.name}`;
  const client = useQueryClient();
  const [draft, setDraft] = useState<string>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const save = () => {
    setBusy(true);
    setError(undefined);
    api
      .PUT('/repository/{repo}', { params: { path: { repo } }, body: { description: draft ?? '' } })
      .then(() => client.invalidateQueries({ queryKey: ['repository', repo, 'info'] }))
      .then(() => setDraft(undefined), setError)
      .finally(() => setBusy(false));
  };
  return (
    <Section title={t('Description')} tools={r.can_write && draft === undefined && <Button variant="link" onClick={() => setDraft(r.description ?? '')}>{t('Edit')}</Button>}>
      {draft !== undefined ? (
        <Form
          onSubmit={(e) => {
            e.preventDefault();
            save();
          }}
        >
          <TextArea value={draft} onChange={(_, v) => setDraft(v)} aria-label={t('Description')} rows={14} resizeOrientation="vertical" autoFocus />
          <p className="g-quiet">{t('Markdown. HTML is shown as text, pictures as links.')}</p>
          <ProblemAlert error={error} />
          <div className="g-row">
            <Button type="submit" isLoading={busy} isDisabled={busy}>
              {t('Save')}
            </Button>
            <Button variant="link" onClick={() => setDraft(undefined)}>
              {t('Cancel')}
            </Button>
          </div>
        </Form>
      ) : r.description ? (
        <LazyMarkdown text={r.description} />
      ) : (
        <p className="g-quiet">{r.can_write ? t('Nothing is said yet. Edit tells others what this is for.') : t('Nothing is said yet.')}</p>
      )}
    </Section>
  );
}
