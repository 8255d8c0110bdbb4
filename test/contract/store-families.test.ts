import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Session } from '../../lib/session.ts';
import {
  HOUR,
  MONTH,
  newSession,
  openNode,
  plainCodec,
  remembered,
  until,
  untilTrusted,
  use,
} from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import { Table } from '../support/table.ts';
import { openTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

/* What ends a family and what restores, confirms or renews in it, at the same time. */

let nodes: TwoNodes;
let url: string;
let node: TestNode;
let other: TestNode;
let table: Table;
let watcher: Table;

before(async () => {
  nodes = await openTwoNodes(0);
  ({ url, node, other, table } = nodes);
  watcher = await Table.open(nodes.url);
});

after(async () => {
  await watcher.close();
  await nodes.close();
});

const begin = (fields: Parameters<typeof remembered>[1] = {}) => remembered(node, fields);

test('restorations and an end at once: 300 times nothing of the family is left', async () => {
  for (let round = 0; round < 300; round++) {
    const { session, remember } = await begin();
    const existing = newSession();
    if (round % 2) await other.storage.restore(remember, existing, HOUR);
    const key = round % 2 ? existing.key : randomBytes(32).toString('base64url');
    const work = [
      () => other.storage.restore(remember, newSession({ key }), HOUR),
      () => node.storage.end(session),
      () => node.storage.restore(remember, newSession(), HOUR),
      () => other.storage.renew(remember, MONTH),
    ];
    const order = [...work.slice(round % 4), ...work.slice(0, round % 4)];
    await Promise.all(order.map((start) => start()));
    assert.equal(await table.count(session.family), 0, `round ${round}`);
    assert.equal(await other.storage.load({ key }), null, `round ${round}`);
  }
});

test('an end that waits for a restoration takes what it stores with it', async () => {
  const { remember } = await begin();
  // What `restore` does, halfway: it holds the remember row and its own row is not committed.
  await table.sql.query('begin');
  const key = Buffer.from(remember.key, 'base64url');
  await table.sql.query('select from sessions where key = $1 for key share', [key]);
  const ended = node.storage.end(remember);
  await until(isWaiting);
  await table.sql.query(
    `insert into sessions select (jsonb_populate_record(s, jsonb_build_object(
      'key', '\\x' || repeat('ab', 32), 'handle', gen_random_uuid(), 'kind', 0))).*
    from sessions s where key = $1`,
    [key],
  );
  await table.sql.query('commit');
  await ended;
  assert.equal(await table.count(remember.family), 0);
});

test('a restoration does not wait for an end that waits for it', async () => {
  // With plans that pass rows on one by one, as they are for large tables.
  const nested = new URL(url);
  nested.searchParams.set('options', '-c enable_hashjoin=off -c enable_mergejoin=off');
  const ending = openNode(nested.href);
  const low = Buffer.alloc(32, 1);
  const { session, remember } = await begin({ key: low.toString('base64url') });
  const key = Buffer.from(remember.key, 'base64url');
  await table.sql.query('begin');
  await table.sql.query('select from sessions where key = $1 for key share', [key]);
  const ended = ending.storage.end(session); // holds the session's row, the first by its key
  await until(isWaiting);
  await table.sql.query(
    'insert into sessions select * from sessions where key = $1 on conflict (key) do nothing',
    [low],
  );
  await table.sql.query('commit');
  await ended;
  await ending.close();
  assert.equal(await table.count(session.family), 0);
});

/** Whether a statement of a node comes to wait for a row of ours. */
async function isWaiting(): Promise<boolean> {
  const { rows } = await watcher.sql.query(
    `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return rows.length > 0;
}

test('a sign-in that replaces a family takes what is being restored with it', async () => {
  for (let round = 0; round < 100; round++) {
    const { session, remember } = await begin();
    const work = [
      () => other.storage.restore(remember, newSession(), HOUR),
      () =>
        node.storage.create({
          session: newSession(),
          lifetime: HOUR,
          replaces: [session],
          limit: round % 2 ? { sessions: 5, policy: 'evict-oldest', idleFor: 0 } : undefined,
        }),
    ];
    await Promise.all((round % 4 < 2 ? work : work.toReversed()).map((start) => start()));
    assert.equal(await table.count(session.family), 0, `round ${round}`);
  }
});

for (const [what, end] of [
  ['consumer', ({ consumerId }: Session) => node.backend.endConsumer(consumerId)],
  [
    'credential',
    ({ consumerId, credentialId = '' }: Session) =>
      node.backend.endCredential(consumerId, credentialId),
  ],
] as const) {
  test(`restorations and the end of a ${what} at once: 100 times nothing lives`, async () => {
    for (let round = 0; round < 100; round++) {
      const { session, remember } = await begin({ credentialId: randomUUID() });
      const fresh = newSession();
      const work = [
        () => other.storage.restore(remember, fresh, HOUR),
        () => end(remember),
        () => node.storage.restore(remember, newSession(), HOUR),
      ];
      const order = [...work.slice(round % 3), ...work.slice(0, round % 3)];
      await Promise.all(order.map((start) => start()));
      assert.equal(await other.storage.load(fresh), null, `round ${round}`);
      assert.equal(await other.storage.renew({ ...session, ...fresh }, HOUR), null);
      assert.equal(await table.count(session.family), 0, `round ${round}`);
    }
  });
}

test('a restoration whose answer is on its way when the family ends is not believed', async () => {
  const waiting: (() => void)[] = [];
  let isHolding = false;
  const codec = {
    ...plainCodec,
    open: async (key: string, sealed: Uint8Array) => {
      if (isHolding) await new Promise<void>((resolve) => waiting.push(resolve));
      return plainCodec.open(key, sealed);
    },
  };
  const slow = openNode(url, { codec, cacheTtl: 60_000 });
  await untilTrusted(slow);
  const { session, remember } = await remembered(slow);
  const fresh = newSession();
  isHolding = true;
  const restoring = slow.storage.restore(remember, fresh, HOUR);
  await until(() => waiting.length > 0);
  await slow.storage.end(session);
  isHolding = false;
  for (const go of waiting) go();
  assert.equal(await restoring, null);
  assert.ok(!slow.storage.peek(fresh));
  await slow.close();
});

test('a generation of the persistent cookie that is issued meanwhile is not confirmed', async () => {
  const { session, remember } = await begin();
  await table.sql.query('begin');
  await table.alter(remember, 'generation = 1');
  use(node, session, 0, HOUR, 0);
  const flushed = node.backend.touches.flush();
  await until(isWaiting);
  await table.sql.query('commit');
  await flushed;
  assert.notEqual((await other.storage.load(session))?.confirmedAt, undefined);
  assert.equal((await other.storage.load(remember))?.confirmedAt, undefined);
});

test('touches, renewals and an end of a family with a remember row do not block each other', async () => {
  for (let round = 0; round < 100; round++) {
    const { session, remember } = await begin();
    use(node, session, 0, HOUR, 0);
    use(node, remember, 0, MONTH, 0);
    use(other, session, 0, HOUR, 0);
    const work: (() => Promise<unknown>)[] = [
      () => node.backend.touches.flush(),
      () => other.backend.touches.flush(),
      () => other.storage.renew(remember, MONTH),
      () => node.storage.end(session),
    ];
    const order = [...work.slice(round % 4), ...work.slice(0, round % 4)];
    await Promise.all(order.map((start) => start()));
    assert.equal(await table.count(session.family), 0, `round ${round}`);
  }
});
