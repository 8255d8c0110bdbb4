import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { echoOf, parseSetCookie, type Reply } from '../support/client.ts';
import { assertDeleted, assertDenied, assertNoSet, assertOk } from './support/assertions.ts';
import { isRealKong } from './support/environment.ts';
import { Scene, type Site } from './support/scene.ts';
import { Clock } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
const LOGOUT = { method: 'DELETE', path: '/?session_logout=true' };

describe('attributes of the cookie', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  for (const storage of STORAGES) {
    for (const prefix of ['__Host-', '__Http-', '__Host-Http-'])
      test(`S-157 ${storage}: ${prefix} is put before both names, and kept in everything`, async () => {
        const site = await scene.setUp({
          storage,
          cookie_prefix: prefix,
          cookie_same_site: 'Lax',
          remember: true,
          postgres: scene.postgres,
        });
        const { browser, reply } = await site.signIn(scene.alice);
        for (const line of reply.setCookies) {
          const { attributes } = parseSetCookie(line);
          assert.equal(attributes.get('path'), '/');
          assert.equal(attributes.get('secure'), true);
          assert.equal(attributes.get('httponly'), true);
          assert.equal(attributes.has('domain'), false);
        }
        assert.deepEqual(namesOf(reply), [`${prefix}session`, `${prefix}remember`]);
        const later = await browser.get();
        assertOk(later, scene.alice);
        assert.equal(echoOf(later).headers['cookie'], undefined);
        const value = browser.cookie(`${prefix}session`);
        for (const name of [
          'session',
          '__Secure-session',
          '__host-session',
          '__Host-Session',
          '__http-session',
        ]) {
          assertDenied(await browser.ask({ cookie: `${name}=${value}` }), name);
        }
        const logout = await browser.ask(LOGOUT);
        assertDeleted(logout, reply.setCookies);
        assertDenied(await browser.ask({ cookie: `${prefix}session=${value}` }));
      });

    test(`S-157 ${storage}: __Secure- may have a domain`, async () => {
      const site = await scene.setUp({
        storage,
        cookie_prefix: '__Secure-',
        cookie_domain: '.app.test',
        cookie_path: '/',
      });
      const { browser, reply } = await site.signIn(scene.alice);
      const { name, attributes } = parseSetCookie(reply.setCookies[0] ?? '');
      assert.equal(name, '__Secure-session');
      assert.equal(attributes.get('secure'), true);
      assert.match(String(attributes.get('domain')), /^\.?app\.test$/);
      assertOk(await browser.get(), scene.alice);
      assertDeleted(await browser.ask(LOGOUT), reply.setCookies);
    });

    test(`W37 ${storage}: another cookie_domain leaves a copy in the browser, and signs nobody out`, async () => {
      const times = { rolling_timeout: 6, cookie_renew: 3, idling_timeout: 0, stale_ttl: 1 };
      const site = await scene.setUp({ storage, cookie_path: '/', ...times });
      const { browser } = await site.signIn(scene.alice);
      const first = browser.cookie();
      await site.configure({ cookie_domain: 'app.test' });
      const clock = new Clock();
      for (let step = 1; step <= 20; step++) {
        await clock.at(step / 2);
        assertOk(await browser.get(), scene.alice, `after ${step / 2} s`);
      }
      const copies = browser.cookies().split('; ');
      assert.equal(copies.length, 2, 'the browser takes them for two cookies');
      assert.ok(copies.includes(`session=${first}`));
      const reversed = copies.toReversed().join('; ');
      assertOk(await browser.ask({ cookie: reversed }), scene.alice);
    });

    test(`D20 ${storage}: Partitioned and Priority, in a deletion too`, async () => {
      const site = await scene.setUp({
        storage,
        cookie_partitioned: true,
        cookie_priority: 'High',
        cookie_same_site: 'None',
        cookie_secure: false,
      });
      const { reply, cookie } = await site.signIn(scene.alice);
      const { attributes } = parseSetCookie(reply.setCookies[0] ?? '');
      assert.equal(attributes.get('partitioned'), true);
      assert.equal(attributes.get('priority'), 'High');
      assert.equal(attributes.get('samesite'), 'None');
      assert.equal(attributes.get('secure'), true, 'neither is anything without Secure');
      const logout = await site.browser().ask({ ...LOGOUT, cookie });
      assertDeleted(logout, reply.setCookies);
    });

    test(`S-152 ${storage}: the old names mean what they meant`, async () => {
      const site = await scene.setUp({
        storage,
        cookie_lifetime: 300,
        cookie_idletime: 200,
        cookie_discard: 1,
        cookie_renew: 100,
        cookie_samesite: 'off',
        cookie_httponly: false,
        cookie_persistent: true,
        response_headers: ['idling-timeout', 'rolling-timeout'],
      });
      const { browser, reply } = await site.signIn(scene.alice);
      assert.deepEqual(namesOf(reply), ['session', 'remember']);
      for (const line of reply.setCookies) {
        const { attributes } = parseSetCookie(line);
        assert.equal(attributes.get('samesite'), 'Lax');
        assert.equal(attributes.has('httponly'), false);
      }
      assert.equal(reply.headers['session-rolling-timeout'], '300');
      assert.equal(reply.headers['session-idling-timeout'], '200');
      assertOk(await browser.get(), scene.alice);
    });

    test(`S-152 ${storage}: where both names are given the old one counts`, async () => {
      const site = await scene.setUp({
        storage,
        cookie_lifetime: 300,
        rolling_timeout: 400,
        cookie_samesite: 'Lax',
        cookie_same_site: 'None',
        cookie_persistent: false,
        remember: true,
        response_headers: ['rolling-timeout'],
      });
      const { reply } = await site.signIn(scene.alice);
      assert.deepEqual(namesOf(reply), ['session']);
      const { attributes } = parseSetCookie(reply.setCookies[0] ?? '');
      assert.equal(attributes.get('samesite'), 'Lax');
      assert.equal(reply.headers['session-rolling-timeout'], '300');
    });

    test(`S-152 ${storage}: cookie_idletime 0 is no limit, cookie_lifetime ends a session`, async () => {
      const site = await scene.setUp({ storage, cookie_lifetime: 3, cookie_idletime: 0 });
      const { cookie, browser } = await site.signIn(scene.alice);
      await new Clock().at(4.5);
      assertDenied(await browser.ask({ cookie }));
    });

    test(`S-152 ${storage}: cookie_renew is the time that is left at which to renew`, async () => {
      const config = { storage, cookie_lifetime: 12, cookie_renew: 6, idling_timeout: 0 };
      const site = await scene.setUp(config);
      const { browser } = await site.signIn(scene.alice);
      const clock = new Clock();
      await clock.at(4);
      assertNoSet(await browser.get());
      // The default would be the last quarter, from 9 s on.
      await clock.at(7);
      const renewal = await browser.get();
      assertOk(renewal, scene.alice);
      assert.equal(renewal.setCookies.length, 1);
    });

    test(`S-156 ${storage}: auto is Secure over HTTPS, and only there`, async () => {
      const site = await scene.setUp({ storage, cookie_secure_auto: true });
      for (const scheme of ['https', 'http'] as const) {
        const headers = { apikey: scene.alice.keys[0].key };
        const reply = await site.browser().ask({ scheme, headers });
        const cookie = reply.setCookies[0]?.split(';')[0] ?? '';
        assert.deepEqual(secureIn(reply), [scheme === 'https']);
        assertOk(await site.browser().ask({ scheme, cookie }), scene.alice);
        const logout = await site.browser().ask({ ...LOGOUT, scheme, cookie });
        assertDeleted(logout, reply.setCookies);
      }
    });

    test(`S-156 ${storage}: a prefix or SameSite=None is Secure all the same`, async () => {
      for (const fields of [{ cookie_prefix: '__Secure-' }, { cookie_same_site: 'None' }]) {
        const site = await scene.setUp({ storage, cookie_secure_auto: true, ...fields });
        const headers = { apikey: scene.alice.keys[0].key };
        const reply = await site.browser().ask({ scheme: 'http', headers });
        assert.deepEqual(secureIn(reply), [true]);
      }
    });
  }

  test('S-156: of a client that is no proxy of ours the forwarded scheme does not count', async (t) => {
    const site = await scene.setUp({ storage: 'cookie', cookie_secure_auto: true });
    if (await isTrusted(scene, site)) return t.skip('this Kong trusts 127.0.0.1 (trusted_ips)');
    const apikey = scene.alice.keys[0].key;
    const headers = { apikey, 'X-Forwarded-Proto': 'https', Forwarded: 'proto=https' };
    assert.deepEqual(secureIn(await site.browser().ask({ scheme: 'http', headers })), [false]);
    const other = { apikey, 'X-Forwarded-Proto': 'http' };
    assert.deepEqual(secureIn(await site.browser().ask({ headers: other })), [true]);
  });
});

