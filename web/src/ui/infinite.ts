import { keepPreviousData, useInfiniteQuery, type QueryKey } from '@tanstack/react-query';
import { useCallback, useMemo } from 'react';

export type Slice<R> = { rows: R[]; /** next is what asks for the next page; '' = there is none. */ next: string; /** order is the one that the rows are in, where it may be another than was asked for. */ order?: string };

// Lists of so many pages are read again by themselves; longer ones when they change.
export const pagesAgain = 5;

/**
 * useRows is a list that comes in pages. While another list of the same kind is
 * loaded, say with another filter, the old rows stay, so that nothing jumps.
 */
export function useRows<R>(key: QueryKey, get: (next: string) => Promise<Slice<R>>, { every, ...options }: { enabled?: boolean; /** every is after how many milliseconds a short list is read again. */ every?: number } = {}) {
  const q = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam }) => get(pageParam),
    initialPageParam: '',
    getNextPageParam: (last) => last.next || undefined,
    placeholderData: keepPreviousData,
    refetchInterval: (q) => (every && (q.state.data?.pages.length ?? 0) <= pagesAgain ? every : false),
    refetchOnWindowFocus: (q) => (q.state.data?.pages.length ?? 0) <= pagesAgain,
    ...options,
  });
  const rows = useMemo(() => q.data?.pages.flatMap((p) => p.rows) ?? [], [q.data]);
  const { fetchNextPage, refetch, isFetchingNextPage, data, hasNextPage } = q;
  const failed = q.error !== null && !q.isFetching;
  const more = useCallback(() => void (data ? fetchNextPage() : refetch()), [data, fetchNextPage, refetch]);
  return { rows, order: data?.pages[0]?.order, more: hasNextPage || failed ? more : undefined, loading: q.isPending || isFetchingNextPage, error: failed ? q.error : undefined, refetch };
}
