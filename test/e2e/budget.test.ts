import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Reply } from '../support/client.ts';
import type { Conversation } from '../support/gateway/recorder.ts';
import { assertDenied, assertOk } from './support/assertions.ts';
import { isRealKong, protocol } from './support/environment.ts';
import { Scene } from './support/scene.ts';
import { Clock } from './support/waiting.ts';

type Kind = 'nobody' | 'session' | 'session, its consumer due' | 'renewal' | 'signIn';

/** Calls to the PDK that a request may cost: the design's budget. That of a sign-in has the question for groups. */
const BUDGET: Record<typeof protocol, Record<Kind, number>> = {
  protobuf: { nobody: 5, session: 7, 'session, its consumer due': 8, renewal: 9, signIn: 11 },
  msgpack: { nobody: 4, session: 5, 'session, its consumer due': 6, renewal: 7, signIn: 10 },
};

/**
 * What it does cost, and how often Kong waits for it. Over ProtoBuf a request is read in one round trip and acted upon
 * in another; over MessagePack each call is one, and so is the end.
 */
const COSTS: Record<typeof protocol, Record<Kind, { calls: number; roundTrips: number }>> = {
  protobuf: {
    nobody: { calls: 4, roundTrips: 3 },
    session: { calls: 6, roundTrips: 2 },
    'session, its consumer due': { calls: 7, roundTrips: 3 },
    renewal: { calls: 8, roundTrips: 2 },
    signIn: { calls: 8, roundTrips: 3 },
  },
  msgpack: {
    nobody: { calls: 4, roundTrips: 5 },
    session: { calls: 5, roundTrips: 6 },
    'session, its consumer due': { calls: 6, roundTrips: 7 },
    renewal: { calls: 7, roundTrips: 8 },
    signIn: { calls: 10, roundTrips: 11 },
  },
};

const skip =
  isRealKong && 'a real Kong keeps no record of its conversations with the plugin server';

describe(`the budget of calls to Kong over ${protocol}`, { skip, concurrency: 4 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** What Kong and the plugin said to each other for this answer. */
  function conversationFor({ headers }: Reply): Conversation {
    const id = headers['x-kong-request-id'];
    const [gateway] = scene.kong.gateways;
    const conversation = typeof id === 'string' ? gateway?.conversations.get(id) : undefined;
    if (conversation === undefined) throw new Error(`no conversation ${String(id)}`);
    return conversation;
  }

  function assertCost(reply: Reply, kind: Kind): void {
    const { calls, roundTrips } = conversationFor(reply);
    assert.ok(calls.length <= BUDGET[protocol][kind], `above the budget:\n${calls.join('\n')}`);
    assert.deepEqual({ calls: calls.length, roundTrips }, COSTS[protocol][kind], calls.join('\n'));
  }

  for (const storage of ['kong', 'cookie'] as const) {
    test(`${storage}: nothing to do`, async () => {
      const site = await scene.setUp({ storage });
      for (const cookie of ['', 'other=1', 'session=garbage']) {
        const reply = await site.browser().ask({ cookie });
        assertDenied(reply);
        assertCost(reply, 'nobody');
      }
    });

    test(`${storage}: signing in, the question for groups included`, async () => {
      const site = await scene.setUp({ storage });
      const { reply, browser } = await site.signIn(scene.alice);
      assertCost(reply, 'signIn');
      const again = await browser.ask({ headers: { apikey: scene.alice.keys[0].key } });
      assertOk(again, scene.alice);
      const { calls } = conversationFor(again);
      assert.ok(calls.length < COSTS[protocol].signIn.calls, 'where there is a session it is less');
    });

    test(`${storage}: a valid session, and one whose consumer is due for a check`, async () => {
      const person = await scene.person();
      const site = await scene.setUp({ storage, consumer_ttl: 2 });
      const { browser } = await site.signIn(person);
      const first = await browser.get();
      assertOk(first, person);
      assertCost(first, 'session, its consumer due');
      const clock = new Clock();
      const usual = await browser.get();
      assertOk(usual, person);
      assertCost(usual, 'session');
      await clock.at(2.5);
      assertCost(await browser.get(), 'session, its consumer due');
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
      assertCost(renewal, 'renewal');
    });
  }
});
