import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { echoOf, type Reply } from '../support/client.ts';
import { assertDenied, assertNoSet, assertOk } from './support/assertions.ts';
import { type Person, Scene, type Site } from './support/scene.ts';
import { Clock } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
const LOGOUT = { method: 'DELETE', path: '/?session_logout=true' };
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const TIMEOUTS = ['timeout', 'idling-timeout', 'rolling-timeout', 'absolute-timeout'];

describe('what is told about a session', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  for (const storage of STORAGES) {
    test(`S-009 ${storage}: the client learns what the configuration says, at the sign-in and after`, async () => {
      const told = ['id', 'timeout', 'audience', 'subject'];
      const site = await scene.setUp({ storage, response_headers: told });
      const { browser, reply } = await site.signIn(scene.alice);
      const id = reply.headers['session-id'];
      assert.match(String(id), UUID);
      for (const answer of [reply, await browser.get()]) {
        assert.deepEqual(sessionHeaders(answer), {
          'session-id': id,
          'session-timeout': '900',
          'session-audience': 'default',
          'session-subject': scene.alice.username,
        });
        assert.deepEqual(toldUpstream(answer), {}, 'nothing of it reaches the upstream');
      }
    });

    test(`S-009 ${storage}: so does the upstream`, async () => {
      const told = ['id', 'audience', 'subject', 'age'];
      const site = await scene.setUp({ storage, audience: 'crm', request_headers: told });
      const { browser, reply } = await site.signIn(scene.bob);
      const headers = toldUpstream(reply);
      assert.match(String(headers['session-id']), UUID);
      assert.equal(headers['session-audience'], 'crm');
      assert.equal(headers['session-subject'], scene.bob.username);
      assertNear(headers['session-age'], 0);
      const later = await browser.get();
      assert.equal(toldUpstream(later)['session-id'], headers['session-id']);
      assert.deepEqual(sessionHeaders(later), {}, 'nothing of it reaches the client');
    });

    test(`S-037 ${storage}: the time that is left, and none where no limit is set`, async () => {
      const site = await scene.setUp({
        storage,
        rolling_timeout: 600,
        absolute_timeout: 900,
        idling_timeout: 300,
        response_headers: TIMEOUTS,
        request_headers: [...TIMEOUTS, 'age'],
      });
      const { browser } = await site.signIn(scene.alice);
      await new Clock().at(3);
      const reply = await browser.get();
      for (const headers of [sessionHeaders(reply), toldUpstream(reply)]) {
        assertNear(headers['session-rolling-timeout'], 597);
        assertNear(headers['session-absolute-timeout'], 897);
        assertNear(headers['session-idling-timeout'], 300);
        assertNear(headers['session-timeout'], 300);
      }
      assertNear(toldUpstream(reply)['session-age'], 3);
    });

    test(`S-037 ${storage}: a limit that is off is not told`, async () => {
      const config = { storage, idling_timeout: 0, response_headers: TIMEOUTS };
      const site = await scene.setUp({ ...config, absolute_timeout: 0 });
      const { reply } = await site.signIn(scene.alice);
      assert.deepEqual(Object.keys(sessionHeaders(reply)).toSorted(), [
        'session-rolling-timeout',
        'session-timeout',
      ]);
      const endless = await scene.setUp({ ...config, absolute_timeout: 0, rolling_timeout: 0 });
      const { browser } = await endless.signIn(scene.alice);
      assert.deepEqual(sessionHeaders(await browser.get()), {});
    });

    test(`S-036 ${storage}: a year of rolling still ends after a day, and the headers say so`, async () => {
      const site = await scene.setUp({
        storage,
        rolling_timeout: 31_557_600,
        response_headers: ['rolling-timeout', 'absolute-timeout'],
      });
      const { browser } = await site.signIn(scene.alice);
      const reply = await browser.get();
      assertOk(reply, scene.alice);
      assertNear(sessionHeaders(reply)['session-rolling-timeout'], 31_557_600);
      assertNear(sessionHeaders(reply)['session-absolute-timeout'], 86_400);
    });

    test(`S-093 ${storage}: the id that is told authenticates nobody`, async () => {
      const site = await scene.setUp({ storage, response_headers: ['id'] });
      const { browser, reply } = await site.signIn(scene.alice);
      const id = String(reply.headers['session-id']);
      assert.equal(browser.cookies().includes(id), false);
      for (const value of [id, id.replaceAll('-', ''), Buffer.from(id).toString('base64url')]) {
        const denied = await site.browser().ask({ cookie: `session=${value}` });
        assertDenied(denied);
        assertNoSet(denied);
      }
      const rows = await scene.rows<{ key: string }>(
        `select encode(key, 'hex') as key from :SCHEMA.sessions where handle = $1`,
        storage === 'kong' ? [id] : ['00000000-0000-0000-0000-000000000000'],
      );
      assert.equal(rows.length, storage === 'kong' ? 1 : 0);
      for (const { key } of rows) assert.equal(key.includes(id.replaceAll('-', '')), false);
    });

    test(`S-094 ${storage}: unless configured nothing is told, least of all the cookie`, async () => {
      const site = await scene.setUp({ storage });
      const { browser, reply, cookie } = await site.signIn(scene.alice);
      const value = browser.cookie();
      const tampered = `session=${value.slice(0, -30)}${'A'.repeat(30)}`;
      const replies = [
        reply,
        await browser.get(),
        await browser.get('/status/500'),
        await site.browser().ask({ cookie: tampered }),
        await browser.ask({ ...LOGOUT, cookie }),
        await site.browser().ask({ ...LOGOUT, cookie: tampered }),
      ];
      for (const { headers, body } of replies) {
        const telling = Object.keys(headers).filter((name) =>
          /session|consumer|credential/.test(name),
        );
        assert.deepEqual(telling, []);
        for (const part of value.split('.').slice(2)) assert.equal(body.includes(part), false);
      }
    });

    test(`D11 ${storage}: what a client tells about a session is nobody's word`, async () => {
      const site = await scene.setUp({ storage, request_headers: ['subject'] });
      const { browser, reply } = await site.signIn(scene.alice);
      const apikey = scene.alice.keys[0].key;
      for (const answer of [
        await browser.ask({ headers: CLAIMS }),
        await site.browser().ask({ headers: { ...CLAIMS, apikey } }),
      ]) {
        assertOk(answer, scene.alice);
        assert.deepEqual(toldUpstream(answer), { 'session-subject': scene.alice.username });
      }
      assert.deepEqual(toldUpstream(reply), { 'session-subject': scene.alice.username });
    });

    test(`D11 ${storage}: nor where nobody is signed in and the upstream is asked all the same`, async () => {
      const visitor = await scene.person('visitor');
      const plugins = [{ name: 'key-auth', config: { anonymous: visitor.id } }];
      const site = await scene.setUp({ storage }, { auth: [], plugins });
      const reply = await site.browser().ask({ headers: CLAIMS });
      assertOk(reply, visitor);
      assert.deepEqual(toldUpstream(reply), {});
      assertNoSet(reply);
    });

    test(`S-092 ${storage}: names of people are no headers of their own`, async () => {
      const config = { storage, response_headers: ['subject'], request_headers: ['subject'] };
      const site = await scene.setUp(config);
      for (const name of [
        'x\r\nX-Evil: 1',
        'x\nX-Evil: 1',
        'x\rX-Evil: 1',
        'Zoë',
        '🍪 monster',
        '%0d%0aX-Evil:%201',
        ' padded ',
        'a, b; c="d"',
      ]) {
        const person = await scene.person('', { username: `${name}${scene.name('')}` });
        const reply = await assertHarmless(site, person);
        assert.notEqual(reply.headers['session-subject'], undefined);
      }
    });

    test(`S-092 ${storage}: nor is a name of 8 kB too much`, async () => {
      // Not told in a header: with the cookies, which hold the name too, Node's client would have too much to read.
      const site = await scene.setUp({ storage });
      const username = `${scene.name('long')}${'x'.repeat(8192)}`;
      await assertHarmless(site, await scene.person('', { username }));
    });
  }

  test('S-092: a name with a NUL, where Kong accepts one', async () => {
    const site = await scene.setUp({ storage: 'cookie', response_headers: ['subject'] });
    const username = `x\0X-Evil: 1${scene.name('')}`;
    const answer = await fetch(`${scene.kong.nodes[0].adminUrl}/consumers`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ username }),
    });
    if (answer.status !== 201) {
      assert.ok(answer.status >= 400, 'Kong itself takes no such name');
      return;
    }
    const { id } = (await answer.json()) as { id: string };
    const key = scene.name('key');
    const credential = await scene.admin.create(`/consumers/${id}/key-auth`, { key });
    const keys: Person['keys'] = [{ id: credential.id, key }];
    await assertHarmless(site, { id, username, customId: undefined, keys });
    await scene.admin.delete(`/consumers/${id}`);
  });

  /** Signed in by key or by cookie, the upstream sees the same person and no header that nobody sent. */
  async function assertHarmless(site: Site, person: Person): Promise<Reply> {
    const { reply } = await site.signIn(person);
    const cookie = reply.setCookies.map((line) => line.split(';')[0] ?? '');
    const later = await site.browser().ask({ cookie });
    const [byKey, byCookie] = [echoOf(reply).headers, echoOf(later).headers];
    for (const [headers, answer] of [
      [byKey, reply],
      [byCookie, later],
    ] as const) {
      assert.equal(headers['x-consumer-id'], person.id);
      assert.equal(headers['x-evil'], undefined);
      assert.equal(answer.headers['x-evil'], undefined);
    }
    assert.equal(byCookie['x-consumer-username'], byKey['x-consumer-username']);
    assert.equal(byCookie['session-subject'], byKey['session-subject']);
    assert.equal(later.headers['session-subject'], reply.headers['session-subject']);
    return later;
  }
});

/** Every `Session-…` header there is, and the spelling that frameworks take for it. */
const CLAIMS = Object.fromEntries(
  ['Id', 'Audience', 'Subject', 'Age', 'Timeout', 'Idling-Timeout', 'Rolling-Timeout']
    .concat('Absolute-Timeout')
    .flatMap((name) => [`Session-${name}`, `session_${name.toLowerCase().replaceAll('-', '_')}`])
    .map((name) => [name, 'forged']),
);

const isTold = (name: string): boolean => /^session[-_]/.test(name);

const sessionHeaders = ({ headers }: Reply): Record<string, unknown> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => isTold(name)));

const toldUpstream = (reply: Reply): Record<string, unknown> =>
  Object.fromEntries(Object.entries(echoOf(reply).headers).filter(([name]) => isTold(name)));

/** Seconds, give or take what a busy machine takes. */
function assertNear(value: unknown, seconds: number): void {
  assert.match(String(value), /^\d+$/);
  const difference = Math.abs(Number(value) - seconds);
  assert.ok(difference <= 2, `${String(value)} instead of ${seconds}`);
}
