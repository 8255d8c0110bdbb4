import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Ask, echoOf, isDeletion, type Reply } from '../support/client.ts';
import {
  assertDeleted,
  assertDenied,
  assertNoSet,
  assertOk,
  nameIn,
} from './support/assertions.ts';
import { newSecret, Scene } from './support/scene.ts';
import { Clock, until } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
const LOGOUT = { method: 'DELETE', path: '/?session_logout=true' };

describe('answers that session-guard gives itself', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  for (const storage of STORAGES) {
    test(`deny ${storage}: nobody gets a 401 that no browser asks for a password about`, async () => {
      const site = await scene.setUp({ storage, unauthenticated: 'deny' });
      for (const ask of [{}, { method: 'POST', body: 'a=b' }, LOGOUT, { cookie: 'session=x' }]) {
        assertRefused(await site.browser().ask(ask));
      }
      const { browser } = await site.signIn(scene.alice);
      assertOk(await browser.get(), scene.alice);
    });

    test(`deny ${storage}: a dead cookie goes with it`, async () => {
      const site = await scene.setUp({ storage, unauthenticated: 'deny', idling_timeout: 1 });
      const { browser, reply } = await site.signIn(scene.alice);
      await new Clock().at(2.5);
      const refused = await browser.get();
      assertRefused(refused);
      assertDeleted(refused, reply.setCookies);
      assert.equal(browser.cookies(), '');
    });

    test(`deny ${storage}: where no auth plugin is, a session is all there is`, async () => {
      const config = { storage, secret: newSecret(), unauthenticated: 'deny' };
      const host = `${scene.name('bare')}.app.test`;
      const site = await scene.setUp(config, { host, path: '/sign-in' });
      await guardBare(host, config, (reply) => reply.status === 401);
      const stranger = site.browser();
      const claims = { 'X-Consumer-ID': scene.alice.id, 'X-Consumer-Username': 'alice' };
      assertRefused(await stranger.ask({ path: '/bare', headers: claims }));
      const { browser } = await site.signIn(scene.alice);
      assertOk(await browser.get('/bare'), scene.alice);
    });

    test(`continue ${storage}: where no auth plugin is, nobody's claims reach the upstream`, async () => {
      const config = { storage, secret: newSecret() };
      const host = `${scene.name('open')}.app.test`;
      const site = await scene.setUp(config, { host, path: '/sign-in' });
      await guardBare(host, config, (reply) => nameIn(reply) === undefined && reply.status === 200);
      const claims = {
        'X-Consumer-ID': scene.alice.id,
        'X-Consumer-Username': scene.alice.username,
        'X-Consumer-Custom-ID': 'z',
        'X-Consumer-Groups': 'root',
        'X-Credential-Identifier': 'q',
        'X-Authenticated-Groups': 'root',
        x_consumer_username: 'alice',
      };
      const reply = await site.browser().ask({ path: '/bare', headers: claims });
      const heard = Object.keys(echoOf(reply).headers);
      assert.deepEqual(
        heard.filter((name) => /consumer|credential|authenticated/.test(name)),
        [],
      );
      const { browser } = await site.signIn(scene.bob);
      const known = await browser.ask({ path: '/bare', headers: claims });
      assertOk(known, scene.bob);
      assert.equal(echoOf(known).headers['x-consumer-groups'], undefined);
    });

    test(`S-076 ${storage}: a logout leads where the configuration says, and nowhere else`, async () => {
      for (const uri of ['/bye?from=here', 'https://www.app.test/bye']) {
        const site = await scene.setUp({ storage, logout_redirect_uri: uri });
        for (const query of [
          '',
          '&redirect=//evil.test',
          '&logout_redirect_uri=https://evil.test',
        ]) {
          const { browser, reply } = await site.signIn(scene.alice);
          const headers = { Referer: 'https://evil.test/', 'X-Forwarded-Host': 'evil.test' };
          const path = `/?session_logout=true${query}`;
          const logout = await browser.ask({ method: 'POST', path, headers });
          assert.equal(logout.status, 303);
          assert.equal(logout.headers['location'], uri);
          assertDeleted(logout, reply.setCookies);
          assert.equal(logout.headers['cache-control'], 'no-store');
          assertDenied(await browser.get());
        }
      }
    });

    test(`logout ${storage}: Clear-Site-Data where configured`, async () => {
      const kinds = ['cache', 'storage'];
      const site = await scene.setUp({ storage, logout_clear_site_data: kinds });
      const { browser } = await site.signIn(scene.alice);
      assert.equal((await browser.get()).headers['clear-site-data'], undefined);
      const logout = await browser.ask(LOGOUT);
      const sent = String(logout.headers['clear-site-data']).split(', ').toSorted();
      assert.deepEqual(sent, ['"cache"', '"storage"']);
      const other = await scene.setUp({ storage });
      const plain = await (await other.signIn(scene.alice)).browser.ask(LOGOUT);
      assert.equal(plain.headers['clear-site-data'], undefined);
    });

    test(`S-077 ${storage}: a logout is a request of nobody`, async () => {
      const limit = { name: 'rate-limiting', config: { minute: 1000, limit_by: 'consumer' } };
      const site = await scene.setUp({ storage }, { plugins: [limit] });
      const { browser } = await site.signIn(scene.alice);
      assert.notEqual((await browser.get()).headers['x-ratelimit-limit-minute'], undefined);
      const { status, headers, body } = await browser.ask(LOGOUT);
      assert.equal(status, 200);
      assert.equal(body, '');
      const telling = Object.keys(headers).filter((name) => /ratelimit|consumer/.test(name));
      assert.deepEqual(telling, []);
    });

    test(`S-095 ${storage}: no cache may keep what carries our cookie, and may the rest`, async () => {
      const site = await scene.setUp({ storage, rolling_timeout: 12, idling_timeout: 0 });
      const { browser, reply } = await site.signIn(scene.alice);
      const clock = new Clock();
      assert.equal(reply.headers['cache-control'], 'no-store');
      const later = await browser.get();
      assertNoSet(later);
      assert.equal(later.headers['cache-control'], undefined);
      await clock.at(9.8);
      const renewal = await browser.get();
      assert.equal(renewal.setCookies.length, 1);
      assert.equal(renewal.headers['cache-control'], 'no-store');
      const logout = await browser.ask(LOGOUT);
      assert.ok(logout.setCookies.every(isDeletion));
      assert.equal(logout.headers['cache-control'], 'no-store');
    });

    test(`S-075 ${storage}: the portal on one subdomain, its API on another`, async () => {
      const name = scene.name('');
      const origin = `https://portal${name}.xyz.test`;
      const cors = { name: 'cors', config: { origins: [origin], credentials: true } };
      const site = await scene.setUp(
        { storage, cookie_domain: '.xyz.test', cookie_same_site: 'Lax' },
        { host: `portalapi${name}.xyz.test`, plugins: [cors] },
      );
      const browser = site.browser();
      const headers = { Origin: origin };
      const apikey = scene.alice.keys[0].key;
      const signIn = await browser.ask({ path: '/auth', headers: { ...headers, apikey } });
      assertShared(signIn, origin);
      assertOk(signIn, scene.alice);
      assert.equal(signIn.setCookies.length, 1);
      assertOk(await browser.ask({ path: '/files', headers }), scene.alice);
      const preflight = await browser.ask({
        method: 'OPTIONS',
        path: '/auth?session_logout=true',
        headers: { ...headers, 'Access-Control-Request-Method': 'DELETE' },
      });
      assert.equal(preflight.status, 200);
      assertShared(preflight, origin);
      const path = '/auth?session_logout=true';
      const logout = await browser.ask({ method: 'DELETE', path, headers });
      assert.equal(logout.status, 200);
      assertShared(logout, origin);
      assertDeleted(logout, signIn.setCookies);
      assertDenied(await browser.ask({ path: '/files', headers }));
    });
  }

  /** A route `/bare` beside a site's, with session-guard and without an auth plugin. */
  async function guardBare(
    host: string,
    config: object,
    isEffective: (reply: Reply) => boolean,
  ): Promise<void> {
    const bare = await scene.setUp({}, { host, path: '/bare', guarded: false, auth: [] });
    await scene.admin.create(`/routes/${bare.route.id}/plugins`, scene.guardPlugin({ ...config }));
    const headers = { 'X-Consumer-Username': 'probe' };
    const ask: Ask = { path: '/bare', headers, fresh: true, scheme: 'http' };
    const isGuarded = async (): Promise<boolean> => {
      const replies = await Promise.all(Array.from({ length: 8 }, () => bare.browser().ask(ask)));
      return replies.every(isEffective);
    };
    await until('the bare route is guarded', isGuarded);
  }
});

function assertRefused({ status, headers, body }: Reply): void {
  assert.equal(status, 401);
  assert.deepEqual(JSON.parse(body), { message: 'Unauthorized' });
  assert.match(String(headers['content-type']), /^application\/json/);
  assert.equal(headers['www-authenticate'], undefined);
  assert.equal(headers['cache-control'], 'no-store');
}

/** The page of `origin` may read it. */
function assertShared({ headers }: Reply, origin: string): void {
  assert.equal(headers['access-control-allow-origin'], origin);
  assert.equal(headers['access-control-allow-credentials'], 'true');
}
