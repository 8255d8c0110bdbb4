import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Browser, echoOf, parseSetCookie, send } from '../support/client.ts';
import { assertDenied, assertNoSet, assertOk, nameIn } from './support/assertions.ts';
import { BUNDLED_COOKIES } from './support/bundled.ts';
import { Scene } from './support/scene.ts';
import { inParallel } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;

describe('signing in', { concurrency: 12 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  test('S-001: one cookie, with the attributes of a session', async () => {
    const site = await scene.setUp({ storage: 'cookie' });
    const { reply } = await site.signIn(scene.alice);
    assert.equal(reply.setCookies.length, 1);
    const { name, attributes } = parseSetCookie(reply.setCookies[0] ?? '');
    assert.equal(name, 'session');
    assert.deepEqual(
      Object.fromEntries(attributes),
      Object.fromEntries([
        ['path', '/'],
        ['samesite', 'Strict'],
        ['secure', true],
        ['httponly', true],
      ]),
    );
  });

  test('S-002: the name and the attributes of the configuration', async () => {
    const site = await scene.setUp({
      cookie_name: 'da_cookie',
      cookie_same_site: 'Lax',
      cookie_http_only: false,
      cookie_secure: false,
    });
    const { reply } = await site.signIn(scene.alice);
    const { name, attributes } = parseSetCookie(reply.setCookies[0] ?? '');
    assert.equal(name, 'da_cookie');
    assert.equal(attributes.get('samesite'), 'Lax');
    assert.equal(attributes.has('secure'), false);
    assert.equal(attributes.has('httponly'), false);
  });

  for (const storage of STORAGES) {
    test(`S-003 ${storage}: nobody has no session`, async () => {
      const site = await scene.setUp({ storage });
      const reply = await site.browser().get();
      assertDenied(reply);
      assertNoSet(reply);
    });

    test(`S-004 ${storage}: the cookie is enough, and not sent again`, async () => {
      const site = await scene.setUp({ storage });
      const { browser } = await site.signIn(scene.alice);
      await sleep(2000);
      for (const reply of [await browser.get(), await browser.get()]) {
        assertOk(reply, scene.alice);
        assertNoSet(reply);
      }
    });

    test(`S-006 ${storage}: the upstream learns who it is as if the key had been sent`, async () => {
      const site = await scene.setUp({ storage });
      const { alice } = scene;
      const key = alice.keys[1] ?? alice.keys[0];
      const { browser } = await site.signIn(alice, site.browser(), key);
      const { headers } = echoOf(await browser.get());
      assert.equal(headers['x-consumer-id'], alice.id);
      assert.equal(headers['x-consumer-username'], alice.username);
      assert.equal(headers['x-consumer-custom-id'], alice.customId);
      assert.equal(headers['x-credential-identifier'], key.id);
      assert.equal(headers['x-anonymous-consumer'], undefined);
      assert.equal(headers['x-authenticated-groups'], undefined);
    });

    test(`S-010 ${storage}: 300 cookies have nothing in common and nothing to read`, async () => {
      const site = await scene.setUp({ storage });
      const { alice } = scene;
      const cookies = await inParallel(Array.from({ length: 300 }), 8, async () => {
        const { browser } = await site.signIn(alice);
        return browser.cookie();
      });
      assert.equal(new Set(cookies).size, cookies.length);
      assertUnlike(cookies);
      const secrets = [
        alice.username,
        alice.customId,
        alice.id,
        ...alice.keys.flatMap(Object.values),
      ];
      const readable = cookies.flatMap((cookie) => [cookie, ...cookie.split('.').map(decode)]);
      for (const secret of [...secrets, '127.0.0.1'] as string[]) {
        assert.equal(
          readable.some((text) => text.includes(secret)),
          false,
          `${secret} is readable`,
        );
      }
    });

    test(`S-011 ${storage}: signing in over somebody else's cookie makes another session`, async () => {
      const { alice, bob } = scene;
      const site = await scene.setUp({ storage });
      const bobs = await site.signIn(bob);
      const { browser } = await site.signIn(alice, bobs.browser.copy());
      assert.notEqual(browser.cookie(), bobs.browser.cookie());
      assertOk(await browser.get(), alice);
      const left = await bobs.browser.ask({ cookie: bobs.cookie });
      // The earlier session has ended where that can be known.
      if (storage === 'kong') assertDenied(left);
      else assert.notEqual(nameIn(left), alice.username);
    });

    test(`S-011 ${storage}: the same on a route that refuses nobody but the keyless`, async () => {
      const { alice, bob } = scene;
      const config = { storage, secret: 'fixation-fixation-fixation-0123456789' };
      // Neither path is part of the other, so that each is known to be served by its own route.
      const site = await scene.setUp(config, { path: '/lax' });
      const strict = await scene.setUp(config, {
        host: site.host,
        path: '/strict',
        auth: ['key-auth without anonymous'],
      });
      const bobs = await site.signIn(bob);
      const { browser } = await strict.signIn(alice, bobs.browser.copy());
      assert.notEqual(browser.cookie(), bobs.browser.cookie());
      assertOk(await browser.get(site.path), alice);
      assert.notEqual(
        nameIn(await bobs.browser.ask({ cookie: bobs.cookie, path: site.path })),
        alice.username,
      );
    });

    test(`S-014 ${storage}: a sign-in counts whatever the upstream answers`, async () => {
      const site = await scene.setUp({ storage });
      for (const status of [204, 302, 404, 500, 503]) {
        const browser = site.browser();
        const headers = { apikey: scene.alice.keys[0].key };
        const reply = await browser.ask({ path: `/status/${status}`, headers });
        assert.equal(reply.status, status);
        assert.equal(reply.setCookies.length, 1);
        assertOk(await browser.get(), scene.alice);
      }
    });

    test(`S-015 ${storage}: a key together with its own session changes nothing`, async () => {
      const person = await scene.person();
      const site = await scene.setUp({ storage });
      const { browser } = await site.signIn(person);
      const again = await browser.ask({ headers: { apikey: person.keys[0].key } });
      assertOk(again, person);
      assertNoSet(again);
      if (storage === 'kong') assert.equal(await scene.sessionsOf(person), 1);
    });

    test(`S-016 ${storage}: the upstream's cookies and ours both arrive`, async () => {
      const site = await scene.setUp({ storage });
      const headers = { apikey: scene.alice.keys[0].key };
      const reply = await site.browser().ask({ path: '/cookie', headers });
      assert.deepEqual(reply.setCookies.map((line) => parseSetCookie(line).name).toSorted(), [
        'session',
        'up',
      ]);
    });

    test(`S-017 ${storage}: the value has cookie-octets only`, async () => {
      const { browser } = await (await scene.setUp({ storage })).signIn(scene.alice);
      assert.match(browser.cookie(), /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/);
    });

    test(`S-018 ${storage}: a preflight neither makes nor uses up a session`, async () => {
      const origin = 'https://portal.app.test';
      const cors = { name: 'cors', config: { origins: [origin], credentials: true } };
      const site = await scene.setUp({ storage }, { plugins: [cors] });
      const headers = { Origin: origin, 'Access-Control-Request-Method': 'DELETE' };
      const preflight = { method: 'OPTIONS', path: '/?session_logout=true', headers };
      const stranger = await site.browser().ask(preflight);
      assert.equal(stranger.status, 200);
      assertNoSet(stranger);
      const { browser, cookie } = await site.signIn(scene.alice);
      const known = await browser.ask({ ...preflight, cookie });
      assert.equal(known.status, 200);
      assertNoSet(known);
      assertOk(await browser.get(), scene.alice);
    });

    test(`S-020 ${storage}: a cookie of the bundled plugin is no session and gets out of the way`, async () => {
      const bundled = BUNDLED_COOKIES[storage];
      const site = await scene.setUp({ storage, secret: bundled.secret });
      const cookie = `session=${bundled.value}`;
      const reply = await site.browser().ask({ cookie });
      assertDenied(reply);
      // It may belong to a route that still has the bundled plugin.
      assertNoSet(reply);
      const headers = { apikey: scene.alice.keys[0].key };
      const signedIn = await site.browser().ask({ headers, cookie });
      assertOk(signedIn, scene.alice);
      assert.equal(echoOf(signedIn).headers['cookie'], cookie);
      const own = (signedIn.setCookies[0] ?? '').split(';')[0] ?? '';
      assertOk(await site.browser().ask({ cookie: own }), scene.alice);
    });

    test(`${storage}: 200 of 200 requests sent on the first octets of a sign-in are recognised`, async () => {
      const site = await scene.setUp({ storage });
      const { alice } = scene;
      const node = scene.kong.nodes[0];
      const names = await inParallel(Array.from({ length: 200 }), 4, async () => {
        const followUps: Promise<string | undefined>[] = [];
        const follow = ([line = '']: readonly string[]): void => {
          const cookie = line.split(';')[0] ?? '';
          followUps.push(send(node, site.host, { cookie }).then(nameIn));
        };
        await send(node, site.host, { headers: { apikey: alice.keys[0].key } }, follow);
        return Promise.all(followUps);
      });
      assert.deepEqual(
        names,
        Array.from({ length: 200 }, () => [alice.username]),
      );
    });
  }

  test('a key of somebody else wins over a cookie, and the cookie of the other is worth nothing', async () => {
    const { alice, bob } = scene;
    const site = await scene.setUp({ storage: 'kong' });
    const { browser, cookie } = await site.signIn(bob);
    const reply = await browser.ask({ headers: { apikey: alice.keys[0].key } });
    assertOk(reply, alice);
    assertOk(await browser.get(), alice);
    assertDenied(await new Browser(scene.kong.nodes[0], site.host).ask({ cookie }));
  });
});

const decode = (part: string): string => Buffer.from(part, 'base64url').toString('latin1');

/** No two cookies share more than 12 characters, wherever they stand, apart from what begins every one. */
function assertUnlike(cookies: readonly string[]): void {
  const header = cookies[0]?.split('.')[0] ?? '';
  const bodies = cookies.map((cookie) => {
    assert.ok(cookie.startsWith(header));
    return cookie.slice(header.length);
  });
  const seen = new Set<string>();
  for (const body of bodies) {
    const windows = new Set(
      Array.from({ length: Math.max(0, body.length - 12) }, (_, at) => body.slice(at, at + 13)),
    );
    for (const window of windows) {
      assert.equal(seen.has(window), false, 'two cookies share 13 characters');
      seen.add(window);
    }
  }
}
