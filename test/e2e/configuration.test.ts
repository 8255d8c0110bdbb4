import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { echoOf, parseSetCookie, type Reply } from '../support/client.ts';
import { assertDeleted, assertDenied, assertNoSet, assertOk } from './support/assertions.ts';
import { newSecret, type PluginConfig, Scene, type Site } from './support/scene.ts';
import { until } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
const LOGOUT = { method: 'DELETE', path: '/?session_logout=true' };

/** `portal_auth`: basic-auth or key-auth. */
const PORTAL = { auth: ['basic-auth', 'key-auth'] } as const;

const HOST = { cookie_name: '__Host-session' };

/** What Kong's schema language can refuse, by the field that the refusal names. */
const BAD: Readonly<Record<string, readonly PluginConfig[]>> = {
  secret: [{ secret: null }, { secret: '' }, { secret: 'k'.repeat(31) }, { secret: 7 }].concat(
    ['change-this-secret', 'Super-Secret'].map((secret) => ({ secret: secret.repeat(3) })),
  ),
  secret_fallbacks: [{ secret_fallbacks: ['your-secret'.repeat(3)] }],
  storage: [{ storage: 'redis' }, { storage: '' }],
  audience: [{ audience: '' }, { audience: 'a b' }],
  idling_timeout: [{ idling_timeout: -1 }, { idling_timeout: 'soon' }],
  rolling_timeout: [{ rolling_timeout: -0.5 }, { rolling_timeout: 1e300 }],
  absolute_timeout: [{ absolute_timeout: -86_400 }],
  stale_ttl: [{ stale_ttl: -1 }, { stale_ttl: 3601 }],
  cookie_name: ['', 'a;b', 'a b', 'a=b', 'a\r\nb', 'ä'].map((cookie_name) => ({ cookie_name })),
  cookie_path: ['', 'a', '/a;b', '/a b', '/\r\n', '/a<b', '/ü']
    .map((cookie_path): PluginConfig => ({ cookie_path }))
    .concat({ ...HOST, cookie_path: '/a' })
    .concat({ cookie_name: '__Host-Http-session', cookie_path: '/a' })
    .concat({ remember: true, remember_cookie_name: '__host-remember', cookie_path: '/a' }),
  cookie_domain: ['', 'a.test;b', 'https://a.test', 'a.test:443', 'a test', 'a.test.', 'a..test']
    .concat('a-.test', 'a.-test', 'a.test-', `${'a'.repeat(64)}.test`, 'ü.test', '..test')
    .map((cookie_domain): PluginConfig => ({ cookie_domain }))
    .concat({ ...HOST, cookie_domain: 'a.test' }),
  cookie_same_site: [{ cookie_same_site: 'strict' }, { cookie_same_site: 0 }],
  cookie_http_only: [
    { cookie_http_only: 'yes' },
    { cookie_prefix: '__Http-', cookie_http_only: false },
    { cookie_name: '__host-http-session', cookie_http_only: false },
  ],
  cookie_httponly: [{ cookie_prefix: '__Host-Http-', cookie_httponly: false }],
  cookie_prefix: [{ cookie_prefix: '__host-' }],
  cookie_secure: [
    { ...HOST, cookie_secure: false },
    { cookie_name: '__Secure-session', cookie_secure: false },
    { cookie_name: '__Http-session', cookie_secure: false },
    { remember: true, remember_cookie_name: '__Secure-remember', cookie_secure: false },
  ],
  logout_methods: [{ logout_methods: ['PATCH'] }, { logout_methods: 'DELETE' }],
  logout_redirect_uri: [
    'home',
    'http:/x',
    'https://',
    'https:///x',
    '//x',
    '/a b',
    '/a\\b',
    '/bye/ü',
  ]
    .concat('/bye/€', 'https://例え.test/')
    .map((logout_redirect_uri) => ({ logout_redirect_uri })),
  remember_cookie_name: [{ remember: true, remember_cookie_name: 'session' }],
  logout_query_arg: [{ logout_query_arg: '' }],
  read_body_for_logout: [{ read_body_for_logout: 1 }],
  postgres: [
    { storage: 'kong', postgres: null },
    { storage: 'postgres', postgres: null },
    { storage: 'kong', postgres: {} },
  ],
  url: ['mysql', 'postgresq', 'postgresl'].map((scheme) => ({
    postgres: { url: `${scheme}://127.0.0.1/sessions` },
  })),
  schema: [{ postgres: { host: '127.0.0.1', user: 'u', schema: 'drop table' } }],
  pool_size: [{ postgres: { host: '127.0.0.1', user: 'u', pool_size: 0 } }],
  statement_timeout: [{ postgres: { host: '127.0.0.1', user: 'u', statement_timeout: 0 } }],
  cookie_lifespan: [{ cookie_lifespan: 3600 }],
};

