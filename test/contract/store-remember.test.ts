import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Session } from '../../lib/session.ts';
import {
  HOUR,
  MONTH,
  newSession,
  openNode,
  plainCodec,
  REMEMBER_REALM,
  remembered,
  statementsOf,
  use,
} from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import type { Table } from '../support/table.ts';
import { openTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

/* Sign-ins with a persistent session beside the other, and the sessions that it restores. */

let nodes: TwoNodes;
let url: string;
let node: TestNode;
let other: TestNode;
let table: Table;

before(async () => {
  nodes = await openTwoNodes(0);
  ({ url, node, other, table } = nodes);
});

after(() => nodes.close());

const begin = (fields: Parameters<typeof remembered>[1] = {}) => remembered(node, fields);

/** What a persistent cookie brings: the key is its own, the rest is to come from the remember row. */
const comeback = (fields: Parameters<typeof newSession>[0] = {}) =>
  newSession({ data: { username: 'alice, later' }, ...fields });

test('a sign-in with a persistent session is one statement and two rows of one family', async () => {
  let begun: Awaited<ReturnType<typeof begin>> | undefined;
  const statements = await statementsOf(async () => {
    begun = await begin({ subject: 'alice' });
  });
  assert.deepEqual(statements, ['create']);
  assert.ok(begun);
  const { session, remember } = begun;
  assert.deepEqual([session.kind, remember.kind], ['session', 'remember']);
  assert.equal(remember.family, session.family);
  assert.equal(remember.realm, REMEMBER_REALM);
  assert.equal(remember.startedAt, session.startedAt);
  assert.deepEqual(await other.storage.load(session), session);
  assert.deepEqual(await other.storage.load(remember), remember);
  const lifetime = 'extract(epoch from expires_at - started_at)::float8 * 1000';
  assert.equal(await table.column(session, lifetime), HOUR.rolling);
  assert.equal(await table.column(remember, lifetime), MONTH.rolling);
});

test('a persistent session is renewed like any other', async () => {
  const { remember } = await begin();
  const statements = await statementsOf(async () => {
    const renewed = await node.storage.renew(remember, MONTH);
    assert.deepEqual([renewed?.generation, renewed?.kind], [1, 'remember']);
    assert.equal(renewed?.previousRenewedAt, remember.renewedAt);
  });
  assert.deepEqual(statements, ['renew']);
});

test('a restored session has the identity and the sign-in of its family, and a start of its own', async () => {
  const { session, remember } = await begin({ credentialId: randomUUID() });
  const signedIn = `now() - interval '9 days'`;
  await table.alter(remember, `authenticated_at = ${signedIn}, started_at = ${signedIn}`);
  await table.remove(session); // as after a night
  const fresh = comeback({ subject: 'alice' });
  let restored: Session | null = null;
  const statements = await statementsOf(async () => {
    restored = await node.storage.restore(remember, fresh, HOUR);
  });
  assert.deepEqual(statements, ['restore']);
  const old = await node.storage.load(remember);
  const { startedAt, ...rest } = (await other.storage.load(fresh)) ?? assert.fail('not stored');
  assert.deepEqual(restored, { startedAt, ...rest });
  assert.deepEqual(rest, {
    ...fresh,
    family: remember.family,
    consumerId: remember.consumerId,
    credentialId: remember.credentialId,
    generation: 0,
    authenticatedAt: old?.authenticatedAt,
    renewedAt: startedAt,
    seenAt: startedAt,
    previousRenewedAt: undefined,
    confirmedAt: undefined,
  });
  assert.ok(startedAt - rest.authenticatedAt >= 9 * 86_400_000 - 1);
});

for (const [what, limits] of [
  ['renewal', { rolling: 9000, absolute: 5000 }],
  ['use', { rolling: 9000, absolute: 7000 }],
] as const) {
  test(`the absolute limit of a restored session counts from its start, also after a ${what}`, async () => {
    const { session, remember } = await begin();
    await table.alter(remember, `authenticated_at = now() - interval '9 days'`);
    await table.remove(session); // as after a night
    const restored = await node.storage.restore(remember, comeback(), {
      rolling: 1000,
      absolute: 5000,
    });
    assert.ok(restored);
    const life = 'extract(epoch from expires_at - started_at)::float8 * 1000';
    assert.equal(await table.column(restored, life), 1000);
    if (what === 'renewal') await node.storage.renew(restored, limits);
    else use(node, restored, 0, limits, 0);
    await node.backend.touches.flush();
    assert.equal(await table.column(restored, life), limits.absolute);
  });
}

test('tabs that restore at once, on two nodes, are one session', async () => {
  for (let round = 0; round < 20; round++) {
    const { session, remember } = await begin();
    await table.remove(session); // as after a night
    const { key } = comeback();
    const tabs = Array.from({ length: 10 }, (_, i) =>
      // Past the sharing of requests on one node: every one is a statement.
      (i % 2 ? node : other).backend.store.restore(remember.key, {
        session: comeback({ key }),
        sealed: Buffer.from('{}'),
        lifetime: HOUR,
      }),
    );
    const restored = await Promise.all(tabs);
    assert.equal(new Set(restored.map((one) => one?.session.handle)).size, 1);
    assert.equal(restored[0]?.session.key, key);
    assert.equal(await table.count(remember.family), 2);
  }
});

test('one node sends simultaneous restorations of one session once', async () => {
  const { remember } = await begin();
  const fresh = comeback();
  const statements = await statementsOf(async () => {
    const tabs = Array.from({ length: 10 }, () => node.storage.restore(remember, fresh, HOUR));
    for (const restored of await Promise.all(tabs)) assert.equal(restored?.key, fresh.key);
  });
  assert.deepEqual(statements, ['restore']);
});

test('a session that exists is returned as it is', async () => {
  const { remember } = await begin();
  const fresh = comeback();
  const restored = await node.storage.restore(remember, fresh, HOUR);
  assert.ok(restored);
  const renewed = await node.storage.renew(restored, HOUR);
  const again = await other.storage.restore(remember, comeback({ key: fresh.key }), HOUR);
  assert.deepEqual(again, renewed);
});

test('one that expired and is still in the table is in nobody’s way', async () => {
  const { remember } = await begin();
  const fresh = comeback();
  const first = await node.storage.restore(remember, fresh, HOUR);
  assert.ok(first && (await node.storage.renew(first, HOUR)));
  await table.alter(first, `expires_at = now() - interval '1 s'`);
  const second = await node.storage.restore(remember, comeback({ key: fresh.key }), HOUR);
  assert.equal(second?.generation, 0);
  assert.notEqual(second?.handle, first.handle);
  assert.deepEqual(await other.storage.load(fresh), second);
});

for (const [what, end] of [
  ['that has ended', (remember: Session) => node.storage.end(remember)],
  [
    'that has expired',
    (remember: Session) => table.alter(remember, `expires_at = now() - interval '1 ms'`),
  ],
  [
    'whose consumer was ended while its row escaped',
    async (remember: Session) => {
      await node.backend.store.cut('consumer', remember.consumerId, Infinity);
    },
  ],
] as const) {
  test(`nothing is restored of a family ${what}`, async () => {
    const { session, remember } = await begin();
    await table.remove(session); // as after a night
    await end(remember);
    assert.equal(await other.storage.restore(remember, comeback(), HOUR), null);
    assert.ok((await table.count(remember.family)) <= 1);
  });
}

test('only a remember row restores', async () => {
  const { session } = await begin();
  assert.equal(await node.storage.restore(session, comeback(), HOUR), null);
});

test('what a configuration cannot read it does not restore', async () => {
  const { remember } = await begin();
  const fresh = comeback();
  assert.ok(await node.storage.restore(remember, fresh, HOUR));
  const blind = openNode(url, { codec: { ...plainCodec, open: async () => undefined } });
  assert.equal(await blind.storage.restore(remember, fresh, HOUR), null);
  await blind.close();
  assert.ok(await node.storage.load(fresh));
});

test('an end is one statement, and two where a remember row went', async () => {
  const { session } = await begin();
  assert.deepEqual(await statementsOf(() => node.storage.end(session)), ['end', 'end']);
  assert.deepEqual(await statementsOf(() => node.storage.end(session)), ['end']);
  assert.equal(await table.count(session.family), 0);
});

test('the first presentation of a session confirms the remember row that came with it', async () => {
  const { session, remember } = await begin();
  const statements = await statementsOf(async () => {
    use(node, session, 0, HOUR, 60_000);
    await node.backend.touches.flush();
  });
  assert.deepEqual(statements, ['touch']);
  const confirmed = await other.storage.load(remember);
  assert.notEqual(confirmed?.confirmedAt, undefined);
  assert.equal(confirmed?.confirmedAt, (await other.storage.load(session))?.confirmedAt);
  assert.deepEqual({ ...confirmed, confirmedAt: undefined }, remember, 'and nothing else of it');
});

test('a restored session does the same for the persistent cookie’s next generation', async () => {
  const { session, remember } = await begin();
  use(node, session, 0, HOUR, 60_000);
  await node.backend.touches.flush();
  const renewed = await node.storage.renew(remember, MONTH);
  const restored = await node.storage.restore(remember, comeback(), HOUR);
  assert.ok(renewed && restored);
  assert.equal(renewed.confirmedAt, undefined);
  use(node, session, 0, HOUR, 0);
  await node.backend.touches.flush();
  const untouched = await other.storage.load(remember);
  assert.equal(untouched?.confirmedAt, undefined, 'a session presented long ago says nothing');
  use(node, restored, 0, HOUR, 60_000);
  await node.backend.touches.flush();
  assert.notEqual((await other.storage.load(remember))?.confirmedAt, undefined);
});

test('sessions and remember rows of one batch are confirmed and seen, each as it was used', async () => {
  const { session, remember } = await begin();
  const lone = (await begin()).session;
  use(node, session, 0, HOUR, 0);
  use(node, remember, 0, MONTH, 0);
  use(node, lone, 0, HOUR, 0);
  await node.backend.touches.flush();
  for (const each of [session, remember, lone]) {
    const written = await other.storage.load(each);
    assert.notEqual(written?.confirmedAt, undefined);
  }
});

test('a use that prolongs nothing counts as a presentation, and only as that', async () => {
  const { session, remember } = await begin();
  await table.alter(session, `seen_at = seen_at - interval '1 min'`);
  const known = await node.storage.load(session);
  assert.ok(known);
  const quiet = { generation: 0, lifetime: HOUR, touchInterval: 0, prolongs: false };
  node.storage.seen(known, quiet);
  await node.backend.touches.flush();
  const presented = await other.storage.load(session);
  assert.notEqual(presented?.confirmedAt, undefined);
  assert.equal(presented?.seenAt, known.seenAt);
  assert.notEqual((await other.storage.load(remember))?.confirmedAt, undefined);

  const statements = await statementsOf(async () => {
    assert.equal(node.storage.seen(presented ?? known, quiet), presented);
    await node.backend.touches.flush();
  });
  assert.deepEqual(statements, [], 'there is nothing to write');
});
