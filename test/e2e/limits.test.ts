import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser } from '../support/client.ts';
import {
  assertDeleted,
  assertDenied,
  assertNoSet,
  assertOk,
  isDenied,
} from './support/assertions.ts';
import { newSecret, type Person, Scene, type SignedIn, type Site } from './support/scene.ts';
import { Clock, until } from './support/waiting.ts';

const LOGOUT = { method: 'DELETE', path: '/?session_logout=true' };

/** `max_sessions`: how many a person may have at a time. */
describe('how many sessions a person has', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  const limited = (max_sessions: number, config: object = {}): Promise<Site> =>
    scene.setUp({ storage: 'kong', max_sessions, ...config });

  /** Signs in, comes back with the cookie, and waits until that is written: who was never there goes first. */
  async function present(site: Site, person: Person, browser?: Browser): Promise<SignedIn> {
    const earlier = await presented(person);
    const signedIn = await site.signIn(person, browser);
    assertOk(await signedIn.browser.get(site.path), person);
    await until('the use is written', async () => (await presented(person)) > earlier);
    return signedIn;
  }

  async function presented({ id }: Person): Promise<number> {
    const [row] = await scene.rows<{ latest: number }>(
      `select coalesce(max(extract(epoch from confirmed_at)), 0)::float8 as latest
       from :SCHEMA.sessions where consumer_id = $1`,
      [id],
    );
    return row?.latest ?? 0;
  }

  test('evict-oldest: the one that was used least lately makes room', async () => {
    const person = await scene.person();
    const site = await limited(2);
    const first = await present(site, person);
    const second = await present(site, person);
    const third = await site.signIn(person);
    assertOk(await third.browser.get(), person);
    const evicted = await first.browser.get();
    assertDenied(evicted);
    assertDeleted(evicted, first.reply.setCookies);
    assertOk(await second.browser.get(), person);
    assert.equal(await scene.sessionsOf(person), 2);
  });

  test('evict-oldest: a session that nobody came back with goes first', async () => {
    const person = await scene.person();
    const site = await limited(2);
    const first = await present(site, person);
    const abandoned = await site.signIn(person);
    const third = await present(site, person);
    assertOk(await first.browser.get(), person);
    assertOk(await third.browser.get(), person);
    assertDenied(await abandoned.browser.get());
  });

  test('evict-oldest: with the persistent cookie too', async () => {
    const person = await scene.person();
    const site = await limited(1, { remember: true });
    const first = await present(site, person);
    const second = await site.signIn(person);
    assertOk(await second.browser.get(), person);
    assertDenied(await first.browser.get(), 'neither cookie is good any more');
    assert.equal(await scene.sessionsOf(person), 2, 'a session and its persistent sister');
  });

  test('refuse: one too many is a sign-in without a session', async () => {
    const person = await scene.person();
    const site = await limited(2, { max_sessions_policy: 'refuse' });
    const [first, second] = [await present(site, person), await present(site, person)];
    const refused = await site.browser().ask({ headers: { apikey: person.keys[0].key } });
    assertOk(refused, person, 'the credential counts');
    assertNoSet(refused);
    for (const { browser } of [first, second]) assertOk(await browser.get(), person);
    assert.equal((await first.browser.ask(LOGOUT)).status, 200);
    const third = await site.signIn(person);
    assertOk(await third.browser.get(), person);
    assertOk(await second.browser.get(), person);
  });

  test('refuse: whoever signs in again in the same browser takes the place of the own session', async () => {
    const person = await scene.person();
    const second = scene.name('key');
    await scene.admin.create(`/consumers/${person.id}/key-auth`, { key: second });
    const site = await limited(1, { max_sessions_policy: 'refuse' });
    const { browser, cookie } = await present(site, person);
    const again = await browser.ask({ headers: { apikey: second } });
    assertOk(again, person);
    assert.equal(again.setCookies.length, 1);
    assertOk(await browser.get(), person);
    assertDenied(await browser.ask({ cookie }));
  });

  test('refuse: a session that has idled out keeps nobody out', async () => {
    const person = await scene.person();
    const site = await limited(1, { max_sessions_policy: 'refuse', idling_timeout: 2 });
    await present(site, person);
    const clock = new Clock();
    assertNoSet(await site.browser().ask({ headers: { apikey: person.keys[0].key } }));
    // Two seconds, half a second until a use is written, and what the writing may take.
    await clock.at(5.5);
    const { browser } = await site.signIn(person);
    assertOk(await browser.get(), person);
    assert.equal(await scene.sessionsOf(person), 1);
  });

  for (const policy of ['evict-oldest', 'refuse'] as const) {
    test(`${policy}: others have a limit of their own, and so has another audience`, async () => {
      const person = await scene.person();
      const config = { secret: newSecret(), max_sessions_policy: policy };
      const host = `${scene.name('limits')}.app.test`;
      const setUp = (audience: string) =>
        scene.setUp(
          { storage: 'kong', max_sessions: 1, ...config, audience },
          { host, path: `/${audience}` },
        );
      const [a, b] = [await setUp('a'), await setUp('b')];
      const mine = await present(a, person);
      const elsewhere = await present(b, person);
      // Nobody whom the other tests know: their routes have the same cookie name, database and audience.
      const other = await scene.person();
      const others = await a.signIn(other);
      assertOk(await mine.browser.get('/a'), person);
      assertOk(await elsewhere.browser.get('/b'), person);
      assertOk(await others.browser.get('/a'), other);
    });

    test(`${policy}: sign-ins at the same time do not exceed it`, async () => {
      const person = await scene.person();
      const site = await limited(3, { max_sessions_policy: policy });
      const headers = { apikey: person.keys[0].key };
      const browsers = Array.from({ length: 12 }, () => site.browser());
      const replies = await Promise.all(browsers.map((browser) => browser.ask({ headers })));
      for (const reply of replies) assertOk(reply, person);
      assert.equal(await scene.sessionsOf(person), 3);
      const holders = browsers.filter((browser) => browser.cookies() !== '');
      const answers = await Promise.all(holders.map((browser) => browser.get()));
      assert.equal(answers.filter((answer) => !isDenied(answer)).length, 3);
    });
  }

  test('storage cookie knows of no others', async () => {
    const site = await scene.setUp({ storage: 'cookie', max_sessions: 1 });
    const [first, second] = [await site.signIn(scene.alice), await site.signIn(scene.alice)];
    for (const { browser } of [first, second]) assertOk(await browser.get(), scene.alice);
  });
});
