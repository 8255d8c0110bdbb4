import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Browser, echoOf, type Reply } from '../support/client.ts';
import { assertDeleted, assertDenied, assertNoSet, assertOk } from './support/assertions.ts';
import { Scene } from './support/scene.ts';
import { until } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;

/** Milliseconds after which a node that asks Kong once a second (`consumer_ttl` 1) knows of a change. */
const NOTICED = 1500;

describe('who the upstream sees', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  for (const storage of STORAGES) {
    test(`S-089 ${storage}: what a client says about itself does not reach the upstream`, async () => {
      const site = await scene.setUp({ storage });
      // Bob has no custom_id, so that there is something to clear.
      const { browser } = await site.signIn(scene.bob);
      const reply = await browser.ask({ headers: CLAIMS });
      assertOk(reply, scene.bob);
      const { headers } = echoOf(reply);
      const heard = Object.entries(headers).filter(([name]) => isIdentity(name));
      assert.deepEqual(Object.fromEntries(heard), {
        'x-consumer-id': scene.bob.id,
        'x-consumer-username': scene.bob.username,
        'x-credential-identifier': scene.bob.keys[0].id,
      });
    });

    test(`S-089 ${storage}: nor does the session's cookie, and the others do`, async () => {
      const site = await scene.setUp({ storage });
      const { cookie } = await site.signIn(scene.bob);
      const reply = await site.browser().ask({ cookie: `first=1; ${cookie}; second="2, 3"` });
      assertOk(reply, scene.bob);
      assert.equal(echoOf(reply).headers['cookie'], 'first=1; second="2, 3"');
      assert.equal(echoOf(await site.browser().ask({ cookie })).headers['cookie'], undefined);
    });

    test(`S-097 ${storage}: with the consumer the session ends`, async () => {
      const { person, browser, reply } = await signedIn({ storage });
      await scene.admin.delete(`/consumers/${person.id}`);
      await sleep(NOTICED);
      const denied = await browser.copy().get();
      assertDenied(denied);
      assertDeleted(denied, reply.setCookies);
      assert.equal(await scene.sessionsOf(person), 0);
      assertDenied(await browser.get());
    });

    test(`S-099 ${storage}: a new name of the consumer arrives, and the session goes on`, async () => {
      const { person, browser } = await signedIn({ storage });
      const fields = { username: scene.name('alicia'), custom_id: scene.name('c-alicia') };
      await scene.admin.change(`/consumers/${person.id}`, fields);
      await sleep(NOTICED);
      const reply = await browser.get();
      assertOk(reply, { ...person, ...fields });
      assert.equal(echoOf(reply).headers['x-consumer-custom-id'], fields.custom_id);
      assertNoSet(reply);
    });

    test(`S-100 ${storage}: a namesake does not inherit the session`, async () => {
      const { site, person, browser } = await signedIn({ storage });
      await scene.admin.delete(`/consumers/${person.id}`);
      const namesake = await scene.person('', { username: person.username });
      assert.notEqual(namesake.id, person.id);
      const during = await browser.copy().get();
      if (during.status === 200) assert.equal(idIn(during), person.id);
      await sleep(NOTICED);
      assertDenied(await browser.copy().get());
      const own = await site.signIn(namesake);
      assert.equal(idIn(await own.browser.get()), namesake.id);
      assertDenied(await browser.get());
    });

    test(`S-102 ${storage}: what Kong has configured for the consumer holds for the session`, async () => {
      const { person, site, browser } = await signedIn({ storage });
      const bobs = (await site.signIn(scene.bob)).browser;
      await scene.admin.create(`/consumers/${person.id}/plugins`, {
        name: 'request-termination',
        config: { status_code: 451, message: 'Not you.' },
      });
      await until('the plugin is effective', async () => (await browser.get()).status === 451);
      assertOk(await bobs.get(), scene.bob);
    });

    test(`S-102 ${storage}: rate limits count the session's requests as the consumer's`, async () => {
      const { person, site, browser } = await signedIn({ storage });
      const limit = 4321;
      await scene.admin.create(`/consumers/${person.id}/plugins`, {
        name: 'rate-limiting',
        config: { minute: limit, policy: 'local' },
      });
      await until(
        'the plugin is effective',
        async () => remainingIn(await browser.get()) !== undefined,
      );
      // A minute ends within three requests at most once.
      const remaining = [];
      for (let turn = 0; turn < 3; turn++)
        remaining.push(remainingIn(await browser.get()) ?? limit);
      assert.ok(Math.min(...remaining) <= limit - 2, `${remaining.join()} of ${limit}`);
      const bobs = (await site.signIn(scene.bob)).browser;
      assert.equal(remainingIn(await bobs.get()), undefined);
    });

    test(`S-104 ${storage}: of several ways to sign in, the session knows which one it was`, async () => {
      const person = await scene.person();
      const { id } = await scene.admin.create(`/consumers/${person.id}/basic-auth`, {
        username: person.username,
        password: 'open sesame',
      });
      const site = await scene.setUp({ storage }, { auth: ['key-auth', 'basic-auth'] });
      const password = Buffer.from(`${person.username}:open sesame`).toString('base64');
      const ways = [
        { headers: { apikey: person.keys[0].key }, credential: person.keys[0].id },
        { headers: { Authorization: `Basic ${password}` }, credential: id },
      ];
      for (const { headers, credential } of ways) {
        const browser = site.browser();
        assertOk(await browser.ask({ headers }), person);
        const reply = await browser.get();
        assertOk(reply, person);
        assert.equal(echoOf(reply).headers['x-credential-identifier'], credential);
      }
      const wrong = Buffer.from(`${person.username}:open barley`).toString('base64');
      const refused = await site.browser().ask({ headers: { Authorization: `Basic ${wrong}` } });
      assertDenied(refused);
      assertNoSet(refused);
    });
  }

  /** Somebody whom nobody else's test knows, signed in and recognised by the cookie once. */
  async function signedIn(config: object) {
    const person = await scene.person();
    const site = await scene.setUp({ ...config, consumer_ttl: 1 });
    const { browser, reply }: { browser: Browser; reply: Reply } = await site.signIn(person);
    assertOk(await browser.get(), person);
    return { person, site, browser, reply };
  }
});

/** Everything that Kong says to upstreams about whom it let through, and the spelling that frameworks take for it. */
const CLAIMS = {
  'X-Consumer-ID': '00000000-0000-4000-8000-000000000000',
  'X-Consumer-Username': 'admin',
  'X-Consumer-Custom-ID': 'z',
  'X-Consumer-Groups': 'root',
  'X-Authenticated-Groups': 'root',
  'X-Authenticated-Scope': 'everything',
  'X-Authenticated-UserId': 'admin',
  'X-Credential-Identifier': 'q',
  'X-Anonymous-Consumer': 'true',
  x_consumer_username: 'admin',
  'x-consumer_username': 'admin',
  'X_Consumer-ID': 'q',
  'X-Consumer_Custom-Id': 'q',
  x_authenticated_groups: 'root',
  'x_credential-identifier': 'q',
};

const isIdentity = (name: string): boolean =>
  /^x[-_](consumer|credential|authen|anonym)/.test(name);

const idIn = (reply: Reply): string | string[] | undefined =>
  echoOf(reply).headers['x-consumer-id'];

function remainingIn({ headers }: Reply): number | undefined {
  const value = headers['x-ratelimit-remaining-minute'];
  return typeof value === 'string' ? Number(value) : undefined;
}
