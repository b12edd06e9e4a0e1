import { describe, expect, test } from 'vitest';
import { useLanguage } from '../i18n';
import { isAuthority, nameFor } from './certs';
import { lacks, partsOf, uriOf } from './dburi';
import { difference, equal, merged, none, patchOf, rebase, topOf } from './patch';
import { placeOf } from './place';
import { moved } from './storage';
import { asked, changed, found, indexOf, leaving, lockOf, loginPattern, managed, valueIn } from './store';
import type { Field, State } from './types';
import { durationOf, faultOf, inWords, meaning, valueOf } from './values';
import { certificatesOf } from './x509';

const field = (name: string, more: Partial<Field> = {}): Field => ({ name, group: 'G', section: 's', kind: 'text', doc: '', used: true, live: true, secret: false, required: false, later: false, ...more });

describe('a patch', () => {
  const base = { A: 1, R: { host: 'redis', password: '***', db: 0 }, L: ['0s', '1d'], S: { local: ['LocalStorage', { storage_path: '/d' }] } };
  test('has of a written block the keys that changed, and null for those that are gone', () => {
    const changes = { ...none, fields: { R: { host: 'other', password: '***' } } };
    expect(patchOf(changes, base, ['R'])).toEqual({ 'config.yaml': { R: { host: 'other', db: null } } });
  });
  test('has all of a block that the file has not, and a list as a whole', () => {
    const changes = { ...none, fields: { R: { host: 'other', password: '***', db: 0 }, L: ['0s', '1d', '4w'] } };
    expect(patchOf(changes, base, ['L'])).toEqual({ 'config.yaml': { R: { host: 'other', password: '***', db: 0 }, L: ['0s', '1d', '4w'] } });
  });
  test('takes a field out with null, and says nothing of what is not touched', () => {
    expect(patchOf({ fields: { A: null }, certs: { 'ssl.cert': null }, manage: { redis: false } }, base, ['A'])).toEqual({ 'config.yaml': { A: null }, certs: { 'ssl.cert': null }, manage: { redis: false } });
    expect(patchOf(none, base, ['A'])).toEqual({});
  });
  test('difference and merged are each other’s opposite', () => {
    const to = { A: 2, R: { host: 'redis', ssl: true }, S: { s3: ['S3Storage', { s3_bucket: 'b' }] } };
    expect(merged(base, difference(base, to))).toEqual(to);
    expect(difference(base, base)).toEqual({});
  });
  test('equal looks into blocks in any order, and at a key that is undefined as at none', () => {
    expect(equal({ a: 1, b: [1, { c: 2 }] }, { b: [1, { c: 2 }], a: 1, d: undefined })).toBe(true);
    expect(equal([1, 2], [2, 1])).toBe(false);
    expect(equal({}, [])).toBe(false);
    expect(equal(1, '1')).toBe(false);
  });
  test('a value that is the old one again is no change', () => {
    expect(changed({ A: 5 }, base, ['A'], 'A', 1)).toEqual({});
    expect(changed({}, base, ['A'], 'A', 5)).toEqual({ A: 5 });
    expect(changed({}, base, ['A'], 'A', undefined)).toEqual({ A: null });
    expect(changed({ L: [] }, base, [], 'L', undefined)).toEqual({});
  });
  test('a path begins with its field', () => {
    expect([topOf('A'), topOf('A.b'), topOf('A[1].b'), topOf('')]).toEqual(['A', 'A', 'A', '']);
  });
});

describe('after another was faster', () => {
  const was = { 'config.yaml': { A: 'a', B: 'b', R: { host: 'h', port: 1 } }, certs: { 'ssl.cert': 'x', old: 'o' } };
  const is = { 'config.yaml': { A: 'theirs', B: 'b', R: { host: 'h', port: 2 }, N: 1 }, certs: { 'ssl.cert': 'y' } };
  test('mine stay on top, keys of a block that only they changed are theirs', () => {
    const r = rebase({ fields: { A: 'mine', R: { host: 'my', port: 1 } }, certs: { 'ssl.key': 'k' }, manage: { redis: false } }, was, is);
    expect(r.changes).toEqual({ fields: { A: 'mine', R: { host: 'my', port: 2 } }, certs: { 'ssl.key': 'k' }, manage: { redis: false } });
    expect(r.foreign).toEqual([
      { name: 'A', from: 'a', to: 'theirs', mine: true },
      { name: 'R', from: { host: 'h', port: 1 }, to: { host: 'h', port: 2 }, mine: true },
      { name: 'N', from: undefined, to: 1, mine: false },
      { name: 'ssl.cert', from: 'x', to: 'y', mine: false },
      { name: 'old', from: 'o', to: undefined, mine: false },
    ]);
  });
  test('what they did as well is no change any more', () => {
    const r = rebase({ fields: { A: 'theirs', N: null }, certs: { old: null, 'ssl.cert': 'y' }, manage: {} }, was, is);
    expect(r.changes).toEqual({ fields: { N: null }, certs: {}, manage: {} });
  });
});