describe('configuration', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  test('S-154: SameSite None is Secure whatever is configured, Default leaves it to the browser', async () => {
    const none = await scene.setUp({ cookie_same_site: 'None', cookie_secure: false });
    const { attributes } = cookieOf((await none.signIn(scene.alice)).reply);
    assert.deepEqual([attributes.get('samesite'), attributes.get('secure')], ['None', true]);
    const byDefault = await scene.setUp({ cookie_same_site: 'Default' });
    const { reply } = await byDefault.signIn(scene.alice);
    assert.equal(cookieOf(reply).attributes.has('samesite'), false);
    const off = scene.guardPlugin({ cookie_same_site: 'off' });
    assert.equal((await scene.admin.refusal('/plugins', off)).status, 400);
  });

  for (const [field, configs] of Object.entries(BAD)) {
    test(`S-155: a bad ${field} is a 400 that names it`, async () => {
      for (const config of configs) {
        const guard = scene.guardPlugin(config);
        const { status, message, fields } = await scene.admin.refusal('/plugins', guard);
        assert.equal(status, 400, JSON.stringify(config));
        assert.ok(JSON.stringify(fields.config).includes(field), JSON.stringify(fields));
        assert.ok(message.includes(field), message);
      }
    });
  }

  test('S-155: what no schema can tell is a 500 on traffic and lets nobody through', async () => {
    const good = newSecret();
    const site = await scene.setUp({ secret: good });
    const { cookie, browser } = await site.signIn(scene.alice);
    // Long enough for the schema, and too simple.
    const config = { secret: 'simple'.repeat(6) };
    await scene.admin.change(`/plugins/${site.plugin.id}`, { config });
    const key = { apikey: scene.alice.keys[0].key };
    const asks = [{}, { headers: key }, { cookie }, { cookie, headers: key }];
    const statuses = () =>
      Promise.all(asks.map(async (ask) => (await site.browser().ask(ask)).status));
    await until('every request is refused', async () =>
      (await statuses()).every((status) => status === 500),
    );
    await site.configure({ secret: good });
    assertOk(await browser.get(), scene.alice);
  });

  for (const secure of [true, false]) {
    test(`S-156: cookie_secure ${secure} is said on either scheme`, async () => {
      const site = await scene.setUp({ cookie_secure: secure });
      const headers = { apikey: scene.alice.keys[0].key };
      for (const scheme of ['https', 'http'] as const) {
        const reply = await site.browser().ask({ scheme, headers });
        assertOk(reply, scene.alice);
        assert.equal(cookieOf(reply).attributes.has('secure'), secure);
      }
      const { browser } = await site.signIn(scene.alice);
      assertOk(await browser.get(), scene.alice);
      const overHttp = await browser.ask({ scheme: 'http' });
      if (secure) assertDenied(overHttp, 'browsers keep it from plain HTTP');
      else assertOk(overHttp, scene.alice);
    });
  }

  for (const storage of STORAGES) {
    for (const [name, domain] of [
      ['__Host-session', undefined],
      ['__Secure-session', 'app.test'],
    ] as const) {
      test(`S-157 ${storage}: a cookie called ${name} keeps what its name promises`, async () => {
        const config = { storage, cookie_name: name, ...(domain && { cookie_domain: domain }) };
        const site = await scene.setUp(config);
        const { browser, reply, cookie } = await site.signIn(scene.alice);
        const { attributes } = cookieOf(reply);
        assert.equal(cookieOf(reply).name, name);
        assert.deepEqual(
          ['path', 'secure', 'domain'].map((attribute) => attributes.get(attribute)),
          ['/', true, domain],
        );
        const recognised = await browser.get();
        assertOk(recognised, scene.alice);
        assert.equal(echoOf(recognised).headers['cookie'], undefined);
        const bare = cookie.replace(name, 'session');
        assertDenied(await site.browser().ask({ cookie: bare }), 'under its bare name');
        const logout = await browser.ask(LOGOUT);
        assertDeleted(logout, reply.setCookies);
        assert.equal(browser.cookies(), '');
        assertDenied(await browser.get());
      });
    }
  }

  test('S-158: a secret in a vault', async (context) => {
    const reference = scene.kong.vaultReference;
    if (reference === undefined) return context.skip('KONG_VAULT_REFERENCE is not set');
    const site = await scene.setUp({ storage: 'kong', secret: reference });
    const { browser } = await site.signIn(scene.alice);
    assertOk(await browser.get(), scene.alice);
    const { config } = await scene.admin.read(`/plugins/${site.plugin.id}`);
    assert.equal((config as PluginConfig)['secret'], reference);
  });

  test('the portal over HTTPS: GUI and API on one domain', async () => {
    const site = await scene.setUp(
      {
        cookie_name: '$4m04$',
        secret: newSecret(),
        storage: 'kong',
        cookie_secure: true,
      },
      PORTAL,
    );
    await assertPortalWorks(site, 'https');
  });

  test('the portal over HTTP, for testing', async () => {
    const site = await scene.setUp(
      {
        cookie_name: '04tm34l',
        secret: newSecret(),
        storage: 'kong',
        cookie_secure: false,
      },
      PORTAL,
    );
    await assertPortalWorks(site, 'http');
  });

  test('the portal with its GUI and its API on sub-domains of one domain', async () => {
    const domain = `${scene.name('portal')}.xyz.com`;
    const config = {
      storage: 'kong',
      cookie_name: 'portal_session',
      cookie_domain: `.${domain}`,
      secret: newSecret(),
      cookie_secure: false,
      rolling_timeout: 31_557_600,
      cookie_same_site: 'Lax',
    };
    const [api, gui] = [`portalapi.${domain}`, `portal.${domain}`];
    await scene.setUp(config, { ...PORTAL, host: gui });
    await assertPortalWorks(await scene.setUp(config, { ...PORTAL, host: api }), 'http', gui);
  });

  test('the secrets that the documentation of the portal prints are refused with advice', async () => {
    for (const secret of ['change-this-secret', 'super-secret']) {
      const guard = scene.guardPlugin({ secret });
      const { status, fields } = await scene.admin.refusal('/plugins', guard);
      assert.equal(status, 400);
      assert.deepEqual(Object.keys(fields.config as object), ['secret']);
    }
  });

  /** As the portal does it: signed in with a password at one host, known at both, out at both after one sign-out. */
  async function assertPortalWorks(
    site: Site,
    scheme: 'http' | 'https',
    other = site.host,
  ): Promise<void> {
    const person = await scene.person();
    const credential = { username: person.username, password: 'open sesame' };
    await scene.admin.create(`/consumers/${person.id}/basic-auth`, credential);
    const password = Buffer.from(`${person.username}:open sesame`).toString('base64');
    const { host } = site;
    const browser = site.browser();
    assertOk(
      await browser.ask({ scheme, headers: { Authorization: `Basic ${password}` } }),
      person,
    );
    for (const place of [host, other]) {
      const reply = await browser.ask({ scheme, host: place });
      assertOk(reply, person);
      assertNoSet(reply);
    }
    const thief = browser.copy();
    const logout = await browser.ask({ ...LOGOUT, scheme });
    assert.equal(logout.status, 200);
    for (const place of [host, other]) {
      assertDenied(await browser.ask({ scheme, host: place }));
      assertDenied(await thief.ask({ scheme, host: place }));
    }
  }
});

const cookieOf = (reply: Reply) => parseSetCookie(reply.setCookies[0] ?? '');
