import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { FIELDS } from '../../lib/fields.ts';
import { POSTGRES_FIELDS } from '../../lib/postgres-fields.ts';
import { Scene } from './support/scene.ts';

/** Nobody is to find out a secret by being refused. */
const SHORT = 'thirty-one-characters-are-short';
const FRAGMENT = 'a; Domain=evil.test';

const TEXT = [5, true, '', ['a'], { a: 1 }];
const NUMBER = ['60', true, '', [1], -1];
const FLAG = ['true', 1, '', [true]];
/** A limit of 100 years, and JSON has no NaN. */
const SECONDS = [...NUMBER, 3_153_600_001, 1e300];
const choice = (...wrong: unknown[]): unknown[] => [...TEXT, ...wrong];

/** What Kong must not store, for every field there is: a new one without a line here does not compile. */
const WRONG: Record<keyof typeof FIELDS, readonly unknown[]> = {
  secret: [...TEXT, SHORT, null],
  secret_fallbacks: ['a', 5, [SHORT], [5], [''], ['x'.repeat(32), SHORT]],
  storage: choice('redis', 'Cookie', 'memcached'),
  audience: choice('two words', 'a\r\nb', 'é', 'x'.repeat(129)),
  idling_timeout: SECONDS,
  rolling_timeout: SECONDS,
  absolute_timeout: SECONDS,
  stale_ttl: [...NUMBER, 3601],
  cookie_name: choice('a b', FRAGMENT, 'a=b', 'a\r\nb', 'é', '"a"', 'x'.repeat(129)),
  cookie_prefix: choice('__host-', '__Host', '__http-'),
  cookie_path: choice('no-slash', '/a; Secure', '/a b', '/a\r\nb', `/${'x'.repeat(1024)}`),
  cookie_domain: choice('https://app.test', 'app.test/path', FRAGMENT, 'a b', 'x'.repeat(254)),
  cookie_same_site: choice('off', 'strict', 'Strict; Secure'),
  cookie_http_only: FLAG,
  cookie_secure: FLAG,
  cookie_secure_auto: FLAG,
  cookie_partitioned: FLAG,
  cookie_priority: choice('low', 'Highest'),
  remember: FLAG,
  remember_cookie_name: choice('a b', FRAGMENT, 'x'.repeat(129)),
  remember_rolling_timeout: SECONDS,
  remember_absolute_timeout: SECONDS,
  request_headers: ['id', ['secret'], ['Id'], [5], { id: true }],
  response_headers: ['id', ['consumer'], ['session-id'], [5], { id: true }],
  store_metadata: FLAG,
  hash_subject: FLAG,
  bind: ['ip', ['port'], ['IP'], [5]],
  max_sessions: [...NUMBER, 1.5, 10_001],
  max_sessions_policy: choice('evict', 'refuse-newest'),
  self_service: FLAG,
  self_service_path: choice('sessions', '/a b', '/a;b', `/${'x'.repeat(256)}`),
  idle_exempt_paths: ['/poll', [5], [''], ['poll'], ['/ok', '/not ok']],
  idle_exempt_header: choice('X Background', 'a:b', 'a\r\nb', 'x'.repeat(129)),
  logout_methods: ['POST', ['PATCH'], ['post'], [5]],
  logout_query_arg: [...TEXT, 'x'.repeat(257)],
  logout_post_arg: [...TEXT, 'x'.repeat(257)],
  read_body_for_logout: FLAG,
  logout_redirect_uri: choice(
    '//evil.test',
    'javascript:alert(1)',
    'evil.test',
    '/a b',
    '/a\r\nSet-Cookie: b=c',
    '/\\evil.test',
    `/${'x'.repeat(2048)}`,
  ),
  logout_clear_site_data: ['cookies', ['everything'], ['"cookies"'], [5]],
  unauthenticated: choice('allow', 'Deny', '401'),
  revoke_on_replay: FLAG,
  touch_interval: [...NUMBER, 0, 0.05, 3601],
  cache_ttl: [...NUMBER, 61],
  consumer_ttl: [...NUMBER, 0, 3601],
  kong_database_url: choice('mysql://host/db', 'host/db'),
  // Not a number: Kong 3.9.1 answers 500 to one, since a rule of ours asks for a field of it.
  postgres: ['postgres://host/db', ['postgres://host/db']],
  cookie_lifetime: SECONDS,
  cookie_idletime: SECONDS,
  cookie_renew: [...SECONDS, 0],
  cookie_discard: [...NUMBER, 3601],
  cookie_samesite: choice('Off', 'none'),
  cookie_httponly: FLAG,
  cookie_persistent: FLAG,
};

const WRONG_IN_POSTGRES: Record<keyof typeof POSTGRES_FIELDS, readonly unknown[]> = {
  audit_retention: NUMBER,
  url: choice('mysql://host/db', 'host/db'),
  listen_url: choice('http://host/db'),
  host: TEXT,
  port: [...NUMBER, 0, 65_536, 5432.5],
  user: TEXT,
  password: TEXT,
  database: TEXT,
  schema: choice('Sessions', 'a-b', 'a"; drop table sessions; --', '1a', 'x'.repeat(64)),
  ssl: FLAG,
  ssl_verify: FLAG,
  ssl_ca: TEXT,
  pool_size: [...NUMBER, 0, 201, 1.5],
  connect_timeout: [...NUMBER, 0, 4.1],
  statement_timeout: [...NUMBER, 0, 4.1],
  prepared: FLAG,
  migrate: FLAG,
};

