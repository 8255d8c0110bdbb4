import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Diagnosis } from '../../lib/cli/doctor/diagnosis.ts';
import { NAME, pluginInfo } from '../../lib/schema.ts';
import { Admin } from '../support/admin.ts';
import { createAdmin } from '../support/gateway/admin/index.ts';
import type { ExternalPlugin } from '../support/gateway/admin/index.ts';
import type { Schema } from '../support/gateway/admin/schema.ts';
import { Entities } from '../support/gateway/entities.ts';
import { run } from '../unit/cli/run.ts';
import { cli } from './cli-process.ts';

/* What `session-guard doctor` says about a gateway: nothing bad where all is well, and each mistake by its name. */

const GUARD: ExternalPlugin = { name: NAME, schema: pluginInfo().Schema as Schema };
/** Of these only the name matters. */
const external = (name: string, fields: readonly object[] = []) => ({
  name,
  schema: { name, fields: [{ config: { type: 'record', fields } }] } as Schema,
});
const OTHERS = [
  external('session'),
  external('ai-proxy'),
  external('ldap-auth', [{ anonymous: { type: 'string' } }]),
];
const SECRET = { secret: '{vault://env/session-secret}' };
const KONG = { storage: 'kong', postgres: { url: '{vault://env/session-database-url}' } };

