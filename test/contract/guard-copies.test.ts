import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Guard } from '../../lib/presence.ts';
import { cookiesOf, GuardScene, who } from '../support/guard-scene.ts';
import { codesOf, statementsOf } from '../support/nodes.ts';
import { alice, bob, SECRET, Visitor } from '../support/visitor.ts';

/** Several cookies of one session, and one cookie of several sessions, over a real database. */
describe('copies of cookies', () => {
  let scene: GuardScene;
  before(async () => {
    scene = await GuardScene.open();
  });
  after(() => scene.close());

  const at = (audience: string, node = scene.nodes.trusting): Guard =>
    scene.guard({ audience }, node);

  /** A browser whose session was renewed and presented twice, long ago; `old` has its first cookie. */
  async function withOldCopy(fields: object) {
    const { asking, trusting } = scene.nodes;
    const { visitor, session } = await scene.signedIn(scene.guard(fields));
    const old = visitor.copy();
    for (let renewal = 0; renewal < 2; renewal++) {
      await scene.age(session.handle, 80);
      await visitor.visit(scene.guard(fields, asking));
    }
    await visitor.visit(scene.guard(fields, asking));
    await scene.settled();
    await scene.age(session.handle, 30, ['confirmed_at', 'previous_renewed_at']);
    await visitor.visit(scene.guard(fields, trusting));
    return { old, visitor, session };
  }

  /** A browser with the cookies of several in one header. */
  const together = (...visitors: Visitor[]): Visitor => {
    const both = new Visitor();
    const values = visitors.map(({ jar }) => jar.get('session') ?? '');
    both.jar.set('session', values.join('; session='));
    return both;
  };

  test('an old copy gets no newer generation by a sign-in for another audience', async () => {
    const { old, visitor, session } = await withOldCopy({ audience: 'a' });
    assert.equal(scene.nodes.trusting.storage.peek(session)?.generation, 2);
    await scene.signedIn(at('b'), bob, old);
    assert.equal(who(await old.visit(at('a'))), 'nobody');
    assert.equal(who(await old.visit(at('b'))), 'bob');
    assert.equal(who(await visitor.visit(at('a'))), 'alice');
  });

  test('nor by a logout or a renewal there', async () => {
    const { old } = await withOldCopy({ audience: 'a' });
    const { session } = await scene.signedIn(at('b'), bob, old);
    await scene.age(session.handle, 80);
    await scene.nodes.trusting.storage.load(session);
    assert.equal(cookiesOf(await old.visit(at('b'))).length, 1, 'renewed');
    assert.equal(who(await old.visit(at('a'))), 'nobody');
    const logout = { method: 'DELETE', target: '/?session_logout=true' };
    assert.equal((await old.visit(at('b'), logout)).kind, 'logout');
    assert.equal(who(await old.visit(at('a'))), 'nobody');
  });

  test('of two copies in one header the newest goes into the new cookie', async () => {
    const { old, visitor } = await withOldCopy({ audience: 'a' });
    for (const order of [
      [old, visitor],
      [visitor, old],
    ]) {
      const both = together(...order);
      await scene.signedIn(at('b'), bob, both);
      assert.equal(who(await both.visit(at('a'))), 'alice');
    }
  });

  test('beside the newest copy an old one is no replay, whichever comes first', async () => {
    const { old, visitor, session } = await withOldCopy({});
    for (const order of [
      [old, visitor],
      [visitor, old],
    ]) {
      const both = together(...order);
      assert.equal(who(await both.visit(scene.guard())), 'alice');
      const trusting = scene.guard({}, scene.nodes.trusting);
      const asked = await statementsOf(() => both.visit(trusting));
      assert.deepEqual(asked, [], 'the store is not asked about the old one');
    }
    assert.equal((await scene.rowsOf(session.family)).length, 1);
    assert.equal(who(await old.visit(scene.guard())), 'nobody');
    assert.deepEqual(await scene.rowsOf(session.family), [], 'alone it is one');
  });

  test('beside a predecessor in its grace neither', async () => {
    const { old, visitor, session } = await withOldCopy({});
    const predecessor = visitor.copy();
    await scene.age(session.handle, 80);
    await visitor.visit(scene.guard());
    await visitor.visit(scene.guard());
    await scene.settled();
    assert.equal(who(await together(old, predecessor).visit(scene.guard())), 'alice');
    assert.equal((await scene.rowsOf(session.family)).length, 1);
  });

  test('a predecessor in its grace gets nothing newer, sealed under a fallback neither', async () => {
    const { visitor, session } = await scene.signedIn(scene.guard());
    const predecessor = visitor.copy();
    const rotated = scene.guard({ secret: OTHER_SECRET, secret_fallbacks: [SECRET] });
    await scene.age(session.handle, 80);
    assert.equal(cookiesOf(await visitor.visit(rotated)).length, 1);
    await visitor.visit(rotated);
    await scene.settled();
    const inGrace = await predecessor.visit(rotated);
    assert.equal(who(inGrace), 'alice');
    assert.deepEqual(cookiesOf(inGrace), []);
  });

  test('a sign-in or a logout with both is no replay', async () => {
    const { old, visitor } = await withOldCopy({});
    const logout = { method: 'DELETE', target: '/?session_logout=true' };
    const told = await codesOf(() => together(old, visitor).visit(scene.guard(), logout));
    assert.deepEqual(told, ['session_ended']);
    assert.equal(who(await visitor.visit(scene.guard())), 'nobody');
  });

  test('a cookie of two audiences is deleted when the sessions of both have ended', async () => {
    const { visitor, session } = await scene.signedIn(at('a'));
    const other = await scene.signedIn(at('b'), bob, visitor);
    await scene.remove(session.handle);
    const asking = (audience: string) => at(audience, scene.nodes.asking);
    assert.deepEqual(cookiesOf(await visitor.visit(asking('a'))), []);
    assert.deepEqual(await statementsOf(() => visitor.visit(at('b'))), [], 'the other lives');
    await scene.remove(other.session.handle);
    await visitor.copy().visit(asking('b'));
    assert.equal(cookiesOf(await visitor.visit(asking('b'))).length, 1);
    assert.equal(visitor.jar.size, 0);
  });

  test('so is one whose other session has ended when the consumer is gone', async () => {
    const carol = { id: '33333333-3333-4333-8333-333333333333', username: 'carol' };
    const { visitor, session } = await scene.signedIn(at('a', scene.nodes.asking), alice);
    await scene.signedIn(at('b', scene.nodes.asking), carol, visitor);
    await scene.remove(session.handle);
    const gone = await visitor.visit(at('b', scene.nodes.asking), { consumer: bob });
    assert.equal(who(gone), 'nobody');
    assert.equal(visitor.jar.size, 0);
  });
});

const OTHER_SECRET = 'Zt5Rw8Yb2Nq6Mv4Xc1Ld9Kf7Hj3Gs0PaEoUiTy';
