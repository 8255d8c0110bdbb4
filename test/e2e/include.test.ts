import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { echoOf } from '../support/client.ts';
import { assertDenied, assertOk } from './support/assertions.ts';
import { isRealKong, protocol } from './support/environment.ts';
import { newSecret, Scene } from './support/scene.ts';
import type { Person } from './support/scene.ts';

const textOf = (name: string): Promise<string> =>
  readFile(new URL(`../../nginx/${name}`, import.meta.url), 'utf8');

/** What requests cost with the includes; without any see budget.test.ts. */
const CALLS = {
  protobuf: { http: { nobody: 1, session: 4 }, proxy: { nobody: 2, session: 5 } },
  msgpack: { http: { nobody: 1, session: 3 }, proxy: { nobody: 2, session: 4 } },
}[protocol];

const INCLUDES = {
  'session-guard-http.conf': { files: ['http'], calls: CALLS.http },
  'session-guard.conf': { files: ['proxy'], calls: CALLS.proxy },
  // nginx works out the headers' variables once, for the other file, before any auth plugin.
  'both files': { files: ['http', 'proxy'], calls: CALLS.proxy },
} as const;

const skip = isRealKong && 'whether a real Kong has the include is for its kong.conf to say';

for (const [name, { files, calls }] of Object.entries(INCLUDES)) {
  describe(`with ${name} over ${protocol}`, { skip }, () => {
    let scene: Scene;
    before(async () => {
      const [http, proxy] = await Promise.all([
        textOf('session-guard-http.conf'),
        textOf('session-guard.conf'),
      ]);
      const has = (file: string) => (files as readonly string[]).includes(file);
      const nginxInclude = { ...(has('http') && { http }), ...(has('proxy') && { proxy }) };
      scene = await Scene.open({ nginxInclude });
    });
    after(() => scene.close());

    const callsOf = (headers: Record<string, unknown>): readonly string[] => {
      const [gateway] = scene.kong.gateways;
      const conversation = gateway?.conversations.get(String(headers['x-kong-request-id']));
      assert.ok(conversation, 'a conversation');
      return conversation.calls;
    };

    for (const storage of ['kong', 'cookie'] as const) {
      test(`${storage}: signing in, being recognised, signing out`, async () => {
        const site = await scene.setUp({ storage });
        const { browser, cookie: own } = await site.signIn(scene.alice);
        const cookie = `first=1; ${own}; last="a, b"`;
        // An instance learns from its first requests; there is one for each of two workers.
        for (let turn = 0; turn < 4; turn++) {
          assertOk(await site.browser().ask({ cookie }), scene.alice);
        }
        const reply = await site.browser().ask({ cookie, path: '/some/path?x=1' });
        assertOk(reply, scene.alice);
        assert.equal(echoOf(reply).headers['cookie'], 'first=1; last="a, b"');
        assert.equal(callsOf(reply.headers).length, calls.session);
        const copy = browser.copy();
        assert.equal(
          (await browser.ask({ method: 'DELETE', path: '/?session_logout=1' })).status,
          200,
        );
        if (storage === 'kong') assertDenied(await copy.get());
      });

      test(`${storage}: nobody is told from the anonymous consumer without asking`, async () => {
        const site = await scene.setUp({ storage });
        // At first every instance looks whether the route has an auth plugin.
        for (let turn = 0; turn < 4; turn++) assertDenied(await site.browser().get());
        const reply = await site.browser().get();
        assertDenied(reply);
        assert.equal(callsOf(reply.headers).length, calls.nobody);
      });

      test(`${storage}: what a client claims to be does not arrive, in whatever spelling`, async () => {
        const site = await scene.setUp({ storage });
        const { browser } = await site.signIn(scene.alice);
        for (const claim of CLAIMS) {
          const reply = await browser.ask({ headers: { [claim]: 'forged' } });
          assertOk(reply, scene.alice);
          assert.ok(!JSON.stringify(echoOf(reply).headers).includes('forged'), claim);
        }
      });

      test(`${storage}: who signs in is seen among the anonymous and the recognised`, async () => {
        const site = await scene.setUp({ storage }, { auth: ['key-auth', 'basic-auth'] });
        for (let turn = 0; turn < 4; turn++) assertDenied(await site.browser().get());
        const { browser } = await site.signIn(scene.alice);
        for (let turn = 0; turn < 4; turn++) assertOk(await browser.get(), scene.alice);
        // Whoever comes with a credential is that user, whatever the cookie says.
        const headers = { ...keyOf(scene.bob), 'X-Anonymous-Consumer': 'true' };
        const reply = await browser.ask({ headers });
        assertOk(reply, scene.bob);
        assert.equal(echoOf(reply).headers['x-anonymous-consumer'], undefined);
        assertOk(await browser.get(), scene.bob);
      });

      test(`${storage}: the anonymous consumer's headers in a client's mouth open nothing and do not arrive`, async () => {
        const shared = { secret: newSecret(), storage };
        const site = await scene.setUp(shared);
        const { browser } = await site.signIn(scene.alice);
        const anonymous = {
          'X-Consumer-ID': scene.anonymous,
          'X-Consumer-Username': await anonymousName(),
          'X-Anonymous-Consumer': 'true',
        };
        for (let turn = 0; turn < 4; turn++) {
          const reply = await browser.ask({ headers: anonymous });
          assertOk(reply, scene.alice);
          assert.equal(echoOf(reply).headers['x-anonymous-consumer'], undefined);
          assertDenied(await site.browser().ask({ headers: anonymous }));
          const { status } = await site.browser().ask({ headers: { ...anonymous, apikey: 'no' } });
          assert.equal(status, 403);
        }
        const open = await scene.setUp({}, { guarded: false, auth: [] });
        await scene.admin.create(`/routes/${open.route.id}/plugins`, scene.guardPlugin(shared));
        for (let turn = 0; turn < 4; turn++) {
          const reply = await open.browser().ask({ headers: anonymous });
          assert.equal(reply.status, 200);
          const { headers } = echoOf(reply);
          for (const claim in anonymous) {
            assert.equal(headers[claim.toLowerCase()], undefined, claim);
          }
        }
      });
    }

    const anonymousName = async (): Promise<string> =>
      String((await scene.admin.read(`/consumers/${scene.anonymous}`))['username']);
  });
}

const keyOf = (person: Person) => ({ apikey: person.keys[0].key });

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
