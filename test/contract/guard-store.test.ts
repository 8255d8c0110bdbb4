import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { presentedBy } from '../../lib/presented.ts';
import { cookiesOf, GuardScene, who } from '../support/guard-scene.ts';
import { openNode, plainCodec, type TestNode, until } from '../support/nodes.ts';
import { alice, answering, bob, Visitor } from '../support/visitor.ts';

/** Decisions over a real database. */
describe('the guard over a database', () => {
  let scene: GuardScene;
  before(async () => {
    scene = await GuardScene.open();
  });
  after(() => scene.close());

  test('a session that is due is renewed once, and once only', async () => {
    const { visitor, session } = await scene.signedIn(scene.guard());
    await scene.age(session.handle, 70);
    assert.deepEqual(cookiesOf(await visitor.copy().visit(scene.guard())), []);
    await scene.age(session.handle, 10);
    const early = visitor.copy();
    const tabs = Array.from({ length: 8 }, () => visitor.copy());
    const decisions = await Promise.all(tabs.map((tab) => tab.visit(scene.guard())));
    for (const decision of decisions) {
      assert.equal(who(decision), 'alice');
      assert.equal(cookiesOf(decision).length, 1);
    }
    assert.deepEqual(await scene.rowsOf(session.family), [{ generation: 1, kind: 0 }]);
    // Nobody has presented the successor yet: its response may have been lost, so it is given again.
    const again = await early.copy().visit(scene.guard());
    assert.equal(who(again), 'alice');
    assert.equal(cookiesOf(again).length, 1);
    assert.deepEqual(await scene.rowsOf(session.family), [{ generation: 1, kind: 0 }]);
    // From the moment it is presented the predecessor has its grace, and gets nothing any more.
    assert.deepEqual(cookiesOf(await tabs[0]!.visit(scene.guard())), []);
    await scene.settled();
    const inGrace = await early.copy().visit(scene.guard());
    assert.equal(who(inGrace), 'alice');
    assert.deepEqual(cookiesOf(inGrace), []);
    await scene.age(session.handle, 9, ['confirmed_at']);
    assert.equal(who(await early.copy().visit(scene.guard())), 'alice');
    await scene.age(session.handle, 2, ['confirmed_at']);
    // Whoever sends it now is a thief, or was robbed: everything ends.
    const thief = await early.visit(scene.guard());
    assert.equal(who(thief), 'nobody');
    assert.equal(cookiesOf(thief).length, 1);
    assert.deepEqual(await scene.rowsOf(session.family), []);
    assert.equal(who(await tabs[1]!.visit(scene.guard())), 'nobody');
  });

  /** A browser whose cookie was replaced, presented and left its grace long ago, and the one that has the successor. */
  async function withReplay(fields: object) {
    const { visitor, session } = await scene.signedIn(scene.guard(fields));
    const old = visitor.copy();
    await scene.age(session.handle, 80);
    await visitor.visit(scene.guard(fields));
    await visitor.visit(scene.guard(fields));
    await scene.settled();
    await scene.age(session.handle, 30, ['confirmed_at']);
    return { old, visitor, session };
  }

  test('without revoke_on_replay a replay is refused and ends nothing', async () => {
    const fields = { revoke_on_replay: false };
    const { old, visitor } = await withReplay(fields);
    const refused = await old.visit(scene.guard(fields));
    assert.equal(who(refused), 'nobody');
    assert.deepEqual(cookiesOf(refused), [], 'the browser may hold the successor');
    assert.equal(who(await visitor.visit(scene.guard(fields))), 'alice');
  });

  test('a request that came in time and was held up is refused and ends nothing', async () => {
    const { old, visitor, session } = await withReplay({});
    const late = await old.copy().visit(scene.guard(), { age: 25_000 });
    assert.equal(who(late), 'nobody');
    assert.deepEqual(cookiesOf(late), [], 'the browser may hold the successor');
    assert.equal(who(await visitor.visit(scene.guard())), 'alice');
    // It came 11 s after the successor was first presented, and there are 10 s of grace.
    assert.equal(who(await old.visit(scene.guard(), { age: 19_000 })), 'nobody');
    assert.deepEqual(await scene.rowsOf(session.family), []);
  });

  test('nothing is held up for more than a minute', async () => {
    const { old, session } = await withReplay({});
    const { confirmedAt = NaN } = (await scene.nodes.asking.storage.load(session)) ?? {};
    const heldUp = { age: 95_000 };
    // The grace is 10 s.
    const waiting = (wait: number) =>
      answering(scene.guard(), { now: () => confirmedAt + 10_000 + wait });
    assert.equal(who(await old.copy().visit(waiting(60_000), heldUp)), 'nobody');
    assert.equal((await scene.rowsOf(session.family)).length, 1);
    assert.equal(who(await old.visit(waiting(60_001), heldUp)), 'nobody');
    assert.deepEqual(await scene.rowsOf(session.family), []);
  });

  test('a copy that fell behind with two audiences is refused and ends nothing', async () => {
    const [a, b] = [scene.guard({ audience: 'a' }), scene.guard({ audience: 'b' })];
    const { visitor } = await scene.signedIn(a);
    const { session } = await scene.signedIn(b, bob, visitor);
    const old = visitor.copy();
    await scene.age(session.handle, 80);
    await visitor.visit(b);
    await visitor.visit(b);
    await scene.settled();
    await scene.age(session.handle, 30, ['confirmed_at']);
    const refused = await old.visit(b);
    assert.equal(who(refused), 'nobody');
    assert.deepEqual(cookiesOf(refused), []);
    assert.equal(who(await visitor.visit(b)), 'bob');
    assert.equal(who(await old.visit(a)), 'alice');
  });

  test('a generation that was never issued proves nothing and deletes the cookie', async () => {
    const { visitor, session } = await scene.signedIn(scene.guard());
    await scene.age(session.handle, 80);
    await visitor.visit(scene.guard());
    await scene.sql.query('update session_guard.sessions set generation = 0 where handle = $1', [
      session.handle,
    ]);
    const decision = await visitor.visit(scene.guard());
    assert.equal(who(decision), 'nobody');
    assert.equal(cookiesOf(decision).length, 1);
  });

  test('a row of another audience or realm is not the session of this one', async () => {
    for (const column of ['audience', 'realm']) {
      const { visitor, session } = await scene.signedIn(scene.guard());
      await scene.sql.query(
        `update session_guard.sessions set ${column} = 'other' where handle = $1`,
        [session.handle],
      );
      assert.equal(who(await visitor.visit(scene.guard())), 'nobody', column);
    }
  });

  test('nor is it from the cache, where the cookie is a living one for another audience', async () => {
    for (const column of ['audience', 'realm']) {
      const at = (audience: string, node: TestNode) => scene.guard({ audience }, node);
      const here = at('a', scene.nodes.trusting);
      const somebody = await scene.signedIn(here);
      assert.equal(who(await somebody.visitor.visit(here)), 'alice', 'whom the node knows');
      const { visitor, session } = await scene.signedIn(at('a', scene.nodes.asking));
      await scene.signedIn(at('b', scene.nodes.asking), alice, visitor);
      await scene.sql.query(
        `update session_guard.sessions set ${column} = 'other' where handle = $1`,
        [session.handle],
      );
      for (const visit of ['first', 'second']) {
        assert.equal(who(await visitor.visit(here)), 'nobody', `${column}, ${visit}`);
      }
    }
  });

  test('a session that ended elsewhere is dead at its renewal at the latest', async () => {
    const trusting = scene.guard({}, scene.nodes.trusting);
    const { visitor, session } = await scene.signedIn(trusting);
    await scene.age(session.handle, 80);
    await scene.nodes.trusting.storage.load(session);
    assert.equal(scene.nodes.trusting.storage.peek(session)?.handle, session.handle);
    await scene.remove(session.handle);
    const decision = await visitor.visit(trusting);
    assert.equal(who(decision), 'nobody');
    assert.equal(visitor.jar.size, 0);
  });

  test('a copy that others have renewed twice meanwhile is refused, not revived', async () => {
    const trusting = scene.guard({}, scene.nodes.trusting);
    const { visitor, session } = await scene.signedIn(trusting);
    await scene.age(session.handle, 80);
    await scene.nodes.trusting.storage.load(session);
    await scene.sql.query(
      `update session_guard.sessions set generation = 2, renewed_at = now(),
       previous_renewed_at = now() - interval '5 seconds' where handle = $1`,
      [session.handle],
    );
    const decision = await visitor.visit(trusting);
    assert.equal(who(decision), 'nobody');
    assert.deepEqual(cookiesOf(decision), []);
    assert.deepEqual(await scene.rowsOf(session.family), [{ generation: 2, kind: 0 }]);
  });

  test('what only the store can tell is asked of it', async () => {
    const trusting = scene.guard({}, scene.nodes.trusting);
    const { visitor, session } = await scene.signedIn(trusting);
    const old = visitor.copy();
    await scene.age(session.handle, 80);
    await scene.nodes.trusting.storage.load(session);
    await visitor.visit(trusting);
    // The successor was presented, and the grace is over, at another node.
    const moments = "confirmed_at = now() - interval '30 seconds'";
    await scene.sql.query(`update session_guard.sessions set ${moments} where handle = $1`, [
      session.handle,
    ]);
    assert.equal(scene.nodes.trusting.storage.peek(session)?.confirmedAt, undefined);
    assert.equal(who(await old.visit(trusting)), 'nobody');
    assert.deepEqual(await scene.rowsOf(session.family), []);
  });

  test('a generation that is news to a node which has the one before it confirmed is asked for', async () => {
    const [here, there] = [scene.guard({}, scene.nodes.trusting), scene.guard()];
    const { visitor, session } = await scene.signedIn(here);
    for (const generation of [1, 2]) {
      await scene.age(session.handle, 80);
      assert.equal(cookiesOf(await visitor.visit(there)).length, 1);
      await visitor.visit(there);
      await scene.nodes.asking.backend.touches.flush();
      const visit = await visitor.visit(here);
      assert.ok(visit.kind === 'session');
      assert.equal(visit.session.generation, generation);
      assert.notEqual(visit.session.confirmedAt, undefined);
    }
  });

  test('a new cookie holds what the node knows of other audiences, and nothing that has ended', async () => {
    const at = (audience: string, node = scene.nodes.trusting) => scene.guard({ audience }, node);
    const visitor = new Visitor();
    await scene.signedIn(at('a'), alice, visitor);
    const { session } = await scene.signedIn(at('b'), alice, visitor);
    const behind = visitor.copy();
    const entriesAfterSignIn = async () => {
      await scene.signedIn(at('a'), alice, behind);
      const { codec } = at('a').channels.session;
      const token = await codec.open(behind.jar.get('session') ?? '', Date.now());
      return token?.entries.map(({ audience, generation }) => [audience, generation]);
    };
    await scene.age(session.handle, 80);
    await visitor.visit(at('b', scene.nodes.asking));
    await visitor.visit(at('b'));
    assert.deepEqual(await entriesAfterSignIn(), [
      ['a', 0],
      ['b', 1],
    ]);
    await visitor.visit(at('b'), { method: 'DELETE', target: '/?session_logout=true' });
    assert.equal((await behind.visit(at('b'))).kind, 'nobody');
    assert.deepEqual(await entriesAfterSignIn(), [['a', 0]]);
  });

  test('a cached session that has run out may have been prolonged elsewhere', async () => {
    const fields = { idling_timeout: 10, touch_interval: 1 };
    const trusting = scene.guard(fields, scene.nodes.trusting);
    const { visitor, session } = await scene.signedIn(trusting);
    await scene.age(session.handle, 30, ['seen_at']);
    await scene.nodes.trusting.storage.load(session);
    await scene.sql.query('update session_guard.sessions set seen_at = now() where handle = $1', [
      session.handle,
    ]);
    assert.equal(who(await visitor.visit(trusting)), 'alice');
    await scene.settled(scene.nodes.trusting);
    await scene.age(session.handle, 30, ['seen_at']);
    const dead = await visitor.visit(scene.guard(fields));
    assert.equal(who(dead), 'nobody');
    assert.equal(visitor.jar.size, 0);
  });

  test('a logout ends every session that the cookies prove', async () => {
    const logout = { method: 'DELETE', target: '/?session_logout=true' };
    const first = await scene.signedIn(scene.guard({ remember: true }));
    const second = await scene.signedIn(scene.guard({ remember: true }), bob);
    const both = new Visitor();
    both.jar.set('session', first.visitor.jar.get('session') ?? '');
    both.jar.set('remember', second.visitor.jar.get('remember') ?? '');
    assert.equal((await both.visit(scene.guard({ remember: true }), logout)).kind, 'logout');
    assert.equal(both.jar.size, 0);
    for (const { session } of [first, second])
      assert.deepEqual(await scene.rowsOf(session.family), []);
  });

  test('a logout of two cookies of one name ends both of their families', async () => {
    const logout = { method: 'DELETE', target: '/?session_logout=true' };
    const [first, second] = [
      await scene.signedIn(scene.guard()),
      await scene.signedIn(scene.guard(), bob),
    ];
    const both = new Visitor();
    const value = second.visitor.jar.get('session') ?? '';
    both.jar.set('session', `${first.visitor.jar.get('session')}; session=${value}`);
    assert.equal((await both.visit(scene.guard(), logout)).kind, 'logout');
    for (const { session } of [first, second])
      assert.deepEqual(await scene.rowsOf(session.family), []);
  });

  test('the sign-in of another user ends the persistent session of the first', async () => {
    const remembering = scene.guard({ remember: true });
    const { visitor, session } = await scene.signedIn(remembering);
    visitor.jar.delete('session');
    const next = await scene.signedIn(remembering, bob, visitor);
    assert.deepEqual(await scene.rowsOf(session.family), []);
    assert.equal((await scene.rowsOf(next.session.family)).length, 2);
  });

  test('the persistent cookie is renewed with what it restores; its predecessor restores the same', async () => {
    const remembering = scene.guard({ remember: true });
    const { visitor, session } = await scene.signedIn(remembering);
    visitor.jar.delete('session');
    await scene.remove(session.handle);
    const late = visitor.copy();
    const restored = await visitor.visit(remembering);
    assert.ok(restored.kind === 'session');
    assert.equal(cookiesOf(restored).length, 2);
    assert.deepEqual(await scene.rowsOf(session.family), [
      { generation: 0, kind: 0 },
      { generation: 1, kind: 1 },
    ]);
    const same = await late.visit(remembering);
    assert.ok(same.kind === 'session');
    assert.equal(same.session.key, restored.session.key);
    assert.equal((await scene.rowsOf(session.family)).length, 2);
  });

  test('a persistent cookie whose family has ended restores nothing', async () => {
    const remembering = scene.guard({ remember: true }, scene.nodes.trusting);
    const { visitor, session } = await scene.signedIn(remembering);
    visitor.jar.delete('session');
    // The node has the persistent session in its cache, and does not hear that it has ended.
    assert.equal(who(await visitor.copy().visit(remembering)), 'alice');
    await scene.sql.query('delete from session_guard.sessions where family = $1', [session.family]);
    const decision = await visitor.visit(remembering);
    assert.equal(who(decision), 'nobody');
    assert.equal(visitor.jar.size, 0);
  });

  /** A browser without its session cookie, and its persistent session as a row that the trusting node has read. */
  async function withPersistent(change?: string) {
    const remembering = scene.guard({ remember: true }, scene.nodes.trusting);
    const { visitor, session } = await scene.signedIn(remembering);
    visitor.jar.delete('session');
    const channel = remembering.channels.remember!;
    const token = await channel.codec.open(visitor.jar.get('remember') ?? '', Date.now());
    const presented = presentedBy(token!.entries[0]!, channel);
    const alter = (columns: string) =>
      scene.sql.query(
        `update session_guard.sessions set ${columns} where family = $1 and kind = 1`,
        [session.family],
      );
    if (change) await alter(change);
    await scene.nodes.trusting.storage.load(presented);
    return { remembering, visitor, session, presented, alter };
  }

  test('nor does a persistent copy that others have renewed twice meanwhile, and the browser keeps it', async () => {
    const { remembering, visitor, session, presented, alter } = await withPersistent();
    const moments = "renewed_at = now(), previous_renewed_at = now() - interval '5 seconds'";
    await alter(`generation = 2, ${moments}`);
    assert.equal(scene.nodes.trusting.storage.peek(presented)?.generation, 0);
    const decision = await visitor.visit(remembering);
    assert.equal(who(decision), 'nobody');
    assert.deepEqual(cookiesOf(decision), []);
    assert.deepEqual(await scene.rowsOf(session.family), [
      { generation: 0, kind: 0 },
      { generation: 2, kind: 1 },
    ]);
  });

  test('nor does the predecessor of a persistent copy whose family has ended', async () => {
    const moments = 'renewed_at = now(), previous_renewed_at = renewed_at, confirmed_at = now()';
    const persistent = await withPersistent(`generation = 1, ${moments}`);
    const { remembering, visitor, session, presented } = persistent;
    await scene.sql.query('delete from session_guard.sessions where family = $1', [session.family]);
    assert.equal(scene.nodes.trusting.storage.peek(presented)?.generation, 1);
    assert.equal(who(await visitor.visit(remembering)), 'nobody');
    assert.equal(visitor.jar.size, 0);
  });

  test('a consumer that is gone takes the session along', async () => {
    const stranger = { id: randomUUID(), username: 'carol' };
    const known = scene.guard({ consumer_ttl: 1 });
    const { visitor, session } = await scene.signedIn(known, stranger);
    // Bob can be found, so that Kong's database answers.
    const gone = await visitor.visit(known, { consumer: bob });
    assert.equal(who(gone), 'nobody');
    assert.equal(visitor.jar.size, 0);
    assert.deepEqual(await scene.rowsOf(session.family), []);
  });

  test('a database that cannot be asked is no answer', async () => {
    const away = openNode(scene.url, { cacheTtl: 0 });
    // Once its notices arrive it looks after the tables again, and would make new ones.
    await until(() => away.backend.bus.isHealthy);
    const { visitor } = await scene.signedIn(scene.guard({}, away));
    await scene.sql.query('alter schema session_guard rename to session_guard_away');
    try {
      const decision = await visitor.visit(scene.guard({}, away));
      assert.deepEqual(decision, { kind: 'unavailable' });
      assert.equal((await new Visitor().visit(scene.guard({}, away))).kind, 'nobody');
    } finally {
      await scene.sql.query('alter schema session_guard_away rename to session_guard');
      await away.close();
    }
  });

  test('rows that only others can read are no session here, and the browser keeps its cookie', async () => {
    const { visitor } = await scene.signedIn(scene.guard());
    const blind = openNode(scene.url, { codec: { ...plainCodec, open: async () => undefined } });
    const decision = await visitor.visit(scene.guard({}, blind));
    await blind.close();
    assert.equal(who(decision), 'nobody');
    assert.deepEqual(cookiesOf(decision), []);
    assert.equal(who(await visitor.visit(scene.guard())), 'alice');
  });

  test('an error that is none of the store is not taken for one', async () => {
    const { visitor } = await scene.signedIn(scene.guard());
    const load = () => Promise.reject(new TypeError('a defect'));
    await assert.rejects(visitor.visit(answering(scene.guard(), { load })), /a defect/);
  });
});
