import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { parseSetCookie } from '../support/client.ts';
import { assertDenied, assertNoSet, assertOk } from './support/assertions.ts';
import { newSecret, Scene } from './support/scene.ts';

const STORAGES = ['kong', 'cookie'] as const;
const LOGOUT = { method: 'DELETE', path: '/?session_logout=true' };

describe('who shares a session', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** Two routes of one host, so that a browser sends one's cookie to the other. */
  async function twoRoutes(both: object, first: object = {}, second: object = {}) {
    const config = { secret: newSecret(), ...both };
    const host = `${scene.name('shared')}.app.test`;
    const [a, b] = await Promise.all([
      scene.setUp({ ...config, ...first }, { host, path: '/a' }),
      scene.setUp({ ...config, ...second }, { host, path: '/b' }),
    ]);
    return { a, b };
  }

  for (const storage of STORAGES) {
    test(`S-080 ${storage}: a session of one audience is none for another`, async () => {
      const { a, b } = await twoRoutes({ storage }, { audience: 'a' }, { audience: 'b' });
      const { browser } = await a.signIn(scene.alice);
      const elsewhere = await browser.get('/b');
      assertDenied(elsewhere);
      assertNoSet(elsewhere);
      const logout = await browser.ask({ ...LOGOUT, path: '/b?session_logout=true' });
      assertDenied(logout, 'nothing to sign out of');
      assertOk(await browser.get('/a'), scene.alice);
      assertDenied(await b.browser().get('/b'));
    });

    test(`S-081 ${storage}: under another secret a cookie is a stranger's`, async () => {
      const { a, b } = await twoRoutes({ storage }, {}, { secret: newSecret() });
      const { browser, cookie } = await a.signIn(scene.alice);
      const elsewhere = await browser.get('/b');
      assertDenied(elsewhere);
      assertNoSet(elsewhere);
      assertOk(await browser.get('/a'), scene.alice);
      await b.signIn(scene.bob, browser);
      assert.notEqual(browser.cookies('/a'), cookie);
      assertOk(await browser.get('/b'), scene.bob);
      assertDenied(await browser.get('/a'), 'the browser has one cookie of that name');
    });

    test(`S-082 ${storage}: the same secret, name and audience make one session of two routes`, async () => {
      const { a } = await twoRoutes({ storage, postgres: scene.postgres });
      const { browser } = await a.signIn(scene.alice);
      const elsewhere = await browser.get('/b');
      assertOk(elsewhere, scene.alice);
      assertNoSet(elsewhere);
      const thief = browser.copy();
      const logout = await browser.ask({ ...LOGOUT, path: '/b?session_logout=true' });
      assert.equal(logout.status, 200);
      assertDenied(await thief.get('/a'));
    });

    test(`S-083 ${storage}: a value is good under its own name only`, async () => {
      const { a } = await twoRoutes({ storage }, { cookie_name: 'one' }, { cookie_name: 'other' });
      const { browser } = await a.signIn(scene.alice);
      const value = browser.cookie('one', '/a');
      for (const cookie of [`other=${value}`, `one=${value}`]) {
        assertDenied(await browser.ask({ path: '/b', cookie }));
      }
      assertOk(await browser.get('/a'), scene.alice);
    });

    test(`S-085 ${storage}: sessions outlive the plugin that made them, but not its secret`, async () => {
      const config = { storage, secret: newSecret() };
      const site = await scene.setUp(config);
      const { browser } = await site.signIn(scene.alice);
      await site.enable(false);
      assertDenied(await browser.get());
      await site.enable(true);
      assertOk(await browser.get(), scene.alice);
      await site.recreate(config);
      assertOk(await browser.get(), scene.alice);
      await site.recreate({ ...config, secret: newSecret() });
      assertDenied(await browser.get());
    });
  }

  test('S-084: sessions of one storage are none in the other', async () => {
    const stored = { postgres: scene.postgres, secret: newSecret() };
    const site = await scene.setUp({ ...stored, storage: 'cookie' });
    const inCookie = (await site.signIn(scene.alice)).browser;
    await site.configure({ storage: 'kong' });
    assertDenied(await inCookie.copy().get());
    const inTable = (await site.signIn(scene.bob)).browser;
    assertOk(await inTable.get(), scene.bob);
    await site.configure({ storage: 'cookie' });
    assertDenied(await inTable.copy().get());
    // Nobody ended this one.
    assertOk(await inCookie.get(), scene.alice);
    assertOk(await (await site.signIn(scene.bob)).browser.get(), scene.bob);
  });

  test('S-086: of several plugins the most specific one works, alone', async () => {
    const everywhere = scene.name('everywhere');
    const site = await scene.setUp({ storage: 'cookie', cookie_name: 'here' });
    const bare = await scene.setUp({}, { guarded: false });
    const guard = scene.guardPlugin({ storage: 'cookie', cookie_name: everywhere });
    const { id } = await scene.admin.create('/plugins', guard);
    const names = (lines: readonly string[]) => lines.map((line) => parseSetCookie(line).name);
    await bare.untilEffective(({ setCookies }) => names(setCookies).includes(everywhere));
    const { reply, browser } = await site.signIn(scene.alice);
    assert.deepEqual(names(reply.setCookies), ['here']);
    assertOk(await browser.get(), scene.alice);
    const elsewhere = await bare.signIn(scene.alice);
    assert.deepEqual(names(elsewhere.reply.setCookies), [everywhere]);
    assertOk(await elsewhere.browser.get(), scene.alice);
    await scene.admin.delete(`/plugins/${id}`);
    await bare.untilEffective(({ setCookies }) => setCookies.length === 0);
  });

  test('S-087: a consumer has no session-guard of its own', async () => {
    const person = await scene.person();
    const guard = scene.guardPlugin({ storage: 'cookie' });
    const { status, fields } = await scene.admin.refusal(`/consumers/${person.id}/plugins`, guard);
    assert.equal(status, 400);
    assert.deepEqual(Object.keys(fields), ['consumer']);
    const site = await scene.setUp({ storage: 'cookie' });
    assertOk(await (await site.signIn(person)).browser.get(), person);
  });
});
