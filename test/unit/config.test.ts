import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../lib/config.ts';
import type { Field, FieldTable } from '../../lib/field.ts';
import { FIELDS } from '../../lib/fields.ts';
import { POSTGRES_FIELDS } from '../../lib/postgres-fields.ts';
import { pluginInfo, schemaFields } from '../../lib/schema.ts';

const SECRET = 'Xk3v9Qp7Lr2Tz8Ws5Yb1Nc6Md4Fg0HjKEaRiUo';
const parse = (fields: object = {}) => parseConfig({ secret: SECRET, ...fields });
const postgres = { url: 'postgres://localhost/x' };

test('the defaults are those of the bundled plugin', () => {
  const config = parse();
  assert.equal(config.storage, 'cookie');
  assert.equal(config.audience, 'default');
  assert.deepEqual(config.timeouts, {
    idling: 900_000,
    rolling: 3_600_000,
    absolute: 86_400_000,
    stale: 10_000,
    renew: 900_000,
  });
  assert.deepEqual(config.cookie, {
    name: 'session',
    path: '/',
    domain: undefined,
    sameSite: 'Strict',
    httpOnly: true,
    secure: true,
    partitioned: false,
    priority: undefined,
    maxAge: undefined,
  });
  assert.deepEqual(config.logout, {
    methods: new Set(['POST', 'DELETE']),
    queryArg: 'session_logout',
    postArg: 'session_logout',
    readBody: false,
    redirect: undefined,
    clearSiteData: [],
  });
  assert.equal(config.remember, undefined);
  assert.equal(config.subject, 'unstored');
  assert.equal(config.limit, undefined);
  assert.equal(config.selfServicePath, undefined);
  assert.equal(config.touchInterval, 60_000);
  assert.equal(config.cacheTtl, 5000);
});

test('what depends on other fields', () => {
  assert.equal(parse({ idling_timeout: 8 }).touchInterval, 2000);
  assert.equal(parse({ idling_timeout: 0 }).touchInterval, 60_000);
  assert.equal(parse({ touch_interval: 5 }).touchInterval, 5000);
  assert.equal(
    parse({ touch_interval: 1800 }).touchInterval,
    225_000,
    'nobody is out while active',
  );
  assert.equal(parse({ touch_interval: 1800, idling_timeout: 0 }).touchInterval, 1_800_000);
  assert.equal(parse({ touch_interval: 1800, cookie_idletime: 8 }).touchInterval, 2000);
  assert.equal(parse({ stale_ttl: 2 }).cacheTtl, 2000);
  assert.equal(parse({ rolling_timeout: 8 }).timeouts.renew, 2000);
  assert.equal(parse({ cookie_same_site: 'None', cookie_secure: false }).cookie.secure, true);
  assert.equal(parse({ cookie_same_site: 'Default' }).cookie.sameSite, undefined);
  assert.equal(parse({ cookie_domain: 'localhost' }).cookie.domain, undefined);
  assert.equal(parse({ storage: 'postgres', postgres }).storage, 'kong');
});

test('old names override the new ones, which Kong fills in', () => {
  const config = parse({
    cookie_lifetime: 100,
    rolling_timeout: 3600,
    cookie_idletime: 50,
    cookie_renew: 20,
    cookie_discard: 3,
    cookie_samesite: 'off',
    cookie_httponly: false,
    cookie_persistent: true,
  });
  assert.deepEqual(config.timeouts, {
    idling: 50_000,
    rolling: 100_000,
    absolute: 86_400_000,
    stale: 3000,
    renew: 20_000,
  });
  assert.equal(config.cookie.sameSite, 'Lax');
  assert.equal(config.cookie.httpOnly, false);
  assert.equal(config.remember?.cookie.name, 'remember');
  assert.equal(config.oldNames.length, 6);
  assert.equal(parse({ cookie_renew: 3000 }).timeouts.renew, 1_800_000);
});

