import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Client } from 'pg';
import type { SessionLimit } from '../../lib/config.ts';
import type { Session } from '../../lib/session.ts';
import { SQL } from '../../lib/statements.ts';
import {
  createTables,
  HOUR,
  newSession,
  openNode,
  remembered,
  signIn,
  statementsOf,
  use,
  whose,
} from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';

/* Which statements an operation sends, and how these find their rows: by Postgres' own plans. */

let postgres: Postgres;
let url: string;
let node: TestNode;

before(async () => {
  postgres = await startPostgres();
});

after(async () => {
  await postgres.stop();
});

beforeEach(async () => {
  url = await postgres.newDatabase();
  await createTables(url);
  node = openNode(url, { cacheTtl: 0 });
});

afterEach(() => node.close());

const TWO: SessionLimit = { sessions: 2, policy: 'evict-oldest', idleFor: HOUR.rolling };

const beginUnder = (limit: SessionLimit, consumerId: string) =>
  node.storage.create({
    session: newSession({ consumerId }),
    lifetime: HOUR,
    replaces: [],
    limit,
  });

async function touchAll(sessions: readonly Session[]): Promise<void> {
  for (const session of sessions) use(node, session, session.generation, HOUR, 0);
  await node.backend.touches.flush();
}

test('an operation is one statement, a sign-in under a limit one transaction', async () => {
  const { storage } = node;
  const session = await signIn(node, newSession(), HOUR);
  const persistent = await remembered(node);
  const mine = whose(session.consumerId);
  const operations: [string, () => Promise<unknown>, string[]][] = [
    ['sign-in', () => signIn(node, newSession(), HOUR), ['create']],
    ['sign-in, remembered', () => remembered(node), ['create']],
    [
      'sign-in after another user',
      async () => signIn(node, newSession(), HOUR, await signIn(node, newSession(), HOUR)),
      ['create', 'create_replacing'],
    ],
    [
      'sign-in under a limit',
      () => beginUnder(TWO, randomUUID()),
      ['begin', 'create_limited', 'commit'],
    ],
    ['look-up', () => storage.load(session), ['load']],
    ['renewal', () => storage.renew(session, HOUR), ['renew']],
    ['use', () => touchAll([session]), ['touch']],
    ['list', () => storage.list(mine), ['list']],
    ['logout', () => storage.end(session), ['end']],
    ['restoration', () => storage.restore(persistent.remember, newSession(), HOUR), ['restore']],
    // The second one takes what was being restored meanwhile (Store.end).
    ['logout, remembered', () => storage.end(persistent.session), ['end', 'end']],
  ];
  for (const [name, work, expected] of operations) {
    assert.deepEqual(await statementsOf(work), expected, name);
  }
});

test('uses of 600 sessions are two statements', async () => {
  const session = await signIn(node, newSession(), HOUR);
  const sessions = Array.from({ length: 599 }, () => ({ ...session, key: newSession().key }));
  assert.deepEqual(await statementsOf(() => touchAll([...sessions, session])), ['touch', 'touch']);
});

test('a sign-in under a limit that waits for another tells so', async () => {
  const consumerId = randomUUID();
  const statements = await statementsOf(() =>
    Promise.all([beginUnder(TWO, consumerId), beginUnder(TWO, consumerId)]),
  );
  const one = ['begin', 'commit', 'create_limited'];
  assert.deepEqual(statements.toSorted(), [...one, ...one].toSorted());
});

/** Everything that requests make the store do, with and without persistent sessions and limits. */
async function everything(): Promise<void> {
  const { storage } = node;
  const session = await signIn(node, newSession(), HOUR);
  const another = await signIn(
    node,
    newSession(),
    HOUR,
    (await storage.load(session)) ?? undefined,
  );
  const renewed = await storage.renew(another, HOUR);
  assert.equal(renewed?.generation, 1);
  const begun = await remembered(node, {}, TWO);
  const restored = await storage.restore(begun.remember, newSession(), HOUR);
  assert.ok(restored);
  await touchAll([renewed, restored]);
  await storage.end(renewed);
  await storage.end(begun.session);
}

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly Plans?: readonly Plan[];
}

/** How a plan reads the table of sessions: the names of the indexes, or that of the node that reads without one. */
function accessesOf(plan: Plan): string[] {
  const { 'Node Type': type, 'Relation Name': relation, 'Index Name': index } = plan;
  const isRead =
    type.includes('Scan') && (relation === 'sessions' || index?.startsWith('sessions_'));
  const own = isRead && type !== 'Bitmap Heap Scan' ? [index ?? type] : [];
  return [...new Set([...own, ...(plan.Plans ?? []).flatMap(accessesOf)])].toSorted();
}

/** The plan that a prepared statement has for whatever it is given. */
async function planOf(sql: Client, name: keyof typeof SQL): Promise<Plan> {
  const text = SQL[name].replaceAll(':SCHEMA', 'session_guard');
  const count = Math.max(0, ...[...text.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number)));
  const nulls = Array.from({ length: count }, () => 'null').join(', ');
  await sql.query(`prepare one as ${text}`);
  const { rows } = await sql.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
    `explain (format json) execute one ${count > 0 ? `(${nulls})` : ''}`,
  );
  await sql.query('deallocate one');
  const [row] = rows;
  assert.ok(row);
  return row['QUERY PLAN'][0].Plan;
}

/** What Postgres believes of the table when it makes a plan that is then kept. */
const STATES = {
  'all alive': "now() + interval '1 hour'",
  'all but expired': "now() - interval '1 hour'",
};

for (const [state, expires] of Object.entries(STATES)) {
  test(`statements of requests find sessions by key, ends of families by theirs (${state})`, async () => {
    const names = new Set(await statementsOf(everything));
    const sql = new Client({
      connectionString: url,
      options: '-c plan_cache_mode=force_generic_plan',
    });
    await sql.connect();
    await sql.query(`insert into session_guard.sessions (key, handle, family, kind, generation, consumer_id, audience,
        realm, data, authenticated_at, started_at, renewed_at, seen_at, expires_at)
      select sha256(i::text::bytea), gen_random_uuid(), gen_random_uuid(), i % 2, 0, i::text, '', '', '', now(),
        now(), now(), now(), ${expires} from generate_series(1, 20000) i`);
    await sql.query('vacuum analyze session_guard.sessions');
    const accesses: Record<string, string[]> = {};
    for (const name of names) {
      if (isOurs(name)) accesses[name] = accessesOf(await planOf(sql, name));
    }
    const pruning = accessesOf(await planOf(sql, 'prune'));
    await sql.end();
    assert.deepEqual(pruning, ['Tid Scan', 'sessions_expires_at']);
    const [key, family, consumer] = ['sessions_pkey', 'sessions_family', 'sessions_consumer_id'];
    assert.deepEqual(accesses, {
      create: [],
      load: [key],
      renew: [key],
      restore: [key],
      create_replacing: [family, key],
      end: [family, key],
      // Where a session is presented first: the remember row that came with it.
      touch: [family, key],
      create_limited: [consumer, family, key],
    });
    assert.deepEqual(
      [...names].filter((name) => !isOurs(name)),
      ['begin', 'commit'],
    );
  });
}

const isOurs = (name: string): name is keyof typeof SQL => name in SQL;
