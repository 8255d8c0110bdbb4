import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertDenied, assertNoSet, assertOk } from './support/assertions.ts';
import { newSecret, Scene } from './support/scene.ts';

const STORAGES = ['kong', 'cookie'] as const;

/** `secret_fallbacks`, and a new secret in the three documented steps (D8). */
describe('another secret', { concurrency: 6 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  for (const storage of STORAGES) {
    test(`D8 ${storage}: three steps to a new secret sign nobody out`, async () => {
      const [old, fresh] = [newSecret(), newSecret()];
      const site = await scene.setUp({ storage, secret: old });
      const { browser: early } = await site.signIn(scene.alice);

      // First: every node opens what the next step will seal.
      await site.configure({ secret_fallbacks: [fresh] });
      const first = await early.get();
      assertOk(first, scene.alice);
      assertNoSet(first);
      const { browser: later } = await site.signIn(scene.bob);
      assert.equal(sealer(later.cookie()), sealer(early.cookie()), 'the old secret still seals');

      // Second: they are swapped, and who comes back gets a cookie under the new one, once.
      await site.configure({ secret: fresh, secret_fallbacks: [old] });
      for (const [browser, person] of [
        [early, scene.alice],
        [later, scene.bob],
      ] as const) {
        const earlier = browser.cookie();
        const renewed = await browser.get();
        assertOk(renewed, person);
        assert.equal(renewed.setCookies.length, 1);
        assert.notEqual(sealer(browser.cookie()), sealer(earlier));
        const next = await browser.get();
        assertOk(next, person);
        assertNoSet(next);
      }
      const { browser: newcomer } = await site.signIn(scene.alice);
      assert.equal(sealer(newcomer.cookie()), sealer(early.cookie()));

      // Third, after the longest lifetime: the old one is gone.
      await site.configure({ secret_fallbacks: [] });
      assertOk(await newcomer.get(), scene.alice);
      if (storage === 'cookie') assertOk(await early.get(), scene.alice, 'it was sealed anew');
    });

    test(`D8 ${storage}: while nodes differ, each takes the other's cookies`, async () => {
      const [old, fresh] = [newSecret(), newSecret()];
      const host = `${scene.name('rolling')}.app.test`;
      const behind = { secret: old, secret_fallbacks: [fresh] };
      const ahead = { secret: fresh, secret_fallbacks: [old] };
      const a = await scene.setUp({ storage, ...behind }, { host, path: '/a' });
      const b = await scene.setUp({ storage, ...ahead }, { host, path: '/b' });
      for (const site of [a, b]) {
        const { browser } = await site.signIn(scene.alice);
        for (const path of ['/a', '/b', '/a', '/b']) {
          assertOk(await browser.get(path), scene.alice, path);
        }
      }
    });

    test(`D8 ${storage}: a secret that is no fallback opens nothing, and its cookies are left alone`, async () => {
      const [first, second, third] = [newSecret(), newSecret(), newSecret()];
      const site = await scene.setUp({ storage, secret: first });
      const { browser } = await site.signIn(scene.alice);
      await site.configure({ secret: third, secret_fallbacks: [second] });
      const denied = await browser.get();
      assertDenied(denied);
      assertNoSet(denied);
      await site.configure({ secret_fallbacks: [second, first] });
      assertOk(await browser.get(), scene.alice);
    });

    test(`D8 ${storage}: the persistent cookie is sealed anew when it is used`, async () => {
      const [old, fresh] = [newSecret(), newSecret()];
      const site = await scene.setUp({ storage, secret: old, remember: true });
      const { browser, reply } = await site.signIn(scene.alice);
      const remember = `remember=${browser.cookie('remember')}`;
      await site.configure({ secret: fresh, secret_fallbacks: [old] });
      const restored = await site.browser().ask({ cookie: remember });
      assertOk(restored, scene.alice);
      assert.equal(restored.setCookies.length, 2);
      for (const [index, line] of restored.setCookies.entries()) {
        assert.notEqual(sealer(valueOf(line)), sealer(valueOf(reply.setCookies[index] ?? '')));
      }
    });
  }

  test('D8 kong: a session that was renewed since the swap outlives the old secret', async () => {
    const [old, fresh] = [newSecret(), newSecret()];
    const config = { storage: 'kong', cache_ttl: 0, absolute_timeout: 0, idling_timeout: 0 };
    const site = await scene.setUp({ ...config, secret: old, rolling_timeout: 3600 });
    const person = await scene.person();
    const { browser } = await site.signIn(person);
    await site.configure({ secret: fresh, secret_fallbacks: [old] });
    // Nobody waits that long: the last quarter of the hour has come.
    await scene.rows(
      "update :SCHEMA.sessions set renewed_at = now() - interval '50 minutes' where consumer_id = $1",
      [person.id],
    );
    const renewal = await browser.get();
    assertOk(renewal, person);
    assert.equal(renewal.setCookies.length, 1);
    await site.configure({ secret_fallbacks: [] });
    assertOk(await browser.get(), person);
  });

  test('S-158: a fallback may be a vault reference', async (t) => {
    const reference = scene.kong.vaultReference;
    if (reference === undefined) return t.skip('needs KONG_VAULT_REFERENCE');
    const host = `${scene.name('vault')}.app.test`;
    const shared = { storage: 'cookie' };
    const old = await scene.setUp({ ...shared, secret: reference }, { host, path: '/old' });
    const fresh = { secret: newSecret(), secret_fallbacks: [reference] };
    const site = await scene.setUp({ ...shared, ...fresh }, { host, path: '/new' });
    const { browser } = await old.signIn(scene.alice);
    const reply = await browser.get('/new');
    assertOk(reply, scene.alice);
    assert.equal(reply.setCookies.length, 1, 'sealed anew');
    const shown = JSON.stringify(await scene.admin.read(`/plugins/${site.plugin.id}`));
    assert.ok(shown.includes(reference), 'the Admin API shows the reference');
  });
});

/** What the header of a token says about the secret that sealed it. */
function sealer(value: string): string {
  const header = Buffer.from(value.split('.')[0] ?? '', 'base64url').toString();
  const { kid } = JSON.parse(header) as { kid: string };
  return kid.split('.')[0] ?? '';
}

const valueOf = (line: string): string => line.slice(line.indexOf('=') + 1).split(';')[0] ?? '';