test('the persistent cookie', () => {
  const remember = parse({ remember: true, remember_rolling_timeout: 1e9 }).remember;
  assert.equal(remember?.cookie.maxAge, 400 * 86_400);
  assert.deepEqual(remember?.lifetime, { rolling: 1e12, absolute: 2_592_000_000 });
  const forever = parse({ remember: true, remember_rolling_timeout: 0 }).remember;
  assert.equal(forever?.cookie.maxAge, 400 * 86_400);
  assert.notEqual(remember?.realm, parse().realm);
  const other = parse({ remember: true, cookie_name: 'other' }).remember;
  assert.notEqual(other?.realm, remember?.realm, 'the default name is shared, the cookie is not');
});

test('a duration that is not 0 does not become 0, which would mean never', () => {
  const { timeouts, remember, consumerTtl } = parse({
    idling_timeout: 0.0004,
    rolling_timeout: 0.0004,
    absolute_timeout: 0.0004,
    remember: true,
    remember_rolling_timeout: 0.0004,
    remember_absolute_timeout: 0.0004,
  });
  const { idling, rolling, absolute } = timeouts;
  assert.deepEqual([idling, rolling, absolute], [1, 1, 1]);
  assert.deepEqual(remember?.lifetime, { rolling: 1, absolute: 1 });
  assert.equal(remember?.cookie.maxAge, 1, '0 would delete the cookie');
  assert.equal(consumerTtl, 30_000);
  assert.equal(parse({ idling_timeout: 1.1 }).timeouts.idling, 1100);
});

test('names next to one another are those of chunks where sessions live in cookies, and only there', () => {
  const next = { remember: true, remember_cookie_name: 'session2' };
  assert.equal(parse({ ...next, storage: 'kong', postgres }).remember?.cookie.name, 'session2');
  for (const remember_cookie_name of ['session1', 'session10', 'Session2', 'session-2']) {
    const { remember } = parse({ remember: true, remember_cookie_name });
    assert.equal(remember?.cookie.name, remember_cookie_name);
  }
});

test('a prefix goes before both names and forces Secure', () => {
  const config = parse({ cookie_prefix: '__Host-', remember: true, cookie_secure_auto: true });
  assert.equal(config.cookie.name, '__Host-session');
  assert.equal(config.remember?.cookie.name, '__Host-remember');
  assert.equal(config.cookie.secure, true);
  assert.equal(parse({ cookie_secure_auto: true }).cookie.secure, 'auto');
  assert.equal(parse({ cookie_partitioned: true, cookie_secure: false }).cookie.secure, true);
});

test('storages, cookie names and schemas are realms of their own', () => {
  const realms = [
    parse(),
    parse({ cookie_name: 'other' }),
    parse({ storage: 'kong', postgres }),
    parse({ storage: 'kong', postgres: { ...postgres, schema: 'other' } }),
  ].map(({ realm }) => realm);
  assert.equal(new Set(realms).size, realms.length);
  const same = parse({ storage: 'postgres', postgres }).realm;
  assert.equal(same, parse({ storage: 'kong', postgres }).realm);
});

test("Kong's bookkeeping and fields of another version are ignored, nulls are absent", () => {
  const config = parse({
    __seq__: 1,
    __plugin_id: 'x',
    route_id: 'y',
    $refs: { secret: '{vault://env/x}' },
    some_day: true,
    cookie_domain: null,
    idling_timeout: null,
  });
  assert.equal(config.timeouts.idling, 900_000);
});

