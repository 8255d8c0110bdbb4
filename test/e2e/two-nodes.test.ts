import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { KeyRing } from '../../lib/keys.ts';
import { DataCodec, TokenCodec } from '../../lib/token.ts';
import type { Browser } from '../support/client.ts';
import { assertDenied, assertNoSet, assertOk, isDenied } from './support/assertions.ts';
import { keyOf, newId } from './support/forger.ts';
import { newSecret, Scene } from './support/scene.ts';
import { Clock, until } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
const LOGOUT = { method: 'DELETE', path: '/?session_logout=true' };

/** Milliseconds after which a revocation is known everywhere: `cache_ttl`, should the notification be lost. */
const BOUND = 5000;

describe('two nodes', { concurrency: 4 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open({ nodes: 2 });
  });
  after(() => scene.close());

  /** Whether the test has to do without a second node, which it then says. */
  function isAlone(t: TestContext): boolean {
    if (scene.kong.nodes.length > 1) return false;
    t.skip('needs a second node: KONG_ADMIN_URL_2, KONG_PROXY_URL_2, KONG_PROXY_SSL_URL_2');
    return true;
  }

  const at = (node: number, browser: Browser): Browser => {
    const listeners = scene.kong.nodes[node];
    if (listeners === undefined) throw new TypeError(`there is no node ${node}`);
    return browser.copy(listeners);
  };

  for (const storage of STORAGES) {
    const config = () => ({ storage, postgres: scene.postgres });

    test(`S-047 ${storage}: signed out on one node, signed out on the other`, async (t) => {
      if (isAlone(t)) return;
      const site = await scene.setUp(config());
      const latencies: number[] = [];
      for (let round = 0; round < 10; round++) {
        const { browser } = await site.signIn(scene.alice);
        const [here, there] = [at(0, browser), at(1, browser)];
        for (const one of [here, there, here, there]) assertOk(await one.get(), scene.alice);
        assert.equal((await here.ask(LOGOUT)).status, 200);
        const since = Date.now();
        const limit = BOUND + 1000;
        const isOut = async () => isDenied(await there.copy().get());
        await until('the other node knows of it', isOut, { limit, every: 20 });
        latencies.push(Date.now() - since);
      }
      const sorted = latencies.toSorted((a, b) => a - b);
      t.diagnostic(`latency of a logout: median ${sorted[5]} ms, worst ${sorted.at(-1)} ms`);
    });

    test(`S-049 ${storage}: signed in on one node, known on the other at once`, async (t) => {
      if (isAlone(t)) return;
      const site = await scene.setUp(config());
      for (let round = 0; round < 20; round++) {
        const { browser } = await site.signIn(scene.alice, site.browser(round % 2));
        const elsewhere = await at((round + 1) % 2, browser).get();
        assertOk(elsewhere, scene.alice, `round ${round}`);
        assertNoSet(elsewhere);
      }
    });

    test(`D14 ${storage}: all sessions of a person end on both nodes`, async (t) => {
      if (isAlone(t)) return;
      const person = await scene.person();
      const site = await scene.setUp({ ...config(), self_service: true });
      const first = (await site.signIn(person, site.browser(0))).browser;
      const second = (await site.signIn(person, site.browser(1))).browser;
      const copies = [first, second].flatMap((browser) => [at(0, browser), at(1, browser)]);
      for (const copy of copies) assertOk(await copy.get(), person);
      const end = await first.ask({ method: 'DELETE', path: '/_sessions' });
      assert.equal(end.status, 200);
      const limit = BOUND + 1000;
      for (const copy of copies) {
        const isOut = async () => isDenied(await copy.copy().get());
        await until('it has ended everywhere', isOut, { limit, every: 20 });
      }
      const again = (await site.signIn(person, site.browser(1))).browser;
      for (const node of [0, 1]) assertOk(await at(node, again).get(), person);
    });

    test(`S-151 ${storage}: both start on an empty database`, async () => {
      const schema = `${scene.postgres.schema}_${storage}`;
      const site = await scene.setUp({ storage, postgres: { ...scene.postgres, schema } });
      for (const node of scene.kong.nodes.keys()) {
        const { browser } = await site.signIn(scene.alice, site.browser(node));
        for (const other of scene.kong.nodes.keys()) {
          assertOk(await at(other, browser).get(), scene.alice);
        }
      }
      await scene.rows(`drop schema ${schema} cascade`);
    });
  }

  test('a renewal on one node is one on the other, and a replay too', async (t) => {
    if (isAlone(t)) return;
    const site = await scene.setUp({
      storage: 'kong',
      rolling_timeout: 16,
      cookie_renew: 8,
      idling_timeout: 0,
      stale_ttl: 1,
    });
    const { browser, cookie } = await site.signIn(scene.alice);
    const clock = new Clock();
    assertOk(await at(1, browser).get(), scene.alice);
    await clock.at(9.5);
    assertOk(await browser.get(), scene.alice);
    assert.notEqual(browser.cookies(), cookie);
    for (const node of [1, 0]) {
      const reply = await at(node, browser).get();
      assertOk(reply, scene.alice);
      assertNoSet(reply);
    }
    await clock.at(clock.elapsed + 2.5);
    assertDenied(await at(1, browser).ask({ cookie }), 'a copy from before');
    const isOut = async () => isDenied(await at(0, browser).get());
    await until('the session has ended with it', isOut, { limit: BOUND + 1000 });
  });

  test('S-050: what was missing is found as soon as cache_ttl allows', async () => {
    const secret = newSecret();
    const site = await scene.setUp({ storage: 'kong', secret, cache_ttl: 1 });
    const last = scene.kong.nodes.length - 1;
    await site.signIn(scene.alice);
    const ring = new KeyRing([secret], `session kong ${scene.postgres.schema}`, 0);
    const id = newId();
    const entry = { audience: 'default', id, generation: 0 };
    const value = await new TokenCodec(ring, 'session').seal([entry], Date.now());
    const browser = site.browser(last);
    const ask = () => browser.ask({ cookie: `session=${value}` });
    assertDenied(await ask(), 'nobody has stored it');
    const key = keyOf(id);
    const sealed = await new DataCodec(ring, Date.now).seal(key.toString('base64url'), {});
    await scene.rows(
      `insert into :SCHEMA.sessions select (s).* from (
         select jsonb_populate_record(s, jsonb_build_object('handle', gen_random_uuid(),
           'family', gen_random_uuid(), 'key', '\\x' || $1::text, 'data', '\\x' || $2::text)) as s
         from :SCHEMA.sessions s where s.consumer_id = $3 limit 1) as copy`,
      [key.toString('hex'), Buffer.from(sealed).toString('hex'), scene.alice.id],
    );
    const isFound = async () => (await ask()).status === 200;
    await until('it is found', isFound, { limit: 4000 });
    assertOk(await ask(), scene.alice);
  });
});
