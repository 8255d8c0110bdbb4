import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openBackend, openBackends } from '../../lib/backend.ts';
import type { Backend } from '../../lib/backend.ts';
import { parseConfig } from '../../lib/config.ts';
import { openDatabase } from '../../lib/database.ts';
import { createLog } from '../../lib/log.ts';
import { plugin } from '../../lib/plugin.ts';
import { Instances } from '../../lib/server/instances.ts';
import { openCutOffs, openServerStorage } from '../../lib/server-storage.ts';
import type { Session } from '../../lib/session.ts';
import { Blackhole } from '../support/blackhole.ts';
import { createTables, HOUR, newSession, plainCodec, signIn, until } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';

/* A database is open while a configuration uses it. */

let postgres: Postgres;

before(async () => {
  postgres = await startPostgres();
});

after(async () => {
  await postgres.stop();
});

const optionsFor = (url: string) => ({ url, connectTimeout: 10_000, statementTimeout: 10_000 });

async function openFor(url: string, grace: number): Promise<Backend> {
  const backend = openBackend(openDatabase(optionsFor(url)), { grace, pruneInterval: 3600_000 });
  await until(() => backend.bus.isHealthy);
  return backend;
}

test('closes when the last configuration has gone, and opens anew for the next', async () => {
  const url = await postgres.newDatabase();
  await createTables(url);
  const backend = await openFor(url, 20);
  const [one, two] = [backend.use(), backend.use()];
  one();
  one(); // counts once
  await sleep(100);
  assert.ok(openBackends().includes(backend), 'another configuration still uses it');
  two();
  await until(() => !backend.bus.isHealthy);
  assert.ok(!openBackends().includes(backend));
  const next = await openFor(url, 20);
  assert.notEqual(next, backend);
  assert.equal(await next.count(), 0, 'the new one answers while the old one closes');
  await next.close();
});

test('a configuration that comes back in time finds it open', async () => {
  const url = await postgres.newDatabase();
  await createTables(url);
  const backend = await openFor(url, 300);
  backend.use()();
  const release = backend.use();
  await sleep(500);
  assert.ok(openBackends().includes(backend));
  assert.equal(openBackend(openDatabase(optionsFor(url))), backend);
  release();
  await until(() => !openBackends().includes(backend));
});

test('an instance that Kong closes uses its database no more', async () => {
  const url = await postgres.newDatabase();
  await createTables(url);
  const config = {
    secret: 'correct horse battery staple, thrice',
    storage: 'kong',
    postgres: { url, connect_timeout: 4, statement_timeout: 4 },
  };
  const settings = parseConfig(config).postgres;
  assert.ok(settings);
  const backend = openBackend(openDatabase(settings), { grace: 20, pruneInterval: 3600_000 });
  const instances = new Instances(plugin, createLog('silent'));
  const start = () => instances.start(Buffer.from(JSON.stringify(config)), 'int32');
  const [one, two] = [start(), start()];
  instances.close(one);
  await sleep(100);
  assert.ok(openBackends().includes(backend), 'another worker still uses it');
  instances.close(two);
  await until(() => !openBackends().includes(backend));
});

test('what ends counts at once wherever this process has the tables open, without a notice', async (context) => {
  const url = await postgres.newDatabase();
  await createTables(url);
  const network = await Blackhole.open(url);
  const options = { codec: plainCodec, cacheTtl: 60_000, realm: 'r', lifetimes: [HOUR] };
  const bus = { heartbeat: 60_000, heartbeatTimeout: 60_000 };
  const [one, two] = [url, network.through(url)].map((way) => {
    const database = openDatabase(optionsFor(way));
    const opened = { ...options, database, bus, pruneInterval: 3600_000 };
    return {
      storage: openServerStorage(opened),
      cutOffs: openCutOffs(opened),
      backend: openBackend(database),
    };
  });
  assert.ok(one && two);
  context.after(async () => {
    await network.close();
    await Promise.all([one.backend.close(), two.backend.close()]);
  });
  await until(() => one.backend.bus.isHealthy && two.backend.bus.isHealthy);
  const [session, other] = [
    await signIn(one, newSession(), HOUR),
    await signIn(one, newSession(), HOUR),
  ];
  const inCookie: Session = { ...session, family: newSession().family };
  await two.storage.load(session);
  await two.storage.load(other);
  await two.cutOffs.load(inCookie);
  network.swallow();

  await one.storage.end(session);
  assert.equal(two.storage.peek(session), undefined);
  assert.deepEqual(two.storage.peek(other), other, 'others are left alone');
  assert.equal(two.cutOffs.peek(inCookie), -Infinity);
  await one.cutOffs.add(inCookie);
  assert.equal(two.cutOffs.peek(inCookie), undefined);
  await one.backend.endConsumer(other.consumerId);
  assert.equal(two.storage.peek(other), undefined);
});
