import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type Browser, echoOf, isDeletion, type Reply } from '../support/client.ts';
import { assertDeleted, assertDenied, assertNoSet, assertOk } from './support/assertions.ts';
import { type Person, Scene, type Site } from './support/scene.ts';
import { Clock, inParallel } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const FOREIGN = { Origin: 'https://evil.test', 'Sec-Fetch-Site': 'cross-site' };

interface Shown {
  readonly id: string;
  readonly current: boolean;
  readonly signed_in_at: string;
  readonly last_seen_at: string;
  readonly ip?: string;
  readonly user_agent?: string;
}

describe('users look after their own sessions', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  const setUp = (config: object = {}, path = '/') =>
    scene.setUp({ storage: 'kong', self_service: true, ...config }, { path });

  /** The same person in several browsers, the last one the last to sign in. */
  async function several(site: Site, count: number, person?: Person) {
    const who = person ?? (await scene.person());
    const browsers: Browser[] = [];
    while (browsers.length < count) {
      const headers = { apikey: who.keys[0].key, 'User-Agent': `browser ${browsers.length}` };
      const browser = site.browser();
      assertOk(await browser.ask({ headers, path: site.path }), who);
      browsers.push(browser);
    }
    return { person: who, browsers, here: browsers.at(-1) as Browser };
  }

  const end = (browser: Browser, path: string, headers = {}) =>
    browser.ask({ method: 'DELETE', path, headers });

  async function list(browser: Browser, path = '/_sessions'): Promise<Shown[]> {
    const reply = await browser.get(path);
    assert.equal(reply.status, 200, reply.body);
    assert.match(String(reply.headers['content-type']), /^application\/json/);
    assert.equal(reply.headers['cache-control'], 'no-store');
    return (JSON.parse(reply.body) as { sessions: Shown[] }).sessions;
  }

  test('the list has all of them, and marks the current one', async () => {
    const site = await setUp();
    const { browsers, here } = await several(site, 3);
    const sessions = await list(here);
    assert.equal(sessions.length, 3);
    assert.deepEqual(
      sessions.filter(({ current }) => current).map((session) => session.user_agent),
      ['browser 2'],
    );
    assert.deepEqual(sessions.map((session) => session.user_agent ?? '').toSorted(), [
      'browser 0',
      'browser 1',
      'browser 2',
    ]);
    for (const session of sessions) {
      assert.match(session.id, UUID);
      assert.equal(session.ip, '127.0.0.1');
      for (const moment of [session.signed_in_at, session.last_seen_at]) {
        const age = Date.now() - Date.parse(moment);
        assert.ok(age > -5000 && age < 60_000, moment);
      }
    }
    assert.equal((await list(browsers[0] as Browser)).length, 3);
  });

  test("it has nobody else's, and nothing of another audience", async () => {
    const site = await setUp();
    const { person: other } = await several(site, 2);
    const person = await scene.person();
    const elsewhere = await setUp({ audience: 'elsewhere' });
    await several(elsewhere, 1, person);
    const { here } = await several(site, 1, person);
    assert.equal((await list(here)).length, 1);
    const text = JSON.stringify(await list(here));
    for (const secret of [other.id, other.username, other.keys[0].key]) {
      assert.equal(text.includes(secret), false);
    }
  });

  test('one of them ends, and the others go on', async () => {
    const site = await setUp();
    const { person, browsers, here } = await several(site, 3);
    const [first, second] = browsers as [Browser, Browser];
    const target = (await list(here)).find((session) => session.user_agent === 'browser 0');
    const reply = await end(here, `/_sessions/${target?.id}`);
    assert.equal(reply.status, 200, reply.body);
    assertNoSet(reply);
    assertDenied(await first.get());
    for (const browser of [second, here]) assertOk(await browser.get(), person);
    assert.equal((await list(here)).length, 2);
    assert.equal((await end(here, `/_sessions/${target?.id}`)).status, 404, 'it has ended');
  });

  test('the current one ends like a logout', async () => {
    const site = await setUp();
    const { person, browsers, here } = await several(site, 2);
    const current = (await list(here)).find((session) => session.current);
    const reply = await end(here, `/_sessions/${current?.id}`);
    assert.equal(reply.status, 200);
    assert.ok(reply.setCookies.length === 1 && reply.setCookies.every(isDeletion));
    assertDenied(await here.get());
    assertOk(await (browsers[0] as Browser).get(), person);
  });

  test('the others end, and the current one goes on', async () => {
    const site = await setUp();
    const { person, browsers, here } = await several(site, 3);
    const reply = await end(here, '/_sessions/others');
    assert.equal(reply.status, 200);
    assert.deepEqual(JSON.parse(reply.body), { ended: 2 });
    assertNoSet(reply);
    assertOk(await here.get(), person);
    for (const browser of browsers.slice(0, 2)) assertDenied(await browser.get());
  });

  test('all of them end', async () => {
    const site = await setUp();
    const { person, browsers, here } = await several(site, 3);
    const { reply: signIn } = await site.signIn(person);
    const reply = await end(here, '/_sessions');
    assert.equal(reply.status, 200);
    assert.deepEqual(JSON.parse(reply.body), { ended: 4 });
    assertDeleted(reply, signIn.setCookies);
    for (const browser of browsers) assertDenied(await browser.get());
    assert.equal(await scene.sessionsOf(person), 0);
    assertOk(await (await site.signIn(person)).browser.get(), person);
  });

  test('a session that has idled out is not listed', async () => {
    const site = await setUp({ idling_timeout: 2 });
    const { person, browsers } = await several(site, 2);
    const clock = new Clock();
    assert.equal((await list(browsers[1] as Browser)).length, 2);
    await clock.at(5.5);
    const { browser } = await site.signIn(person);
    assert.deepEqual(
      (await list(browser)).map(({ current }) => current),
      [true],
    );
  });

  test('a restored session is listed once, under its own id, and ends like a logout', async () => {
    const site = await setUp({ remember: true });
    const person = await scene.person();
    const { browser, reply } = await site.signIn(person);
    const [first] = await list(browser);
    const remember = `remember=${browser.cookie('remember')}`;
    const restored = await browser.ask({ cookie: remember });
    assertOk(restored, person);
    const cookie = restored.setCookies.map((line) => line.split(';', 1)[0]).join('; ');
    const shown = await browser.ask({ cookie, path: '/_sessions' });
    const { sessions } = JSON.parse(shown.body) as { sessions: Shown[] };
    assert.deepEqual(
      sessions.map(({ current }) => current),
      [true],
    );
    assert.notEqual(sessions[0]?.id, first?.id);
    // Somebody may have the list from before.
    const path = `/_sessions/${first?.id}`;
    const ended = await browser.ask({ cookie, path, method: 'DELETE' });
    assert.deepEqual(JSON.parse(ended.body), { ended: 1 });
    assertDeleted(ended, reply.setCookies);
    assertDenied(await browser.ask({ cookie }));
  });

  test('a device of which only the persistent cookie is left is listed, and ends alone', async () => {
    const site = await setUp({ remember: true, rolling_timeout: 3 });
    const person = await scene.person();
    const headers = { apikey: person.keys[0].key, 'User-Agent': 'away' };
    const away = site.browser();
    assertOk(await away.ask({ headers }), person);
    await new Clock().at(4.5);
    const { browser: here } = await site.signIn(person);
    const listed = await list(here);
    assert.deepEqual(
      listed.map(({ current }) => current),
      [true, false],
    );
    assert.equal(listed[1]?.user_agent, 'away');
    assert.equal((await end(here, `/_sessions/${listed[1]?.id}`)).status, 200);
    assertDenied(await away.get());
    assertOk(await here.get(), person);
  });

  test('nobody ends the session of another', async () => {
    const site = await setUp();
    const other = await several(site, 1);
    const [session] = await list(other.here);
    const { here } = await several(site, 1);
    const unknown = await end(here, `/_sessions/${randomUUID()}`);
    const foreign = await end(here, `/_sessions/${session?.id}`);
    for (const reply of [unknown, foreign]) assert.equal(reply.status, 404);
    assert.equal(foreign.body, unknown.body, 'the answers tell no difference');
    await end(here, '/_sessions');
    assertOk(await other.here.get(), other.person);
  });

  test('an id authenticates nobody', async () => {
    const site = await setUp();
    const { here } = await several(site, 1);
    const [session] = await list(here);
    const id = String(session?.id);
    for (const ask of [
      { cookie: `session=${id}` },
      { headers: { apikey: id } },
      { headers: { Authorization: `Bearer ${id}` } },
      { path: `/_sessions/${id}` },
      { path: `/_sessions/${id}`, method: 'DELETE' },
    ]) {
      assertDenied(await site.browser().ask(ask));
    }
    assert.equal((await list(here)).length, 1);
  });

  test('without a session there is nothing to see', async () => {
    const site = await setUp();
    const stranger = site.browser();
    for (const path of ['/_sessions', '/_sessions/others', `/_sessions/${randomUUID()}`]) {
      assertDenied(await stranger.get(path));
      assertDenied(await end(stranger, path));
    }
  });

  test('no foreign page can change anything', async () => {
    const site = await setUp({ cookie_same_site: 'None' });
    const { person, browsers, here } = await several(site, 2);
    const [other] = await list(here).then((all) => all.filter(({ current }) => !current));
    const type = { 'Content-Type': 'application/x-www-form-urlencoded' };
    for (const path of ['/_sessions', '/_sessions/others', `/_sessions/${other?.id}`]) {
      // What a page can send without asking: GET, HEAD, and POST with what a form could hold (CORS, Fetch).
      const asks = [
        { path, headers: FOREIGN },
        { path: `${path}?_method=DELETE`, headers: FOREIGN },
        { path, method: 'HEAD', headers: FOREIGN },
        { path, method: 'POST', headers: { ...FOREIGN, ...type }, body: '_method=DELETE' },
        { path, method: 'POST', headers: { ...FOREIGN, 'Content-Type': 'text/plain' }, body: '{}' },
      ];
      for (const ask of asks) {
        const reply = await here.ask(ask);
        assertNoSet(reply);
        assert.equal(reply.headers['access-control-allow-origin'], undefined);
      }
      // And what it may not send without leave, which nobody gives.
      const preflight = await here.ask({
        path,
        method: 'OPTIONS',
        headers: { ...FOREIGN, 'Access-Control-Request-Method': 'DELETE' },
      });
      assert.equal(preflight.headers['access-control-allow-origin'], undefined);
      assert.equal(preflight.headers['access-control-allow-methods'], undefined);
    }
    for (const browser of browsers) assertOk(await browser.get(), person);
    assert.equal((await list(here)).length, 2);
  });

  test('other methods are refused, and the upstream is not asked', async () => {
    const site = await setUp();
    const { here } = await several(site, 1);
    for (const method of ['POST', 'PUT', 'PATCH']) {
      const reply = await here.ask({ method, path: '/_sessions' });
      assert.equal(reply.status, 405);
      assert.equal(reply.headers['allow'], 'GET, DELETE');
    }
    assert.equal((await here.get('/_sessions/others')).headers['allow'], 'DELETE');
  });

  test('it is off unless configured, and the path belongs to the upstream', async () => {
    const site = await setUp({ self_service: false });
    const { person, here } = await several(site, 1);
    for (const reply of [await here.get('/_sessions'), await end(here, '/_sessions')]) {
      assertOk(reply, person);
      assert.equal(echoOf(reply).path, '/_sessions');
    }
  });

  test('the path is that of the configuration, below the route', async () => {
    const site = await setUp({ self_service_path: '/my/devices' }, '/app');
    const { person, here } = await several(site, 2);
    assert.equal((await list(here, '/app/my/devices')).length, 2);
    assert.equal(echoOf(await here.get('/app/_sessions')).path, '/app/_sessions');
    for (const path of ['/app/my/devices2', '/app/my/devices/', '/app/my/devices/unknown']) {
      assertOk(await here.get(path), person, path);
    }
    assert.equal((await end(here, '/app/my/devices/others')).status, 200);
    assert.equal((await list(here, '/app/my/devices')).length, 1);
  });

  test('a request with a credential may do the same', async () => {
    const site = await setUp();
    const { person, browsers } = await several(site, 2);
    const headers = { apikey: person.keys[0].key };
    const reply = await site.browser().ask({ path: '/_sessions', headers });
    const { sessions } = JSON.parse(reply.body) as { sessions: Shown[] };
    assert.equal(sessions.length, 3, 'it has begun one of its own');
    const all = await site.browser().ask({ method: 'DELETE', path: '/_sessions', headers });
    assert.equal(all.status, 200);
    for (const browser of browsers) assertDenied(await browser.get());
  });

  test('what browsers say about themselves is text, whatever it is', async () => {
    const site = await setUp();
    const person = await scene.person();
    const agent = `<script>"é"\\ ${'x'.repeat(400)}`;
    const headers = {
      apikey: person.keys[0].key,
      'User-Agent': Buffer.from(agent).toString('latin1'),
    };
    const browser = site.browser();
    assertOk(await browser.ask({ headers }), person);
    const [session] = await list(browser);
    assert.ok(session?.user_agent?.startsWith('<script>"é"\\ '));
    assert.ok((session?.user_agent?.length ?? 0) <= 256);
  });

  test('storage cookie: only the current one is known', async () => {
    const site = await setUp({ storage: 'cookie' });
    const { person, browsers, here } = await several(site, 2);
    const sessions = await list(here);
    assert.equal(sessions.length, 1);
    assert.deepEqual([sessions[0]?.current, sessions[0]?.user_agent], [true, 'browser 1']);
    const others = await end(here, '/_sessions/others');
    assert.deepEqual(JSON.parse(others.body), { ended: 0 });
    assertOk(await (browsers[0] as Browser).get(), person);
    const all = await end(here, '/_sessions');
    assert.ok(all.setCookies.length === 1 && all.setCookies.every(isDeletion));
    assertDenied(await here.get());
  });

  for (const target of ['/_sessions', '/_sessions/others']) {
    test(`storage cookie with postgres: DELETE ${target} ends sessions that nobody has listed`, async () => {
      const site = await setUp({ storage: 'cookie', postgres: scene.postgres });
      const { person, browsers, here } = await several(site, 3);
      const copies = browsers.map((browser) => browser.copy());
      const reply: Reply = await end(here, target);
      assert.equal(reply.status, 200);
      assert.ok(reply.setCookies.every(isDeletion));
      for (const copy of copies) assertDenied(await copy.get());
      assertOk(await (await site.signIn(person)).browser.get(), person);
    });
  }

  test('storage cookie with postgres: what ends is of this audience and cookie name', async () => {
    const person = await scene.person();
    const config = { storage: 'cookie', postgres: scene.postgres, remember: true };
    const elsewhere = [
      await setUp({ ...config, audience: 'elsewhere' }),
      await setUp({ ...config, cookie_name: 'elsewhere' }),
      await setUp({ ...config, storage: 'kong' }),
    ];
    const others = await Promise.all(elsewhere.map((site) => site.signIn(person)));
    const { browser, reply } = await (await setUp(config)).signIn(person);
    assert.equal((await end(browser, '/_sessions')).status, 200);
    for (const line of reply.setCookies) {
      assertDenied(
        await browser.ask({ cookie: line.slice(0, line.indexOf(';')) }),
        'neither cookie is good',
      );
    }
    for (const other of others) assertOk(await other.browser.get(), person);
  });

  for (const storage of STORAGES) {
    test(`${storage}: whoever signs in right after the end of all is in`, async () => {
      const site = await setUp({ storage, postgres: scene.postgres });
      const people = await Promise.all(Array.from({ length: 4 }, () => scene.person()));
      await inParallel(people, 4, async (person) => {
        for (let round = 0; round < 10; round++) {
          const { browser } = await site.signIn(person);
          const copy = browser.copy();
          assert.equal((await end(browser, '/_sessions')).status, 200);
          const next = await site.signIn(person);
          assertOk(await next.browser.get(), person, `round ${round}`);
          assertDenied(await copy.get());
        }
      });
    });
  }
});
