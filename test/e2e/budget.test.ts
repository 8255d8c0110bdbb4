import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Reply } from '../support/client.ts';
import { assertDenied, assertOk } from './support/assertions.ts';
import { isRealKong } from './support/environment.ts';
import { Scene } from './support/scene.ts';
import { Clock } from './support/waiting.ts';

/**
 * Calls to the PDK per kind of request, over MessagePack: each is a round trip over the unix socket, and these
 * dominate what the plugin costs.
 */
const BUDGET = { nobody: 4, session: 5, renewal: 7, signIn: 9, groups: 1, consumerCheck: 1 };

const skip =
  isRealKong && 'a real Kong keeps no record of its conversations with the plugin server';

describe('the budget of calls to Kong', { skip, concurrency: 4 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** The calls that the plugin made for this answer. */
  function callsFor({ headers }: Reply): string[] {
    const id = headers['x-kong-request-id'];
    const [gateway] = scene.kong.gateways;
    const conversation = typeof id === 'string' ? gateway?.conversations.get(id) : undefined;
    if (conversation === undefined) throw new Error(`no conversation ${String(id)}`);
    return conversation.calls;
  }

  function assertCalls(reply: Reply, count: number): void {
    const calls = callsFor(reply);
    assert.equal(calls.length, count, calls.join('\n'));
  }

  for (const storage of ['kong', 'cookie'] as const) {
    test(`${storage}: nothing to do`, async () => {
      const site = await scene.setUp({ storage });
      for (const cookie of ['', 'other=1', 'session=garbage']) {
        const reply = await site.browser().ask({ cookie });
        assertDenied(reply);
        assertCalls(reply, BUDGET.nobody);
      }
    });

    test(`${storage}: signing in, the question for groups included`, async () => {
      const site = await scene.setUp({ storage });
      const { reply, browser } = await site.signIn(scene.alice);
      assertCalls(reply, BUDGET.signIn + BUDGET.groups);
      const again = await browser.ask({ headers: { apikey: scene.alice.keys[0].key } });
      assertOk(again, scene.alice);
      assert.ok(
        callsFor(again).length <= BUDGET.signIn,
        'a session that is there already costs less',
      );
    });

    test(`${storage}: a valid session, and one whose consumer is due for a check`, async () => {
      const person = await scene.person();
      const site = await scene.setUp({ storage, consumer_ttl: 2 });
      const { browser } = await site.signIn(person);
      const first = await browser.get();
      assertOk(first, person);
      assertCalls(first, BUDGET.session + BUDGET.consumerCheck);
      const clock = new Clock();
      const usual = await browser.get();
      assertOk(usual, person);
      assertCalls(usual, BUDGET.session);
      await clock.at(2.5);
      assertCalls(await browser.get(), BUDGET.session + BUDGET.consumerCheck);
    });

    test(`${storage}: a renewal`, async () => {
      const person = await scene.person();
      const site = await scene.setUp({ storage, rolling_timeout: 12, idling_timeout: 0 });
      const { browser } = await site.signIn(person);
      const clock = new Clock();
      await browser.get();
      await clock.at(9.5);
      const renewal = await browser.get();
      assertOk(renewal, person);
      assert.equal(renewal.setCookies.length, 1);
      assertCalls(renewal, BUDGET.renewal);
    });
  }
});