describe('attributes of the cookie behind a load balancer', () => {
  test('S-156: of a trusted proxy the forwarded scheme counts', async (t) => {
    const scene = await Scene.open({ trustedIps: ['127.0.0.0/8'] });
    t.after(() => scene.close());
    const site = await scene.setUp({ storage: 'cookie', cookie_secure_auto: true });
    if (!(await isTrusted(scene, site))) {
      assert.ok(isRealKong, 'the stand-in has been told');
      return t.skip('this Kong trusts nobody: start it with KONG_TRUSTED_IPS=127.0.0.0/8');
    }
    const apikey = scene.alice.keys[0].key;
    const behind = (proto: string) => ({ apikey, 'X-Forwarded-Proto': proto });
    const reply = await site.browser().ask({ scheme: 'http', headers: behind('https') });
    assert.deepEqual(secureIn(reply), [true]);
    assert.deepEqual(secureIn(await site.browser().ask({ headers: behind('http') })), [false]);
  });
});

/** Whether Kong takes this test for a load balancer: then it hands on what it says about the scheme. */
async function isTrusted(scene: Scene, site: Site): Promise<boolean> {
  const { browser } = await site.signIn(scene.alice);
  const headers = { 'X-Forwarded-Proto': 'http' };
  return echoOf(await browser.ask({ headers })).headers['x-forwarded-proto'] === 'http';
}

const namesOf = ({ setCookies }: Reply): string[] =>
  setCookies.map((line) => parseSetCookie(line).name);

const secureIn = ({ setCookies }: Reply): boolean[] =>
  setCookies.map((line) => parseSetCookie(line).attributes.has('secure'));
