import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { SessionError } from '../../lib/errors.ts';
import { openDatabase } from '../../lib/database.ts';
import { Blackhole } from '../support/blackhole.ts';
import {
  HOUR,
  newSession,
  openNode,
  remembered,
  signIn,
  until,
  untilTrusted,
  use,
  whose,
} from '../support/nodes.ts';
import type { NodeOptions, TestNode } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';

/* A database that is down, slow, silent or busy: everything says so in time, and works again afterwards. */

const UNAVAILABLE = { code: 'ERR_STORE_UNAVAILABLE' };

let postgres: Postgres;
let url: string;
let proxy: Blackhole;
let node: TestNode | undefined;

before(async () => {
  postgres = await startPostgres({ own: true });
});

after(async () => {
  await postgres.stop();
});

beforeEach(async () => {
  url = await postgres.newDatabase();
  proxy = await Blackhole.open(url);
});

afterEach(async () => {
  await node?.close();
  node = undefined;
  await proxy.close();
});

/** A node behind the proxy whose timeouts are 300 ms. */
function start(options: NodeOptions = {}): TestNode {
  const database = { connectTimeout: 300, statementTimeout: 300, ...options.database };
  node = openNode(proxy.through(url), { ...options, database });
  return node;
}

/** All operations that ask the store reject as they promise. */
async function assertUnavailable({ storage }: TestNode): Promise<void> {
  const session = { ...newSession(), generation: 0 } as Parameters<typeof storage.renew>[0];
  const mine = whose(session.consumerId);
  for (const work of [
    () => storage.load(session),
    () => signIn({ storage }, newSession(), HOUR),
    () => remembered({ storage }, {}, { sessions: 1, policy: 'refuse', idleFor: 0 }),
    () => storage.renew(session, HOUR),
    () => storage.restore(session, newSession(), HOUR),
    () => storage.end(session),
    () => storage.list(mine),
    () => storage.endByHandle(mine, session.handle),
    () => storage.endOthers(mine, undefined),
  ]) {
    await assert.rejects(work, UNAVAILABLE);
  }
}

const untilServing = (running: TestNode) =>
  until(() =>
    running.storage.load(newSession()).then(
      (found) => found === null,
      () => false,
    ),
  );

test('a database that is down at start is no problem', async () => {
  await postgres.kill();
  const running = start();
  await assertUnavailable(running);
  await postgres.start();
  await untilServing(running);
  await untilTrusted(running);
  const events = running.log.map(({ event }) => event);
  assert.equal(events.filter((event) => event === 'tables_not_ready').length, 1, 'said once');
});

test('a server that was killed: what was stored is there, uses were kept', async () => {
  const running = start();
  await untilTrusted(running);
  const session = await signIn(running, newSession(), HOUR);
  await postgres.kill();
  use(running, session, 0, HOUR, 0); // before, it might be written already
  await assertUnavailable(running);
  await until(() => running.storage.peek(session) === undefined, 5000);
  await until(() => running.log.some(({ event }) => event === 'touches_delayed'));
  await postgres.start();
  await untilServing(running);
  const stored = () => running.backend.store.load(session.key);
  await until(async () => (await stored())?.session.confirmedAt !== undefined);
  await untilTrusted(running);
});

test('a failed logout leaves the session as it is', async () => {
  const running = start();
  await untilTrusted(running);
  const session = await signIn(running, newSession(), HOUR);
  await postgres.pause();
  await assert.rejects(running.storage.end(session), UNAVAILABLE);
  assert.equal(running.storage.peek(session), undefined, 'only the store can tell now');
  await postgres.kill(); // what it had read but not done is lost
  await postgres.start();
  await untilServing(running);
  assert.equal((await running.storage.load(session))?.handle, session.handle);
});