async function listen(context: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface SetUp {
  readonly url: string;
  readonly admin: Admin;
  /** Paths of the entities of the documented set-up. */
  readonly route: string;
  readonly guard: string;
  readonly auth: string;
  readonly termination: string;
}

/** The documented set-up: key-auth with an anonymous consumer that request-termination refuses. */
async function setUp(context: TestContext, loaded = [GUARD, ...OTHERS]): Promise<SetUp> {
  const url = await listen(context, createAdmin(new Entities(), { plugins: loaded }));
  const admin = new Admin(url);
  const plugin = async (path: string, name: string, config: object) =>
    `/plugins/${(await admin.create(`${path}/plugins`, { name, config })).id}`;
  await admin.create('/services', { name: 'shop', url: 'http://127.0.0.1:1' });
  const { id } = await admin.create('/services/shop/routes', { name: 'cart', paths: ['/cart'] });
  const { id: anonymous } = await admin.create('/consumers', { username: 'anonymous' });
  const route = `/routes/${id}`;
  return {
    url,
    admin,
    route,
    auth: await plugin(route, 'key-auth', { anonymous: 'anonymous' }),
    guard: loaded.includes(GUARD) ? await plugin('', NAME, { ...SECRET, ...KONG }) : '',
    termination: await plugin(`/consumers/${anonymous}`, 'request-termination', {
      status_code: 403,
    }),
  };
}

async function diagnose(url: string): Promise<{ code: number; diagnoses: Diagnosis[] }> {
  const { code, stdout, stderr } = await run(['doctor', '--admin-url', url, '--json']);
  assert.equal(stderr, '');
  return { code, diagnoses: (JSON.parse(stdout) as { diagnoses: Diagnosis[] }).diagnoses };
}

const bad = (diagnoses: readonly Diagnosis[]): string[] =>
  diagnoses.filter(({ level }) => level !== 'ok').map(({ level, code }) => `${level} ${code}`);

const config = (fields: object) => (scene: SetUp) =>
  scene.admin.change(scene.guard, { config: fields });
const attach =
  (name: string, fields: object = {}) =>
  (scene: SetUp) =>
    scene.admin.create(`${scene.route}/plugins`, { name, config: fields });

const MISTAKES: readonly (readonly [string, (scene: SetUp) => Promise<unknown>, string[]])[] = [
  ['no auth plugin', ({ admin, auth }) => admin.delete(auth), ['error no_auth']],
  [
    'an auth plugin without anonymous',
    ({ admin, auth }) => admin.change(auth, { config: { anonymous: null } }),
    ['error no_anonymous'],
  ],
  [
    'an auth plugin with an anonymous that nobody is',
    ({ admin, auth }) => admin.change(auth, { config: { anonymous: 'nobody' } }),
    ['error anonymous_unknown'],
  ],
  [
    'nothing refuses the anonymous',
    ({ admin, termination }) => admin.delete(termination),
    ['error open'],
  ],
  [
    'what refuses the anonymous is switched off',
    ({ admin, termination }) => admin.change(termination, { enabled: false }),
    ['error open'],
  ],
  [
    'only the plugin refuses the anonymous',
    async (scene) => {
      await scene.admin.delete(scene.termination);
      await config({ unauthenticated: 'deny' })(scene);
    },
    ['warning open_when_down'],
  ],
  ['the bundled plugin on the same route', attach('session'), ['error bundled_session']],
  [
    'the bundled plugin everywhere',
    ({ admin }) => admin.create('/plugins', { name: 'session' }),
    ['error bundled_session'],
  ],
  [
    'credentials that ProtoBuf does not carry',
    attach('ldap-auth', { anonymous: 'anonymous' }),
    ['warning credential_without_id'],
  ],
  ['a plugin that buffers', attach('ai-proxy'), ['warning buffered']],
  ['CORS without credentials', attach('cors', { origins: ['https://gui.test'] }), ['warning cors']],
  ['a second auth plugin without anonymous', attach('basic-auth'), ['error no_anonymous']],
  [
    'a secret in the configuration',
    config({ secret: 'Xk3v9Qp7Lr2Tz8Ws5Yb1Nc6Md4Fg0HjKEaRiUo' }),
    ['warning secret_in_clear'],
  ],
  [
    'a secret that anybody tries, which the schema lets pass',
    config({ secret: 'password'.repeat(4) }),
    ['error secret_weak', 'warning secret_in_clear'],
  ],
  [
    'cookies that nothing ends',
    config({ storage: 'cookie', postgres: null }),
    ['warning storage_cookie'],
  ],
  ['cookies in clear', config({ cookie_secure: false }), ['warning cookie_insecure']],
  [
    'a year that ends after a day',
    config({ rolling_timeout: 31_557_600 }),
    ['warning rolling_cut_short'],
  ],
  ['cookies for every site', config({ cookie_same_site: 'None' }), ['warning same_site_none']],
  ['a domain that is none', config({ cookie_domain: 'portal' }), ['warning domain_unusable']],
  ['an old name', config({ cookie_lifetime: 60 }), ['warning old_name']],
  [
    'two secrets for cookies of one name',
    attach(NAME, { secret: '{vault://env/b}', ...KONG }),
    ['warning cookie_clash'],
  ],
  [
    'switched off',
    ({ admin, guard }) => admin.change(guard, { enabled: false }),
    ['warning disabled'],
  ],
  ['nowhere', ({ admin, guard }) => admin.delete(guard), ['warning nowhere']],
];

test('the documented set-up is well', async (context) => {
  const { url } = await setUp(context);
  const { code, stdout } = await cli(['doctor'], { env: { KONG_ADMIN_URL: url } });
  assert.equal(code, 0);
  assert.match(stdout, /^ok +gateway: is Kong 3\.9\.1\nok +route cart: is set up as documented\n/);
  assert.match(stdout, /\n0 errors, 0 warnings\n$/);
});

describe('each mistake by its name', () => {
  for (const [title, plant, expected] of MISTAKES) {
    test(title, async (context) => {
      const scene = await setUp(context);
      await plant(scene);
      const { code, diagnoses } = await diagnose(scene.url);
      assert.deepEqual(bad(diagnoses), expected);
      assert.equal(code, expected.some((line) => line.startsWith('error')) ? 3 : 0);
      assert.doesNotMatch(JSON.stringify(diagnoses), /Xk3v9Qp7|passwordpassword/);
    });
  }
});

const VISIBLE = { storage: 'kong', postgres: { url: 'postgres://a:b@db.test/sessions' } };
const CLASHES: readonly (readonly [string, object, string[]])[] = [
  [
    'another role, port and pool size',
    { postgres: { url: 'postgres://c:d@db.test:5432/sessions', pool_size: 2 } },
    [],
  ],
  [
    'its parts instead of a URL',
    { postgres: { host: 'db.test', user: 'u', database: 'sessions' } },
    [],
  ],
  ['the other name of the storage', { storage: 'postgres' }, []],
  ['a database that a vault hides', { postgres: { url: '{vault://env/x}' } }, []],
  [
    'the middle of a rotation',
    { secret: '{vault://env/b}', secret_fallbacks: ['{vault://env/session-secret}'] },
    [],
  ],
  [
    'another database',
    { postgres: { url: 'postgres://a:b@db.test/other' } },
    ['warning cookie_clash'],
  ],
  [
    'another schema',
    { postgres: { ...VISIBLE.postgres, schema: 'other' } },
    ['warning cookie_clash'],
  ],
  ['another storage', { storage: 'cookie' }, ['warning cookie_clash']],
];
describe('a second plugin with a cookie of the same name', () => {
  for (const [title, difference, expected] of CLASHES)
    test(title, async (context) => {
      const scene = await setUp(context);
      await config({ ...VISIBLE, secret_fallbacks: ['{vault://env/b}'] })(scene);
      await attach(NAME, { ...SECRET, ...VISIBLE, ...difference })(scene);
      assert.deepEqual(bad((await diagnose(scene.url)).diagnoses), expected);
    });
});

describe('a second plugin with a cookie of another name', () => {
  const COOKIE = { storage: 'cookie' };
  const NAMES: readonly (readonly [string, object, object, string[]])[] = [
    ['that is a part of the first', COOKIE, { cookie_name: 'session2' }, ['warning cookie_parts']],
    [
      'of which the first is a part',
      { cookie_name: 'a3' },
      { ...COOKIE, cookie_name: 'a' },
      ['warning cookie_parts'],
    ],
    ['with a digit that no part has', COOKIE, { cookie_name: 'session1' }, []],
    ['with two digits', COOKIE, { cookie_name: 'session20' }, []],
    ['beside sessions on the server', {}, { cookie_name: 'session2' }, []],
    ['in another place', COOKIE, { cookie_name: 'session2', cookie_path: '/a' }, []],
    [
      'and one persistent cookie',
      { remember: true },
      { remember: true, cookie_name: 'b' },
      ['warning cookie_clash'],
    ],
    [
      'and two persistent ones',
      { remember: true },
      { remember: true, cookie_name: 'b', remember_cookie_name: 'c' },
      [],
    ],
    ['where one has no persistent cookie', { remember: true }, { cookie_name: 'b' }, []],
  ];
  for (const [title, first, second, expected] of NAMES)
    test(title, async (context) => {
      const scene = await setUp(context);
      await config({ ...VISIBLE, ...first })(scene);
      await attach(NAME, { ...SECRET, ...VISIBLE, ...second })(scene);
      const { diagnoses } = await diagnose(scene.url);
      assert.deepEqual(
        bad(diagnoses).filter((line) => line.includes('cookie_')),
        expected,
      );
    });
});

test('the most specific plugin counts, and routes without session-guard do not', async (context) => {
  const { url, admin, route, guard } = await setUp(context);
  await admin.delete(guard);
  await admin.create('/services/shop/routes', { name: 'open', paths: ['/open'] });
  await admin.create(`${route}/plugins`, { name: NAME, config: { ...SECRET, ...KONG } });
  await admin.create('/plugins', { name: 'cors', config: { credentials: false } });
  await admin.create('/services/shop/plugins', { name: 'cors', config: { credentials: true } });
  assert.deepEqual(bad((await diagnose(url)).diagnoses), []);
});

test('plugins on later pages count too', async (context) => {
  const { url } = await setUp(context);
  const paged = await listen(context, (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', url);
    searchParams.set('size', '1');
    get(`${url}${pathname}?${String(searchParams)}`, (answer) => {
      response.statusCode = answer.statusCode ?? 500;
      answer.pipe(response);
    });
  });
  const { diagnoses } = await diagnose(paged);
  assert.deepEqual(bad(diagnoses), []);
  assert.ok(diagnoses.some(({ code }) => code === 'route'));
});

test('a node that is too old, has not loaded the plugin, or lets underscores pass', async (context) => {
  const { url } = await setUp(context, OTHERS);
  const missing = await diagnose(url);
  assert.deepEqual(bad(missing.diagnoses), ['error not_loaded', 'warning nowhere']);
  const answers: Record<string, unknown> = {
    '/': {
      version: '3.3.1',
      plugins: { available_on_server: { [NAME]: {} } },
      configuration: {
        nginx_proxy_directives: [{ name: 'large_client_header_buffers', value: '4 48k' }],
      },
    },
  };
  const old = await listen(context, ({ url: path = '' }, response) => {
    response.end(JSON.stringify(answers[path] ?? { data: [], next: null }));
  });
  assert.deepEqual(bad((await diagnose(old)).diagnoses), [
    'error kong_old',
    'warning underscores',
    'warning nowhere',
  ]);
});

test('the include says of underscores what the directive says', async (context) => {
  const directives = [{ name: 'include', value: '/usr/local/etc/session-guard.conf' }];
  const answers: Record<string, unknown> = {
    '/': {
      version: '3.9.1',
      plugins: { available_on_server: { [NAME]: {} } },
      configuration: { nginx_proxy_directives: directives },
    },
  };
  const url = await listen(context, ({ url: path = '' }, response) => {
    response.end(JSON.stringify(answers[path] ?? { data: [], next: null }));
  });
  assert.deepEqual(bad((await diagnose(url)).diagnoses), ['warning nowhere']);
});

test('a Kong 3.9.1 that cannot tell of its plugin server is examined all the same', async (context) => {
  const answers: Record<string, [number, object]> = {
    '/': [500, { message: 'An unexpected error occurred' }],
    [`/schemas/plugins/${NAME}`]: [200, { fields: [] }],
  };
  const asked = (loaded: boolean) =>
    listen(context, ({ url: path = '' }, response) => {
      const isSchema = path.startsWith('/schemas');
      const [status, body] =
        isSchema && !loaded ? [404, {}] : (answers[path] ?? [200, { data: [], next: null }]);
      response.setHeader('Server', 'kong/3.9.1');
      response.statusCode = status;
      response.end(JSON.stringify(body));
    });
  assert.deepEqual(bad((await diagnose(await asked(true))).diagnoses), [
    'warning admin_root',
    'warning nowhere',
  ]);
  assert.deepEqual(bad((await diagnose(await asked(false))).diagnoses), [
    'warning admin_root',
    'error not_loaded',
    'warning nowhere',
  ]);
});

describe('the protocol', () => {
  const query = (command: string) => ({ pluginserver_session_guard_server_query_cmd: command });
  const answered = (protocol: string) => ({
    pluginservers: [
      { name: 'other', protocol: 'MsgPack:1' },
      { name: 'session-guard-server', query_command: 'cat /run/dump.json', protocol },
    ],
  });
  const cases: readonly (readonly [string, object, string[]])[] = [
    ['3.7.1', query('/opt/session-guard-server -dump'), ['error protocol']],
    ['3.7.1', query('/opt/session-guard-server -dump --protocol msgpack'), []],
    ['3.8.1', {}, []],
    ['3.8.1', query('/opt/session-guard-server -dump'), []],
    ['3.8.1', query('/opt/session-guard-server -dump --protocol auto'), []],
    ['3.8.1', query('/opt/session-guard-server --dump --protocol=msgpack'), ['warning protocol']],
    ['3.8.1', query('cat /run/dump.json'), []],
    ['3.9.2', answered('ProtoBuf:1'), []],
    ['3.9.2', answered('MsgPack:1'), ['warning protocol']],
  ];
  for (const [version, configuration, expected] of cases)
    test(`Kong ${version}: ${JSON.stringify(configuration)}`, async (context) => {
      const root = { version, plugins: { available_on_server: { [NAME]: {} } }, configuration };
      const url = await listen(context, ({ url: path }, response) => {
        response.end(JSON.stringify(path === '/' ? root : { data: [], next: null }));
      });
      assert.deepEqual(bad((await diagnose(url)).diagnoses), [...expected, 'warning nowhere']);
    });
});

/** Port 1 will not do: fetch refuses it itself. */
async function closedPort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `http://127.0.0.1:${port}`;
}

test('an Admin API that is none, refuses, or does not answer', async (context) => {
  const none = await listen(context, (_, response) => response.end('<html>'));
  const closed = await listen(context, ({ headers }, response) => {
    response.statusCode = headers['kong-admin-token'] === 'token' ? 500 : 401;
    response.end('{}');
  });
  const cases: readonly [string, RegExp][] = [
    [none, /does not lead to an Admin API/],
    [closed, /answers 500 to GET \//],
    [await closedPort(), /cannot be reached: ECONNREFUSED/],
  ];
  for (const [url, message] of cases) {
    const env = { KONG_ADMIN_URL: url, KONG_ADMIN_TOKEN: 'token' };
    const { code, stdout } = await run(['doctor'], { env });
    assert.equal(code, 3);
    assert.match(stdout, message);
  }
  for (const url of ['ftp://x', 'hunter2', 'http://u:hunter2@127.0.0.1:1']) {
    const { code, stderr, stdout } = await run(['doctor', '--admin-url', url]);
    assert.equal(code, 2);
    assert.doesNotMatch(stderr + stdout, /hunter2/);
  }
});
