import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Session } from '../../lib/session.ts';
import type { NewSession } from '../../lib/storage.ts';
import {
  HOUR,
  newSession,
  openNode,
  plainCodec,
  REMEMBER_REALM,
  remembered,
  signIn,
  statementsOf,
  until,
  use,
  whose,
} from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import type { Table } from '../support/table.ts';
import { openTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

/* What users see of their sessions, and how they end them. */

let nodes: TwoNodes;
let url: string;
let node: TestNode;
let other: TestNode;
let table: Table;

before(async () => {
  nodes = await openTwoNodes(60_000);
  ({ url, node, other, table } = nodes);
});

after(() => nodes.close());

/** A session last seen so many minutes ago. */
async function seen(fields: Partial<NewSession>, minutes: number): Promise<Session> {
  const session = await signIn(node, newSession(fields), HOUR);
  await table.alter(session, `seen_at = now() - ${minutes} * interval '1 min'`);
  return session;
}

/** The sessions of one consumer among others that are none of its business. */
async function crowd(): Promise<{ consumerId: string; strangers: readonly Session[] }> {
  const consumerId = randomUUID();
  const strangers = [
    await signIn(node, newSession(), HOUR),
    await signIn(node, newSession({ consumerId, audience: 'other' }), HOUR),
    await signIn(node, newSession({ consumerId, realm: 'other kong session_guard' }), HOUR),
  ];
  return { consumerId, strangers };
}

const handlesOf = (sessions: readonly Session[]) => sessions.map(({ handle }) => handle);
const isStored = async (session: Session) => (await table.column(session, 'true')) === true;

test('a consumer’s own living sessions, the last used first', async () => {
  const { consumerId } = await crowd();
  const [two, three, one] = [
    await seen({ consumerId }, 20),
    await seen({ consumerId }, 30),
    await seen({ consumerId, data: { ip: '192.0.2.1' } }, 10),
  ];
  const beside = { consumerId, family: one.family, kind: 'remember' } as const;
  await signIn(node, newSession(beside), HOUR);
  const expired = await seen({ consumerId }, 0);
  await table.alter(expired, 'expires_at = now()');
  const revoked = await seen({ consumerId, credentialId: randomUUID() }, 0);
  await node.backend.store.cut('credential', revoked.credentialId ?? '', Infinity);
  let listed: Awaited<ReturnType<typeof other.storage.list>> = [];
  const statements = await statementsOf(async () => {
    listed = await other.storage.list(whose(consumerId));
  });
  assert.deepEqual(statements, ['list']);
  assert.deepEqual(handlesOf(listed), handlesOf([one, two, three]));
  const [first] = listed;
  assert.deepEqual(first?.data, { ip: '192.0.2.1' });
  assert.equal(first?.expiresAt, first && first.startedAt + HOUR.rolling);
});

test('a sign-in is listed once, by the session that was used last, and ends by any handle of it', async () => {
  const { session, remember } = await remembered(node);
  const { consumerId, family } = session;
  await table.alter(session, `seen_at = now() - interval '20 min'`);
  const restored = await node.storage.restore(remember, newSession(), HOUR);
  assert.ok(restored);
  const mine = { ...whose(consumerId), rememberRealm: REMEMBER_REALM, current: restored };
  assert.deepEqual(handlesOf(await node.storage.list(mine)), [restored.handle]);
  const ended = await node.storage.endByHandle(mine, session.handle);
  assert.deepEqual(ended, { count: 1, current: true });
  assert.equal(await table.count(family), 0);
});

test('who is idle is not listed, unless a persistent cookie can open a session again', async () => {
  const { session, remember } = await remembered(node);
  const { consumerId } = session;
  const idle = await seen({ consumerId }, 20);
  await table.alter(session, `seen_at = now() - interval '20 min'`);
  await table.alter(remember, `seen_at = now() - interval '20 min'`);
  const all = { ...whose(consumerId), rememberRealm: REMEMBER_REALM };
  assert.deepEqual(handlesOf(await node.storage.list(all)).length, 2, 'where nothing is idle');
  const idleFor = 15 * 60_000;
  assert.deepEqual(handlesOf(await node.storage.list({ ...all, idleFor })), [remember.handle]);
  assert.deepEqual(await node.storage.list({ ...whose(consumerId), idleFor }), []);
  assert.ok(await node.storage.endByHandle({ ...all, idleFor }, remember.handle));
  assert.equal(await isStored(session), false);
  assert.ok(await isStored(idle), 'it ended alone');
});

test('a use that is not written yet shows, and moves the session up', async () => {
  const consumerId = randomUUID();
  const [one, two] = [await seen({ consumerId }, 10), await seen({ consumerId }, 20)];
  use(node, two, 0, HOUR, 60_000);
  const listed = await node.storage.list(whose(consumerId));
  assert.deepEqual(handlesOf(listed), handlesOf([two, one]));
  assert.notEqual(listed[0]?.confirmedAt, undefined);
});

test('sessions that nobody here can read are listed without what they say', async () => {
  const consumerId = randomUUID();
  const session = await signIn(node, newSession({ consumerId }), HOUR);
  const blind = openNode(url, { codec: { ...plainCodec, open: async () => undefined } });
  const [listed] = await blind.storage.list(whose(consumerId));
  await blind.close();
  assert.deepEqual([listed?.handle, listed?.data], [session.handle, {}]);
});

test('at most 200 are listed, the last used of all', async () => {
  const consumerId = randomUUID();
  const { audience, realm } = whose(consumerId);
  await table.sql.query(
    `insert into sessions (key, handle, family, kind, generation, consumer_id, audience, realm, data,
      authenticated_at, started_at, renewed_at, seen_at, expires_at)
    select sha256(i::text::bytea), gen_random_uuid(), gen_random_uuid(), 0, 0, $1, $2, $3, '{}', now(), now(), now(),
      now() - i * interval '1 s', 'infinity' from generate_series(1, 250) i`,
    [consumerId, audience, realm],
  );
  const newest = await signIn(node, newSession({ consumerId }), HOUR);
  const listed = await node.storage.list(whose(consumerId));
  assert.equal(listed.length, 200);
  assert.equal(listed[0]?.key, newest.key);
  const { seenAt } = listed.at(-1) ?? assert.fail();
  assert.ok(node.storage.now() - seenAt < 230_000);
});

test('one session ends by its handle, here at once and soon everywhere', async () => {
  const { consumerId } = await crowd();
  const { session, remember } = await remembered(node, { consumerId });
  const kept = await signIn(node, newSession({ consumerId }), HOUR);
  for (const each of [session, remember, kept]) await other.storage.load(each);
  const statements = await statementsOf(async () => {
    const ended = await node.storage.endByHandle(whose(consumerId), session.handle);
    assert.deepEqual(ended, { count: 1, current: false });
  });
  assert.deepEqual(statements, ['end_handle', 'end'], 'once more, since a remember row went');
  assert.equal(await table.count(session.family), 0);
  for (const each of [session, remember]) {
    assert.ok(!node.storage.peek(each));
    await until(() => !other.storage.peek(each));
  }
  assert.ok(node.storage.peek(kept) && other.storage.peek(kept));
  assert.equal(await node.storage.endByHandle(whose(consumerId), session.handle), undefined);
  const again = await statementsOf(() => node.storage.endByHandle(whose(consumerId), kept.handle));
  assert.deepEqual(again, ['end_handle']);
});

test('a handle of somebody else, or of another audience or realm, ends nothing', async () => {
  const { consumerId, strangers } = await crowd();
  const mine = await signIn(node, newSession({ consumerId }), HOUR);
  for (const { handle } of strangers) {
    assert.equal(await node.storage.endByHandle(whose(consumerId), handle), undefined);
  }
  assert.equal(await node.storage.endByHandle(whose(randomUUID()), mine.handle), undefined);
  for (const session of [...strangers, mine]) assert.ok(await isStored(session));
});

for (const handle of ['', 'no handle', `'; drop table sessions; --`, randomUUID().toUpperCase()]) {
  test(`${JSON.stringify(handle)} is no handle, and no question either`, async () => {
    const statements = await statementsOf(async () => {
      assert.equal(await node.storage.endByHandle(whose('anybody'), handle), undefined);
    });
    assert.deepEqual(statements, []);
  });
}

test('all others end, and nobody else’s', async () => {
  const { consumerId, strangers } = await crowd();
  const current = await signIn(node, newSession({ consumerId }), HOUR);
  const others = [
    await signIn(node, newSession({ consumerId }), HOUR),
    (await remembered(node, { consumerId })).session,
  ];
  const expired = await signIn(node, newSession({ consumerId }), HOUR);
  await table.alter(expired, 'expires_at = now()');
  for (const each of [current, ...others]) await other.storage.load(each);
  const mine = { ...whose(consumerId), current };
  const statements = await statementsOf(async () => {
    assert.deepEqual(await node.storage.endOthers(mine, current.family), {
      count: 2,
      current: false,
    });
  });
  assert.deepEqual(statements, ['end_others', 'end'], 'once more, since a remember row went');
  for (const each of others) {
    assert.equal(await table.count(each.family), 0);
    assert.ok(!node.storage.peek(each));
    await until(() => !other.storage.peek(each));
  }
  assert.ok(other.storage.peek(current));
  for (const session of [...strangers, current]) assert.ok(await isStored(session));
  assert.deepEqual(await node.storage.endOthers(mine, undefined), { count: 1, current: true });
  assert.equal(await isStored(current), false);
  assert.deepEqual(await node.storage.endOthers(mine, undefined), { count: 0, current: true });
});

test('of a sign-in of which only the persistent cookie is left, its realm must be named', async () => {
  const consumerId = randomUUID();
  const { session, remember } = await remembered(node, { consumerId });
  await table.sql.query('delete from sessions where handle = $1', [session.handle]);
  const mine = whose(consumerId);
  assert.equal((await node.storage.endOthers(mine, undefined)).count, 0);
  assert.ok(await isStored(remember));
  const all = { ...mine, rememberRealm: REMEMBER_REALM };
  assert.equal((await node.storage.endOthers(all, undefined)).count, 1);
  assert.equal(await isStored(remember), false);
});

test('thousands end in batches', async () => {
  const consumerId = randomUUID();
  const { audience, realm } = whose(consumerId);
  await table.sql.query(
    `insert into sessions (key, handle, family, kind, generation, consumer_id, audience, realm, data,
      authenticated_at, started_at, renewed_at, seen_at, expires_at)
    select sha256(('many' || i)::bytea), gen_random_uuid(), gen_random_uuid(), 0, 0, $1, $2, $3, '{}', now(), now(),
      now(), now(), 'infinity' from generate_series(1, 2500) i`,
    [consumerId, audience, realm],
  );
  const statements = await statementsOf(async () => {
    assert.equal((await node.storage.endOthers(whose(consumerId), undefined)).count, 2500);
  });
  assert.deepEqual(statements, ['end_others', 'end_others', 'end_others']);
});

test('restorations and the end of all others at once: 100 times nothing is left', async () => {
  for (let round = 0; round < 100; round++) {
    const { session, remember } = await remembered(node);
    const whole = { ...whose(session.consumerId), rememberRealm: REMEMBER_REALM };
    const work = [
      () => other.storage.restore(remember, newSession(), HOUR),
      () => node.storage.endOthers(whole, undefined),
      () => node.storage.restore(remember, newSession(), HOUR),
    ];
    const order = [...work.slice(round % 3), ...work.slice(0, round % 3)];
    await Promise.all(order.map((start) => start()));
    assert.equal(await table.count(session.family), 0, `round ${round}`);
  }
});
