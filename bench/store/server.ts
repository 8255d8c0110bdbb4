import { readFile } from 'node:fs/promises';
import { Client } from 'pg';
import { openDatabase } from '../../lib/database.ts';
import type { Database } from '../../lib/database.ts';
import { migrate } from '../../lib/migrate.ts';
import { Store } from '../../lib/store.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import type { Postgres } from '../../test/support/postgres.ts';

/** What a server with 8 GB of memory is given. Checkpoints come by time, as where a server is sized for its load. */
const SETTINGS = {
  shared_buffers: '2GB',
  max_wal_size: '8GB',
  maintenance_work_mem: '512MB',
} as const;

/** A server of our own with settings fit for production, save that it does not wait for the disk. */
export async function startServer(
  settings: Readonly<Record<string, string>> = {},
): Promise<Postgres> {
  const postgres = await startPostgres({ own: true });
  const sql = await connect(postgres.url);
  for (const [name, value] of Object.entries({ ...SETTINGS, ...settings })) {
    await sql.query(`alter system set ${name} = '${value}'`);
  }
  await sql.end();
  await postgres.restart();
  return postgres;
}

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  return client;
}

/** A database with the tables, the product's own operations on one connection, and one to look on with. */
export interface Bench {
  readonly store: Store;
  readonly database: Database;
  readonly sql: Client;
  /** Nanoseconds of CPU that the backend of the one connection has used. */
  readonly backendCpu: () => Promise<number>;
  close(): Promise<void>;
}

export async function openBench(postgres: Postgres): Promise<Bench> {
  const url = await postgres.newDatabase();
  const patience = { connectTimeout: 60_000, statementTimeout: 60_000 };
  const database = openDatabase({ ...patience, url, poolSize: 1 });
  await migrate(database);
  const sql = await connect(url);
  return {
    store: new Store(database),
    database,
    sql,
    backendCpu: async () => cpuOf(await backendOf(database)),
    async close() {
      await sql.end();
      await database.close();
    },
  };
}

/** Asked anew each time: an idle connection does not stay. */
async function backendOf(database: Database): Promise<number> {
  const statement = { name: 'pid', text: 'select pg_backend_pid() as pid' };
  const { rows } = await database.query<{ pid: number }>(statement, []);
  return rows[0]?.pid ?? 0;
}

/** The first figure of schedstat: time on a processor, in nanoseconds (Linux, sched-stats.rst). */
async function cpuOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/schedstat`, 'utf8');
  return Number(text.split(' ')[0]);
}
