import tableStyles from '@patternfly/react-styles/css/components/Table/table';
import { Button, Checkbox, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter, Spinner } from '@patternfly/react-core';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useLayoutEffect, useRef, useState, type ReactNode } from 'react';
import { t } from '../i18n';
import { ProblemAlert } from './problem';

export type Column<R> = {
  key: string;
  title: string;
  cell: (row: R) => ReactNode;
  /** wide columns are left out on a phone. */
  wide?: boolean;
  /** narrow columns take no more than they need. */
  narrow?: boolean;
  right?: boolean;
};

export type Empty = { title: string; text?: ReactNode; action?: ReactNode };

type Props<R> = {
  label: string;
  columns: Column<R>[];
  rows: R[];
  rowKey: (row: R) => string;
  empty: Empty;
  /** selected are the keys of chosen rows; undefined = nothing can be chosen. */
  selected?: ReadonlySet<string>;
  onSelect?: (keys: Set<string>) => void;
  nameOf?: (row: R) => string;
  /** more loads the next page; undefined = there is none. */
  more?: () => void;
  loading?: boolean;
  error?: unknown;
};

const rowHeight = 54;

// scroller is what scrolls: the main part of the page.
const scroller = () => document.getElementById('main');

/**
 * DataTable shows rows, of which only those in sight are in the page, so that a
 * hundred thousand cost as much as thirty. It gets the next page of a list
 * before its end comes into sight.
 */
export function DataTable<R>({ label, columns, rows, rowKey, empty, selected, onSelect, nameOf, more, loading, error }: Props<R>) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    const measure = () => {
      const outer = scroller();
      if (box.current && outer) setTop(box.current.getBoundingClientRect().top - outer.getBoundingClientRect().top + outer.scrollTop);
    };
    measure();
    const watch = new ResizeObserver(measure);
    const outer = scroller();
    if (outer?.firstElementChild) for (const part of outer.children) watch.observe(part);
    return () => watch.disconnect();
  }, []);
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: scroller, estimateSize: () => rowHeight, overscan: 6, scrollMargin: top, getItemKey: (i) => rowKey(rows[i]!) });
  const items = virtual.getVirtualItems();
  // What is read stays where it is, whatever comes in above it or goes away there.
  const anchor = useRef<{ key: string; start: number }>(undefined);
  useLayoutEffect(() => {
    const outer = scroller();
    const was = anchor.current;
    if (!outer || !was || outer.scrollTop <= top) return;
    const at = rows.findIndex((r) => rowKey(r) === was.key);
    const now = virtual.measurementsCache[at]?.start;
    if (now !== undefined && now !== was.start) outer.scrollTop += now - was.start;
  }, [rows]);
  useLayoutEffect(() => {
    const seen = scroller()?.scrollTop ?? 0;
    const at = items.find((i) => i.end > seen);
    anchor.current = at && { key: String(at.key), start: at.start };
  });
  const last = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (more && !loading && !error && last >= rows.length - 15) more();
  }, [last, rows.length, more, loading, error]);

  if (rows.length === 0 && !more && !loading && !error) {
    return (
      <EmptyState titleText={empty.title} headingLevel="h3" variant="sm">
        {empty.text && <EmptyStateBody>{empty.text}</EmptyStateBody>}
        {empty.action && (
          <EmptyStateFooter>
            <EmptyStateActions>{empty.action}</EmptyStateActions>
          </EmptyStateFooter>
        )}
      </EmptyState>
    );
  }
  const before = items.length > 0 ? items[0]!.start - top : 0;
  const after = items.length > 0 ? virtual.getTotalSize() - (items.at(-1)!.end - top) : 0;
  const span = columns.length + (selected ? 1 : 0);
  const all = selected && rows.length > 0 && rows.every((r) => selected.has(rowKey(r)));
  const cls = (c: Column<R>) => [tableStyles.tableTd, c.wide && 'g-wide', c.narrow && 'g-narrow', c.right && 'g-right'].filter(Boolean).join(' ');
  return (
    <div ref={box} className="g-table">
      <table className={`${tableStyles.table} ${tableStyles.modifiers.compact}`} aria-label={label} aria-rowcount={more ? -1 : rows.length + 1}>
        <thead className={tableStyles.tableThead}>
          <tr className={tableStyles.tableTr} aria-rowindex={1}>
            {selected && (
              <td className={`${tableStyles.tableTd} g-check`}>
                <Checkbox
                  id={`${label}-all`}
                  aria-label={t('Choose all that are loaded')}
                  isChecked={all ? true : selected.size > 0 ? null : false}
                  onChange={(_, on) => onSelect?.(new Set(on ? rows.map(rowKey) : []))}
                />
              </td>
            )}
            {columns.map((c) => (
              <th key={c.key} scope="col" className={cls(c).replace(tableStyles.tableTd, tableStyles.tableTh)}>
                {c.title || <span className="g-offscreen">{t('Actions')}</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className={tableStyles.tableTbody}>
          {before > 0 && <tr aria-hidden="true"><td colSpan={span} ref={(el) => void (el && (el.style.height = `${before}px`))} className="g-space" /></tr>}
          {items.map((item) => {
            const row = rows[item.index]!;
            const key = rowKey(row);
            return (
              <tr key={key} data-index={item.index} ref={virtual.measureElement} className={tableStyles.tableTr} aria-rowindex={item.index + 2}>
                {selected && (
                  <td className={`${tableStyles.tableTd} g-check`}>
                    <Checkbox
                      id={`${label}-${key}`}
                      aria-label={t('Choose {name}', { name: nameOf?.(row) ?? key })}
                      isChecked={selected.has(key)}
                      onChange={(_, on) => {
                        const next = new Set(selected);
                        if (on) next.add(key);
                        else next.delete(key);
                        onSelect?.(next);
                      }}
                    />
                  </td>
                )}
                {columns.map((c) => (
                  <td key={c.key} className={cls(c)}>
                    {c.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
          {after > 0 && <tr aria-hidden="true"><td colSpan={span} ref={(el) => void (el && (el.style.height = `${after}px`))} className="g-space" /></tr>}
        </tbody>
      </table>
      {loading && (
        <div className="g-center">
          <Spinner size="md" aria-label={t('Loading')} />
        </div>
      )}
      {error !== undefined && error !== null && <ProblemAlert error={error} onAgain={more} />}
      {more && !loading && rows.length > 0 && (
        <div className="g-center">
          <Button variant="link" onClick={more}>{t('Load more')}</Button>
        </div>
      )}
    </div>
  );
}
