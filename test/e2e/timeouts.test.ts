import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser } from '../support/client.ts';
import {
  assertDeleted,
  assertDenied,
  assertNoSet,
  assertOk,
  isDenied,
} from './support/assertions.ts';
import { Scene } from './support/scene.ts';
import { Clock } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;

/** Short limits, and a second of slack on either side of each: the machine may be busy. */
describe('timeouts and renewal', { concurrency: 24 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  for (const storage of STORAGES) {
    test(`S-021 ${storage}: a session in use is renewed and goes on`, async () => {
      const site = await scene.setUp({ storage, rolling_timeout: 4 });
      const { browser } = await site.signIn(scene.alice);
      const clock = new Clock();
      const values = new Set([browser.cookie()]);
      for (let step = 0; step < 8; step++) {
        await clock.at(2 + step / 2);
        assertOk(await browser.get(), scene.alice, `${2 + step / 2} s after the sign-in`);
        values.add(browser.cookie());
      }
      assert.ok(values.size > 1, 'at least one cookie has another value');
    });

    test(`S-022 ${storage}: the last quarter is the time to renew`, async () => {
      const site = await scene.setUp({ storage, rolling_timeout: 8, idling_timeout: 0 });
      const { browser } = await site.signIn(scene.alice);
      const first = browser.cookie();
      const clock = new Clock();
      await clock.at(5);
      assertNoSet(await browser.get());
      await clock.at(7);
      const renewal = await browser.get();
      assertOk(renewal, scene.alice);
      assert.equal(renewal.setCookies.length, 1);
      assert.notEqual(browser.cookie(), first);
      assertOk(await browser.get(), scene.alice);
    });

    test(`S-024 ${storage}: who does nothing is out`, async () => {
      const site = await scene.setUp({ storage, idling_timeout: 2 });
      const { browser } = await site.signIn(scene.alice);
      await new Clock().at(3.5);
      assertDenied(await browser.get());
    });

    test(`S-026 ${storage}: who does something within a short idling_timeout stays in`, async () => {
      const site = await scene.setUp({ storage, idling_timeout: 4 });
      const { browser } = await site.signIn(scene.alice);
      const clock = new Clock();
      for (let second = 1; second <= 12; second++) {
        await clock.at(second);
        assertOk(await browser.get(), scene.alice, `${second} s after the sign-in`);
      }
      await clock.at(12 + 5.5);
      assertDenied(await browser.get());
    });

    test(`S-029 ${storage}: absolute_timeout ends a session that is in use and renewed`, async () => {
      const config = { storage, absolute_timeout: 10, rolling_timeout: 4, idling_timeout: 0 };
      const site = await scene.setUp(config);
      const { browser } = await site.signIn(scene.alice);
      const first = browser.cookie();
      const end = await whenDenied(browser, 13, () => browser.cookie() !== first);
      assert.ok(end > 9 && end < 12, `it ended after ${end} s`);
    });

    test(`S-030 ${storage}: with every limit off nothing ends and nothing is renewed`, async () => {
      const limits = { idling_timeout: 0, rolling_timeout: 0, absolute_timeout: 0 };
      const site = await scene.setUp({ storage, ...limits });
      const { browser } = await site.signIn(scene.alice);
      const clock = new Clock();
      for (const second of [1, 15, 30]) {
        await clock.at(second);
        const reply = await browser.get();
        assertOk(reply, scene.alice);
        assertNoSet(reply);
      }
    });

    test(`S-038 ${storage}: an expired cookie is refused and deleted in the browser`, async () => {
      const site = await scene.setUp({
        storage,
        idling_timeout: 1,
        cookie_path: '/',
        cookie_domain: 'app.test',
        cookie_same_site: 'Lax',
      });
      const { browser, reply } = await site.signIn(scene.alice);
      await new Clock().at(2.5);
      const denied = await browser.get();
      assertDenied(denied);
      assertDeleted(denied, reply.setCookies);
      assert.equal(browser.cookies(), '');
    });

    test(`S-038 ${storage}: so is a revoked one`, async () => {
      const site = await scene.setUp({ storage, postgres: scene.postgres });
      const { browser, reply } = await site.signIn(scene.alice);
      const other = browser.copy();
      await browser.ask({ method: 'DELETE', path: '/?session_logout=true' });
      const denied = await other.get();
      assertDenied(denied);
      assertDeleted(denied, reply.setCookies);
    });

    test(`S-038 ${storage}: so is one of ours that does not open`, async () => {
      const site = await scene.setUp({ storage });
      const { browser, reply } = await site.signIn(scene.alice);
      const [header, , iv, text = '', tag] = browser.cookie().split('.');
      const tampered = [header, '', iv, `${text.startsWith('A') ? 'B' : 'A'}${text.slice(1)}`, tag];
      const denied = await browser.ask({ cookie: `session=${tampered.join('.')}` });
      assertDenied(denied);
      assertDeleted(denied, reply.setCookies);
    });
  }

  for (const revoke of [true, false]) {
    test(`S-034: a cookie from before a renewal is refused, ${revoke ? 'and the session ended' : 'no more'}`, async () => {
      const site = await scene.setUp({
        storage: 'kong',
        rolling_timeout: 8,
        stale_ttl: 1,
        revoke_on_replay: revoke,
      });
      const { browser, cookie } = await site.signIn(scene.alice);
      const clock = new Clock();
      await clock.at(6.4);
      const thief = browser.copy();
      assertOk(await browser.get(), scene.alice);
      assert.notEqual(browser.cookies(), cookie);
      assertOk(await browser.get(), scene.alice);
      // Past the grace, within the successor's own time.
      await clock.at(9.4);
      assertDenied(await thief.get());
      const successor = await browser.get();
      if (revoke) assertDenied(successor);
      else assertOk(successor, scene.alice);
    });
  }

  test('a lost renewal logs nobody out: the predecessor lives until its successor is presented', async () => {
    const site = await scene.setUp({ storage: 'kong', rolling_timeout: 8, stale_ttl: 1 });
    const { browser, cookie } = await site.signIn(scene.alice);
    const clock = new Clock();
    await clock.at(6.3);
    const lost = await browser.ask({ cookie });
    assert.equal(lost.setCookies.length, 1);
    // Longer after the renewal than stale_ttl, since nobody has presented the successor.
    await clock.at(7.5);
    const again = await browser.get();
    assertOk(again, scene.alice);
    assert.equal(again.setCookies.length, 1, 'the successor is sent once more');
    assertOk(await browser.get(), scene.alice);
    await clock.at(9.7);
    assertDenied(await browser.ask({ cookie }));
  });
});

/** Seconds after now at which a browser in use is refused; meanwhile `isRenewed` must have become true. */
async function whenDenied(
  browser: Browser,
  limit: number,
  isRenewed: () => boolean,
): Promise<number> {
  const clock = new Clock();
  let renewed = false;
  for (let next = 0.5; next < limit; next += 0.5) {
    await clock.at(next);
    if (isDenied(await browser.get())) {
      assert.ok(renewed, 'it was renewed before');
      return clock.elapsed;
    }
    renewed ||= isRenewed();
  }
  throw new Error(`still signed in after ${limit} s`);
}
