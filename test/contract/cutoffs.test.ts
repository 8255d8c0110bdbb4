import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CookieStorage } from '../../lib/cookie-storage.ts';
import { openCutOffs } from '../../lib/server-storage.ts';
import type { Session } from '../../lib/session.ts';
import type { Lifetime } from '../../lib/storage.ts';
import { HOUR, newSession, openNode, signIn, until } from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { Table } from '../support/table.ts';

/* How long the ends of sessions in cookies are remembered: as long as a copy of their cookies could be alive anywhere. */

let postgres: Postgres;
let url: string;
let node: TestNode;
let table: Table;

before(async () => {
  postgres = await startPostgres();
  url = await postgres.newDatabase();
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

/** A route, by the realm of its cookies and how long they live. */
const open = (realm: string, ...lifetimes: Lifetime[]) =>
  openCutOffs({ database: node.database, realm, lifetimes });

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

const YEAR = { rolling: 365 * DAY, absolute: 365 * DAY };
const FOREVER = { rolling: 0, absolute: 0 };

test('the end of all of a user reaches today’s cookies of the audience and realm, and nothing else', async () => {
  open('elsewhere', YEAR);
  const cutOffs = open('users', HOUR);
  const session = inCookie(5 * DAY, 20 * MINUTE);
  const { consumerId, audience } = session;
  const remember = { ...session, kind: 'remember', realm: 'remember users' } as const;
  const row = await signIn(node, newSession({ consumerId }), HOUR);
  const cases = [
    [open('elsewhere', YEAR), session],
    [cutOffs, { ...session, family: newSession().family, audience: 'other' }],
    [cutOffs, { ...inCookie(5 * DAY, 0), audience }],
  ] as const;
  for (const [at, other] of cases) assert.equal(await at.load(other), -Infinity);
  await cutOffs.addUser({ consumerId, audience, realm: 'users', idleFor: 0 });
  for (const each of [session, remember]) {
    assert.ok((await cutOffs.load(each)) >= session.authenticatedAt);
  }
  assert.equal(await table.count(row.family), 1);
  for (const [at, other] of cases) {
    assert.equal(await at.load(other), -Infinity);
  }
  const target = `${consumerId} ${audience} users`;
  assert.ok(isNear(await kept('consumer', target), 90 * DAY));
  const later = { ...inCookie(0, 0), consumerId, authenticatedAt: node.database.now() + 1 };
  assert.ok((await cutOffs.load(later)) < later.authenticatedAt);
});

for (const [what, lifetimes, expected] of [
  ['90 days, should another route or a later change allow more', [HOUR], 90 * DAY],
  ['a longer rolling limit', [{ rolling: 100 * DAY, absolute: 0 }], 100 * DAY],
  ['a longer absolute limit', [{ rolling: 400 * DAY, absolute: 200 * DAY }], 200 * DAY],
  ['the persistent cookie, if that lives longer', [HOUR, YEAR], 365 * DAY],
  ['ever, where nothing limits the cookies', [HOUR, FOREVER], Infinity],
] as const) {
  test(`an end is remembered for ${what}`, async () => {
    const session = inCookie(5 * DAY, 20 * MINUTE);
    const cutOffs = open(what, ...lifetimes);
    await cutOffs.add(session);
    const time = await kept('family', session.family);
    assert.ok(isNear(time, expected), `${time}`);
    assert.equal(await cutOffs.load(session), Infinity);
  });
}

test('the route that signs out may be another than the one with the longest timeouts, or be older than it', async () => {
  const portal = open('shared', YEAR);
  const api = open('shared', HOUR);
  const session = inCookie(0, 0);
  await api.add(session);
  assert.ok(isNear(await kept('family', session.family), 365 * DAY));
  assert.equal(await portal.load(session), Infinity);

  open('shared', { rolling: 500 * DAY, absolute: 500 * DAY });
  const next = inCookie(0, 0);
  await api.add(next);
  assert.ok(isNear(await kept('family', next.family), 500 * DAY), 'timeouts were raised');

  open('shared', HOUR);
  const last = inCookie(0, 0);
  await api.add(last);
  assert.ok(
    isNear(await kept('family', last.family), 500 * DAY),
    'and cookies from before live on',
  );
});

test('what another realm allows does not matter', async () => {
  open('foreign', YEAR);
  const session = inCookie(0, 0);
  await open('native', HOUR).add(session);
  assert.ok(isNear(await kept('family', session.family), 90 * DAY));
});

test('what is remembered of a logout takes less than 300 bytes, indexes included', async () => {
  await table.sql.query('truncate cutoffs');
  const cutOffs = open('busy', HOUR);
  // One after the other: where many connections wait to extend a table, Postgres extends it by up to 512 kB at once.
  for (let logout = 0; logout < 2000; logout++) await cutOffs.add(inCookie(0, 0));
  const { rows } = await table.sql.query<{ count: number; bytes: number }>(
    `select count(*)::integer as count, pg_total_relation_size('cutoffs')::float8 as bytes from cutoffs`,
  );
  const [size] = rows;
  assert.equal(size?.count, 2000);
  assert.ok(size.bytes / size.count < 300, `${size.bytes / size.count} bytes`);
});

test('the first sign-in of a process has the time of the database, and so has its first request', async (context) => {
  const truth = Date.now();
  const earlier = inCookie(0, 0);
  for (const wrong of [3600_000, -3600_000]) {
    context.mock.timers.enable({ apis: ['Date'], now: truth + wrong });
    for (const begin of [true, false]) {
      const fresh = openNode(url);
      const cutOffs = openCutOffs({ database: fresh.database, realm: 'users', lifetimes: [HOUR] });
      const storage = new CookieStorage(cutOffs);
      if (begin) {
        const { session } = await storage.create({
          session: newSession(),
          lifetime: HOUR,
          replaces: [],
          limit: undefined,
        });
        assert.ok(Math.abs(session.authenticatedAt - truth) < 60_000, `${wrong} ms off`);
      } else {
        const presented = { key: earlier.key, generation: 0, session: earlier };
        assert.equal(storage.peek(presented), undefined, 'nobody knows yet');
        assert.deepEqual(await storage.load(presented), earlier);
      }
      await fresh.close();
    }
    context.mock.timers.reset();
  }
});

test('the listener keeps the time', async (context) => {
  context.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3600_000 });
  const fresh = openNode(url);
  await until(() => fresh.backend.bus.isHealthy);
  assert.ok(Math.abs(fresh.database.now() - (Date.now() - 3600_000)) < 60_000);
  await fresh.close();
});
