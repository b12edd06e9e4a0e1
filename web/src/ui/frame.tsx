import { useLayoutEffect, useRef, type ReactNode } from 'react';
import { t } from '../i18n';
import { Link, withSearch } from './link';

/** Crumbs lead to what a page belongs to. */
export function Crumbs({ items }: { items: { href: string; text: string }[] }) {
  return (
    <nav aria-label={t('Path')}>
      <ol className="g-crumbs">
        {items.map((c) => (
          <li key={c.href}>
            <Link href={c.href}>{c.text}</Link>
          </li>
        ))}
      </ol>
    </nav>
  );
}

type TabSpec = { key: string; title: string } | false | undefined | null;

/** TabBar leads to the parts of a page. Each is a link of its own, so that it can be sent, and the back button goes back. */
export function TabBar({ at, base, first, tabs }: { at: string; base: string; first: string; tabs: TabSpec[] }) {
  const bar = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    // On a phone the bar scrolls: what one is at is in sight. The page stays where it is.
    const here = bar.current?.querySelector<HTMLElement>('[aria-current]');
    if (bar.current && here) bar.current.scrollLeft = here.offsetLeft - bar.current.offsetLeft - (bar.current.clientWidth - here.offsetWidth) / 2;
  }, [at]);
  return (
    <nav ref={bar} className="g-tabs" aria-label={t('Parts of the page')}>
      {tabs.filter((x) => !!x).map((x) => (
        <Link key={x.key} href={withSearch(base, x.key === first ? {} : { tab: x.key })} current={x.key === at}>
          {x.title}
        </Link>
      ))}
    </nav>
  );
}

/** Section is a part of a page with a title and what can be done there. */
export function Section({ title, text, tools, children }: { title: string; text?: ReactNode; tools?: ReactNode; children?: ReactNode }) {
  return (
    <section className="g-section" aria-label={title}>
      <div className="g-head">
        <h2 className="pf-v6-c-title pf-m-lg">{title}</h2>
        <span className="g-grow" />
        {tools}
      </div>
      {text && <p className="g-quiet">{text}</p>}
      {children}
    </section>
  );
}