describe('what the Admin API refuses', { concurrency: 4 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  async function refused(
    config: object,
  ): Promise<{ fields: Record<string, unknown>; all: string }> {
    const refusal = await scene.admin.refusal('/plugins', scene.guardPlugin({ ...config }));
    assert.equal(refusal.status, 400, JSON.stringify(config));
    assert.match(refusal.message, /schema violation/);
    const fields = refusal.fields.config as Record<string, unknown> | undefined;
    return { fields: fields ?? {}, all: JSON.stringify(refusal) };
  }

  /** What Kong says about several fields together is called `@entity`. */
  const named = (fields: object): string[] =>
    Object.keys(fields).filter((name) => name !== '@entity');

  const shown = (value: unknown): string => JSON.stringify(value).slice(0, 60);

  test('every field has a wrong value here', () => {
    assert.deepEqual(Object.keys(WRONG).toSorted(), Object.keys(FIELDS).toSorted());
    const ofPostgres = Object.keys(WRONG_IN_POSTGRES).toSorted();
    assert.deepEqual(ofPostgres, Object.keys(POSTGRES_FIELDS).toSorted());
    for (const values of [...Object.values(WRONG), ...Object.values(WRONG_IN_POSTGRES)]) {
      assert.notDeepEqual(values, []);
    }
  });

  for (const [field, values] of Object.entries(WRONG)) {
    test(`S-155: ${field}`, async () => {
      for (const value of values) {
        const { fields, all } = await refused({ [field]: value });
        assert.deepEqual(named(fields), [field], shown(value));
        assert.equal(all.includes(SHORT), false, 'a secret is not repeated');
      }
    });
  }

  for (const [field, values] of Object.entries(WRONG_IN_POSTGRES)) {
    test(`S-155: postgres.${field}`, async () => {
      const complete = { url: 'postgres://user:open-sesame@localhost/sessions' };
      for (const value of values) {
        const { fields, all } = await refused({ postgres: { ...complete, [field]: value } });
        assert.deepEqual(named(fields), ['postgres'], shown(value));
        const inside = fields['postgres'] as Record<string, unknown>;
        assert.deepEqual(named(inside), [field], shown(value));
        assert.equal(all.includes('open-sesame'), false, 'a password is not repeated');
      }
    });
  }

  test('S-150: without a secret there is no session-guard', async () => {
    const { status, fields } = await scene.admin.refusal('/plugins', {
      name: 'session-guard',
      config: { storage: 'cookie' },
    });
    assert.equal(status, 400);
    assert.deepEqual(fields.config, { secret: 'required field missing' });
  });

  test('S-155: storage kong without a database', async () => {
    const { secret } = scene.guardPlugin({}).config;
    for (const storage of ['kong', 'postgres']) {
      const { status, fields } = await scene.admin.refusal('/plugins', {
        name: 'session-guard',
        config: { secret, storage },
      });
      assert.equal(status, 400);
      assert.match(JSON.stringify(fields), /postgres/);
    }
    const { fields } = await refused({ storage: 'kong', postgres: { database: 'sessions' } });
    assert.match(JSON.stringify(fields['postgres']), /url.*host|host.*url/);
    const anybody = await refused({ storage: 'kong', postgres: { host: 'localhost' } });
    assert.match(JSON.stringify(anybody.fields['postgres']), /user/);
  });

  test('a field that there is not', async () => {
    const { fields } = await refused({ cookie_lifespan: 5 });
    assert.deepEqual(fields, { cookie_lifespan: 'unknown field' });
    const inside = await refused({ postgres: { host: 'localhost', user: 'u', pool: 5 } });
    assert.deepEqual(inside.fields, { postgres: { pool: 'unknown field' } });
  });

  test('S-157: what a prefix forbids', async () => {
    for (const [config, about] of [
      [{ cookie_prefix: '__Host-', cookie_domain: 'app.test' }, 'cookie_domain'],
      [{ cookie_prefix: '__Host-', cookie_path: '/a' }, 'cookie_path'],
      [{ cookie_prefix: '__Host-', cookie_secure: false }, 'cookie_secure'],
      [{ cookie_prefix: '__Secure-', cookie_secure: false }, 'cookie_secure'],
      [{ cookie_name: '__Host-s', cookie_domain: 'app.test' }, 'cookie_domain'],
      [{ cookie_name: '__host-s', cookie_path: '/a' }, 'cookie_path'],
      [{ cookie_name: '__SECURE-s', cookie_secure: false }, 'cookie_secure'],
    ] as const) {
      const { all } = await refused(config);
      assert.match(all, new RegExp(about), JSON.stringify(config));
    }
  });
});