describe('DB_URI', () => {
  test.each([
    'postgresql://quay:s3cret@db.example.com:5432/quay',
    'postgresql://quay:***@a:5432,b:5432/quay?sslmode=verify-full',
    'mysql+pymysql://user@db/name',
    'sqlite:////var/lib/gantry/gantry.db',
    'sqlite:///relative.db?x=1',
    'postgresql+psycopg2://quay:p%40ss%2Fw%3Ard@db/quay',
    'postgresql:///quay?host=/run/postgresql',
  ])('%s is the same after its parts', (uri) => expect(uriOf(partsOf(uri)!)).toBe(uri));
  test('parts are decoded, and encoded again', () => {
    expect(partsOf('postgresql://u%40x:p%40ss@h/d')).toMatchObject({ kind: 'postgresql', user: 'u@x', password: 'p@ss', server: 'h', name: 'd' });
    expect(partsOf('mysql+pymysql://u:p@ss@h:3306/d')).toMatchObject({ kind: 'mysql', password: 'p@ss', server: 'h:3306' });
    expect(partsOf('postgresql://u:100%@h/d')).toMatchObject({ password: '100%' });
    expect(uriOf({ kind: 'postgresql', scheme: 'postgresql', server: 'h', user: 'u', password: "a:/?#@!'", name: 'd', params: '' })).toBe('postgresql://u:a%3A%2F%3F%23%40%21%27@h/d');
  });
  test('what is none', () => {
    for (const s of ['', 'oracle://x', 'postgresql', 'sqlite:///', '***']) expect(partsOf(s)).toBeUndefined();
    expect(lacks({ kind: 'mysql', scheme: 'mysql', server: '', user: 'u', password: '', name: 'd', params: '' })).toBe('server');
    expect(lacks({ kind: 'sqlite', scheme: 'sqlite', server: '', user: '', password: '', name: '', params: '' })).toBe('name');
  });
});

describe('values', () => {
  test('durations', () => {
    expect(['2w', '30m', '1y', '0', '0s', '5', 'x', '2 w', '-1d'].map((s) => durationOf('duration', s))).toEqual([1_209_600, 1800, 31_536_000, 0, 0, undefined, undefined, undefined, undefined]);
    expect(durationOf('seconds', '90')).toBe(90);
    expect(durationOf('minutes', '90')).toBe(5400);
    expect(durationOf('minutes', '2h')).toBe(7200);
  });
  test('durations in words, in both languages', async () => {
    expect([1_209_600, 5400, 86_400, 0].map(inWords)).toEqual(['2 weeks', '90 minutes', '1 day', '0 seconds']);
    await useLanguage('ko');
    expect(inWords(1_209_600)).toBe('2주');
    await useLanguage('en');
    expect(meaning(field('A', { kind: 'seconds' }), 3600)).toBe('1 hour');
    expect(meaning(field('A', { kind: 'size' }), 21_474_836_480)).toBe('20 GiB');
    expect(meaning(field('A'), '2w')).toBe('');
  });
  test('what is wrong is said before the server does', () => {
    const bad = (f: Partial<Field>, v: unknown) => faultOf(field('A', f), v) !== undefined;
    expect(bad({ kind: 'int', min: 1, max: 10 }, 0)).toBe(true);
    expect(bad({ kind: 'int', min: 1, max: 10 }, 10)).toBe(false);
    expect(bad({ kind: 'int' }, 'ten')).toBe(true);
    expect(bad({ kind: 'duration' }, '4weeks')).toBe(true);
    expect(bad({ kind: 'minutes', min: 10 }, '5m')).toBe(true);
    expect(bad({ kind: 'size' }, '20G')).toBe(false);
    expect(bad({ kind: 'size' }, '20 apples')).toBe(true);
    expect(bad({ kind: 'bool' }, 'maybe')).toBe(true);
    expect(bad({ allowed: ['http', 'https'] }, 'ftp')).toBe(true);
    expect(bad({ kind: 'list', allowed: ['a'] }, ['a', 'b'])).toBe(true);
    expect(bad({ required: true }, undefined)).toBe(true);
    expect(bad({ required: true, secret: true }, '***')).toBe(false);
  });
  test('a number is written as one', () => {
    expect(valueOf(field('A', { kind: 'int' }), ' 12 ')).toBe(12);
    expect(valueOf(field('A', { kind: 'int' }), '12x')).toBe('12x');
    expect(valueOf(field('A', { kind: 'seconds' }), '30m')).toBe('30m');
    expect(valueOf(field('A', { kind: 'float' }), '0.5')).toBe(0.5);
    expect(valueOf(field('A'), '')).toBeUndefined();
  });
});

