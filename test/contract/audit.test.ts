import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminStore } from '../../lib/admin-store.ts';
import { Audit, openAudit } from '../../lib/audit.ts';
import { AuditTable } from '../../lib/audit-table.ts';
import { report } from '../../lib/events.ts';
import { revoke } from '../../lib/revoke.ts';
import {
  createTables,
  HOUR,
  newSession,
  openNode,
  signIn,
  statementsOf,
  until,
} from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';

let postgres: Postgres;
let url: string;

before(async () => {
  postgres = await startPostgres();
  url = await postgres.newDatabase();
  await createTables(url);
});
after(() => postgres.stop());

test('events under a configuration with an audit are kept, written together, and only those', async (t) => {
  const node = openNode(url);
  t.after(() => node.close());
  const at = { route: 'r1', instance: 'shop' };
  openAudit(node.backend, at, 60_000);
  const table = new AuditTable(node.database);
  const session = newSession({ consumerId: 'c-kept' });
  const statements = await statementsOf(async () => {
    report('session_created', { session, at });
    for (let i = 0; i < 20; i++) report('session_renewed', { session, at });
    report('session_ended', { session, at, reason: 'self-service' });
    report('cookie_refused');
    report('session_expired', { session, at });
    report('session_created', { session, at: { route: 'r2' } });
    await until(async () => (await table.read({ limit: 100 })).length === 22);
    await sleep(100); // the reader may see the rows before the writer hears that they are there
  });
  assert.equal(statements.filter((name) => name === 'audit_insert').length, 1);
  const [last, ...others] = await table.read({ consumerId: 'c-kept', limit: 100 });
  assert.equal(others.length, 21);
  assert.deepEqual(
    { ...last, at: undefined },
    {
      at: undefined,
      event: 'session_ended',
      actor: 'user',
      handle: session.handle,
      family: session.family,
      consumerId: 'c-kept',
      audience: 'default',
      route: 'r1',
      reason: 'self-service',
    },
  );
});

test('what a client can repeat with one session is kept once a minute', async (t) => {
  const node = openNode(url);
  t.after(() => node.close());
  const at = {};
  openAudit(node.backend, at, 60_000);
  const [one, other] = [newSession({ consumerId: 'c-flood' }), newSession()];
  let clock = performance.now();
  t.mock.method(performance, 'now', () => clock);
  const flood = () => {
    for (let i = 0; i < 1000; i++) report('session_bound_elsewhere', { session: one, at });
  };
  flood();
  report('session_replayed', { session: one, at });
  report('session_bound_elsewhere', { session: other, at });
  clock += 60_001;
  flood();
  t.mock.restoreAll();
  await node.backend.openAudit(60_000).flush();
  const kept = await new AuditTable(node.database).read({ consumerId: 'c-flood', limit: 100 });
  assert.deepEqual(kept.map(({ event }) => event).toSorted(), [
    'session_bound_elsewhere',
    'session_bound_elsewhere',
    'session_replayed',
  ]);
  const others = await new AuditTable(node.database).read({ handle: other.handle, limit: 2 });
  assert.equal(others.length, 1);
});

test('a revocation by an operator is kept with its reason', async (t) => {
  const node = openNode(url);
  t.after(() => node.close());
  const { handle } = await signIn(node, newSession(), HOUR);
  await revoke({ kind: 'handle', handle }, node.backend, new AdminStore(node.database), 'stolen');
  const [entry] = await new AuditTable(node.database).read({ handle, limit: 2 });
  assert.equal(entry?.event, 'session_revoked');
  assert.equal(entry.actor, 'operator');
  assert.equal(entry.reason, 'handle: stolen');
});

test('what does not fit while the database is gone is lost, counted, and told once it is back', async (t) => {
  const written: string[] = [];
  const told: [event: string, count: unknown][] = [];
  let isDown = true;
  const audit = new Audit({
    table: {
      insert: async (entries) => {
        if (isDown) throw new Error('down');
        written.push(...entries.map(({ event }) => event));
      },
      prune: async () => 0,
    },
    now: () => 0,
    ready: async () => {},
    log: (event, { count }) => told.push([event, count]),
    retention: 1000,
    max: 3,
  });
  t.after(() => audit.stop());
  for (let i = 0; i < 5; i++) audit.note({ event: `e${i}`, actor: 'user' });
  await assert.rejects(audit.flush(), /down/);
  isDown = false;
  await audit.flush();
  assert.deepEqual(written, ['e0', 'e1', 'e2']);
  assert.deepEqual(told, [['audit_lost', 2]]);
});

test('entries older than the retention are deleted, a few at a time', async (t) => {
  const node = openNode(url);
  t.after(() => node.close());
  const table = new AuditTable(node.database);
  const entry = { event: 'old', actor: 'user' } as const;
  const now = node.database.now();
  await table.insert([
    ...[1, 2, 3].map((hours) => ({ ...entry, at: now - hours * 3600_000 })),
    { ...entry, at: now },
  ]);
  assert.equal(await table.prune(1800_000, 2), 2);
  assert.equal(await table.prune(1800_000, 2), 1);
  assert.equal((await table.read({ event: 'old', limit: 10 })).length, 1);
});

test('revocations stay for a year, whatever the retention of requests, and then go', async (t) => {
  const node = openNode(url);
  t.after(() => node.close());
  const table = new AuditTable(node.database);
  const now = node.database.now();
  const day = 86_400_000;
  const entry = { event: 'session_revoked', actor: 'operator' } as const;
  const reasons = ['of two years ago', 'of last month'];
  await table.insert(
    reasons.map((reason, i) => ({ ...entry, reason, at: now - [730 * day, 30 * day][i]! })),
  );
  await table.prune(0, 100);
  await revoke({ kind: 'all' }, node.backend, new AdminStore(node.database), 'now');
  const kept = await table.read({ event: entry.event, limit: 10 });
  assert.deepEqual(
    kept.map(({ reason }) => reason).filter((reason) => !reason?.startsWith('handle')),
    ['all: now', 'of last month'],
  );
});
