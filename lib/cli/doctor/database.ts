import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { AdminStore } from '../../admin-store.ts';
import type { Database } from '../../database.ts';
import { pendingMigrations } from '../../migrate.ts';
import { error, ok, warning } from './diagnosis.ts';
import type { Diagnosis } from './diagnosis.ts';
import { COLUMNS, INDEXES } from './shape.ts';

const PLACE = 'database';

/** Examines the database of the sessions. Rejects as Database.query does where it does not answer. */
export async function examineDatabase(database: Database): Promise<Diagnosis[]> {
  const server = await examineServer(database);
  const pending = await pendingMigrations(database);
  if (pending.length > 0) {
    const lacking = `schema ${database.schema} lacks ${pending.length} migration(s)`;
    return [...server, error('tables_missing', PLACE, lacking, 'run "session-guard migrate"')];
  }
  const shape = await examineShape(database);
  // What is not there cannot be asked.
  if (shape.some(({ level }) => level === 'error')) return [...server, ...shape];
  return [
    ...server,
    ...shape,
    ...(await examineRights(database)),
    await examineListening(database),
    await examineLag(database),
  ];
}

const ask = async <Row extends object>(
  database: Database,
  name: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> => (await database.query<Row>({ name: `doctor_${name}`, text }, values)).rows;

/** Milliseconds by which clocks may differ: beyond this, cookies of other nodes count as from the future. */
const SKEW = { noticeable: 2000, harmful: 60_000 };

async function examineServer(database: Database): Promise<Diagnosis[]> {
  const sentAt = Date.now();
  const [row] = await ask<{ version: string; replica: boolean; now: number }>(
    database,
    'server',
    `select current_setting('server_version') as version, pg_is_in_recovery() as replica,
      (extract(epoch from clock_timestamp()) * 1000)::float8 as now`,
  );
  if (row === undefined) throw new TypeError('the server told nothing about itself');
  const skew = Math.abs(row.now - (sentAt + Date.now()) / 2) - (Date.now() - sentAt) / 2;
  const diagnoses = [ok('database_answers', PLACE, `PostgreSQL ${row.version} answers`)];
  if (row.replica) {
    const message = 'is a replica, to which nothing can be written';
    diagnoses.push(error('replica', PLACE, message, 'use the URL of the primary'));
  }
  const seconds = `${(skew / 1000).toFixed(1)} s off this machine's clock`;
  const remedy = 'synchronise the clocks (NTP) of nodes and database';
  if (skew > SKEW.harmful) diagnoses.push(error('clock_skew', PLACE, seconds, remedy));
  else if (skew > SKEW.noticeable) diagnoses.push(warning('clock_skew', PLACE, seconds, remedy));
  else diagnoses.push(ok('clock', PLACE, "agrees with this machine's clock"));
  return diagnoses;
}

const TABLES = Object.keys(COLUMNS);

async function examineShape(database: Database): Promise<Diagnosis[]> {
  const tables = await ask<{ name: string; persistence: string; columns: string[] }>(
    database,
    'columns',
    `select c.relname as name, c.relpersistence as persistence,
      array_agg(a.attname::text order by a.attnum) as columns
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = to_regnamespace($1) and c.relname = any($2) and c.relkind in ('r', 'p')
    group by c.oid, c.relname, c.relpersistence`,
    [`"${database.schema}"`, TABLES],
  );
  const indexes = await ask<{ name: string }>(
    database,
    'indexes',
    `select t.relname || '(' || string_agg(a.attname, ',' order by k.n) || ')' as name
    from pg_index i join pg_class t on t.oid = i.indrelid
      cross join unnest(i.indkey::int2[]) with ordinality as k (attnum, n)
      join pg_attribute a on a.attrelid = t.oid and a.attnum = k.attnum
    where t.relnamespace = to_regnamespace($1) and i.indisvalid
    group by i.indexrelid, t.relname`,
    [`"${database.schema}"`],
  );
  const diagnoses = driftOf(tables, new Set(indexes.map(({ name }) => name)));
  const unlogged = tables.filter(({ persistence }) => persistence !== 'p').map(({ name }) => name);
  if (unlogged.length > 0) {
    const message = `unlogged: ${unlogged.join(', ')}; a crash of the server empties them`;
    const remedy = `alter table ${database.schema}.… set logged`;
    diagnoses.push(warning('unlogged', PLACE, message, remedy));
  }
  return diagnoses.length > 0 ? diagnoses : [ok('tables', PLACE, 'has the tables of this version')];
}

function driftOf(
  tables: readonly { name: string; columns: string[] }[],
  indexes: ReadonlySet<string>,
): Diagnosis[] {
  const remedy =
    'put it back as lib/migrations has it; a migration that was recorded does not run again';
  const columns = Object.entries(COLUMNS).flatMap(([name, expected]) => {
    const present = new Set(tables.find((table) => table.name === name)?.columns);
    return expected.filter((column) => !present.has(column)).map((column) => `${name}.${column}`);
  });
  const missing = INDEXES.filter((index) => !indexes.has(index));
  return [
    ...columns.map((column) => error('drift', PLACE, `lacks the column ${column}`, remedy)),
    ...missing.map((index) => error('drift', PLACE, `lacks a valid index on ${index}`, remedy)),
  ];
}

async function examineRights(database: Database): Promise<Diagnosis[]> {
  const rows = await ask<{ name: string; rights: boolean }>(
    database,
    'rights',
    `select name, has_table_privilege(format('%I.%I', $1::text, name), 'select')
      and has_table_privilege(format('%I.%I', $1::text, name), 'insert')
      and has_table_privilege(format('%I.%I', $1::text, name), 'update')
      and has_table_privilege(format('%I.%I', $1::text, name), 'delete') as rights
    from unnest($2::text[]) as name where to_regclass(format('%I.%I', $1::text, name)) is not null`,
    [database.schema, TABLES],
  );
  const denied = rows.filter(({ rights }) => !rights).map(({ name }) => name);
  if (denied.length === 0) return [];
  const remedy = `grant select, insert, update, delete on all tables in schema ${database.schema} to the plugin's role`;
  return [error('rights', PLACE, `the role may not write ${denied.join(' and ')}`, remedy)];
}

const LISTEN_TIMEOUT = 3000;

/** What revocations travel on: fails behind a pooler in transaction mode. */
async function examineListening(database: Database): Promise<Diagnosis> {
  const name = `${database.schema}_doctor_${randomBytes(4).toString('hex')}`;
  const client = new Client(database.listener);
  client.on('error', () => {}); // a connection that ends is heard of by the wait
  try {
    await client.connect();
    const heard = new Promise<boolean>((resolve) => {
      client.once('notification', () => resolve(true));
    });
    await client.query(`listen "${name}"`);
    const startedAt = performance.now();
    await ask(database, 'notify', `select pg_notify($1, '')`, [name]);
    const limit = sleep(LISTEN_TIMEOUT, false, { ref: false });
    if (await Promise.race([heard, limit])) {
      const milliseconds = Math.ceil(performance.now() - startedAt);
      return ok('listen', PLACE, `LISTEN hears of a NOTIFY after ${milliseconds} ms`);
    }
  } catch {
    // told below: whatever it was, nodes cannot listen either
  } finally {
    await client.end().catch(() => {});
  }
  const remedy =
    'give postgres.listen_url a connection that does not lead through a pooler in transaction mode';
  return error('listen', PLACE, 'LISTEN hears nothing, so nodes do not trust their caches', remedy);
}

/** Nodes prune several times a minute. */
async function examineLag(database: Database): Promise<Diagnosis> {
  const [row] = await ask<{ overdue: number }>(
    database,
    'lag',
    `select count(*)::integer as overdue from "${database.schema}".sessions
    where expires_at < now() - interval '10 minutes'`,
  );
  const overdue = row?.overdue ?? 0;
  if (overdue === 0) {
    const count = await new AdminStore(database).count({ kind: 'all' });
    return ok('pruned', PLACE, `${count} living sign-ins, nothing overdue`);
  }
  const message = `${overdue} sessions expired more than 10 minutes ago and are still there`;
  return warning(
    'prune_lag',
    PLACE,
    message,
    'no node prunes: look at their logs, or run "session-guard prune"',
  );
}