test('each refusal names the field', () => {
  const refused: [fields: unknown, message: RegExp][] = [
    [{ secret: undefined }, /^config\.secret: required/],
    [{ secret: '' }, /^config\.secret: is empty: does the vault/],
    [{ secret: 'short' }, /^config\.secret: must have at least 32/],
    [{ secret: 'a'.repeat(64) }, /^config\.secret: is too simple/],
    [{ secret: 'change-this-secretchange-this-secret' }, /^config\.secret: is a published example/],
    [{ secret: 'password'.repeat(4) }, /^config\.secret: is a published example/],
    [{ secret: 5 }, /^config\.secret: expected a string/],
    [{ storage: 'redis' }, /^config\.storage: expected one of: cookie, kong, postgres/],
    [{ storage: 'kong' }, /^config\.postgres: required with storage kong/],
    [{ postgres: {} }, /^config\.postgres: at least one of/],
    [{ postgres: 'x' }, /^config\.postgres: expected a record/],
    [{ postgres: { url: '' } }, /^config\.postgres\.url: is empty/],
    [{ postgres: { url: 'mysql://x' } }, /^config\.postgres\.url: must begin with postgres/],
    [{ postgres: { host: 'h' } }, /^config\.postgres\.user: required with postgres\.host/],
    [{ postgres: { host: 'h', port: 0 } }, /^config\.postgres\.port: value should be between/],
    [{ postgres: { host: 'h', port: 1.5 } }, /^config\.postgres\.port: expected an integer/],
    [{ postgres: { host: 'h', schema: 'a"b' } }, /^config\.postgres\.schema: /],
    [{ idling_timeout: -1 }, /^config\.idling_timeout: value should be between/],
    [{ idling_timeout: NaN }, /^config\.idling_timeout: value should be between/],
    [{ rolling_timeout: '60' }, /^config\.rolling_timeout: expected a number/],
    [{ cookie_name: 'a b' }, /^config\.cookie_name: /],
    [{ cookie_name: 'a;b' }, /^config\.cookie_name: /],
    [{ cookie_name: 'a=b' }, /^config\.cookie_name: /],
    [{ cookie_name: '' }, /^config\.cookie_name: must have at least 1/],
    [{ cookie_path: 'x' }, /^config\.cookie_path: /],
    [{ cookie_path: '/a;b' }, /^config\.cookie_path: /],
    [{ cookie_path: '/a<b' }, /^config\.cookie_path: must begin with/],
    [{ cookie_domain: 'example.com.' }, /^config\.cookie_domain: must be a host name/],
    [{ cookie_domain: 'a..b' }, /^config\.cookie_domain: /],
    [{ cookie_domain: 'ex-.com' }, /^config\.cookie_domain: /],
    [{ cookie_domain: `${'a'.repeat(64)}.com` }, /^config\.cookie_domain: .*63/],
    [{ cookie_domain: 'https://x' }, /^config\.cookie_domain: /],
    [{ cookie_domain: 'x; Secure' }, /^config\.cookie_domain: /],
    [{ cookie_same_site: 'off' }, /^config\.cookie_same_site: expected one of/],
    [{ cookie_secure: 'yes' }, /^config\.cookie_secure: expected a boolean/],
    [{ logout_methods: ['PUT'] }, /^config\.logout_methods: expected one of/],
    [{ logout_methods: 'POST' }, /^config\.logout_methods: expected a set/],
    [{ cookie_name: '__Host-s', cookie_domain: 'x.test' }, /^config\.cookie_domain: /],
    [{ cookie_name: '__Host-s', cookie_domain: 'localhost' }, /^config\.cookie_domain: /],
    [{ cookie_name: '__host-s', cookie_path: '/x' }, /^config\.cookie_path: /],
    [{ cookie_name: '__Secure-s', cookie_secure: false }, /^config\.cookie_secure: /],
    [{ cookie_prefix: '__Host-', cookie_domain: 'x.test' }, /^config\.cookie_domain: /],
    [{ cookie_prefix: '__Secure-', cookie_secure: false }, /^config\.cookie_secure: /],
    [{ secret_fallbacks: ['short'] }, /^config\.secret_fallbacks\[1\]: must have at least 32/],
    [{ secret_fallbacks: [SECRET, 'a'.repeat(40)] }, /^config\.secret_fallbacks\[2\]: is too/],
    [{ secret_fallbacks: [''] }, /^config\.secret_fallbacks\[1\]: is empty/],
    [{ remember: true, remember_cookie_name: 'session' }, /^config\.remember_cookie_name: /],
    [{ cookie_name: 'remember' }, /^config\.remember_cookie_name: must differ/],
    [{ remember_cookie_name: '__Host-r', cookie_secure: false }, /^config\.cookie_secure: /],
    [{ remember: true, remember_cookie_name: 'session2' }, /^config\.remember_cookie_name: /],
    [{ remember: true, cookie_name: 'remember9' }, /^config\.remember_cookie_name: /],
    [{ logout_redirect_uri: '//evil.test' }, /^config\.logout_redirect_uri: /],
    [{ logout_redirect_uri: 'javascript:x' }, /^config\.logout_redirect_uri: /],
    [{ logout_redirect_uri: '/bye/ü' }, /^config\.logout_redirect_uri: .*percent-encoded/],
    [{ logout_redirect_uri: 'https://例え.jp/' }, /^config\.logout_redirect_uri: /],
    [{ logout_redirect_uri: 'https://' }, /^config\.logout_redirect_uri: /],
    [{ logout_redirect_uri: 'https:///x' }, /^config\.logout_redirect_uri: /],
    [{ cookie_name: '__Http-s', cookie_http_only: false }, /^config\.cookie_http_only: /],
    [{ cookie_prefix: '__Http-', cookie_secure: false }, /^config\.cookie_secure: /],
    [{ cookie_prefix: '__Host-Http-', cookie_httponly: false }, /^config\.cookie_http_only: /],
    [{ cookie_prefix: '__Host-Http-', cookie_path: '/x' }, /^config\.cookie_path: /],
    [{ logout_redirect_uri: '/a b' }, /^config\.logout_redirect_uri: /],
    [{ request_headers: ['name'] }, /^config\.request_headers: expected one of/],
    [{ bind: ['mac'] }, /^config\.bind: expected one of/],
    [{ max_sessions: 1.5 }, /^config\.max_sessions: expected an integer/],
    [{ idle_exempt_paths: ['x'] }, /^config\.idle_exempt_paths\[1\]: must begin with/],
    [{ cookie_renew: 0 }, /^config\.cookie_renew: value should be between/],
  ];
  for (const [fields, message] of refused) {
    assert.throws(() => parse(fields as object), { code: 'ERR_CONFIG', message });
  }
  for (const raw of [undefined, null, [], 'x']) {
    assert.throws(() => parseConfig(raw), { code: 'ERR_CONFIG' });
  }
});

