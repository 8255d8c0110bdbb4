import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Client } from 'pg';
import { openDatabase } from '../../lib/database.ts';
import type { Database, DatabaseOptions } from '../../lib/database.ts';
import { migrate, pendingMigrations, readMigrations } from '../../lib/migrate.ts';
import type { Migration } from '../../lib/migrate.ts';
import { HOUR, newSession, openNode, signIn, until, use } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';

let postgres: Postgres;
let url: string;
let sql: Client;
const databases: Database[] = [];
const roles: string[] = [];

before(async () => {
  postgres = await startPostgres();
});

after(async () => {
  await postgres.stop();
});

beforeEach(async () => {
  url = await postgres.newDatabase();
  sql = new Client({ connectionString: url });
  await sql.connect();
});

afterEach(async () => {
  for (const name of roles.splice(0)) await sql.query(`drop owned by ${name}; drop role ${name}`);
  await sql.end();
  await Promise.all(databases.splice(0).map((database) => database.close()));
});

function open(options: DatabaseOptions = {}): Database {
  const own = new URL(options.url ?? url);
  own.searchParams.set('fallback_application_name', `${databases.length}`); // not one pool for all
  const database = openDatabase({ ...options, url: own.href });
  databases.push(database);
  return database;
}

const step = (id: number, statement: string, breaking = false): Migration => ({
  id,
  sql: statement,
  breaking,
});

const applied = async () =>
  (await sql.query<{ id: number }>('select id from session_guard.migrations order by id')).rows.map(
    ({ id }) => id,
  );

test('the history is numbered without gaps and its marks are read', async () => {
  const migrations = await readMigrations();
  assert.deepEqual(
    migrations.map(({ id }) => id),
    migrations.map((_, i) => i + 1),
  );
  for (const { sql: text, breaking } of migrations) {
    assert.equal(breaking, text.startsWith('--! breaking-change'));
    assert.match(text, /:SCHEMA\./);
  }
});

test('a migration is applied once, with its id', async () => {
  const database = open();
  const all = (await readMigrations()).map(({ id }) => id);
  assert.deepEqual(
    (await pendingMigrations(database)).map(({ id }) => id),
    all,
  );
  assert.deepEqual(await migrate(database), all);
  assert.deepEqual(await pendingMigrations(database), []);
  assert.deepEqual(await migrate(database), []);
  assert.deepEqual(await applied(), all);
});

test('five nodes that start at once on an empty database all work', async () => {
  const results = await Promise.all(Array.from({ length: 5 }, () => migrate(open())));
  assert.equal(results.filter((ids) => ids.length > 0).length, 1, 'one did the work');
  const nodes = Array.from({ length: 5 }, () => openNode(url));
  await Promise.all(nodes.map((node) => signIn(node, newSession(), HOUR)));
  await Promise.all(nodes.map((node) => node.close()));
});

test('what fails leaves nothing behind', async () => {
  const database = open();
  const history = [step(1, 'create table :SCHEMA.one ()'), step(2, 'create tabel :SCHEMA.two ()')];
  await assert.rejects(migrate(database, history), { code: 'ERR_STORE_UNAVAILABLE' });
  const { rows } = await sql.query(`select to_regnamespace('session_guard') as schema`);
  assert.deepEqual(rows, [{ schema: null }]);
  assert.deepEqual(await migrate(database, history.slice(0, 1)), [1]);
});

test('each schema has tables of its own', async () => {
  const [one, two] = [open({ schema: 'one' }), open({ schema: 'two' })];
  await migrate(one);
  assert.ok((await pendingMigrations(two)).length > 0);
  await migrate(two);
  assert.deepEqual(await pendingMigrations(one), []);
});

for (const schema of ['Public', 'a b', 'x"; drop schema public; --', '', '1a', 'a'.repeat(64)]) {
  test(`the schema ${JSON.stringify(schema).slice(0, 30)} is refused`, () => {
    assert.throws(() => open({ schema }), { code: 'ERR_CONFIG', message: /postgres\.schema/ });
  });
}

test('a schema may have the name of a key word', async () => {
  await migrate(open({ schema: 'select' }));
  assert.deepEqual(await pendingMigrations(open({ schema: 'select' })), []);
});

test('newer migrations are fine unless they break older code', async () => {
  const database = open();
  await migrate(database);
  await migrate(database, [...(await readMigrations()), step(500, 'select 1')]);
  assert.deepEqual(await pendingMigrations(database), []);
  await migrate(database, [
    ...(await readMigrations()),
    step(500, 'select 1'),
    step(501, 'select 1', true),
  ]);
  const refusal = { code: 'ERR_SCHEMA', message: /migration 501.*upgrade/ };
  await assert.rejects(pendingMigrations(database), refusal);
  await assert.rejects(migrate(database), refusal);
});

