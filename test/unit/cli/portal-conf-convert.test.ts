import assert from 'node:assert/strict';
import { test } from 'node:test';
import { convert } from '../../../lib/cli/bundled/convert.ts';
import type { Conversion, FieldReport } from '../../../lib/cli/bundled/convert.ts';
import type { Fields, Found } from '../../../lib/cli/bundled/found.ts';

const SECRET = '{vault://env/session-secret}';
const STRONG = 'Xk3v9Qp7Lr2Tz8Ws5Yb1Nc6Md4Fg0HjKEaRiUo';

const of = (config: Fields, found: Partial<Found> = {}): Conversion =>
  convert({
    origin: 'plugin',
    where: 'plugin',
    scope: { kind: 'global' },
    config: { secret: STRONG, ...config },
    entity: {},
    ...found,
  });

const field = (config: Fields, name: string): FieldReport | undefined =>
  of(config).fields.find((report) => report.field === name);

const codes = (config: Fields, origin: Found['origin'] = 'plugin'): string[] =>
  of(config, { origin })
    .findings.filter(({ level }) => level === 'warning')
    .map(({ code }) => code)
    .filter((code) => code !== 'storage_cookie');

test('fields that keep their name and value', () => {
  const config = {
    audience: 'shop',
    idling_timeout: 30,
    rolling_timeout: 7200,
    absolute_timeout: 0,
    cookie_name: '$4m04$',
    cookie_path: '/app',
    cookie_domain: '.xyz.com',
    cookie_same_site: 'Lax',
    cookie_http_only: false,
    logout_methods: ['GET'],
    logout_query_arg: 'bye',
  };
  const { fields, config: converted } = of(config);
  assert.deepEqual(converted, { secret: SECRET, ...config });
  const outcomes = fields.map(({ outcome }) => outcome);
  assert.deepEqual(new Set(outcomes.slice(1)), new Set(['same']));
});

test('old names become new ones', () => {
  const cases: readonly [Fields, Fields, string][] = [
    [{ cookie_lifetime: 60 }, { rolling_timeout: 60 }, 'renamed'],
    [{ cookie_idletime: 60 }, { idling_timeout: 60 }, 'renamed'],
    [{ cookie_idletime: null }, { idling_timeout: 0 }, 'changed'],
    [{ cookie_discard: 5 }, { stale_ttl: 5 }, 'changed'],
    [{ cookie_samesite: 'Strict' }, { cookie_same_site: 'Strict' }, 'renamed'],
    [{ cookie_samesite: 'off' }, { cookie_same_site: 'Lax' }, 'changed'],
    [{ cookie_samesite: false }, { cookie_same_site: 'Lax' }, 'changed'],
    [{ cookie_httponly: false }, { cookie_http_only: false }, 'renamed'],
  ];
  for (const [given, expected, outcome] of cases) {
    const { config, fields } = of(given);
    assert.deepEqual(config, { secret: SECRET, ...expected }, JSON.stringify(given));
    assert.equal(fields[1]?.outcome, outcome, JSON.stringify(given));
  }
});

test('fields of a persistent cookie, of headers and of renewal', () => {
  const same = {
    remember: true,
    remember_cookie_name: 'keep',
    remember_rolling_timeout: 10,
    remember_absolute_timeout: 20,
    request_headers: ['id', 'timeout'],
    response_headers: ['subject'],
    hash_subject: true,
    store_metadata: true,
    bind: ['ip', 'scheme', 'user-agent'],
    cookie_renew: 600,
  };
  assert.deepEqual(of(same).config, { secret: SECRET, ...same });
  assert.deepEqual(of({ cookie_persistent: true }).config, { secret: SECRET, remember: true });
  assert.equal(field({ cookie_renew: 600 }, 'cookie_renew')?.outcome, 'changed');
  assert.equal(field({ cookie_renew: 0 }, 'cookie_renew')?.outcome, 'dropped');
  assert.equal(field({ request_headers: ['id'] }, 'request_headers')?.outcome, 'changed');
  assert.equal(field({ request_headers: ['timeout'] }, 'request_headers')?.outcome, 'same');
});