test('no refusal repeats the value: it may be a secret', () => {
  const value = 'Hunter2-'.repeat(3);
  for (const fields of [{ secret: value }, { postgres: { url: value } }]) {
    assert.throws(
      () => parse(fields),
      (error: Error) => !error.message.includes('Hunter2'),
    );
  }
});

const all = (table: FieldTable): [string, Field][] => Object.entries(table);

test('every field has a description that Kong takes (10 to 500 characters)', () => {
  for (const [name, { description }] of [...all(FIELDS), ...all(POSTGRES_FIELDS)]) {
    assert.ok(description.length >= 10 && description.length <= 500, name);
  }
});

test("Kong's schema has every field, in order, with its default", () => {
  const names = schemaFields().flatMap((field) => Object.keys(field));
  assert.deepEqual(names, Object.keys(FIELDS));
  for (const field of schemaFields()) {
    for (const [name, kong] of Object.entries(field)) {
      const ours: Field | undefined = (FIELDS as FieldTable)[name];
      assert.equal(kong['default'], ours && 'default' in ours ? ours.default : undefined, name);
    }
  }
});

test('the dump is plain JSON and forbids a configuration per consumer', () => {
  const info = JSON.parse(JSON.stringify(pluginInfo())) as ReturnType<typeof pluginInfo>;
  assert.deepEqual(info, pluginInfo());
  assert.equal(info.Priority, 1005);
  assert.match(info.Version, /^\d+\.\d+\.\d+$/);
  const { fields } = info.Schema as { fields: object[] };
  assert.deepEqual(fields[0], {
    consumer: { type: 'foreign', reference: 'consumers', eq: null },
  });
});
