import { useQuery, useQueryClient, type QueryKey } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Load } from './bits';
import { Section } from './frame';
import { DataTable, type Column, type Empty } from './table';

type Props<R> = {
  title: string;
  text?: ReactNode;
  tools?: ReactNode;
  queryKey: QueryKey;
  get: () => Promise<R[]>;
  rowKey: (r: R) => string;
  columns: (Column<R> | false | undefined)[];
  empty: Empty;
};

/** ListSection is a part of a page with a list that comes as a whole. */
export function ListSection<R>({ title, text, tools, queryKey, get, rowKey, columns, empty }: Props<R>) {
  const query = useQuery({ queryKey, queryFn: get });
  return (
    <Section title={title} text={text} tools={tools}>
      <Load query={query}>{(rows) => <DataTable label={title} rows={rows} rowKey={rowKey} columns={columns.filter((c) => !!c)} empty={empty} />}</Load>
    </Section>
  );
}

/** useRefresh has what begins with a key read again. */
export function useRefresh(key: QueryKey) {
  const client = useQueryClient();
  return () => client.invalidateQueries({ queryKey: key });
}
