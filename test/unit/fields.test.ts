import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../lib/config.ts';
import { settingsOf } from '../../lib/database-settings.ts';
import { FIELDS } from '../../lib/fields.ts';
import { POSTGRES_FIELDS } from '../../lib/postgres-fields.ts';

/* A field that the schema takes and nothing reads would be a promise that is not kept: each one makes a difference. */

/** What lets every field count: fields of something that is switched off are not looked at. */
const BASE = {
  secret: 'Xk3v9Qp7Lr2Tz8Ws5Yb1Nc6Md4Fg0HjKEaRiUo',
  storage: 'kong',
  remember: true,
  self_service: true,
  store_metadata: true,
  max_sessions: 3,
  postgres: { host: 'db', user: 'u', password: 'p', database: 'd' },
};

/** Another value for each: a new field without a line here does not compile. */
const OTHER = {
  secret: 'another-Xk3v9Qp7Lr2Tz8Ws5Yb1Nc6Md4Fg0HjK',
  secret_fallbacks: ['another-Xk3v9Qp7Lr2Tz8Ws5Yb1Nc6Md4Fg0HjK'],
  storage: 'cookie',
  audience: 'shop',
  idling_timeout: 901,
  rolling_timeout: 3601,
  absolute_timeout: 86_401,
  stale_ttl: 11,
  cookie_name: 'sid',
  cookie_prefix: '__Secure-',
  cookie_path: '/shop',
  cookie_domain: 'example.com',
  cookie_same_site: 'Lax',
  cookie_http_only: false,
  cookie_secure: false,
  cookie_secure_auto: true,
  cookie_partitioned: true,
  cookie_priority: 'High',
  remember: false,
  remember_cookie_name: 'stay',
  remember_rolling_timeout: 604_801,
  remember_absolute_timeout: 2_592_001,
  request_headers: ['id'],
  response_headers: ['id'],
  store_metadata: false,
  hash_subject: true,
  bind: ['ip'],
  max_sessions: 4,
  max_sessions_policy: 'refuse',
  self_service: false,
  self_service_path: '/mine',
  idle_exempt_paths: ['/poll'],
  idle_exempt_header: 'X-Poll',
  logout_methods: ['POST'],
  logout_query_arg: 'bye',
  logout_post_arg: 'bye',
  read_body_for_logout: true,
  logout_redirect_uri: '/bye',
  logout_clear_site_data: ['cache'],
  unauthenticated: 'deny',
  revoke_on_replay: false,
  touch_interval: 7,
  cache_ttl: 4,
  consumer_ttl: 31,
  kong_database_url: 'postgres://localhost/kong',
  postgres: { host: 'elsewhere', user: 'u' },
  cookie_lifetime: 3599,
  cookie_idletime: 899,
  cookie_renew: 10,
  cookie_discard: 9,
  cookie_samesite: 'off',
  cookie_httponly: false,
  cookie_persistent: false,
} satisfies Record<keyof typeof FIELDS, unknown>;

const OTHER_DATABASE = {
  url: 'postgres://localhost/x',
  listen_url: 'postgres://localhost/y',
  host: 'elsewhere',
  port: 5433,
  user: 'v',
  password: 'q',
  database: 'e',
  schema: 'other',
  ssl: true,
  ssl_verify: false,
  ssl_ca: '-----BEGIN CERTIFICATE-----',
  pool_size: 11,
  connect_timeout: 3,
  statement_timeout: 3,
  prepared: false,
  audit_retention: 60,
  migrate: false,
} satisfies Record<keyof typeof POSTGRES_FIELDS, unknown>;

/** Where they are read by somebody else than the connection. */
const NOT_OF_THE_CONNECTION = ['audit_retention'];

const namesOf = (table: object): string[] => Object.keys(table);

test('the base is one configuration, whenever it is read', () => {
  assert.deepEqual(parseConfig(BASE), parseConfig(BASE));
});

for (const [name, value] of Object.entries(OTHER)) {
  test(`${name} makes a difference`, () => {
    assert.notDeepEqual(parseConfig({ ...BASE, [name]: value }), parseConfig(BASE));
  });
}

for (const [name, value] of Object.entries(OTHER_DATABASE)) {
  test(`postgres.${name} makes a difference, to the connection too`, () => {
    const settings = (fields: object) => {
      const { postgres } = parseConfig({
        ...BASE,
        postgres: { ...BASE.postgres, ssl: true, ...fields },
      });
      assert.ok(postgres);
      return { postgres, connection: settingsOf(postgres) };
    };
    const changed = settings(name === 'ssl' ? { ssl: false } : { [name]: value });
    assert.deepEqual(settings({}).connection, settings({}).connection);
    assert.notDeepEqual(changed.postgres, settings({}).postgres);
    if (NOT_OF_THE_CONNECTION.includes(name)) return;
    assert.notDeepEqual(changed.connection, settings({}).connection);
  });
}

test('there is a value for every field', () => {
  assert.deepEqual(namesOf(OTHER).toSorted(), namesOf(FIELDS).toSorted());
  assert.deepEqual(namesOf(OTHER_DATABASE).toSorted(), namesOf(POSTGRES_FIELDS).toSorted());
});
