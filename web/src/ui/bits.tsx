import { Button, Label, Skeleton, Tooltip } from '@patternfly/react-core';
import { CheckIcon } from '@patternfly/react-icons/dist/esm/icons/check-icon';
import { CopyIcon } from '@patternfly/react-icons/dist/esm/icons/copy-icon';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import type { UseQueryResult } from '@tanstack/react-query';
import { t } from '../i18n';
import { ago, exact, short, when } from './format';
import { ProblemPage } from './problem';

/** Time shows how long ago something was, and the exact time on hover. */
export function Time({ value, never }: { value: string | number | null | undefined; never?: string }) {
  const d = when(value);
  if (!d) return <span className="g-quiet">{never ?? '–'}</span>;
  return (
    <time dateTime={d.toISOString()} title={exact(d)}>
      {ago(d)}
    </time>
  );
}

/** useCopy copies a text and says for a while that it did. */
export function useCopy(): [boolean, (text: string) => void] {
  const [done, setDone] = useState(false);
  const timer = useRef<number>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return [
    done,
    (text) => {
      void copy(text).then(() => {
        setDone(true);
        clearTimeout(timer.current);
        timer.current = window.setTimeout(() => setDone(false), 2000);
      });
    },
  ];
}

// copy works without TLS too, where browsers have no clipboard for pages.
async function copy(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  area.setAttribute('readonly', '');
  area.className = 'g-offscreen';
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

/** CopyButton copies a text. Its tooltip is not in the page before the pointer or the focus first comes: each row of a list has some. */
export function CopyButton({ text, label }: { text: string; label?: string }) {
  const [done, go] = useCopy();
  const [met, setMet] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const meet = () => setMet(true);
  return (
    <>
      <Button ref={button} variant="plain" size="sm" aria-label={label ?? t('Copy')} icon={done ? <CheckIcon /> : <CopyIcon />} onClick={() => go(text)} onMouseEnter={meet} onFocus={meet} />
      {met && <Tooltip content={done ? t('Copied') : (label ?? t('Copy'))} triggerRef={button} isVisible />}
    </>
  );
}

/** Command is a line to copy into a shell. */
export function Command({ text, label }: { text: string; label?: string }) {
  return (
    <div className="g-command">
      <pre tabIndex={0} aria-label={label ?? t('Command')}>
        <code>{text}</code>
      </pre>
      <CopyButton text={text} label={label ? t('Copy: {what}', { what: label }) : undefined} />
    </div>
  );
}

/** Digest shows the beginning of a digest; the whole is copied and on hover. */
export function Digest({ value }: { value: string }) {
  return (
    <span className="g-nowrap">
      <code title={value}>{short(value)}</code>
      <CopyButton text={value} label={t('Copy the digest')} />
    </span>
  );
}

/** Face is the picture of an account: a letter on its colour. */
export function Face({ name, color, square }: { name: string; color?: string; square?: boolean }) {
  return (
    <svg className="g-face" viewBox="0 0 24 24" aria-hidden="true">
      <rect width="24" height="24" rx={square ? 5 : 12} fill={color ?? '#6a6e73'} />
      <rect width="24" height="24" rx={square ? 5 : 12} fill="#000" fillOpacity="0.35" />
      <text x="12" y="16.5" textAnchor="middle" fontSize="12" fontWeight="600" fill="#fff">
        {(name.split('+').pop() ?? name).slice(0, 1).toUpperCase()}
      </text>
    </svg>
  );
}

/** Role shows read, write or admin. */
export function RoleLabel({ role }: { role: string }) {
  const texts: Record<string, string> = { read: t('Read'), write: t('Write'), admin: t('Admin'), member: t('Member'), creator: t('Creator') };
  return <Label isCompact color={role === 'admin' ? 'purple' : role === 'write' || role === 'creator' ? 'blue' : 'grey'}>{texts[role] ?? role}</Label>;
}

/** Load shows what a query got, a skeleton before, and its failure. */
export function Load<T>({ query, children, rows = 4 }: { query: UseQueryResult<T>; children: (data: T) => ReactNode; rows?: number }) {
  if (query.data !== undefined) return children(query.data);
  if (query.error) return <ProblemPage error={query.error} onAgain={() => void query.refetch()} />;
  return <Bones rows={rows} />;
}

/** Bones stand where something is loaded. */
export function Bones({ rows = 4 }: { rows?: number }) {
  return (
    <div className="g-bones" role="status" aria-label={t('Loading')}>
      {Array.from({ length: rows }, (_, i) => (
        <Skeleton key={i} width={`${[90, 70, 80, 60][i % 4]}%`} screenreaderText="" />
      ))}
    </div>
  );
}