describe('the form', () => {
  const form = {
    sections: [{ id: 'time-machine', title: 'Time Machine', fields: ['DEFAULT_TAG_EXPIRATION'] }, { id: 'login', title: 'L', fields: [loginPattern] }, { id: 'other', title: 'Other', fields: [] }],
    fields: [field('DEFAULT_TAG_EXPIRATION', { doc: 'How long tags are kept.' }), field(loginPattern, { kind: 'object' }), field('TAG_EXPIRATION_OPTIONS'), field('MAIL_SERVER', { doc: 'Host for tags' })],
    engines: [],
  };
  test('has a place for every field, known or not', () => {
    const i = indexOf(form, ['KEYCLOAK_LOGIN_CONFIG', 'OF_NOBODY', 'TAG_EXPIRATION_OPTIONS']);
    expect(i.sectionOf.get('KEYCLOAK_LOGIN_CONFIG')).toBe('login');
    expect(i.fields.get('KEYCLOAK_LOGIN_CONFIG')).toMatchObject({ kind: 'object', name: 'KEYCLOAK_LOGIN_CONFIG' });
    expect(i.fields.get('OF_NOBODY')).toMatchObject({ kind: 'custom' });
    expect(i.sections.at(-1)!.fields).toEqual(['OF_NOBODY', 'TAG_EXPIRATION_OPTIONS']);
    expect(form.sections.at(-1)!.fields).toEqual([]); // the form stays as it was
  });
  test('a filter finds names first, then descriptions', () => {
    const i = indexOf(form, []);
    expect(found(i, 'tag expiration').map((f) => f.name)).toEqual(['DEFAULT_TAG_EXPIRATION', 'TAG_EXPIRATION_OPTIONS']);
    expect(found(i, 'TAGS').map((f) => f.name)).toEqual(['DEFAULT_TAG_EXPIRATION', 'MAIL_SERVER']);
    expect(found(i, '  ')).toEqual([]);
  });
  test('an address is a place', () => {
    expect(placeOf('#/time-machine/A')).toEqual({ page: 'section', section: 'time-machine', field: 'A' });
    expect(placeOf('')).toEqual({ page: 'section', section: '', field: '' });
    expect(placeOf('#/review')).toEqual({ page: 'review' });
    expect(placeOf('#/%E0%A4%A')).toEqual({ page: 'section', section: '', field: '' });
  });
  test('another engine keeps what both have, and no secret', () => {
    const engines = [{ class: 'S3Storage', title: 'S3', keys: [field('storage_path'), field('s3_secret_key', { secret: true })] }];
    expect(moved(['RadosGWStorage', { storage_path: '/p', s3_secret_key: '***', hostname: 'h' }], 'S3Storage', engines)).toEqual(['S3Storage', { storage_path: '/p' }]);
  });
});

