import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Client } from 'pg';
import type { Session } from '../../lib/session.ts';
import {
  createTables,
  HOUR,
  newSession,
  openNode,
  remembered,
  signIn,
  statementsOf,
  until,
  use,
  whose,
} from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';

/* What the statements cost, by Postgres' own counts. A connection hands in its counts when it ends. */

let postgres: Postgres;
let url: string;
let sql: Client;

before(async () => {
  postgres = await startPostgres();
});

after(async () => {
  await postgres.stop();
});

beforeEach(async () => {
  url = await postgres.newDatabase();
  await createTables(url);
  sql = new Client({ connectionString: url, options: '-c search_path=session_guard' });
  await sql.connect();
});

afterEach(() => sql.end());

/** Of the sessions' table, once nobody else is connected any more. */
async function counts(): Promise<{ scans: number; updates: number; heapOnly: number }> {
  await until(async () => {
    const others = await sql.query(
      `select from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`,
    );
    return others.rows.length === 0;
  });
  const { rows } = await sql.query<{ scans: number; updates: number; heapOnly: number }>(
    `select seq_scan::integer as scans, n_tup_upd::integer as updates, n_tup_hot_upd::integer as "heapOnly"
     from pg_stat_user_tables where schemaname = 'session_guard' and relname = 'sessions'`,
  );
  assert.ok(rows[0]);
  return rows[0];
}

test('touches are one statement for many sessions, and heap-only updates', async () => {
  const node = openNode(url);
  const sessions = await Promise.all(
    Array.from({ length: 200 }, () => signIn(node, newSession(), HOUR)),
  );
  // Spread over the touch interval, as in life: what one statement replaces is room for the next.
  const statements = await statementsOf(async () => {
    for (let round = 0; round < 100; round++) {
      for (let i = round % 10; i < sessions.length; i += 10) {
        use(node, sessions[i] as Session, 0, HOUR, 60_000);
      }
      await node.backend.touches.flush();
    }
  });
  assert.deepEqual(
    statements,
    Array.from({ length: 100 }, () => 'touch'),
  );
  await node.close();
  const { updates, heapOnly } = await counts();
  assert.equal(updates, 2000);
  // None would be if an index held what a touch changes. A busy Postgres clears pages late, which costs some.
  assert.ok(heapOnly >= 1200, `${heapOnly} of 2000`);
});

/** A sign-in with a persistent session under a limit, what it restores, and the ends that users choose. */
async function remember(node: TestNode, consumerId: string, round: number): Promise<void> {
  const { storage, backend } = node;
  const limit = {
    sessions: 3,
    policy: round % 2 ? 'refuse' : 'evict-oldest',
    idleFor: HOUR.rolling,
  } as const;
  const begun = await remembered(node, { consumerId }, limit);
  const restored = await storage.restore(begun.remember, newSession(), HOUR);
  assert.ok(restored);
  use(node, restored, 0, HOUR, 0);
  await backend.touches.flush();
  assert.ok(await storage.endByHandle(whose(consumerId), restored.handle));
  assert.equal((await storage.endOthers(whose(consumerId), undefined)).count, 1);
}

test('no statement on the path of a request reads the whole table', async () => {
  await sql.query(`insert into sessions (key, handle, family, kind, generation, consumer_id, audience, realm, data,
      authenticated_at, started_at, renewed_at, seen_at, expires_at)
    select sha256(i::text::bytea), gen_random_uuid(), gen_random_uuid(), 0, 0, i::text, '', '', '', now(), now(),
      now(), now(), now() + interval '1 hour' from generate_series(1, 20000) i`);
  await sql.query('analyze sessions');
  const { scans } = await counts();
  const node = openNode(url, { cacheTtl: 0 });
  const { storage, backend } = node;
  // The sixth execution of a prepared statement may have another plan, for any parameters.
  for (let round = 0; round < 8; round++) {
    const session = await signIn(node, newSession(), HOUR);
    await storage.load(session);
    const renewed = await storage.renew(session, HOUR);
    assert.equal(renewed?.generation, 1);
    use(node, renewed, 1, HOUR, 0);
    await backend.touches.flush();
    await signIn(node, newSession(), HOUR, newSession() as Session);
    await storage.end(newSession());
    await storage.list(whose(session.consumerId));
    await remember(node, session.consumerId, round);
    await backend.store.prune(1000);
  }
  await node.close();
  assert.equal((await counts()).scans, scans);
});
