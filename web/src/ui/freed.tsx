import { useQuery } from '@tanstack/react-query';
import { api, ok } from '../api/client';
import { t } from '../i18n';
import { bytes } from './format';

/** mostTags is of how many tags one can ask together what deleting them frees. */
export const mostTags = 100;

/** useFreed asks what deleting a repository, or tags of it together, frees, while on is set: that looks at every layer. */
export function useFreed(repo: string, tags: string[] | undefined, on: boolean) {
  return useQuery({
    queryKey: ['repository', repo, 'freed', tags ?? ''],
    queryFn: () => ok(api.GET('/repository/{repo}', { params: { path: { repo }, query: { includeTags: 'false', includeFreed: 'true', tag: tags?.slice(0, mostTags) } } })),
    enabled: on,
    staleTime: 0,
  });
}

/** sizeOf is what is freed, in words. */
export const sizeOf = (freed: { bytes: number; complete: boolean }) => (freed.complete ? bytes(freed.bytes) : t('{size} or more', { size: bytes(freed.bytes) }));

/** WillFree says in the dialog of a deletion what that frees: of a repository, or of tags of it. Where it cannot be told, it says nothing. */
export function WillFree({ repo, tags }: { repo: string; tags?: string[] }) {
  const { data, isPending } = useFreed(repo, tags, true);
  const said = () => {
    if (!data?.freed) return null;
    const freed = tags && tags.length > mostTags ? { ...data.freed, complete: false } : data.freed;
    if (!tags) return t('It frees {size}.', { size: sizeOf(freed) });
    if (tags.length === 1) return freed.bytes === 0 ? t('It frees nothing: other tags or images use the same layers.') : t('It frees {size} when the time machine no longer keeps the tag.', { size: sizeOf(freed) });
    return freed.bytes === 0 && freed.complete ? t('They free nothing: other tags or images use the same layers.') : t('Together they free {size} when the time machine no longer keeps them.', { size: sizeOf(freed) });
  };
  return <p role="status">{isPending ? t('What it frees is being counted.') : said()}</p>;
}
