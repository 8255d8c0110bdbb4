import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Session } from '../../lib/session.ts';
import type { Lifetime } from '../../lib/storage.ts';
import {
  createTables,
  HOUR,
  newSession,
  openNode,
  plainCodec,
  REMEMBER_REALM,
  remembered,
  statementsOf,
  until,
  untilTrusted,
  use,
} from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { Table } from '../support/table.ts';

/* Sign-ins with a persistent session beside the other, and the sessions that it restores. */

const MONTH: Lifetime = { rolling: 7 * 86_400_000, absolute: 30 * 86_400_000 };

let postgres: Postgres;
let url: string;
let node: TestNode;
let other: TestNode;
let table: Table;
let watcher: Table;

before(async () => {
  postgres = await startPostgres();
  url = await postgres.newDatabase();
  await createTables(url);
  [node, other] = [openNode(url, { cacheTtl: 0 }), openNode(url, { cacheTtl: 0 })];
  await Promise.all([node.backend.readiness.ready(), other.backend.readiness.ready()]);
  [table, watcher] = [await Table.open(url), await Table.open(url)];
});

after(async () => {
  await Promise.all([table.close(), watcher.close()]);
  await Promise.all([node.close(), other.close()]);
  await postgres.stop();
});

const begin = (fields: Parameters<typeof remembered>[1] = {}) => remembered(node, fields);

/** What a persistent cookie brings: the key is its own, the rest is to come from the remember row. */
const comeback = (fields: Parameters<typeof newSession>[0] = {}) =>
  newSession({ data: { username: 'alice, later' }, ...fields });

/** A session that is over, as after a night: only the remember row is left. */
async function sleepOver(session: Session): Promise<void> {
  await table.sql.query('delete from sessions where key = $1', [
    Buffer.from(session.key, 'base64url'),
  ]);
}

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
  await sleepOver(session);
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
    await sleepOver(session);
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
    await sleepOver(session);
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
    await sleepOver(session);
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

test('restorations and an end at once: 300 times nothing of the family is left', async () => {
  for (let round = 0; round < 300; round++) {
    const { session, remember } = await begin();
    const existing = comeback();
    if (round % 2) await other.storage.restore(remember, existing, HOUR);
    const key = round % 2 ? existing.key : randomBytes(32).toString('base64url');
    const work = [
      () => other.storage.restore(remember, comeback({ key }), HOUR),
      () => node.storage.end(session),
      () => node.storage.restore(remember, comeback(), HOUR),
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
      () => other.storage.restore(remember, comeback(), HOUR),
      () =>
        node.storage.create({
          session: newSession(),
          lifetime: HOUR,
          replaces: [session],
          limit: round % 2 ? { sessions: 5, policy: 'evict-oldest' } : undefined,
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
      const fresh = comeback();
      const work = [
        () => other.storage.restore(remember, fresh, HOUR),
        () => end(remember),
        () => node.storage.restore(remember, comeback(), HOUR),
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
  const fresh = comeback();
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
