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
  });
  assert.deepEqual(config.logout, {
    methods: new Set(['POST', 'DELETE']),
    queryArg: 'session_logout',
    postArg: 'session_logout',
    readBody: false,
  });
  assert.equal(config.touchInterval, 60_000);
  assert.equal(config.cacheTtl, 5000);
});

test('what depends on other fields', () => {
  assert.equal(parse({ idling_timeout: 8 }).touchInterval, 2000);
  assert.equal(parse({ idling_timeout: 0 }).touchInterval, 60_000);
  assert.equal(parse({ stale_ttl: 2 }).cacheTtl, 2000);
  assert.equal(parse({ rolling_timeout: 8 }).timeouts.renew, 2000);
  assert.equal(parse({ cookie_same_site: 'None', cookie_secure: false }).cookie.secure, true);
  assert.equal(parse({ cookie_same_site: 'Default' }).cookie.sameSite, undefined);
  assert.equal(parse({ cookie_domain: 'localhost' }).cookie.domain, undefined);
  assert.equal(parse({ storage: 'postgres', postgres }).storage, 'kong');
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
    [{ secret: 5 }, /^config\.secret: expected a string/],
    [{ storage: 'redis' }, /^config\.storage: expected one of: cookie, kong, postgres/],
    [{ storage: 'kong' }, /^config\.postgres: required with storage kong/],
    [{ postgres: {} }, /^config\.postgres: at least one of/],
    [{ postgres: 'x' }, /^config\.postgres: expected a record/],
    [{ postgres: { url: '' } }, /^config\.postgres\.url: is empty/],
    [{ postgres: { url: 'mysql://x' } }, /^config\.postgres\.url: must begin with postgres/],
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
    [{ cookie_domain: 'https://x' }, /^config\.cookie_domain: /],
    [{ cookie_domain: 'x; Secure' }, /^config\.cookie_domain: /],
    [{ cookie_same_site: 'off' }, /^config\.cookie_same_site: expected one of/],
    [{ cookie_secure: 'yes' }, /^config\.cookie_secure: expected a boolean/],
    [{ logout_methods: ['PUT'] }, /^config\.logout_methods: expected one of/],
    [{ logout_methods: 'POST' }, /^config\.logout_methods: expected a set/],
    [{ cookie_name: '__Host-s', cookie_domain: 'x.test' }, /^config\.cookie_domain: /],
    [{ cookie_name: '__host-s', cookie_path: '/x' }, /^config\.cookie_path: /],
    [{ cookie_name: '__Secure-s', cookie_secure: false }, /^config\.cookie_secure: /],
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
