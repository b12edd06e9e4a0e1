import { afterEach, describe, expect, test, vi } from 'vitest';
import { fetchBoot, fetchUser, firstBoot, firstUser } from './boot';

afterEach(() => vi.unstubAllGlobals());

const answer = (body: unknown) => Promise.resolve(new Response(JSON.stringify(body), { status: 200, headers: { 'Content-Type': 'application/json' } }));

describe('what the page has asked for early', () => {
  test('is taken by the start, once, and by nobody later', async () => {
    vi.stubGlobal('window', { early: { '/config': answer({ messages: ['early'] }), '/api/v1/user': answer({ username: 'early' }) } });
    const asked = vi.fn((path: string) => answer(path === '/config' ? { messages: ['now'] } : { username: 'now' }));
    vi.stubGlobal('fetch', asked);
    expect(await fetchBoot()).toEqual({ messages: ['now'] });
    expect(await fetchUser()).toEqual({ username: 'now' });
    expect(asked).toHaveBeenCalledTimes(2);
    expect(await firstBoot()).toEqual({ messages: ['early'] });
    expect(await firstUser()).toEqual({ username: 'early' });
    expect(asked).toHaveBeenCalledTimes(2);
    expect(await firstBoot()).toEqual({ messages: ['now'] });
  });

  test('need not be there', async () => {
    vi.stubGlobal('window', {});
    vi.stubGlobal('fetch', () => answer({ messages: [] }));
    expect(await firstBoot()).toEqual({ messages: [] });
  });
});
