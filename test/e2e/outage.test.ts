import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Blackhole } from '../support/blackhole.ts';
import { type Ask, type Browser, type Reply } from '../support/client.ts';
import { assertDenied, assertNoSet, assertOk, nameIn } from './support/assertions.ts';
import { newSecret, type PluginConfig, Scene, type Site } from './support/scene.ts';
import { until } from './support/waiting.ts';

const LOGOUT = { method: 'DELETE', path: '/?session_logout=true' };

/** Milliseconds: far below the 60 s after which Kong would let the request pass. */
const LIMIT = 15_000;

/**
 * Ways for a database to be unreachable: bytes vanish and connections stay open (a firewall, a stopped machine), or
 * connections are cut and new ones refused (a stopped server).
 */
const OUTAGES = ['silent', 'gone'] as const;

describe('Postgres unreachable', { concurrency: 4 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** A site whose database is behind a network that the test can break. */
  async function behindNetwork(context: TestContext, config: PluginConfig, patience = {}) {
    const network = await Blackhole.open(scene.postgres.url);
    let isOpen = true;
    const close = async () => {
      if (isOpen) await network.close();
      isOpen = false;
    };
    context.after(close);
    const url = network.through(scene.postgres.url);
    const site = await scene.setUp({
      postgres: { ...scene.postgres, url, ...patience },
      ...config,
    });
    const fail = async (outage: (typeof OUTAGES)[number]) => {
      if (outage === 'gone') await close();
      else network.swallow();
    };
    return { site, network, fail };
  }

  const keyOf = (person: { keys: readonly [{ key: string }, ...unknown[]] }) => ({
    headers: { apikey: person.keys[0].key },
  });

  for (const outage of OUTAGES) {
    test(`S-143: who signs in while it is ${outage} is let in, without a cookie to nowhere`, async (context) => {
      const { site, fail } = await behindNetwork(context, { storage: 'kong' });
      const bobs = await site.signIn(scene.bob);
      await fail(outage);
      const reply = await timely(site.browser(), keyOf(scene.alice));
      assertOk(reply, scene.alice);
      assertNoSet(reply);
      // Bob would be back with the next request.
      assertUnavailable(await timely(bobs.browser, keyOf(scene.alice)));
    });

    for (const storage of ['kong', 'cookie'] as const) {
      test(`S-144 ${storage}: a session that cannot be checked while it is ${outage} is a 503`, async (context) => {
        const { site, fail } = await behindNetwork(context, { storage, cache_ttl: 0 });
        const { browser } = await site.signIn(scene.alice);
        await fail(outage);
        assertUnavailable(await timely(browser));
        const crowd = await Promise.all(Array.from({ length: 40 }, () => timely(browser)));
        for (const reply of crowd) assertUnavailable(reply);
        assertUnavailable(await timely(browser, LOGOUT));
        assertDenied(await timely(site.browser()), 'whoever has no session needs no database');
      });
    }
  }

  for (const storage of ['kong', 'cookie'] as const) {
    test(`${storage}: cookies that are no session cost no SQL: nobody notices that the database is away`, async (context) => {
      const { site, network } = await behindNetwork(context, { storage, cache_ttl: 0 });
      const { browser } = await site.signIn(scene.alice);
      const foreign = await strangersCookies(site, browser);
      network.swallow();
      assertUnavailable(await timely(browser), 'a genuine one needs it');
      for (const cookie of foreign) {
        for (const ask of [{ cookie }, { cookie, ...LOGOUT }]) {
          assertDenied(await timely(browser, ask), cookie);
        }
      }
    });

    test(`S-144 ${storage}: what the node still knows may hold for cache_ttl, then it is a 503, then all is well`, async (context) => {
      const { site, network } = await behindNetwork(context, { storage, cache_ttl: 1 });
      const { browser } = await site.signIn(scene.alice);
      assertOk(await browser.get(), scene.alice);
      network.swallow();
      await until('the cached session is refused too', async () => {
        const reply = await timely(browser);
        if (reply.status === 200) assert.equal(nameIn(reply), scene.alice.username);
        else assertUnavailable(reply);
        return reply.status === 503;
      });
      await sleep(1000);
      assertUnavailable(await timely(browser), 'still');
      network.heal();
      await until('the session is back', async () => nameIn(await browser.get()));
      assertOk(await browser.get(), scene.alice);
    });
  }

  test('a logout that cannot be written is a 503, and the session is still there afterwards', async (context) => {
    const { site, network } = await behindNetwork(context, { storage: 'kong' });
    const person = await scene.person();
    const { browser, cookie } = await site.signIn(person);
    network.swallow();
    for (const attempt of ['first', 'second']) {
      assertUnavailable(await timely(browser, LOGOUT), attempt);
      assert.equal(browser.cookies(), cookie, 'the browser keeps its cookie');
    }
    assert.equal(await scene.sessionsOf(person), 1);
    network.heal();
    await until('the session is back', async () => nameIn(await browser.get()));
    assertOk(await browser.get(), person);
    assert.equal((await browser.ask(LOGOUT)).status, 200);
    assertDenied(await browser.ask({ cookie }));
    assert.equal(await scene.sessionsOf(person), 0);
  });

  test('nobody waits longer than the statement timeout for a database that is silent', async (context) => {
    const patience = { connect_timeout: 1, statement_timeout: 1 };
    const config = { storage: 'kong', cache_ttl: 0 };
    const { site, network } = await behindNetwork(context, config, patience);
    const { browser } = await site.signIn(scene.alice);
    network.swallow();
    // Short of the 5 s after which the plugin ends whatever it was waiting for. The machine may be busy once.
    await until('an answer in time', async () => {
      const reply = await timely(browser, { signal: AbortSignal.timeout(4500) }).catch(() => {});
      if (reply) assertUnavailable(reply);
      return reply !== undefined;
    });
  });

  test('S-143: after the outage people sign in as before', async (context) => {
    const { site, network } = await behindNetwork(context, { storage: 'kong' });
    network.swallow();
    const browser = site.browser();
    assertNoSet(await timely(browser, keyOf(scene.alice)));
    network.heal();
    await until('a sign-in sets a cookie', async () => {
      assertOk(await browser.ask(keyOf(scene.alice)), scene.alice);
      return browser.cookies() !== '';
    });
    assertOk(await browser.get(), scene.alice);
  });

  /** Cookies that no session of the site can belong to. */
  async function strangersCookies(site: Site, browser: Browser): Promise<string[]> {
    const value = browser.cookie();
    const [header, , iv, text, tag] = value.split('.');
    const elsewhere = await scene.setUp({ storage: 'cookie', secret: newSecret() });
    const { cookie } = await elsewhere.signIn(scene.alice);
    return [
      'session=garbage',
      `session=${value.slice(0, -1)}`,
      `session=${[header, '', iv, text?.slice(4), tag].join('.')}`,
      `session=${[header, '', tag?.slice(0, 16), text, tag].join('.')}`,
      cookie,
      `other=${value}`,
      `${site.cookieName.toUpperCase()}=${value}`,
    ];
  }
});

/** Fails rather than waits. */
const timely = (browser: Browser, ask: Ask = {}): Promise<Reply> =>
  browser.ask({ signal: AbortSignal.timeout(LIMIT), ...ask });

/** 503, and a word about when to come back; the browser keeps what it has. */
function assertUnavailable(reply: Reply, message?: string): void {
  assert.equal(reply.status, 503, message ?? reply.body);
  assert.match(String(reply.headers['retry-after']), /^[1-9]\d*$/, message);
  assert.equal(reply.headers['cache-control'], 'no-store', message);
  assertNoSet(reply);
}
