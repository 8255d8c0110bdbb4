import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { prune } from '../../lib/prune.ts';
import type { Session } from '../../lib/session.ts';
import {
  HOUR,
  newSession,
  openNode,
  plainCodec,
  signIn,
  statementsOf,
  until,
  use,
  whose,
} from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import type { Table } from '../support/table.ts';
import { openTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

/* What the tables' statements do, on a real Postgres, without any cache in between. */

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

const expiryOf = (session: Session) =>
  table.column<number>(session, 'extract(epoch from expires_at - renewed_at)::float8 * 1000');

/** What a codec without secrets makes of a session's data. */
const SEALED = Buffer.from('{}');

test('a session comes back as it was stored', async () => {
  const fields = newSession({
    kind: 'remember',
    credentialId: randomUUID(),
    subject: Buffer.from('Zoë 🦉').toString('latin1'),
    data: { username: 'zo\xc3\xab', groups: ['\xff\xfe'] },
  });
  const start = Date.now();
  const created = await signIn(node, fields, HOUR);
  assert.deepEqual(await other.storage.load(created), created);
  const { authenticatedAt: now, ...rest } = created;
  assert.deepEqual(rest, {
    ...fields,
    generation: 0,
    startedAt: now,
    renewedAt: now,
    seenAt: now,
    previousRenewedAt: undefined,
    confirmedAt: undefined,
  });
  assert.ok(now >= start - 1000 && now <= Date.now() + 1000, 'milliseconds since the epoch');
  assert.equal(
    await table.column(created, 'subject'),
    'Zoë 🦉',
    'text in the table, for people to read',
  );
});

for (const bytes of ['plain', '\xff\xfe', 'a\0b', '\\xff', '\\', 'Zo\xc3\xab', '']) {
  test(`the bytes ${JSON.stringify(bytes)} survive the table`, async () => {
    const consumerId = `${bytes}${randomUUID()}`;
    const created = await signIn(node, newSession({ consumerId, subject: bytes }), HOUR);
    assert.deepEqual(await node.storage.load(created), created);
    const listed = await node.storage.list(whose(consumerId));
    assert.deepEqual(
      listed.map(({ key, subject }) => [key, subject]),
      [[created.key, bytes]],
    );
  });
}

test('an unknown key is no session', async () => {
  assert.equal(await node.storage.load(newSession()), null);
});

test('a session expires with its lifetime and nothing brings it back', async () => {
  const session = await signIn(node, newSession(), HOUR);
  await table.alter(session, `expires_at = now() - interval '1 ms'`);
  assert.equal(await node.storage.load(session), null);
  assert.equal(await node.storage.renew(session, HOUR), null);
  use(node, session, 0, { rolling: 0, absolute: 0 }, 0);
  await node.backend.touches.flush();
  assert.equal(await node.storage.load(session), null);
});

for (const [lifetime, expected] of [
  [{ rolling: 1000, absolute: 5000 }, 1000],
  [{ rolling: 9000, absolute: 5000 }, 5000],
  [{ rolling: 0, absolute: 5000 }, 5000],
  [{ rolling: 1000, absolute: 0 }, 1000],
  [{ rolling: 0, absolute: 0 }, Infinity],
] as const) {
  test(`rolling ${lifetime.rolling} and absolute ${lifetime.absolute} end after ${expected}`, async () => {
    const session = await signIn(node, newSession(), lifetime);
    assert.equal(await expiryOf(session), expected);
  });
}

test('a renewal raises the generation and counts from now', async () => {
  const session = await signIn(node, newSession(), { rolling: 5000, absolute: 60_000 });
  await table.alter(
    session,
    `renewed_at = now() - interval '4 s', seen_at = now() - interval '3 s',
    confirmed_at = now() - interval '2 s', expires_at = now() + interval '1 s'`,
  );
  const old = await node.storage.load(session);
  const renewed = await node.storage.renew(session, { rolling: 5000, absolute: 60_000 });
  assert.ok(old && renewed);
  assert.equal(renewed.generation, 1);
  assert.equal(renewed.previousRenewedAt, old.renewedAt);
  assert.ok(renewed.renewedAt >= old.renewedAt + 4000);
  assert.equal(renewed.confirmedAt, undefined);
  assert.equal(renewed.seenAt, renewed.renewedAt);
  assert.equal(await expiryOf(session), 5000);
  assert.deepEqual(await node.storage.load(session), renewed);
});

test('a renewal of a generation that is past changes nothing and tells the newest', async () => {
  const session = await signIn(node, newSession(), HOUR);
  const renewed = await node.storage.renew(session, HOUR);
  const late = await other.storage.renew(session, HOUR);
  assert.deepEqual({ ...late, seenAt: 0 }, { ...renewed, seenAt: 0 });
});

test('a route with a shorter lifetime takes nothing away, one with a longer adds', async () => {
  const session = await signIn(node, newSession(), HOUR);
  await node.storage.renew(session, { rolling: 1000, absolute: 2000 });
  assert.ok(((await expiryOf(session)) ?? 0) > 3_500_000);
  use(node, session, 0, { rolling: 2 * HOUR.rolling, absolute: HOUR.absolute }, 0);
  await node.backend.touches.flush();
  assert.equal(await expiryOf(session), 2 * HOUR.rolling);
});

test('50 renewals at once over two nodes make one successor', async () => {
  const session = await signIn(node, newSession(), HOUR);
  const renewals = Array.from({ length: 50 }, (_, i) =>
    // Past the sharing of requests on one node: every one is a statement.
    (i % 2 ? node : other).backend.store.renew(session.key, 0, SEALED, HOUR),
  );
  const results = await Promise.all(renewals);
  assert.deepEqual(new Set(results.map((result) => result?.session.generation)), new Set([1]));
  assert.equal(new Set(results.map((result) => result?.session.renewedAt)).size, 1);
  assert.equal(await table.column(session, 'generation'), 1);
});

test('one node sends simultaneous renewals of one generation once', async () => {
  const session = await signIn(node, newSession(), HOUR);
  const statements = await statementsOf(async () => {
    const renewals = Array.from({ length: 50 }, () => node.storage.renew(session, HOUR));
    for (const result of await Promise.all(renewals)) assert.equal(result?.generation, 1);
  });
  assert.deepEqual(statements, ['renew']);
});

test('renewals, touches and an end at once: 200 times the end wins', async () => {
  for (let round = 0; round < 200; round++) {
    const session = await signIn(node, newSession(), HOUR);
    use(node, session, 0, HOUR, 0);
    const { store, touches } = node.backend;
    const work: (() => Promise<unknown>)[] = [
      () => store.renew(session.key, 0, SEALED, HOUR),
      () => node.storage.end(session),
      () => other.storage.renew(session, HOUR),
      () => touches.flush(),
    ];
    const order = [...work.slice(round % 4), ...work.slice(0, round % 4)];
    await Promise.all(order.map((start) => start()));
    assert.equal(await table.column(session, 'generation'), undefined, `round ${round}`);
    assert.equal(await other.storage.load(session), null, `round ${round}`);
  }
});

test('a sign-in ends the family it replaces in the same statement', async () => {
  const old = await signIn(node, newSession(), HOUR);
  const remembered = newSession({ family: old.family, kind: 'remember' });
  await signIn(node, remembered, HOUR);
  const fresh = newSession();
  const statements = await statementsOf(() => signIn(node, fresh, HOUR, old));
  assert.deepEqual(statements, ['create_replacing', 'end'], 'once more, since a remember row went');
  assert.equal(await other.storage.load(old), null);
  assert.equal(await other.storage.load(remembered), null);
  assert.ok(await other.storage.load(fresh));
});

test('a sign-in that fails ends nothing', async () => {
  const old = await signIn(node, newSession(), HOUR);
  const taken = await signIn(node, newSession(), HOUR);
  await assert.rejects(signIn(node, { ...newSession(), key: taken.key }, HOUR, old), {
    code: 'ERR_STORE_UNAVAILABLE',
  });
  assert.ok(await node.storage.load(old));
});

test('touches only ever raise, never ahead of now, and confirm one generation once', async () => {
  const session = await signIn(node, newSession(), HOUR);
  const { store } = node.backend;
  const touch = { key: session.key, lifetime: HOUR, confirmed: undefined };
  await table.alter(session, `seen_at = now() - interval '100 s', generation = 3`);
  const now = node.storage.now();
  await store.touch([{ ...touch, seenAt: now - 50_000 }]);
  await store.touch([{ ...touch, seenAt: now - 70_000 }]);
  assert.ok(Math.abs(((await node.storage.load(session))?.seenAt ?? 0) - (now - 50_000)) <= 1);

  await store.touch([{ ...touch, seenAt: now + 3600_000, confirmed: { generation: 2, at: now } }]);
  const seen = await node.storage.load(session);
  assert.ok(seen && seen.seenAt <= node.storage.now() + 5);
  assert.equal(seen.confirmedAt, undefined, 'not of that generation');

  await store.touch([{ ...touch, seenAt: now, confirmed: { generation: 3, at: now - 9000 } }]);
  await store.touch([{ ...touch, seenAt: now, confirmed: { generation: 3, at: now - 1000 } }]);
  const confirmed = await node.storage.load(session);
  assert.ok(Math.abs((confirmed?.confirmedAt ?? 0) - (now - 9000)) <= 1, 'the first one counts');
  assert.equal(confirmed?.seenAt, seen.seenAt);
});

test('50 requests for one session at once are at most two statements', async () => {
  const session = await signIn(node, newSession(), HOUR);
  const statements = await statementsOf(async () => {
    const loads = Array.from({ length: 50 }, () => node.storage.load(session));
    for (const loaded of await Promise.all(loads)) assert.deepEqual(loaded, session);
  });
  assert.ok(statements.length <= 2, `${statements.length}`);
});

test('the end of a consumer reaches what was authenticated before, and nothing later', async () => {
  const consumerId = randomUUID();
  const old = await signIn(node, newSession({ consumerId }), HOUR);
  const stranger = await signIn(node, newSession(), HOUR);
  await node.backend.endConsumer(consumerId);
  assert.equal(await table.column(old, 'generation'), undefined, 'deleted');
  const fresh = await signIn(node, newSession({ consumerId }), HOUR);
  assert.ok(await other.storage.load(fresh));
  assert.ok(await other.storage.load(stranger));
  // A sign-in that was under way: its transaction began before and committed after the cut-off.
  await table.alter(fresh, `authenticated_at = authenticated_at - interval '1 hour'`);
  assert.equal(await other.storage.load(fresh), null);
  assert.equal(await other.storage.renew(fresh, HOUR), null);
  assert.deepEqual(await other.storage.list(whose(consumerId)), []);
});

test('the end of a credential leaves the consumer its other sessions', async () => {
  const consumerId = randomUUID();
  const credentialId = randomUUID();
  const old = await signIn(node, newSession({ consumerId, credentialId }), HOUR);
  const kept = [
    await signIn(node, newSession({ consumerId, credentialId: randomUUID() }), HOUR),
    await signIn(node, newSession({ consumerId }), HOUR),
  ];
  await node.backend.endCredential(consumerId, credentialId);
  assert.equal(await other.storage.load(old), null);
  assert.equal(await table.column(old, 'generation'), undefined);
  for (const session of kept) assert.ok(await other.storage.load(session));
});

test('the end of everything before a moment, in batches', async () => {
  const moment = node.storage.now() - 3600_000;
  await table.sql.query(
    `insert into sessions (key, handle, family, kind, generation, consumer_id, audience, realm, data,
      authenticated_at, started_at, renewed_at, seen_at, expires_at)
    select sha256(i::text::bytea), gen_random_uuid(), gen_random_uuid(), 0, 0, i::text, 'old', '', '',
      to_timestamp($1::float8 / 1000) - i * interval '1 ms', now(), now(), now(), 'infinity'
    from generate_series(0, 2499) i`,
    [moment],
  );
  const kept = await signIn(node, newSession(), HOUR);
  await node.backend.endAll(moment);
  const { rows } = await table.sql.query(`select from sessions where audience = 'old'`);
  assert.equal(rows.length, 0);
  assert.ok(await node.storage.load(kept));
});

test('a cut-off cannot be put into the future', async () => {
  await node.backend.endAll(node.storage.now() + 3600_000);
  assert.ok(await node.storage.load(await signIn(node, newSession(), HOUR)));
});

test('a consumer has a count of sign-ins', async () => {
  const consumerId = randomUUID();
  const { family } = await signIn(node, newSession({ consumerId }), HOUR);
  await signIn(node, newSession({ consumerId }), { rolling: 0, absolute: 0 });
  await signIn(node, newSession({ consumerId, family, kind: 'remember' }), HOUR);
  const expired = await signIn(node, newSession({ consumerId }), HOUR);
  await table.alter(expired, 'expires_at = now()');
  assert.equal(await node.backend.count(consumerId), 2, 'a remembered sign-in is one');
  assert.ok((await node.backend.count()) >= 2);
});

test('data that does not open is a dead session to its reader, not to others', async () => {
  const session = await signIn(node, newSession(), HOUR);
  const blind = openNode(url, { codec: { ...plainCodec, open: async () => undefined } });
  assert.equal(await blind.storage.load(session), undefined, 'which is not gone');
  assert.equal(await blind.storage.renew(session, HOUR), null);
  assert.equal(blind.storage.peek(session), undefined, 'not remembered as gone');
  const [listed] = await blind.storage.list(whose(session.consumerId));
  assert.deepEqual(listed?.data, {});
  assert.equal(listed?.key, session.key);
  await blind.close();
  assert.ok(await node.storage.load(session));
});

test('pruning takes what has expired, in batches, except what somebody holds', async () => {
  await table.sql
    .query(`insert into sessions (key, handle, family, kind, generation, consumer_id, audience, realm, data,
      authenticated_at, started_at, renewed_at, seen_at, expires_at)
    select sha256(i::text::bytea), gen_random_uuid(), gen_random_uuid(), 0, 0, i::text, 'past', '', '', now(), now(),
      now(), now(), now() - i * interval '1 s' from generate_series(0, 4999) i`);
  const alive = await signIn(node, newSession(), HOUR);
  await table.sql.query('begin');
  await table.sql.query(
    `select from sessions where consumer_id = '17' and audience = 'past' for update`,
  );
  const names = await statementsOf(async () =>
    assert.ok((await prune(node.backend.store)) >= 4999),
  );
  assert.deepEqual(names, ['prune', 'prune', 'prune']);
  await table.sql.query('commit');
  const left = await table.sql.query(`select from sessions where audience = 'past'`);
  assert.equal(left.rows.length, 1);
  assert.equal(await prune(node.backend.store), 1);
  assert.ok(await node.storage.load(alive));
});

test('one node prunes at a time', async () => {
  const session = await signIn(node, newSession(), HOUR);
  await table.alter(session, 'expires_at = now()');
  await table.sql.query('begin');
  await table.sql.query(`select pg_advisory_xact_lock(hashtextextended('prune session_guard', 0))`);
  assert.equal(await prune(node.backend.store), 0);
  await table.sql.query('commit');
  assert.equal(await prune(node.backend.store), 1);
});

test('cut-offs go when nothing is left that they could end', async () => {
  const family = randomUUID();
  await node.backend.endCookies(family, node.storage.now() - 1);
  await node.backend.store.prune(1);
  const { rows } = await table.sql.query('select from cutoffs where target = $1', [family]);
  assert.equal(rows.length, 0);
});

test('cut-offs go in batches too', async () => {
  await prune(node.backend.store);
  await table.sql.query(
    `insert into cutoffs select 'family', 'past' || i, 'infinity', now() - interval '1 s' from generate_series(1, 2500) i`,
  );
  const names = await statementsOf(async () => assert.equal(await prune(node.backend.store), 0));
  assert.deepEqual(names, ['prune', 'prune']);
  const { rows } = await table.sql.query(`select from cutoffs where target like 'past%'`);
  assert.equal(rows.length, 0);
});

test('a node prunes by itself', async () => {
  const session = await signIn(node, newSession(), HOUR);
  await table.alter(session, 'expires_at = now()');
  const pruning = openNode(url, { pruneInterval: 20 });
  await until(async () => (await table.column(session, 'generation')) === undefined);
  await pruning.close();
});
