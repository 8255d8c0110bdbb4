import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { Bus } from '../../lib/bus.ts';
import type { BusOptions } from '../../lib/bus.ts';
import { openDatabase } from '../../lib/database.ts';
import { decodeNotice, encodeNotice } from '../../lib/notice.ts';
import type { Notice } from '../../lib/notice.ts';
import { Blackhole } from '../support/blackhole.ts';
import { until } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';

let postgres: Postgres;
let url: string;
let proxy: Blackhole;
let sql: Client;
const buses: Bus[] = [];

before(async () => {
  postgres = await startPostgres();
  url = await postgres.newDatabase();
  sql = new Client({ connectionString: url });
  await sql.connect();
});

after(async () => {
  await sql.end();
  await postgres.stop();
});

beforeEach(async () => {
  proxy = await Blackhole.open(url);
});

afterEach(async () => {
  await Promise.all(buses.splice(0).map((bus) => bus.stop()));
  await proxy.close();
});

/** Heartbeats of 200 ms, a bus that starts at once, through the proxy. */
function open(options: Partial<BusOptions> & { url?: string } = {}) {
  const heard: Notice[] = [];
  const events: string[] = [];
  const bus: Bus = new Bus(openDatabase({ url: options.url ?? proxy.through(url) }), {
    heartbeat: 200,
    heartbeatTimeout: 150,
    retry: [20, 100],
    log: (event) => events.push(event),
    onNotice: (notice) => heard.push(notice),
    onListening: () => events.push(bus.isHealthy ? 'too early' : 'listening'),
    ...options,
  });
  buses.push(bus);
  bus.start();
  return { bus, heard, events };
}

const tell = (payload: string) => sql.query('select pg_notify($1, $2)', ['session_guard', payload]);

for (const notice of [
  { kind: 'family', target: '7e0d3f3e-3c34-4d4b-8f5b-3ff0f8a0a111', before: Infinity },
  { kind: 'consumer', target: 'Zo\xc3\xab with spaces', before: 1795314541715 },
  { kind: 'credential', target: '\xff\n', before: 0 },
  { kind: 'all', target: '', before: 1795314541715 },
] as const) {
  test(`a notice about ${notice.kind} comes out as it went in`, () => {
    assert.deepEqual(decodeNotice(encodeNotice(notice)), notice);
    assert.ok(Buffer.byteLength(encodeNotice(notice)) < 100);
  });
}

for (const payload of ['', 'family', 'family Infinity', 'family soon x', 'planet 1 x', 'reload']) {
  test(`${JSON.stringify(payload)} is taken for "reload"`, () => {
    assert.equal(decodeNotice(payload), 'reload');
  });
}

test('notices arrive in order; trust begins after what was missed is forgotten', async () => {
  const { bus, heard, events } = open();
  assert.equal(bus.isHealthy, false);
  await until(() => bus.isHealthy);
  assert.deepEqual(events, ['listening', 'bus_listening']);
  for (let i = 0; i < 100; i++) await tell(`family Infinity ${i}`);
  await until(() => heard.length === 100);
  assert.deepEqual(
    heard.map((notice) => (typeof notice === 'object' ? notice.target : notice)),
    heard.map((_, i) => `${i}`),
  );
  await sleep(600);
  // By heartbeats, one of which may be late on a busy machine.
  await until(() => bus.isHealthy);
});

test('a listener that was killed comes back and says so', async () => {
  const { bus, heard, events } = open();
  await until(() => bus.isHealthy);
  await sql.query(`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'session-guard listener'`);
  await until(() => !bus.isHealthy);
  await until(() => bus.isHealthy);
  assert.deepEqual(events, [
    'listening',
    'bus_listening',
    'bus_lost',
    'listening',
    'bus_listening',
  ]);
  await tell('reload');
  await until(() => heard.length === 1);
});

test('a connection that has gone silent is noticed by the heartbeat alone', async () => {
  const { bus, heard, events } = open();
  await until(() => bus.isHealthy);
  proxy.swallow();
  await tell('family Infinity lost');
  await until(() => !bus.isHealthy);
  await sleep(500);
  assert.equal(bus.isHealthy, false, 'and stays distrusted');
  assert.deepEqual(heard, []);
  proxy.heal();
  await until(() => bus.isHealthy);
  assert.equal(events.filter((event) => event === 'bus_lost').length, 1, 'said once');
  assert.equal(events.filter((event) => event === 'listening').length, 2);
  await tell('family Infinity heard');
  await until(() => heard.length === 1);
});

test('a silent connection is replaced although nobody cuts it', async () => {
  const { bus, heard, events } = open();
  await until(() => bus.isHealthy);
  proxy.swallowOld();
  await until(() => !bus.isHealthy);
  await until(() => bus.isHealthy);
  assert.equal(events.filter((event) => event === 'listening').length, 2);
  await tell('reload');
  await until(() => heard.length === 1);
});

test('trust ends one heartbeat after the last proof, by a clock that never goes back', async () => {
  let now = 0;
  const { bus } = open({ clock: () => now, heartbeat: 1000 });
  await until(() => bus.isHealthy);
  now = 1000;
  assert.ok(bus.isHealthy);
  now = 1001;
  assert.equal(bus.isHealthy, false);
});

test('a server that cannot be reached is never trusted, and tried again', async () => {
  const nowhere = new URL(proxy.through(url));
  await proxy.close();
  const { bus, events } = open({ url: nowhere.href });
  await until(() => events.length > 0);
  await sleep(200);
  assert.equal(bus.isHealthy, false);
  assert.deepEqual(events, ['bus_lost']);
});

test('a stopped bus is gone from the server, even in the middle of connecting', async () => {
  const { bus } = open();
  await until(() => bus.isHealthy);
  await bus.stop();
  await until(async () => {
    const { rows } = await sql.query(`select from pg_stat_activity
      where datname = current_database() and application_name = 'session-guard listener'`);
    return rows.length === 0;
  });
  const early = open();
  await early.bus.stop();
  assert.equal(early.bus.isHealthy, false);
  assert.deepEqual(early.events, []);
});

test('a file that the URL names may come later', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-ca-'));
  const authority = join(folder, 'ca.pem');
  const { bus, events } = open({ url: `${url}?sslmode=disable&sslrootcert=${authority}` });
  await until(() => events.length > 0);
  await sleep(200);
  assert.deepEqual(events, ['bus_lost']);
  await writeFile(authority, '');
  await until(() => bus.isHealthy);
  await rm(folder, { recursive: true });
});
