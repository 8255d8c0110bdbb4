import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Browser, isDeletion, parseSetCookie } from '../support/client.ts';
import { assertDeleted, assertDenied, assertNoSet, assertOk } from './support/assertions.ts';
import { newSecret, Scene, type SiteOptions } from './support/scene.ts';
import { Clock } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
/** Renewed every 3 s. */
const OFTEN = { rolling_timeout: 6, cookie_renew: 3 };

/** Several audiences in one cookie (D7). */
describe('one cookie for several audiences', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** Routes `/a` and `/b` of one host, alike but for their audience. */
  async function twoAudiences(both: object, first: object = {}, second: object = {}) {
    const config = { secret: newSecret(), postgres: scene.postgres, ...both };
    const host = `${scene.name('audiences')}.app.test`;
    const options = (path: string): SiteOptions => ({ host, path });
    const [a, b] = await Promise.all([
      scene.setUp({ ...config, audience: 'a', ...first }, options('/a')),
      scene.setUp({ ...config, audience: 'b', ...second }, options('/b')),
    ]);
    return { a, b };
  }

  const logOut = (browser: Browser, path: string) =>
    browser.ask({ method: 'DELETE', path: `${path}?session_logout=true` });

  for (const storage of STORAGES) {
    test(`S-078 ${storage}: a sign-in on one leaves the other, and so does a logout`, async () => {
      const { a, b } = await twoAudiences({ storage });
      const { browser } = await a.signIn(scene.alice);
      const { reply } = await b.signIn(scene.alice, browser);
      assert.deepEqual(namesOf(reply.setCookies), ['session'], 'one cookie for both');
      for (const path of ['/a', '/b']) assertOk(await browser.get(path), scene.alice, path);
      const thief = browser.copy();
      const logout = await logOut(browser, '/a');
      assert.equal(logout.status, 200);
      assert.deepEqual(logout.setCookies.map(isDeletion), [false], 'the other lives on in it');
      assertDenied(await browser.get('/a'));
      assertOk(await browser.get('/b'), scene.alice);
      assertDenied(await thief.get('/a'), 'a copy from before');
      assertOk(await thief.get('/b'), scene.alice);
    });

    test(`S-078 ${storage}: the last logout deletes the cookie`, async () => {
      const { a, b } = await twoAudiences({ storage });
      const { browser } = await a.signIn(scene.alice);
      const { reply } = await b.signIn(scene.alice, browser);
      assert.equal((await logOut(browser, '/b')).status, 200);
      assertOk(await browser.get('/a'), scene.alice);
      assertDeleted(await logOut(browser, '/a'), reply.setCookies);
      assert.equal(browser.cookies('/a'), '');
    });

    test(`S-078 ${storage}: each audience has a user of its own`, async () => {
      const { a, b } = await twoAudiences({ storage });
      const { browser } = await a.signIn(scene.alice);
      await b.signIn(scene.bob, browser);
      assertOk(await browser.get('/a'), scene.alice);
      assertOk(await browser.get('/b'), scene.bob);
      const bobs = browser.copy();
      await a.signIn(scene.bob, browser);
      assertOk(await browser.get('/a'), scene.bob);
      assertOk(await browser.get('/b'), scene.bob);
      assertDenied(await bobs.get('/a'), 'the session of the earlier user has ended');
      assertOk(await bobs.get('/b'), scene.bob);
    });

    test(`S-078 ${storage}: one renews without the other, and neither is lost`, async () => {
      const config = { storage, idling_timeout: 0 };
      const { a, b } = await twoAudiences(config, OFTEN, { rolling_timeout: 60 });
      const { browser } = await a.signIn(scene.alice);
      const clock = new Clock();
      await b.signIn(scene.bob, browser);
      const values = new Set<string>();
      for (let step = 1; step <= 20; step++) {
        await clock.at(step / 2);
        assertOk(await browser.get('/a'), scene.alice, `after ${step / 2} s`);
        values.add(browser.cookie('session', '/a'));
      }
      assert.ok(values.size >= 3, `${values.size} different cookies`);
      assertOk(await browser.get('/b'), scene.bob);
    });

    test(`S-078 ${storage}: both renew at once, again and again`, async () => {
      const { a, b } = await twoAudiences({ storage, ...OFTEN, stale_ttl: 2 });
      const { browser } = await a.signIn(scene.alice);
      await b.signIn(scene.bob, browser);
      const clock = new Clock();
      for (let step = 1; step <= 24; step++) {
        await clock.at(step / 2);
        const [first, second] = await Promise.all([browser.get('/a'), browser.get('/b')]);
        assertOk(first, scene.alice, `/a after ${step / 2} s`);
        assertOk(second, scene.bob, `/b after ${step / 2} s`);
      }
    });

    test(`S-078 ${storage}: one that has ended by itself takes nothing with it`, async () => {
      const config = { storage, idling_timeout: 0 };
      const { a, b } = await twoAudiences(config, { absolute_timeout: 2 });
      const { browser } = await a.signIn(scene.alice);
      const clock = new Clock();
      await b.signIn(scene.bob, browser);
      await clock.at(4);
      const denied = await browser.get('/a');
      assertDenied(denied);
      assertNoSet(denied);
      assertOk(await browser.get('/b'), scene.bob);
      await a.signIn(scene.alice, browser);
      assertOk(await browser.get('/b'), scene.bob);
    });

    test(`S-078 ${storage}: so with the persistent cookie`, async () => {
      const { a, b } = await twoAudiences({ storage, remember: true });
      const { browser } = await a.signIn(scene.alice);
      await b.signIn(scene.bob, browser);
      const remember = `remember=${browser.cookie('remember', '/a')}`;
      for (const [path, person] of [
        ['/a', scene.alice],
        ['/b', scene.bob],
      ] as const) {
        assertOk(await browser.ask({ path, cookie: remember }), person);
      }
      assert.equal((await logOut(browser, '/a')).status, 200);
      assertDenied(await browser.get('/a'));
      assertOk(await browser.get('/b'), scene.bob);
      const left = `remember=${browser.cookie('remember', '/b')}`;
      assertDenied(await browser.ask({ path: '/a', cookie: left }));
      assertOk(await browser.ask({ path: '/b', cookie: left }), scene.bob);
    });
  }

  test('S-078 kong: copies that fall behind in innocence end nothing', async () => {
    const { a, b } = await twoAudiences(
      { storage: 'kong', idling_timeout: 0, stale_ttl: 1 },
      { rolling_timeout: 8, cookie_renew: 4 },
    );
    const { browser } = await a.signIn(scene.alice);
    const clock = new Clock();
    await b.signIn(scene.bob, browser);
    const behind = browser.copy();
    await clock.at(5);
    assertOk(await browser.get('/a'), scene.alice);
    assertOk(await browser.get('/a'), scene.alice);
    await clock.at(7.5);
    assertDenied(await behind.get('/a'), 'a replay, refused');
    assertOk(await behind.get('/b'), scene.bob);
    assertOk(await browser.get('/a'), scene.alice, 'and not revoked');
  });

  test('S-078 kong: an old copy is made no newer by a sign-in on the other', async () => {
    const times = { idling_timeout: 0, stale_ttl: 1, rolling_timeout: 8, cookie_renew: 4 };
    const { a, b } = await twoAudiences({ storage: 'kong', ...times });
    const { browser } = await a.signIn(scene.alice);
    const clock = new Clock();
    const thief = browser.copy();
    for (const second of [4.5, 5, 7.5]) {
      await clock.at(second);
      assertOk(await browser.get('/a'), scene.alice);
    }
    await b.signIn(scene.bob, thief);
    assertDenied(await thief.get('/a'), 'as without the sign-in');
    assertOk(await thief.get('/b'), scene.bob);
    assertOk(await browser.get('/a'), scene.alice);
  });

  test('S-078 cookie: eight audiences, in as many cookies as it takes', async () => {
    const config = { storage: 'cookie', secret: newSecret() };
    const host = `${scene.name('eight')}.app.test`;
    const paths = Array.from({ length: 8 }, (_, index) => `/${index}`);
    const sites = await Promise.all(
      paths.map((path) => scene.setUp({ ...config, audience: `app${path}` }, { host, path })),
    );
    const browser = sites[0]?.browser();
    assert.ok(browser);
    for (const site of sites) await site.signIn(scene.alice, browser);
    assert.ok(browser.cookies().includes('session2='), 'more than one');
    for (const path of paths) assertOk(await browser.get(path), scene.alice, path);
    const surplus: string[] = [];
    for (const path of paths.slice(1)) {
      const { status, setCookies } = await logOut(browser, path);
      assert.equal(status, 200);
      surplus.push(...setCookies.filter(isDeletion));
    }
    assert.deepEqual(namesOf(surplus), ['session2'], 'the surplus cookie goes once');
    assert.equal(browser.cookies().includes('session2='), false);
    assertOk(await browser.get('/0'), scene.alice);
  });
});

const namesOf = (setCookies: readonly string[]): string[] =>
  setCookies.map((line) => parseSetCookie(line).name);
