import { useRouter } from '@tanstack/react-router';
import { useEffect, type ReactNode, type MouseEvent } from 'react';
import type { Search } from '../router';
import { useBoot } from './session';

/** repoPath is the address of a repository's page. */
export function repoPath(repo: string, rest = ''): string {
  return `/repository/${repo.split('/').map(encodeURIComponent).join('/')}${rest}`;
}

/** withSearch puts a search behind a path. */
export function withSearch(path: string, search: Search = {}): string {
  const p = new URLSearchParams();
  for (const [k, v] of Object.entries(search)) if (v) p.set(k, v);
  const s = p.toString();
  return s ? `${path}?${s}` : path;
}

/** useGo opens a page of the console; replace keeps the back button where it was. */
export function useGo() {
  const router = useRouter();
  return (href: string, replace = false) => (replace ? router.history.replace(href) : router.history.push(href));
}

type Props = { href: string; children?: ReactNode; className?: string; label?: string; current?: boolean; id?: string };

/** Link goes to a page of the console without loading it anew. */
export function Link({ href, children, className, label, current, id }: Props) {
  const router = useRouter();
  const click = (e: MouseEvent) => {
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    router.history.push(href);
  };
  return (
    <a href={href} onClick={click} className={className} aria-label={label} aria-current={current ? 'page' : undefined} id={id}>
      {children}
    </a>
  );
}

/** useTitle names the page in the browser's tab. */
export function useTitle(title: string) {
  const registry = useBoot().config.REGISTRY_TITLE_SHORT ?? 'Gantry';
  useEffect(() => {
    document.title = title ? `${title} · ${registry}` : registry;
  }, [title, registry]);
}
