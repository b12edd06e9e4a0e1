import { useQuery } from '@tanstack/react-query';
import { api, ok } from '../api/client';
import { t } from '../i18n';
import { bytes } from './format';

/** useFreed asks what deleting a repository, or a tag of it, frees, while on is set: that looks at every layer. */
export function useFreed(repo: string, tag: string | undefined, on: boolean) {
  return useQuery({
    queryKey: ['repository', repo, 'freed', tag ?? ''],
    queryFn: () => ok(api.GET('/repository/{repo}', { params: { path: { repo }, query: { includeTags: 'false', includeFreed: 'true', tag } } })),
    enabled: on,
    staleTime: 0,
  });
}

/** sizeOf is what is freed, in words. */
export const sizeOf = (freed: { bytes: number; complete: boolean }) => (freed.complete ? bytes(freed.bytes) : t('{size} or more', { size: bytes(freed.bytes) }));

/** WillFree says in the dialog of a deletion what that frees. Where it cannot be told, it says nothing. */
export function WillFree({ repo, tag }: { repo: string; tag?: string }) {
  const { data, isPending } = useFreed(repo, tag, true);
  return (
    <p role="status">
      {isPending
        ? t('What it frees is being counted.')
        : data?.freed &&
          (tag === undefined ? t('It frees {size}.', { size: sizeOf(data.freed) }) : data.freed.bytes === 0 ? t('It frees nothing: other tags or images use the same layers.') : t('It frees {size} when the time machine no longer keeps the tag.', { size: sizeOf(data.freed) }))}
    </p>
  );
}
