import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertDenied, assertOk } from './support/assertions.ts';
import { STRANGE_REQUESTS } from './support/places.ts';
import { Scene } from './support/scene.ts';
import { inParallel } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;

describe('names that clients choose', { concurrency: 4 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  for (const storage of STORAGES) {
    test(`S-120 ${storage}: no name in a request means anything but itself`, async () => {
      const site = await scene.setUp({
        storage,
        read_body_for_logout: true,
        logout_methods: ['POST'],
        self_service: true,
      });
      const { browser } = await site.signIn(scene.alice);
      const pids = scene.kong.gateways.map((gateway) => gateway.serverPid());
      await inParallel([...STRANGE_REQUESTS], 4, async (ask) => {
        const what = JSON.stringify(ask).slice(0, 300);
        assertOk(await browser.ask(ask), scene.alice, what);
        assertDenied(await browser.ask({ ...ask, cookie: '__proto__=1; _method=1' }), what);
      });
      assert.deepEqual(
        scene.kong.gateways.map((gateway) => gateway.serverPid()),
        pids,
        'the plugin server is the one it was',
      );
    });

    test(`S-118 ${storage}: quotes within quotes are octets like any other`, async () => {
      const site = await scene.setUp({ storage });
      const { browser, cookie } = await site.signIn(scene.alice);
      const depth = 1500;
      for (const other of [
        `a=${'"'.repeat(depth)}`,
        `a=${'"\\'.repeat(depth)}`,
        `a=${'"=;'.repeat(depth)}`,
        `session=${'"'.repeat(depth)}session=${'"'.repeat(depth)}`,
        '='.repeat(depth),
      ]) {
        assertOk(
          await browser.ask({ cookie: `${other}; ${cookie}` }),
          scene.alice,
          other.slice(0, 9),
        );
        assertDenied(await browser.ask({ cookie: other }), other.slice(0, 9));
      }
      const inside = browser.cookie();
      assertDenied(await browser.ask({ cookie: `a="${'"'.repeat(depth)}; "session=${inside}"` }));
    });
  }
});
