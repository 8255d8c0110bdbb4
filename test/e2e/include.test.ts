import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { echoOf } from '../support/client.ts';
import { assertDenied, assertOk } from './support/assertions.ts';
import { isRealKong, protocol } from './support/environment.ts';
import { Scene } from './support/scene.ts';

const INCLUDE = new URL('../../nginx/session-guard.conf', import.meta.url);

/** What it costs with the include; without it see budget.test.ts. */
const CALLS = {
  protobuf: { nobody: 2, session: 5 },
  msgpack: { nobody: 2, session: 4 },
}[protocol];

const skip = isRealKong && 'whether a real Kong has the include is for its kong.conf to say';

describe(`with nginx/session-guard.conf over ${protocol}`, { skip }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open({ nginxInclude: await readFile(INCLUDE, 'utf8') });
  });
  after(() => scene.close());

  const callsOf = (headers: Record<string, unknown>): readonly string[] => {
    const [gateway] = scene.kong.gateways;
    const { calls } = gateway?.conversations.get(String(headers['x-kong-request-id'])) ?? {};
    assert.ok(calls, 'a conversation');
    return calls;
  };

  for (const storage of ['kong', 'cookie'] as const) {
    test(`${storage}: signing in, being recognised, signing out`, async () => {
      const site = await scene.setUp({ storage });
      const { browser, cookie: own } = await site.signIn(scene.alice);
      const cookie = `first=1; ${own}; last="a, b"`;
      assertOk(await site.browser().ask({ cookie }), scene.alice);
      const reply = await site.browser().ask({ cookie, path: '/some/path?x=1' });
      assertOk(reply, scene.alice);
      assert.equal(echoOf(reply).headers['cookie'], 'first=1; last="a, b"');
      assert.equal(callsOf(reply.headers).length, CALLS.session);
      const copy = browser.copy();
      assert.equal(
        (await browser.ask({ method: 'DELETE', path: '/?session_logout=1' })).status,
        200,
      );
      if (storage === 'kong') assertDenied(await copy.get());
    });

    test(`${storage}: nobody is told from the anonymous consumer without asking`, async () => {
      const site = await scene.setUp({ storage });
      // At first every instance looks whether the route has an auth plugin; there is one for each of two workers.
      for (let turn = 0; turn < 2; turn++) assertDenied(await site.browser().get());
      const reply = await site.browser().get();
      assertDenied(reply);
      assert.equal(callsOf(reply.headers).length, CALLS.nobody);
    });

    test(`${storage}: what a client claims to be does not arrive, in whatever spelling`, async () => {
      const site = await scene.setUp({ storage });
      const { browser } = await site.signIn(scene.alice);
      for (const name of CLAIMS) {
        const reply = await browser.ask({ headers: { [name]: 'forged' } });
        assertOk(reply, scene.alice);
        assert.ok(!JSON.stringify(echoOf(reply).headers).includes('forged'), name);
      }
    });
  }
});

const CLAIMS = [
  'X-Consumer-ID',
  'X-Consumer-Custom-ID',
  'X-Anonymous-Consumer',
  'X-Authenticated-Groups',
  'X-Consumer-Groups',
  'X-Authenticated-Scope',
  'Session-Id',
  'Session-Absolute-Timeout',
  'x_consumer_id',
  'X-Consumer_Username',
  'x_authenticated-groups',
  'session_subject',
];
