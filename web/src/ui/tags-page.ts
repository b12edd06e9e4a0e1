import { api, ok, type Schemas } from '../api/client';
import type { Slice } from './infinite';

/** tagsKey is under what a list of tags is kept: those of a repository whose names have q in them; '' = all. */
export const tagsKey = (repo: string, q: string) => ['repository', repo, 'tags', q];

/** tagsPage gets a page of such a list; next is '' for the first. */
export async function tagsPage(repo: string, q: string, next: string): Promise<Slice<Schemas['Tag']>> {
  const page = next ? Number(next) : 1;
  const a = await ok(api.GET('/repository/{repo}/tag', { params: { path: { repo }, query: { onlyActiveTags: 'true', limit: 100, page, filter_tag_name: q ? `like:${q}` : undefined } } }));
  return { rows: a.tags, next: a.has_additional ? String(page + 1) : '' };
}
