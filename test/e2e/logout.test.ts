import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Ask, type Browser, echoOf, isDeletion, send, sendRaw } from '../support/client.ts';
import {
  assertDeleted,
  assertDenied,
  assertNoSet,
  assertOk,
  nameIn,
} from './support/assertions.ts';
import { Scene } from './support/scene.ts';

const STORAGES = ['kong', 'cookie'] as const;
const LOGOUT = { method: 'DELETE', path: '/?session_logout=true' };

const form = (body: string, method = 'POST'): Ask => ({
  method,
  headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  body,
});
const json = (value: unknown): Ask => ({
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(value),
});
const multipart = (name: string): Ask => ({
  method: 'POST',
  headers: { 'Content-Type': 'multipart/form-data; boundary=limes' },
  body: [
    '--limes',
    `Content-Disposition: form-data; name="${name}"`,
    '',
    'yes',
    '--limes--',
    '',
  ].join('\r\n'),
});

describe('signing out', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** 200 without a body, while the upstream would have sent one; then the cookie is gone and worth nothing. */
  async function assertSignsOut(browser: Browser, ask: Ask): Promise<void> {
    assertOk(await browser.get(), scene.alice, 'signed in before');
    const reply = await browser.ask(ask);
    assert.equal(reply.status, 200, reply.body);
    assert.equal(reply.body, '');
    assert.ok(reply.setCookies.length > 0 && reply.setCookies.every(isDeletion));
    assertDenied(await browser.get(), 'signed out after');
  }

  /** The upstream gets the request as it was sent, and the session goes on. */
  async function assertPasses(browser: Browser, ask: Ask): Promise<void> {
    const reply = await browser.ask(ask);
    assertOk(reply, scene.alice);
    assertNoSet(reply);
    const { method, path, body } = echoOf(reply);
    assert.deepEqual(
      { method, path, body },
      {
        method: ask.method,
        path: ask.path ?? '/',
        body: Buffer.from(ask.body ?? '').toString('latin1'),
      },
    );
    assertOk(await browser.get(), scene.alice, 'still signed in');
  }

  for (const storage of STORAGES) {
    test(`S-055 ${storage}: after a logout neither cookie nor session is left`, async () => {
      const person = await scene.person();
      const site = await scene.setUp({ storage, cookie_same_site: 'Lax' });
      const { browser, reply } = await site.signIn(person);
      const logout = await browser.ask(LOGOUT);
      assert.equal(logout.status, 200);
      assert.equal(logout.body, '', 'the upstream was not asked');
      assertDeleted(logout, reply.setCookies);
      assert.equal(browser.cookies(), '');
      assertDenied(await browser.get());
      assert.equal(await scene.sessionsOf(person), 0);
    });

    test(`S-056 ${storage}: GET signs out where it is allowed to`, async () => {
      const site = await scene.setUp({ storage, logout_methods: ['GET', 'POST'] });
      const { browser } = await site.signIn(scene.alice);
      await assertPasses(browser, { ...LOGOUT, path: '/?session_logout' });
      await assertSignsOut(browser, { method: 'GET', path: '/?session_logout' });
    });

    test(`S-057 ${storage}: methods that are not configured do not sign out`, async () => {
      const site = await scene.setUp({ storage, logout_methods: ['DELETE'] });
      const { browser } = await site.signIn(scene.alice);
      await assertPasses(browser, { method: 'GET', path: '/?session_logout=1' });
      await assertPasses(browser, { method: 'POST', path: '/?session_logout=1', body: 'a=b' });
    });

    test(`S-058 ${storage}: bodies are left alone unless configured`, async () => {
      const site = await scene.setUp({ storage });
      const { browser } = await site.signIn(scene.alice);
      await assertPasses(browser, form('session_logout=1'));
      await assertPasses(browser, json({ session_logout: true }));
    });

    test(`S-059 ${storage}: a form signs out, whichever allowed method brings it`, async () => {
      const site = await scene.setUp({ storage, read_body_for_logout: true });
      for (const method of ['POST', 'DELETE']) {
        const { browser } = await site.signIn(scene.alice);
        await assertSignsOut(browser, form('a=b&session_logout=1', method));
      }
    });

    test(`S-060 ${storage}: so do JSON and multipart, but not JSON false`, async () => {
      const site = await scene.setUp({ storage, read_body_for_logout: true });
      for (const ask of [json({ session_logout: true }), multipart('session_logout')]) {
        const { browser } = await site.signIn(scene.alice);
        await assertSignsOut(browser, ask);
      }
      const { browser } = await site.signIn(scene.alice);
      await assertPasses(browser, json({ session_logout: false }));
      await assertPasses(browser, multipart('session_login'));
    });

    test(`S-061 ${storage}: presence of the argument counts, not its value`, async () => {
      const site = await scene.setUp({ storage });
      for (const query of ['session_logout=', 'session_logout=false', 'session_logout=0']) {
        const { browser } = await site.signIn(scene.alice);
        await assertSignsOut(browser, { method: 'POST', path: `/?${query}` });
      }
    });

    test(`S-063 ${storage}: whoever has no session has nothing to sign out of`, async () => {
      const site = await scene.setUp({ storage });
      for (const cookie of ['', 'session=garbage', 'session=a.b.c.d.e; other=1']) {
        const reply = await site.browser().ask({ ...LOGOUT, cookie });
        assertDenied(reply);
        assertNoSet(reply);
      }
    });

    test(`S-064 ${storage}: the names of the arguments are those of the configuration`, async () => {
      const site = await scene.setUp({
        storage,
        logout_query_arg: 'bye',
        logout_post_arg: 'adios',
        read_body_for_logout: true,
      });
      for (const ask of [{ method: 'DELETE', path: '/?bye' }, form('adios=1')]) {
        const { browser } = await site.signIn(scene.alice);
        await assertPasses(browser, LOGOUT);
        await assertPasses(browser, form('session_logout=1'));
        await assertSignsOut(browser, ask);
      }
    });

    test(`S-070 ${storage}: a second logout with the same cookie finds no session`, async () => {
      const site = await scene.setUp({ storage, postgres: scene.postgres });
      const { browser, cookie } = await site.signIn(scene.alice);
      assert.equal((await browser.ask(LOGOUT)).status, 200);
      assertDenied(await browser.ask({ ...LOGOUT, cookie }));
    });

    test(`S-071 ${storage}: the reply tells nothing and is kept by nobody`, async () => {
      const site = await scene.setUp({ storage });
      const { browser } = await site.signIn(scene.alice);
      const { headers, body } = await browser.ask(LOGOUT);
      assert.equal(body, '');
      assert.equal(headers['cache-control'], 'no-store');
      const telling = Object.keys(headers).filter((name) =>
        /consumer|credential|session/.test(name),
      );
      assert.deepEqual(telling, []);
    });

    test(`S-072 ${storage}: an image on a foreign page signs nobody out`, async () => {
      const site = await scene.setUp({ storage, cookie_same_site: 'None' });
      const { browser } = await site.signIn(scene.alice);
      const headers = { Origin: 'https://evil.test', 'Sec-Fetch-Site': 'cross-site' };
      const reply = await browser.ask({ path: '/?session_logout=1', headers });
      assertOk(reply, scene.alice);
      assertNoSet(reply);
      assertOk(await browser.get(), scene.alice);
    });

    test(`S-073 ${storage}: other methods, however disguised, are no logout`, async () => {
      const site = await scene.setUp({ storage, postgres: scene.postgres });
      const { browser, cookie } = await site.signIn(scene.alice);
      const path = '/?session_logout=1';
      for (const method of ['HEAD', 'PUT', 'PATCH', 'TRACE']) {
        const reply = await browser.ask({ method, path });
        assert.ok(reply.status < 500, `${method}: ${reply.status}`);
        assertNoSet(reply);
        assertOk(await browser.get(), scene.alice, `signed in after ${method}`);
      }
      await assertPasses(browser, { ...form('_method=DELETE'), method: 'PUT', path });
      const headers = { 'X-HTTP-Method-Override': 'DELETE', 'X-HTTP-Method': 'DELETE' };
      assertOk(await browser.ask({ path, headers }), scene.alice);
      const head = `delete ${path} HTTP/1.1\r\nHost: ${site.host}\r\nCookie: ${cookie}\r\n\r\n`;
      assert.ok((await sendRaw(scene.kong.nodes[0], head)) < 500);
      assertOk(await browser.get(), scene.alice, 'signed in after all of them');
    });

    test(`S-074 ${storage}: the argument is found as Kong finds arguments`, async () => {
      const site = await scene.setUp({ storage });
      const many = (name: string, at: number): string =>
        Array.from({ length: 150 }, (_, i) => (i + 1 === at ? `${name}=1` : `a${i}=1`)).join('&');
      const argument = 'session_logout';
      for (const query of [
        'session%5Flogout=1',
        `${argument}=1&${argument}=`,
        `%zz=1&${argument}=1`,
        `__proto__=1&${argument}`,
        many(argument, 100),
      ]) {
        const { browser } = await site.signIn(scene.alice);
        await assertSignsOut(browser, { method: 'DELETE', path: `/?${query}` });
      }
      const { browser } = await site.signIn(scene.alice);
      for (const query of [
        `x=1;${argument}=1`,
        'SESSION_LOGOUT=1',
        `x=${argument}`,
        `${argument}[]=1`,
        '__proto__[session_logout]=1',
        many(argument, 120),
      ]) {
        await assertPasses(browser, { method: 'DELETE', path: `/?${query}` });
      }
    });

    test(`S-062 ${storage}: bodies that are no logout arrive as they were sent`, async () => {
      const site = await scene.setUp({ storage, read_body_for_logout: true });
      const { browser } = await site.signIn(scene.alice);
      for (const ask of HARMLESS) await assertPasses(browser, ask);
    });
  }

  for (const storage of STORAGES) {
    const title = storage === 'kong' ? 'S-065' : 'S-066 cookie with postgres';
    test(`${title}: a copy of the cookie is refused from the logout on`, async () => {
      const site = await scene.setUp({ storage, postgres: scene.postgres });
      const { browser } = await site.signIn(scene.alice);
      const thief = browser.copy();
      assertOk(await thief.get(), scene.alice);
      assert.equal((await browser.ask(LOGOUT)).status, 200);
      assertDenied(await thief.get());
    });
  }

  test('S-066 cookie: without a database a copy outlives the logout', async () => {
    const site = await scene.setUp({ storage: 'cookie' });
    const { browser, cookie } = await site.signIn(scene.alice);
    assert.equal((await browser.ask(LOGOUT)).status, 200);
    assert.equal(browser.cookies(), '');
    assert.equal(
      nameIn(await send(scene.kong.nodes[0], site.host, { cookie })),
      scene.alice.username,
    );
  });
});

const typed = (type: string, body: string | Uint8Array, headers = {}): Ask => ({
  method: 'POST',
  headers: { 'Content-Type': type, ...headers },
  body,
});

/** Bodies that name the argument without saying it, or that nobody should look into. */
const HARMLESS: readonly Ask[] = [
  typed('application/json', '{"session_logout":true'),
  json(5),
  json('session_logout'),
  json([]),
  json(['session_logout']),
  json(null),
  json({ a: { session_logout: true } }),
  json({ padding: 'x'.repeat(2_000_000), session_logout: true }),
  typed('application/json', gzipSync('{"session_logout":true}'), { 'Content-Encoding': 'gzip' }),
  typed('application/json; charset=utf-16', Buffer.from('{"session_logout":true}', 'utf16le')),
  typed('text/plain', 'session_logout=1'),
  typed('multipart/form-data', 'session_logout=1'),
  form(`${'a=b&'.repeat(9999)}session_logout=1`),
  form(`${'a=b&'.repeat(100)}session_logout=1`),
  { ...form('session_logout=1'), chunked: true },
];