for (const [name, fail, heal] of [
  ['stands still', () => postgres.pause(), () => postgres.resume()],
  ['cannot be reached', async () => proxy.swallow(), async () => proxy.heal()],
  ['is too slow', async () => proxy.delay(2000), async () => proxy.delay(0)],
] as const) {
  test(`a server that ${name} is given up in time, and used again afterwards`, async () => {
    const running = start();
    await untilServing(running);
    await fail();
    const work = Array.from({ length: 30 }, () => assertUnavailable(running));
    const outcome = await Promise.race([Promise.all(work), sleep(10_000, 'too late')]);
    await heal();
    assert.notEqual(outcome, 'too late');
    await untilServing(running);
    await until(() => proxy.connections <= 11, 5000); // the pool and the listener
  });
}

test('idle connections that went silent with another are not tried one by one', async () => {
  const running = start({ database: { connectTimeout: 1500, statementTimeout: 1500 } });
  await untilServing(running);
  const keys = Array.from({ length: 10 }, () => newSession());
  await Promise.all(keys.map((session) => running.storage.load(session))); // ten connections
  proxy.swallowOld();
  await assert.rejects(running.storage.load(newSession()), UNAVAILABLE);
  assert.equal(await running.storage.load(newSession()), null);
});

test('a lock that is held ends in the statement timeout, and the connection lives on', async () => {
  const running = start({
    database: { poolSize: 1, connectTimeout: 1500, statementTimeout: 1500 },
  });
  const session = await signIn(running, newSession(), HOUR);
  const pid = async () => {
    const statement = { name: 'pid', text: 'select pg_backend_pid() as pid' };
    return (await running.database.query<{ pid: number }>(statement, [])).rows[0]?.pid;
  };
  const backend = await pid();
  const holder = new Client({ connectionString: url });
  await holder.connect();
  await holder.query('begin');
  await holder.query('select from session_guard.sessions for update');
  await assert.rejects(running.storage.renew(session, HOUR), { ...UNAVAILABLE, message: /57014/ });
  await assert.rejects(running.storage.end(session), UNAVAILABLE);
  assert.deepEqual(await running.storage.load(session), session, 'readers do not wait for it');
  await holder.end();
  assert.equal((await running.storage.renew(session, HOUR))?.generation, 1);
  assert.equal(await pid(), backend);
});

test('waiting for a connection is bounded in time and number', async () => {
  const running = start({ database: { poolSize: 1, connectTimeout: 150 } });
  await untilServing(running);
  const statement = { name: 'sleep', text: 'select pg_sleep(10)' };
  const work = Array.from({ length: 150 }, () =>
    running.database.query(statement, []).then(
      () => 'done',
      (error: unknown) => (error instanceof SessionError ? error.message : 'other'),
    ),
  );
  const outcomes = await Promise.all(work);
  const count = (pattern: RegExp) => outcomes.filter((outcome) => pattern.test(outcome)).length;
  assert.equal(count(/57014/), 1);
  assert.ok(count(/busy/) >= 49, 'a hundred may wait for each connection');
  assert.equal(count(/busy/) + count(/timeout exceeded/), 149);
  await untilServing(running);
});

test('errors tell no password and no URL', async () => {
  const secret = 'correct-horse-battery';
  const wrong = new URL(url);
  wrong.password = secret;
  for (const address of [wrong.href, `postgres://u:${secret}@127.0.0.1:1/x`]) {
    const database = openDatabase({ url: address });
    await assert.rejects(
      database.query({ name: 'one', text: 'select 1' }, []),
      (error: unknown) => {
        assert.ok(error instanceof SessionError && error.code === 'ERR_STORE_UNAVAILABLE');
        const { cause } = error;
        const told = [error.stack, cause, JSON.stringify(cause)].map(String).join('\n');
        assert.ok(
          cause instanceof Error && !told.includes(secret) && !told.includes('postgres://'),
        );
        return true;
      },
    );
    await database.close();
  }
  for (const broken of [`mysql://u:${secret}@h/x`, `postgres://u:${secret}@[h/x`, secret]) {
    assert.throws(
      () => openDatabase({ url: broken }),
      (error: unknown) => {
        assert.ok(error instanceof SessionError && error.code === 'ERR_CONFIG');
        assert.ok(!`${error.stack} ${String(error.cause)}`.includes(secret));
        return /postgres\.url/.test(error.message);
      },
    );
  }
});

