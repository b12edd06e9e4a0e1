import { describe, expect, test } from 'vitest';
import { code, codeOf } from './code';

describe('the code that a page begins with', () => {
  test.each([
    ['/', null, ['overview']],
    ['/signin', null, ['welcome']],
    ['/repository', null, ['repository', 'repositories']],
    ['/repository/acme/app', null, ['repository', 'tags']],
    ['/repository/acme/app', 'tags', ['repository', 'tags']],
    ['/repository/acme/app', 'settings', ['repository']],
    ['/repository/acme/app/tag/v1', null, ['repository']],
    ['/organization', null, ['organizations']],
    ['/organization/acme', 'teams', ['organization']],
    ['/organization/acme/teams/ops', null, ['team']],
    ['/superuser', 'jobs', ['superuser']],
    ['/nowhere', null, []],
  ])('%s %s', (path, tab, want) => {
    const got = codeOf(path, tab);
    expect(got).toEqual(want);
    for (const name of got) expect(code[name]).toBeTypeOf('function');
  });
});