describe('certificates', () => {
  test('names of files', () => {
    expect(['Company CA.crt', 'C:\\certs\\company.txt', '../.x', '회사'].map((f) => nameFor('ca', f))).toEqual(['extra_ca_certs/Company-CA.crt', 'extra_ca_certs/company.txt.crt', 'extra_ca_certs/x.crt', 'extra_ca_certs/ca.crt']);
    expect(nameFor('ssl.cert', 'any.pem')).toBe('ssl.cert');
    expect([isAuthority('extra_ca_certs/x.crt'), isAuthority('extra_ca_cert_x.crt'), isAuthority('ssl.cert')]).toEqual([true, true, false]);
  });
  test('subject and end are read', () => {
    // openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj "/O=Acme/CN=Acme Root 회사" -utf8
    const pem = `-----BEGIN CERTIFICATE-----
MIIBrDCCAVGgAwIBAgIUTbTXaobsveuANl/x6WY1dygCJdowCgYIKoZIzj0EAwIw
KjENMAsGA1UECgwEQWNtZTEZMBcGA1UEAwwQQWNtZSBSb290IO2ajOyCrDAgFw0y
NjExMjcwODE4MzlaGA8yMTI2MTEwMzA4MTgzOVowKjENMAsGA1UECgwEQWNtZTEZ
MBcGA1UEAwwQQWNtZSBSb290IO2ajOyCrDBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABOzeuZAdbZy4ht/lMWgWCWAlIgNafZtVUIrv5QRtHLo7dkCgy8prJWPhlW1t
Y6p2dHFxzBzyXbolO7243+G0m+ejUzBRMB0GA1UdDgQWBBReLnP8vc0i+X9ej+//
q0c8o7AGFDAfBgNVHSMEGDAWgBReLnP8vc0i+X9ej+//q0c8o7AGFDAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCek5uVcm7FBfev5vFMsOwdL9Jy
Jg0GeLV1HbLDRb6BTgIhAM5Ai7Z0psPuRY8L6+Hvcg43381iE0wSmEBLFyVKQl7w
-----END CERTIFICATE-----`;
    const read = { subject: 'Acme Root 회사', until: new Date('2126-11-03T08:18:39.000Z') };
    expect(certificatesOf(`before\n${pem}\n${pem}after`)).toEqual([read, read]);
    expect(certificatesOf(pem.replace(/[A-Za-z0-9+/]{20}\n/, 'AAAA\n').slice(0, 200))).toEqual([]);
    expect(certificatesOf('-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----')).toEqual([]);
  });
});

describe('a component', () => {
  const state = {
    written: ['DB_URI', 'DB_CONNECTION_ARGS', 'REGISTRY_TITLE'],
    managed: [{ component: 'redis', group: 'Redis', fields: ['USER_EVENTS_REDIS', 'BUILDLOGS_REDIS'], unmanageable: true }],
    own: [{ component: 'postgres', group: 'Database', fields: ['DB_URI'], related: ['DB_CONNECTION_ARGS', 'DB_READ_REPLICAS'] }],
  } as unknown as State;
  const mine = { ...none, fields: { DB_URI: 'postgresql://new', DB_READ_REPLICAS: [], REGISTRY_TITLE: 'Ours' } };
  test('that is handed back takes its fields with it, and brings them back', () => {
    expect(leaving(state, state.own[0]!)).toEqual(['DB_URI', 'DB_CONNECTION_ARGS']);
    const back = managed(mine, state, 'postgres', true);
    expect(back).toEqual({ certs: {}, manage: { postgres: true }, fields: { DB_URI: null, DB_CONNECTION_ARGS: null, REGISTRY_TITLE: 'Ours' } });
    expect([lockOf({ state, changes: back }, 'DB_URI'), lockOf({ state, changes: back }, 'DB_CONNECTION_ARGS'), lockOf({ state, changes: none }, 'DB_URI')]).toEqual(['postgres', undefined, undefined]);
    expect(managed(back, state, 'postgres', false)).toEqual({ ...none, fields: { REGISTRY_TITLE: 'Ours' } });
  });
  test('that is taken over has no changes of its fields when it is given up again', () => {
    const over = managed(none, state, 'redis', false);
    const e = { state: { ...state, source: { USER_EVENTS_REDIS: 'operator' } } as State, bundle: { 'config.yaml': { USER_EVENTS_REDIS: { host: 'theirs', password: '***' } }, certs: {} }, fields: new Map([['USER_EVENTS_REDIS', field('USER_EVENTS_REDIS')]]) };
    expect([valueIn({ ...e, changes: none }, 'USER_EVENTS_REDIS'), valueIn({ ...e, changes: over }, 'USER_EVENTS_REDIS')]).toEqual([{ host: 'theirs', password: '***' }, undefined]); // the operator's password is not to be had
    expect([over.manage, lockOf({ state, changes: none }, 'USER_EVENTS_REDIS'), lockOf({ state, changes: over }, 'USER_EVENTS_REDIS')]).toEqual([{ redis: false }, 'redis', undefined]);
    expect(managed({ ...over, fields: { USER_EVENTS_REDIS: { host: 'h' } } }, state, 'redis', true)).toEqual(none);
  });
  test('that another has changed already is no change any more', () => {
    expect(asked({ redis: false, postgres: true, clair: true }, state)).toEqual({ redis: false, postgres: true });
  });
});
