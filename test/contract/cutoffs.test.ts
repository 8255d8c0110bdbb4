import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openCutOffs } from '../../lib/server-storage.ts';
import type { Session } from '../../lib/session.ts';
import type { Lifetime } from '../../lib/storage.ts';
import { HOUR, newSession, openNode, signIn } from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { Table } from '../support/table.ts';

/* How long the ends of sessions in cookies are remembered: as long as a copy of their cookies could be alive. */

let postgres: Postgres;
let node: TestNode;
let table: Table;

before(async () => {
  postgres = await startPostgres();
  const url = await postgres.newDatabase();
  node = openNode(url);
  await signIn(node, newSession(), HOUR); // from here on the node has the database's clock
  table = await Table.open(url);
});

after(async () => {
  await table.close();
  await node.close();
  await postgres.stop();
});

const DAY = 86_400_000;
const MINUTE = 60_000;
/** What clocks may differ by comes on top. */
const SKEW = MINUTE;

const open = (lifetime: Lifetime, rememberLifetime?: Lifetime) =>
  openCutOffs({ database: node.database, lifetime, rememberLifetime });

/** A session in a cookie that was signed in and began so many milliseconds ago. */
function inCookie(authenticated: number, started: number): Session {
  const now = node.database.now();
  const moments = { authenticatedAt: now - authenticated, startedAt: now - started };
  return { ...newSession(), ...moments, generation: 0, renewedAt: now, seenAt: now } as Session;
}

/** For how long from now a cut-off is kept, beyond the skew. */
async function kept(kind: string, target: string): Promise<number | undefined> {
  const { rows } = await table.sql.query<{ kept: number }>(
    `select extract(epoch from expires_at - now())::float8 * 1000 as kept from cutoffs
     where kind = $1 and target = $2`,
    [kind, target],
  );
  return rows[0] && rows[0].kept - SKEW;
}

const isNear = (actual: number | undefined, expected: number) =>
  actual === expected || Math.abs((actual ?? NaN) - expected) < MINUTE / 2;

for (const [what, lifetime, remember, expected] of [
  ['the rolling limit', { rolling: 10 * MINUTE, absolute: DAY }, undefined, 10 * MINUTE],
  ['what is left since its start', { rolling: DAY, absolute: DAY }, undefined, DAY - 20 * MINUTE],
  ['no limit', { rolling: 0, absolute: 0 }, undefined, Infinity],
  [
    'what is left of the persistent cookie since the sign-in',
    { rolling: 10 * MINUTE, absolute: DAY },
    { rolling: 30 * DAY, absolute: 30 * DAY },
    25 * DAY,
  ],
  [
    'a session that the persistent cookie may just have restored',
    { rolling: DAY, absolute: DAY },
    { rolling: DAY, absolute: 5 * DAY },
    DAY,
  ],
] as const) {
  test(`an end is remembered for ${what}`, async () => {
    const session = inCookie(5 * DAY, 20 * MINUTE);
    const cutOffs = open(lifetime, remember);
    await cutOffs.add(session);
    const time = await kept('family', session.family);
    assert.ok(isNear(time, expected), `${time}`);
    assert.equal(await cutOffs.load(session), Infinity);
  });
}

test('the end of a consumer reaches today’s cookies and rows, and is remembered for their lifetime', async () => {
  const cutOffs = open({ rolling: DAY, absolute: 7 * DAY }, { rolling: 30 * DAY, absolute: 0 });
  const session = inCookie(5 * DAY, 20 * MINUTE);
  const { consumerId } = session;
  const row = await signIn(node, newSession({ consumerId }), HOUR);
  await cutOffs.addConsumer(consumerId);
  assert.ok((await cutOffs.load(session)) >= session.authenticatedAt);
  assert.equal(await table.count(row.family), 0);
  const time = await kept('consumer', consumerId);
  assert.ok(isNear(time, 30 * DAY), `${time}`);
  const later = await signIn(node, newSession({ consumerId }), HOUR);
  assert.ok((await cutOffs.load(later)) < later.authenticatedAt);
});