test('equal settings are one pool, until it is closed', async () => {
  const first = openDatabase({ url });
  assert.equal(openDatabase({ url, poolSize: 10 }), first, 'defaults count');
  assert.notEqual(openDatabase({ url, poolSize: 9 }), first);
  await first.close();
  await first.close();
  await assert.rejects(first.query({ name: 'one', text: 'select 1' }, []), UNAVAILABLE);
  const second = openDatabase({ url });
  assert.notEqual(second, first);
  await Promise.all([second.close(), openDatabase({ url, poolSize: 9 }).close()]);
});

for (const [prepared, timeout, statements] of [
  [true, '300ms', ['load', 'names']],
  [false, '0', []],
] as const) {
  test(`prepared ${prepared}: ${statements.length} named statements, timeout ${timeout}`, async () => {
    const running = start({ database: { prepared, poolSize: 1, schema: 'other_schema' } });
    await untilServing(running);
    await running.storage.load(newSession());
    const names = { name: 'names', text: 'select name from pg_prepared_statements order by name' };
    const found = await running.database.query<{ name: string }>(names, []);
    const own = found.rows.map(({ name }) => name).filter((name) => name !== 'migrations');
    assert.deepEqual(own, statements);
    const show = { name: 'show', text: 'show statement_timeout' };
    const { rows } = await running.database.query<{ statement_timeout: string }>(show, []);
    assert.equal(rows[0]?.statement_timeout, timeout);
    const slow = { name: 'slow', text: 'select pg_sleep(10)' };
    await assert.rejects(running.database.query(slow, []), UNAVAILABLE);
    await untilServing(running);
  });
}

test('ssl means encrypted or not at all', async () => {
  const database = openDatabase({ url, ssl: true, sslVerify: false });
  await assert.rejects(database.query({ name: 'one', text: 'select 1' }, []), {
    ...UNAVAILABLE,
    message: /does not support SSL/,
  });
  await database.close();
});

test('closing does not wait for a server that stands still', async () => {
  const running = start();
  await untilTrusted(running);
  const session = await signIn(running, newSession(), HOUR);
  await postgres.pause();
  use(running, session, 0, HOUR, 60_000);
  const outcome = await Promise.race([running.close(), sleep(9000, 'too late')]);
  await postgres.resume();
  assert.notEqual(outcome, 'too late');
  assert.ok(running.log.some(({ event }) => event === 'touches_lost'));
});

test('a certificate that is gone for a moment costs the requests of that moment only', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-ca-'));
  const authority = join(folder, 'ca.pem');
  await writeFile(authority, '');
  const database = openDatabase({
    url: `${url}?sslmode=disable&sslrootcert=${authority}`,
    poolSize: 1,
  });
  const ask = (text: string) => database.query({ name: text, text }, []);
  const cut = assert.rejects(ask('select pg_sleep(60)'), UNAVAILABLE);
  // It gets its connection from within the pool, when the one before has broken.
  const waiting = assert.rejects(ask('select 1'), UNAVAILABLE);
  await until(() => database.pool.waiting === 1);
  const sql = new Client({ connectionString: url });
  await sql.connect();
  await rm(authority);
  await until(async () => {
    const { rows } = await sql.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and query like '%pg_sleep%' and pid <> pg_backend_pid()`);
    return rows.length > 0;
  });
  await Promise.all([cut, waiting]);
  await writeFile(authority, '');
  assert.equal((await ask('select 1')).rows.length, 1);
  await Promise.all([sql.end(), database.close(), rm(folder, { recursive: true })]);
});
