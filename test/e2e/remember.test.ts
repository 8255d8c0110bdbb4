import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { echoOf, isDeletion, parseSetCookie, type Reply } from '../support/client.ts';
import { assertDeleted, assertDenied, assertNoSet, assertOk } from './support/assertions.ts';
import { newSecret, type Person, Scene } from './support/scene.ts';
import { Clock, until } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
const LOGOUT = { method: 'DELETE', path: '/?session_logout=true' };
/** 400 days (RFC 6265bis 5.5). */
const LONGEST_COOKIE = 34_560_000;

describe('the persistent cookie', { concurrency: 12 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** A sign-in with both cookies, each as the Cookie header that would send it alone. */
  async function remembered(config: object, person: Person = scene.alice) {
    const site = await scene.setUp({ remember: true, ...config });
    const { browser, reply } = await site.signIn(person);
    return { site, browser, reply, ...pairsOf(reply) };
  }

  const rowsOf = ({ id }: Person) =>
    scene.rows<{ kind: number; confirmed_at: Date | null; key: Buffer }>(
      'select kind, confirmed_at, key from :SCHEMA.sessions where consumer_id = $1 order by kind',
      [id],
    );

  /** The first use of a restored session counts as that of the persistent cookie beside it, a moment later. */
  const untilPresented = (person: Person) =>
    until('the use of the session is written', async () => {
      const rows = await rowsOf(person);
      return rows.some(({ kind, confirmed_at: moment }) => kind === 1 && moment !== null);
    });

  for (const storage of STORAGES) {
    test(`S-105 ${storage}: a second cookie outlives the browser, the first does not`, async () => {
      const { reply, browser } = await remembered({ storage, remember_rolling_timeout: 3600 });
      assert.deepEqual(namesOf(reply), ['session', 'remember']);
      const [first, second] = reply.setCookies.map(parseSetCookie);
      assert.equal(first?.attributes.has('max-age'), false);
      assert.equal(first?.attributes.has('expires'), false);
      assert.equal(second?.attributes.get('max-age'), '3600');
      assertExpires(second?.attributes.get('expires'), 3600);
      for (const attribute of ['path', 'samesite', 'secure', 'httponly']) {
        assert.equal(second?.attributes.get(attribute), first?.attributes.get(attribute));
      }
      const later = await browser.get();
      assertOk(later, scene.alice);
      assertNoSet(later);
      assert.equal(echoOf(later).headers['cookie'], undefined, 'both are stripped');
    });

    test(`S-105 ${storage}: the name is that of the configuration`, async () => {
      const names = { cookie_name: 'short', remember_cookie_name: 'long' };
      const { reply, browser } = await remembered({ storage, ...names });
      assert.deepEqual(namesOf(reply), ['short', 'long']);
      assertOk(await browser.ask({ cookie: `long=${browser.cookie('long')}` }), scene.alice);
    });

    test(`S-106 ${storage}: it opens a new session, and both cookies are new`, async () => {
      const person = await scene.person();
      const { site, reply, remember } = await remembered({ storage }, person);
      const browser = site.browser();
      const restored = await browser.ask({ cookie: remember });
      assertOk(restored, person);
      const first = pairsOf(reply);
      const second = pairsOf(restored);
      assert.deepEqual(namesOf(restored), ['session', 'remember']);
      assert.notEqual(second.session, first.session);
      assert.notEqual(second.remember, first.remember);
      for (const cookie of [second.session, second.remember, `${second.session}; ${remember}`]) {
        assertOk(await browser.ask({ cookie }), person);
      }
      assertNoSet(await browser.ask({ cookie: `${second.session}; ${second.remember}` }));
    });

    test(`S-106 ${storage}: it does so after the session has ended by itself`, async () => {
      const { browser } = await remembered({
        storage,
        idling_timeout: 3,
        request_headers: ['age'],
      });
      const clock = new Clock();
      await clock.at(5);
      const restored = await browser.get();
      assertOk(restored, scene.alice);
      assert.deepEqual(namesOf(restored), ['session', 'remember']);
      const age = Number(echoOf(restored).headers['session-age']);
      assert.ok(age >= 2, 'the sign-in is as old as it is');
      const next = await browser.get();
      assertOk(next, scene.alice);
      assert.equal(namesOf(next).includes('remember'), false, 'once is enough');
    });

    test(`S-107 ${storage}: remember_absolute_timeout ends it, and the browser forgets it`, async () => {
      const config = { storage, remember_absolute_timeout: 3, remember_rolling_timeout: 100 };
      const { site, reply, remember } = await remembered(config);
      const clock = new Clock();
      await clock.at(1);
      assertOk(await site.browser().ask({ cookie: remember }), scene.alice);
      await clock.at(4.5);
      const denied = await site.browser().ask({ cookie: remember });
      assertDenied(denied);
      assertDeleted(denied, reply.setCookies.slice(1));
    });

    test(`S-107 ${storage}: the limit counts from the sign-in, not from the last use`, async () => {
      const config = { storage, remember_absolute_timeout: 5 };
      const { browser, site, reply } = await remembered(config);
      const clock = new Clock();
      let latest = pairsOf(reply).remember;
      for (const second of [1, 2.5, 3.5]) {
        await clock.at(second);
        latest = pairsOf(await site.browser().ask({ cookie: latest })).remember;
      }
      await clock.at(6.5);
      assertDenied(await browser.ask({ cookie: latest }));
    });

    test(`S-107 ${storage}: without use remember_rolling_timeout ends it`, async () => {
      const { site, remember } = await remembered({ storage, remember_rolling_timeout: 2 });
      await new Clock().at(3.5);
      assertDenied(await site.browser().ask({ cookie: remember }));
    });

    test(`S-108 ${storage}: a logout deletes both, and neither is good any more`, async () => {
      const config = { storage, postgres: scene.postgres, cookie_same_site: 'Lax' };
      const { browser, reply, session, remember } = await remembered(config);
      const logout = await browser.ask(LOGOUT);
      assert.equal(logout.status, 200);
      assertDeleted(logout, reply.setCookies);
      assert.equal(browser.cookies(), '');
      for (const cookie of [remember, session, `${session}; ${remember}`]) {
        assertDenied(await browser.ask({ cookie }));
      }
    });

    test(`S-108 ${storage}: so does one that only the persistent cookie speaks for`, async () => {
      const config = { storage, postgres: scene.postgres };
      const { site, session, remember } = await remembered(config);
      const logout = await site.browser().ask({ ...LOGOUT, cookie: remember });
      assert.equal(logout.status, 200);
      assert.deepEqual(namesOf(logout), ['remember']);
      assert.ok(logout.setCookies.every(isDeletion));
      for (const cookie of [session, remember]) {
        assertDenied(await site.browser().ask({ cookie }));
      }
    });

    test(`S-110 ${storage}: no browser is asked to keep it for more than 400 days`, async () => {
      const config = { storage, remember_rolling_timeout: 10 ** 9, remember_absolute_timeout: 0 };
      const { site, reply, remember } = await remembered(config);
      assertLifetime(reply, LONGEST_COOKIE);
      await new Clock().at(2.5);
      const rotated = await site.browser().ask({ cookie: remember });
      assertOk(rotated, scene.alice);
      assertLifetime(rotated, LONGEST_COOKIE);
    });

    test(`S-110 ${storage}: after a rotation it lives from then on`, async () => {
      const config = { storage, remember_rolling_timeout: 100 };
      const { site, remember } = await remembered(config);
      await new Clock().at(4);
      assertLifetime(await site.browser().ask({ cookie: remember }), 100);
    });

    test(`S-139 ${storage}: neither cookie is good under the other's name`, async () => {
      const { site, session, remember } = await remembered({ storage });
      const value = (pair: string): string => pair.slice(pair.indexOf('=') + 1);
      for (const cookie of [`session=${value(remember)}`, `remember=${value(session)}`]) {
        const denied = await site.browser().ask({ cookie });
        assertDenied(denied);
        assertNoSet(denied);
      }
      assertOk(await site.browser().ask({ cookie: `${session}; ${remember}` }), scene.alice);
    });

    test(`remember ${storage}: whoever signs in beside somebody's cookies has their own`, async () => {
      const { site, browser, session, remember } = await remembered({
        storage,
        postgres: scene.postgres,
      });
      const { reply } = await site.signIn(scene.bob, browser);
      assert.deepEqual(namesOf(reply), ['session', 'remember']);
      assertOk(await browser.get(), scene.bob);
      const { remember: bobs } = pairsOf(reply);
      assertOk(await browser.ask({ cookie: bobs }), scene.bob);
      for (const cookie of [session, remember]) assertDenied(await browser.ask({ cookie }));
    });

    test(`remember ${storage}: routes with other session cookies leave it alone, though they share its name`, async () => {
      const config = { storage, secret: newSecret(), remember: true };
      const host = `${scene.name('remember')}.app.test`;
      const setUp = (cookie_name: string) =>
        scene.setUp({ ...config, cookie_name }, { host, path: `/${cookie_name}` });
      const [a, b] = [await setUp('first'), await setUp('second')];
      const { browser } = await a.signIn(scene.alice);
      const cookie = `remember=${browser.cookie('remember')}`;
      for (const method of ['GET', 'DELETE']) {
        const reply = await browser.ask({ method, path: `${b.path}?session_logout=1` });
        assertDenied(reply, 'it signs nobody in here');
        assertNoSet(reply);
      }
      assertOk(await a.browser().ask({ cookie, path: a.path }), scene.alice);
    });

    test(`remember ${storage}: a consumer that is gone is not remembered`, async () => {
      const person = await scene.person();
      const { site, remember, reply } = await remembered({ storage, consumer_ttl: 1 }, person);
      await scene.admin.delete(`/consumers/${person.id}`);
      await new Clock().at(2);
      const denied = await site.browser().ask({ cookie: remember });
      assertDenied(denied);
      assertDeleted(denied, reply.setCookies.slice(1));
    });

    test(`remember ${storage}: without the field there is no such cookie, and an old one is nothing`, async () => {
      const config = { storage, secret: 'no-memory-no-memory-no-memory-0123456789' };
      const { remember } = await remembered(config);
      const site = await scene.setUp(config);
      const { reply } = await site.signIn(scene.alice);
      assert.deepEqual(namesOf(reply), ['session']);
      assertDenied(await site.browser().ask({ cookie: remember }));
    });
  }

  test('S-106 kong: ten restored tabs are one session', async () => {
    const person = await scene.person();
    const { site, remember } = await remembered({ storage: 'kong' }, person);
    const tabs = Array.from({ length: 10 }, () => site.browser().ask({ cookie: remember }));
    const replies = await Promise.all(tabs);
    for (const reply of replies) assertOk(reply, person);
    const rows = await rowsOf(person);
    assert.deepEqual(
      rows.map(({ kind }) => kind),
      [0, 0, 1],
      'that of the sign-in, the restored one, and the persistent one',
    );
    assert.equal(await scene.sessionsOf(person), 3);
    for (const reply of replies) {
      assertOk(await site.browser().ask({ cookie: pairsOf(reply).session }), person);
    }
  });

  test('S-106 kong: the earlier value lives until what replaced it is used, then for stale_ttl', async () => {
    const person = await scene.person();
    const config = { storage: 'kong', stale_ttl: 1, revoke_on_replay: false };
    const { site, remember } = await remembered(config, person);
    const browser = site.browser();
    const { session, remember: second } = pairsOf(await browser.ask({ cookie: remember }));
    // Longer than stale_ttl: the answer may have been lost.
    await new Clock().at(2);
    assertOk(await browser.ask({ cookie: remember }), person);
    assertOk(await browser.ask({ cookie: `${session}; ${second}` }), person);
    await untilPresented(person);
    await new Clock().at(2);
    const denied = await browser.ask({ cookie: remember });
    assertDenied(denied);
    assertOk(await browser.ask({ cookie: second }), person, 'the successor is good');
  });

  for (const revoke of [true, false]) {
    test(`S-109 kong: a copy from before is refused, ${revoke ? 'and the sign-in with it' : 'no more'}`, async () => {
      const person = await scene.person();
      const config = { storage: 'kong', stale_ttl: 1, revoke_on_replay: revoke };
      const { site, remember } = await remembered(config, person);
      const browser = site.browser();
      const { session, remember: second } = pairsOf(await browser.ask({ cookie: remember }));
      assertOk(await browser.ask({ cookie: session }), person);
      await untilPresented(person);
      await new Clock().at(2.5);
      assertDenied(await browser.ask({ cookie: remember }));
      for (const cookie of [session, second]) {
        const reply = await browser.ask({ cookie });
        if (revoke) assertDenied(reply);
        else assertOk(reply, person);
      }
      if (revoke) assert.equal(await scene.sessionsOf(person), 0);
    });
  }

  test('S-106 cookie: an earlier value is good until its own time is up', async () => {
    const config = { storage: 'cookie', stale_ttl: 0, remember_rolling_timeout: 5 };
    const { site, remember } = await remembered(config);
    const browser = site.browser();
    const clock = new Clock();
    const restored = pairsOf(await browser.ask({ cookie: remember }));
    assertOk(await browser.ask({ cookie: restored.session }), scene.alice);
    await clock.at(2);
    assertOk(await browser.ask({ cookie: remember }), scene.alice);
    await clock.at(6.5);
    assertDenied(await browser.ask({ cookie: remember }));
  });

  test('S-066 cookie with postgres: a logout on a route with other timeouts is one for both cookies', async () => {
    const schema = `${scene.postgres.schema}_remembered`;
    const config = {
      secret: newSecret(),
      storage: 'cookie',
      postgres: { ...scene.postgres, schema },
    };
    const { session, remember, site } = await remembered({
      ...config,
      remember_rolling_timeout: 86_400,
      remember_absolute_timeout: 86_400,
      rolling_timeout: 7200,
    });
    const short = await scene.setUp({ ...config, rolling_timeout: 10, absolute_timeout: 10 });
    assert.equal((await short.browser().ask({ ...LOGOUT, cookie: session })).status, 200);
    for (const cookie of [session, remember]) assertDenied(await site.browser().ask({ cookie }));
    const kept = await scene.rows<{ seconds: number }>(
      `select extract(epoch from expires_at - now())::float8 as seconds from :SCHEMA_remembered.cutoffs`,
    );
    assert.equal(kept.length, 1);
    const seconds = kept[0]?.seconds ?? 0;
    assert.ok(seconds >= 90 * 86_400, `it is forgotten after ${seconds} s`);
    await scene.rows('drop schema :SCHEMA_remembered cascade');
  });

  test('remember kong: whoever ends all sessions is remembered nowhere', async () => {
    const person = await scene.person();
    const config = { storage: 'kong', remember: true, self_service: true, rolling_timeout: 3 };
    const site = await scene.setUp(config);
    const away = await site.signIn(person);
    await new Clock().at(4.5);
    // The other browser's session has expired by now; its persistent cookie is as good as ever.
    const here = await site.signIn(person);
    const end = await here.browser.ask({ method: 'DELETE', path: '/_sessions' });
    assert.equal(end.status, 200, end.body);
    assertDenied(await away.browser.get());
    assertDenied(await site.browser().ask({ cookie: pairsOf(away.reply).remember }));
  });
});

const pairsOf = ({ setCookies }: Reply) => {
  const pairs = setCookies.map((line) => line.split(';')[0] ?? '');
  return { session: pairs[0] ?? '', remember: pairs[1] ?? '' };
};

const namesOf = ({ setCookies }: Reply): string[] =>
  setCookies.map((line) => parseSetCookie(line).name);

/** Expires says what Max-Age says, give or take the time of a request. */
function assertExpires(expires: string | true | undefined, seconds: number): void {
  const inSeconds = (Date.parse(String(expires)) - Date.now()) / 1000;
  assert.ok(Math.abs(inSeconds - seconds) <= 3, `Expires in ${inSeconds} s, not ${seconds}`);
}

function assertLifetime({ setCookies }: Reply, seconds: number): void {
  const { attributes } = parseSetCookie(setCookies[1] ?? '');
  assert.equal(attributes.get('max-age'), String(seconds));
  assertExpires(attributes.get('expires'), seconds);
}
