import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertOk, nameIn } from './support/assertions.ts';
import { newSecret, type Person, Scene } from './support/scene.ts';
import { Clock, until } from './support/waiting.ts';

// One after the other: the first takes everybody's consumers away for a while.
describe('looking consumers up', () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** A session on a route without an auth plugin, where Kong is asked about the consumer every second. */
  async function onBareRoute(person: Person) {
    const config = { storage: 'kong', secret: newSecret(), consumer_ttl: 1 };
    const host = `${scene.name('look-up')}.app.test`;
    const site = await scene.setUp(config, { host, path: '/sign-in' });
    const bare = await scene.setUp({}, { host, path: '/bare', guarded: false, auth: [] });
    await scene.admin.create(`/routes/${bare.route.id}/plugins`, scene.guardPlugin(config));
    const { browser } = await site.signIn(person);
    const isKnown = async () => nameIn(await browser.get('/bare')) === person.username;
    await until('the bare route is guarded', isKnown);
    return { browser, isKnown };
  }

  test('D15: a consumer that cannot be looked up keeps the session', async (t) => {
    const [gateway] = scene.kong.gateways;
    if (gateway === undefined) return t.skip('the database of a real Kong is not ours to break');
    const person = await scene.person();
    const { browser } = await onBareRoute(person);
    // What a look-up answers while Kong's database is away: nothing about anybody. Then it is back.
    const { entities } = gateway;
    const everybody = entities.list('consumers');
    const clock = new Clock();
    for (const { id } of everybody) entities.delete('consumers', id);
    try {
      for (const second of [0.5, 1.5, 3]) {
        await clock.at(second);
        assertOk(await browser.get('/bare'), person, `after ${second} s`);
      }
    } finally {
      for (const consumer of everybody) entities.put('consumers', consumer);
    }
    await clock.at(5);
    assertOk(await browser.get('/bare'), person);
    assert.equal(await scene.sessionsOf(person), 1);
  });

  test('D15: a consumer that is gone loses it, on a route without an auth plugin too', async () => {
    const person = await scene.person();
    const { isKnown } = await onBareRoute(person);
    await scene.admin.delete(`/consumers/${person.id}`);
    await until('the session has ended', async () => !(await isKnown()), { limit: 10_000 });
    assert.equal(await scene.sessionsOf(person), 0);
  });
});