test('where both names are given the old one wins, and the pair is named', () => {
  const both = {
    rolling_timeout: 100,
    cookie_lifetime: 50,
    idling_timeout: 7,
    cookie_idletime: null,
  };
  const { config, findings } = of(both);
  assert.deepEqual(config, { secret: SECRET, rolling_timeout: 50, idling_timeout: 0 });
  const pairs = findings.filter(({ code }) => code === 'both_names');
  assert.deepEqual(
    pairs.map(({ field: name, message }) => [name, /and (\w+)/.exec(message)?.[1]]),
    [
      ['cookie_lifetime', 'rolling_timeout'],
      ['cookie_idletime', 'idling_timeout'],
    ],
  );
  // What the Admin API shows for absent is not given.
  assert.deepEqual(codes({ rolling_timeout: 100, cookie_lifetime: null }), []);
});

test('values that session-guard does not take', () => {
  assert.equal(field({ stale_ttl: 10_000 }, 'stale_ttl')?.value, 3600);
  assert.match(field({ stale_ttl: 10_000 }, 'stale_ttl')?.note ?? '', /^was 10000/);
  const dropped: readonly [string, unknown, RegExp][] = [
    ['rolling_timeout', -1, /^value should be between 0 and \d+; the default 3600 applies$/],
    ['rolling_timeout', '3600', /^expected a number; the default 3600 applies$/],
    ['cookie_secure', 'false', /^expected a boolean; the default true applies$/],
    ['cookie_name', 'a b', /^must consist of .*; the default "session" applies$/],
    ['cookie_name', 'é', /^must consist of/],
    ['logout_query_arg', 'é'.repeat(200), /^must have at most 256 characters/],
    ['logout_query_arg', 'a\u009bb', /^has control characters/],
    ['cookie_same_site', 'off', /^expected one of: .*; the default "Strict" applies$/],
    ['cookie_domain', 'https://x', /without scheme, port or path$/],
    ['logout_methods', ['PATCH'], /^expected one of/],
    ['logout_methods', { 1: 'POST' }, /^expected a set/],
    ['no_such_field', 1, /^no field of the session plugin$/],
    ['postgres', { url: 'postgres://u:hunter2@h/d' }, /^no field of the session plugin$/],
    ['cache_ttl', 1, /^no field of the session plugin$/],
  ];
  for (const [name, value, note] of dropped) {
    const report = field({ [name]: value }, name);
    assert.equal(report?.outcome, 'dropped', name);
    assert.match(report?.note ?? '', note);
    assert.deepEqual(of({ [name]: value }).config, { secret: SECRET }, name);
    assert.ok(codes({ [name]: value }).includes('dropped'), name);
  }
  assert.equal(field({ 'a value+that/lost=its place': 1 }, '(no name)')?.outcome, 'dropped');
});

test('what a prefix of a cookie forbids is left out', () => {
  const host = {
    cookie_name: '__Host-x',
    cookie_path: '/app',
    cookie_domain: 'xyz.com',
    cookie_secure: false,
  };
  const { config, fields } = of(host);
  assert.deepEqual(config, { secret: SECRET, cookie_name: '__Host-x' });
  assert.equal(fields.filter(({ outcome }) => outcome === 'dropped').length, 3);
});

test('two cookies of one name', () => {
  const both = { remember: true, remember_cookie_name: 'x', cookie_name: 'x' };
  assert.deepEqual(of(both).config, { secret: SECRET, remember: true, cookie_name: 'x' });
  const impossible = { remember: true, cookie_name: 'remember' };
  assert.equal(of(impossible).config, undefined);
  assert.deepEqual(codes(impossible), ['impossible']);
  assert.deepEqual(codes({ cookie_name: 'remember' }), ['impossible']); // by Kong's schema too
  const swapped = { cookie_name: 'remember', remember_cookie_name: 'session' };
  assert.deepEqual(of(swapped).config, { secret: SECRET, ...swapped });
});

test('storage kong gets a database', () => {
  const { config, fields } = of({ storage: 'kong' });
  assert.deepEqual(config, {
    secret: SECRET,
    storage: 'kong',
    postgres: { url: '{vault://env/session-database-url}' },
  });
  assert.equal(fields[1]?.outcome, 'changed');
});

