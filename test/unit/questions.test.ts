import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CookieStorage } from '../../lib/cookie-storage.ts';
import { decide, deliberate } from '../../lib/guard.ts';
import { presentedBy } from '../../lib/presented.ts';
import { alice, openGuard, requestOf, signInAs, Visitor } from '../support/visitor.ts';

/** The same, and the names of the methods that are taken from it. */
function watched<T extends object>(target: T): { asked: string[]; watched: T } {
  const asked: string[] = [];
  const get = (_: T, name: string | symbol): unknown => {
    const value: unknown = Reflect.get(target, name);
    if (typeof value !== 'function') return value;
    asked.push(String(name));
    return value.bind(target) as unknown;
  };
  return { asked, watched: new Proxy(target, { get }) };
}

/** A guard without a logout, and a browser that it knows: what they are asked from here on. */
async function known() {
  const storage = watched(new CookieStorage(undefined));
  const plain = openGuard({ logout_methods: [] }, storage.watched);
  const { session, remember } = plain.channels;
  const codec = watched(session.codec);
  const channels = { remember, session: { ...session, codec: codec.watched } };
  const guard = { ...plain, channels };
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(alice));
  await visitor.visit(guard);
  for (const { asked } of [storage, codec]) asked.length = 0;
  return { guard, cookies: visitor.cookies, storage, codec };
}

test('who is known is known at once, and nobody is asked', async () => {
  const { guard, cookies } = await known();
  const { asked, watched: request } = watched(requestOf(cookies, {}));
  const decision = decide(guard, request);
  assert.ok(!(decision instanceof Promise));
  assert.equal(decision.kind, 'session');
  assert.deepEqual(asked, []);
});

test('without the short cut nothing is asked about who is known, and nothing decrypted', async () => {
  const { guard, cookies, storage, codec } = await known();
  const { asked, watched: request } = watched(requestOf(cookies, {}));
  assert.equal((await deliberate(guard, request)).kind, 'session');
  assert.deepEqual(asked, []);
  assert.deepEqual([...new Set(storage.asked)].toSorted(), ['now', 'peek', 'seen']);
  assert.deepEqual(codec.asked, []);
});

test('what an entry names is worked out once', () => {
  const { session } = openGuard({}, new CookieStorage(undefined)).channels;
  const entry = { audience: 'default', id: 'A'.repeat(43), generation: 0 };
  assert.equal(presentedBy(entry, session), presentedBy(entry, session));
});