test('a node refuses to serve tables it does not know, from the start or from then on', async () => {
  const running = openNode(url);
  const session = await signIn(running, newSession(), HOUR);
  await until(() => running.storage.peek(session) ?? running.storage.load(session).then(() => 0));
  await migrate(open(), [...(await readMigrations()), step(501, 'select 1', true)]);
  const late = openNode(url);
  await until(() => running.storage.peek(session) === undefined);
  const refusal = { code: 'ERR_SCHEMA' };
  for (const { storage } of [running, late]) {
    assert.equal(storage.peek(session), undefined);
    await assert.rejects(storage.load(session), refusal);
    await assert.rejects(signIn({ storage }, newSession(), HOUR), refusal);
    await assert.rejects(storage.renew(session, HOUR), refusal);
    await assert.rejects(storage.end(session), refusal);
  }
  for (const { log } of [running, late]) {
    const lines = log.filter(({ event }) => event === 'tables_not_ready');
    assert.equal(lines.length, 1);
    assert.match(String(lines[0]?.fields['error']), /migration 501/);
  }
  await sql.query('delete from session_guard.migrations where id = 501');
  await until(() => running.storage.load(session).catch(() => null));
  await Promise.all([running.close(), late.close()]);
});

test('a change of the tables while nobody listened is found when the listener is back', async () => {
  const node = openNode(url);
  const session = await signIn(node, newSession(), HOUR);
  await until(() => node.backend.bus.isHealthy);
  await sql.query('insert into session_guard.migrations (id, breaking) values (501, true)');
  assert.ok(await node.storage.load(session));
  await sql.query(`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'session-guard listener'`);
  await until(() => !node.backend.readiness.isReady);
  await assert.rejects(node.storage.load(session), { code: 'ERR_SCHEMA' });
  await node.close();
});

test('a request that comes while they are looked at once more does not wait for that as for a statement', async () => {
  const node = openNode(url, { database: { statementTimeout: 1000 } });
  const session = await signIn(node, newSession(), HOUR);
  await until(() => node.backend.bus.isHealthy);
  await sql.query('begin; lock table session_guard.migrations');
  await sql.query(`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'session-guard listener'`);
  await until(() => !node.backend.readiness.isReady);
  const isToldSo = () =>
    node.storage.load(session).then(
      () => false,
      ({ message }: Error) => /still being prepared/.test(message),
    );
  await until(isToldSo);
  await sql.query('commit');
  await until(() => node.storage.load(session).catch(() => null));
  await node.close();
});

/** A role with no rights but the given ones, and a URL to connect as it. */
async function role(...grants: string[]): Promise<string> {
  const name = `session_guard_test_${randomBytes(4).toString('hex')}`;
  await sql.query(`create role ${name} login password 'least'`);
  roles.push(name);
  for (const grant of grants) await sql.query(`grant ${grant} to ${name}`);
  const own = new URL(url);
  own.username = name;
  own.password = 'least';
  return own.href;
}

const USE = [
  'usage on schema session_guard',
  'select on session_guard.migrations',
  'select, insert, update, delete on session_guard.sessions, session_guard.cutoffs',
];

for (const mayMigrate of [false, true]) {
  test(`a role that may only use the tables does so, with migrate ${mayMigrate}`, async () => {
    await migrate(open());
    const node = openNode(await role(...USE), { database: { migrate: mayMigrate } });
    const session = await signIn(node, newSession(), HOUR);
    assert.equal((await node.storage.renew(session, HOUR))?.generation, 1);
    use(node, session, 0, HOUR, 0);
    await node.backend.touches.flush();
    await node.backend.store.prune(1);
    await node.backend.endConsumer(session.consumerId);
    assert.equal(await node.storage.load(session), null);
    await node.close();
  });
}

test('a role that may not create the tables says what to do', async () => {
  const node = openNode(await role());
  await assert.rejects(node.storage.load(newSession()), {
    code: 'ERR_SCHEMA',
    message: /session-guard migrate/,
  });
  await node.close();
});

test('without migrate, missing tables are reported and found when they come', async () => {
  const node = openNode(url, { database: { migrate: false } });
  await assert.rejects(node.storage.load(newSession()), {
    code: 'ERR_SCHEMA',
    message: /session-guard migrate/,
  });
  await migrate(open());
  await until(() =>
    node.storage.load(newSession()).then(
      (found) => found === null,
      () => false,
    ),
  );
  await node.close();
});