test('secrets', () => {
  const cases: readonly [unknown, string, string | undefined][] = [
    [undefined, SECRET, 'secret_missing'],
    [null, SECRET, 'secret_missing'],
    ['change-this-secret', SECRET, 'secret_weak'],
    ['super-secret', SECRET, 'secret_weak'],
    ['short', SECRET, 'secret_weak'],
    ['a'.repeat(40), SECRET, 'secret_weak'],
    [12345, SECRET, 'secret_weak'],
    [STRONG, SECRET, 'secret_hidden'],
    ['{vault://hcv/kong/secret}', '{vault://hcv/kong/secret}', undefined],
    ['{vault://hunter2\n}', SECRET, 'secret_weak'],
    ['${{ env "DECK_SECRET" }}', SECRET, 'secret_reference'],
  ];
  for (const [secret, reference, code] of cases) {
    const { config, findings, fields } = of({ secret });
    assert.equal(config?.['secret'], reference);
    assert.equal(findings.find(({ field: name }) => name === 'secret')?.code, code);
    const text = JSON.stringify({ config, findings, fields });
    if (typeof secret === 'string' && secret !== reference) assert.ok(!text.includes(secret));
  }
});

test('warnings', () => {
  const cases: readonly [Fields, readonly string[]][] = [
    [{}, []],
    [{ rolling_timeout: 86_400 }, []],
    [{ rolling_timeout: 31_557_600 }, ['rolling_cut_short']],
    [{ rolling_timeout: 31_557_600, absolute_timeout: 0, idling_timeout: 0 }, []],
    [{ rolling_timeout: 100, absolute_timeout: 50 }, ['rolling_cut_short']],
    [{ cookie_lifetime: 600 }, ['idle_limit_new']],
    [{ cookie_lifetime: 600, cookie_idletime: 60 }, []],
    [{ cookie_lifetime: 600, idling_timeout: 60 }, []],
    [{ cookie_secure: false }, ['cookie_insecure']],
    [{ cookie_same_site: 'None' }, ['same_site_none']],
    [{ cookie_same_site: 'None', cookie_secure: false }, ['none_forces_secure', 'same_site_none']],
    [{ cookie_domain: 'portal' }, ['domain_unusable']],
    [{ cookie_domain: '10.1.2.3' }, ['domain_unusable']],
    [{ cookie_domain: '.xyz.com' }, []],
    [{ logout_methods: ['GET'], logout_query_arg: 'x' }, []],
  ];
  for (const [config, expected] of cases) {
    assert.deepEqual(codes(config), expected, JSON.stringify(config));
  }
});

test('the Dev Portal needs storage kong and its own way to sign out', () => {
  const cases: readonly [Fields, readonly string[]][] = [
    [{ logout_methods: ['POST', 'DELETE'], logout_query_arg: 'session_logout' }, []],
    [{ logout_methods: ['DELETE', 'GET'] }, []],
    [{ logout_methods: ['GET'] }, ['portal_logout']],
    [{ logout_query_arg: 'bye' }, ['portal_logout']],
    [{ logout_post_arg: 'bye' }, ['portal_logout']],
  ];
  for (const [config, expected] of cases) {
    assert.deepEqual(codes(config, 'portal'), expected, JSON.stringify(config));
  }
  const { findings } = of({}, { origin: 'portal' });
  assert.match(findings.find(({ code }) => code === 'storage_cookie')?.message ?? '', /Dev Portal/);
});

const notes = (config: Fields): string[] =>
  of({ storage: 'kong', ...config })
    .findings.filter(({ level, field: name }) => level === 'note' && name.startsWith('cookie'))
    .map(({ code }) => code);

test('notes on cookies that hosts share', () => {
  assert.deepEqual(notes({ cookie_domain: '.xyz.com' }), ['same_site_strict', 'domain_shared']);
  assert.deepEqual(notes({ cookie_domain: '.xyz.com', cookie_same_site: 'Lax' }), [
    'domain_shared',
  ]);
  assert.deepEqual(notes({ cookie_domain: 'localhost', cookie_same_site: 'Lax' }), [
    'domain_localhost',
  ]);
});

test('a consumer cannot have a session plugin', () => {
  const { config, findings } = of({}, { scope: { kind: 'unsupported', name: 'consumers[0]' } });
  assert.equal(config, undefined);
  assert.ok(findings.some(({ code, field: name }) => code === 'scope_unsupported' && name));
});
