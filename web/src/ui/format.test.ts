import { expect, test } from 'vitest';
import { ago, bytes, duration, parseBytes, parseDuration, short, when } from './format';

test('sizes', () => {
  expect([bytes(0), bytes(1023), bytes(1536), bytes(10 * 1024 ** 3), bytes(null)]).toEqual(['0 B', '1,023 B', '1.5 KiB', '10 GiB', '–']);
  expect([parseBytes('10 GiB'), parseBytes('1.5k'), parseBytes('500'), parseBytes('2TB')]).toEqual([10 * 1024 ** 3, 1536, 500, 2 * 1024 ** 4]);
  for (const bad of ['', 'ten', '-1', '1 XB', '1e9']) expect(parseBytes(bad), bad).toBeNaN();
});

test('times', () => {
  const now = Date.UTC(2026, 0, 2);
  expect(ago(new Date(now - 3_600_000), now)).toBe('1 hour ago');
  expect(ago(new Date(now + 3 * 86_400_000), now)).toBe('in 3 days');
  expect(ago(new Date(now), now)).toBe('just now');
  expect(when('Tue, 05 Jan 2021 00:00:00 +0000')?.getTime()).toBe(Date.UTC(2021, 0, 5));
  expect(when(86400)?.getTime()).toBe(86_400_000);
  expect([when(''), when('never'), when(null)]).toEqual([undefined, undefined, undefined]);
});

test('durations', () => {
  expect([duration(1209600), duration(86400), duration(0), duration(90)]).toEqual(['2 weeks', '1 day', '0 seconds', '90 seconds']);
  expect([parseDuration('2w'), parseDuration('0s'), parseDuration('x')]).toEqual([1209600, 0, undefined]);
});

test('digests', () => {
  expect(short('sha256:0123456789abcdef0123')).toBe('sha256:0123456789ab');
  expect(short('odd')).toBe('odd');
});
