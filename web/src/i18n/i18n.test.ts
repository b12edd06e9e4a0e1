import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { chooseLanguage, fill, language, t, useLanguage } from '.';
import { ko } from './ko';

const src = join(import.meta.dirname, '..');

// texts are all literals that t is called with.
function texts(): Set<string> {
  const out = new Set<string>();
  for (const name of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
    if (!/\.tsx?$/.test(name) || /\.test\.|schema\.d/.test(name)) continue;
    for (const m of readFileSync(join(src, name), 'utf8').matchAll(/\bt\(\s*'((?:[^'\\]|\\.)*)'/g)) out.add(m[1]!.replace(/\\'/g, "'"));
  }
  return out;
}

const holes = (s: string) => [...new Set(s.match(/\{\w+\}/g) ?? [])].sort();

describe('the catalogue', () => {
  test('has every text of the pages, and no other', () => {
    const used = texts();
    expect(used.size).toBeGreaterThan(100);
    expect([...used].filter((x) => !Object.hasOwn(ko, x))).toEqual([]);
    expect(Object.keys(ko).filter((x) => !used.has(x))).toEqual([]);
  });
  test('translates every text, with all of its values', () => {
    for (const [en, k] of Object.entries(ko)) {
      expect(k.trim(), en).not.toBe('');
      expect(holes(k), en).toEqual(holes(en));
      // Names and what has to be typed stay; everything else is in Korean letters.
      if (!/^(REST API|delete \{n\}|OCI|CSV|JSON|SPDX|UUID|IP|Webhook|Slack|CloudEvents|Microsoft Teams|Digest|HipChat|Flowdock)$/.test(en)) expect(k, en).toMatch(/[가-힣]/);
    }
  });
});

test('one and many', () => {
  expect(fill('{n} tag|{n} tags', { n: 1 })).toBe('1 tag');
  expect(fill('{n} tag|{n} tags', { n: 2000 })).toBe('2,000 tags');
  expect(fill('태그 {n}개', { n: 1 })).toBe('태그 1개');
  expect(fill('{a} and {b}', { a: 'x' })).toBe('x and {b}');
});

test('a language is chosen', () => {
  expect(chooseLanguage('ko', ['en'])).toBe('ko');
  expect(chooseLanguage('toString', ['ko-KR', 'en'])).toBe('ko');
  expect(chooseLanguage(null, ['fr', 'de'])).toBe('en');
});

test('a language is used', async () => {
  await useLanguage('ko');
  expect([language(), t('Search')]).toEqual(['ko', '검색']);
  await useLanguage('en');
  expect(t('Search')).toBe('Search');
});
