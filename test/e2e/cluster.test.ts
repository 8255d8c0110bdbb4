import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { send } from '../support/client.ts';
import { assertDenied, isDenied, nameIn } from './support/assertions.ts';
import { Scene, type Site } from './support/scene.ts';
import { Clock, until } from './support/waiting.ts';

/** As many nodes as there are: two stand-ins, each with a server process of its own, on one Postgres. */
describe('several nodes', { concurrency: 4 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open({ nodes: 2 });
  });
  after(() => scene.close());

  const nodeOf = (index: number) =>
    scene.kong.nodes[index % scene.kong.nodes.length] ?? scene.kong.nodes[0];

  /** One request for every cookie, by turns to each node. */
  const present = (site: Site, cookies: readonly string[], offset = 0) =>
    Promise.all(
      cookies.map((cookie, i) => send(nodeOf(i + offset), site.host, { cookie, scheme: 'http' })),
    );

  test('S-043: 50 requests at the renewal mark have one successor, and a logout ends all of it', async () => {
    const person = await scene.person();
    const site = await scene.setUp({ storage: 'kong', rolling_timeout: 16 });
    const { cookie } = await site.signIn(person);
    const clock = new Clock();
    const fifty = Array.from({ length: 50 }, () => cookie);
    await clock.at(11);
    await present(site, fifty); // opens the connections
    await clock.at(12.2);
    const replies = await present(site, fifty);
    assert.deepEqual(
      replies.map(nameIn),
      fifty.map(() => person.username),
    );
    const generations = await scene.rows<{ generation: number }>(
      'select generation from :SCHEMA.sessions where consumer_id = $1',
      [person.id],
    );
    assert.deepEqual(generations, [{ generation: 1 }]);
    const successors = replies.flatMap(({ setCookies }) =>
      setCookies.map((line) => line.split(';')[0] ?? ''),
    );
    assert.ok(successors.length > 0);
    // At the other node than the one that made it.
    const later = await present(site, successors, 1);
    assert.deepEqual(
      later.map(nameIn),
      successors.map(() => person.username),
    );

    const [newest = ''] = successors;
    const leave = { method: 'DELETE', path: '/?session_logout=true', cookie: newest };
    const logout = await site.browser().ask(leave);
    assert.equal(logout.status, 200);
    for (const earlier of [cookie, ...successors]) {
      assertDenied(await send(nodeOf(0), site.host, { cookie: earlier }));
    }
    assert.equal(await scene.sessionsOf(person), 0);
    await until('the other node has heard of it', async () =>
      (await present(site, [cookie, ...successors], 1)).every(isDenied),
    );
  });

  test('S-049: a session of one node is one of the other at once', async () => {
    const site = await scene.setUp({ storage: 'kong' });
    const { browser } = await site.signIn(scene.alice);
    for (const node of scene.kong.nodes) {
      assert.equal(nameIn(await browser.copy(node).get()), scene.alice.username);
    }
  });
});
