import { api, ok, type Schemas } from '../api/client';
import type { Search } from '../router';
import type { Slice } from './infinite';

/** A TagFilter says which tags of a repository are shown; what is not there, or '', lets all through. */
export type TagFilter = Pick<Search, 'q' | 'arch' | 'signed'>;

/** tagsKey is under what a list of tags is kept. */
export const tagsKey = (repo: string, f: TagFilter) => ['repository', repo, 'tags', f.q ?? '', f.arch ?? '', f.signed ?? ''];

/** tagsPage gets a page of such a list; next is '' for the first. */
export async function tagsPage(repo: string, f: TagFilter, next: string): Promise<Slice<Schemas['Tag']>> {
  const a = await ok(
    api.GET('/repository/{repo}/tag', {
      params: {
        path: { repo },
        query: { onlyActiveTags: 'true', includeImage: 'true', limit: 100, next_page: next, filter_tag_name: f.q ? `like:${f.q}` : undefined, architecture: f.arch || undefined, signed: f.signed || undefined },
      },
    }),
  );
  return { rows: a.tags, next: a.next_page ?? '' };
}
