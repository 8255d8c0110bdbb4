import { AdminStore } from '../admin-store.ts';
import { openBackend } from '../backend.ts';
import type { Backend } from '../backend.ts';
import { openDatabase } from '../database.ts';
import type { Database } from '../database.ts';
import { SessionError } from '../errors.ts';
import { pendingMigrations } from '../migrate.ts';
import { CliError, usageError } from './command.ts';
import type { Io } from './command.ts';

/** Options of every command that asks the database. */
export const DATABASE_OPTIONS = {
  'database-url': { type: 'string' },
  schema: { type: 'string', default: 'session_guard' },
} as const;

export const DATABASE_HELP = `  --database-url <url>    postgres://user@host/database (default: SESSION_GUARD_DATABASE_URL, then
                          DATABASE_URL; a password is better off there, in PGPASSWORD or in ~/.pgpass)
  --schema <name>         schema of the tables (session_guard)
`;

interface Values {
  readonly 'database-url'?: string | undefined;
  readonly schema: string;
}

/** Somebody is watching, so patience is longer than a request's. Milliseconds. */
const CONNECT_TIMEOUT = 10_000;
const STATEMENT_TIMEOUT = 60_000;

/** Where the database is, from the option or the environment; '' if nobody says. */
const urlFrom = (values: Pick<Values, 'database-url'>, env: Io['env']): string =>
  // An empty variable is what a composed environment makes of an absent one.
  values['database-url'] ?? (env['SESSION_GUARD_DATABASE_URL'] || env['DATABASE_URL'] || '');

export const hasDatabase = (values: Pick<Values, 'database-url'>, env: Io['env']): boolean =>
  urlFrom(values, env) !== '';

/** Runs `work` with a pool that is closed afterwards, and turns its errors into sentences. */
export async function withDatabase<T>(
  values: Values,
  io: Pick<Io, 'env'>,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  const database = open(values, io);
  try {
    return await work(database);
  } catch (error) {
    throw explain(error);
  } finally {
    await database.close();
  }
}

/** The same for tables that have to be there and up to date. */
export const withTables = <T>(
  values: Values,
  io: Pick<Io, 'env'>,
  work: (store: AdminStore, database: Database) => Promise<T>,
): Promise<T> =>
  withDatabase(values, io, async (database) => {
    await checkTables(database);
    return work(new AdminStore(database), database);
  });

/** The same with the Backend that a node has, so that what it ends all nodes hear of. */
export const withBackend = <T>(
  values: Values,
  io: Pick<Io, 'env'>,
  work: (backend: Backend, store: AdminStore) => Promise<T>,
): Promise<T> =>
  withTables(values, io, async (store, database) => {
    const backend = openBackend(database, { log: () => {} });
    try {
      return await work(backend, store);
    } finally {
      await backend.close();
    }
  });

function open(values: Values, { env }: Pick<Io, 'env'>): Database {
  const url = urlFrom(values, env);
  if (url === '') {
    throw usageError('needs a database: --database-url or SESSION_GUARD_DATABASE_URL');
  }
  try {
    return openDatabase({
      url,
      schema: values.schema,
      poolSize: 2,
      connectTimeout: CONNECT_TIMEOUT,
      statementTimeout: STATEMENT_TIMEOUT,
      migrate: false,
    });
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    const [, option, problem] = /^config\.postgres\.(\w+): (.*)$/s.exec(error.message) ?? [];
    throw usageError(
      option === 'schema'
        ? '--schema must be a lower-case SQL identifier such as session_guard'
        : `the database URL cannot be used: ${problem}`,
    );
  }
}

async function checkTables(database: Database): Promise<void> {
  const pending = await pendingMigrations(database);
  if (pending.length === 0) return;
  throw new CliError(
    `schema ${database.schema} lacks tables or changes of this version: run "session-guard migrate"`,
  );
}

/** What people do about the usual failures, by SQLSTATE or errno. */
const REMEDIES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens at this host and port',
  ENOTFOUND: 'the host name is unknown',
  EAI_AGAIN: 'the host name cannot be resolved now',
  ETIMEDOUT: 'the host does not answer',
  ECONNRESET: 'the server closed the connection',
  SELF_SIGNED_CERT_IN_CHAIN: "the server's certificate is not trusted: give sslrootcert in the URL",
  DEPTH_ZERO_SELF_SIGNED_CERT:
    "the server's certificate is not trusted: give sslrootcert in the URL",
  '28P01': 'wrong user or password',
  '28000': 'the server refuses this user',
  '3D000': 'no such database',
  '42501': 'the user lacks the right to do this',
  '53300': 'the server has no connection left',
  '57014': 'the statement took too long',
};

function explain(error: unknown): unknown {
  if (!(error instanceof SessionError) || error.code !== 'ERR_STORE_UNAVAILABLE') return error;
  const code = String((error.cause as { code?: unknown } | undefined)?.code);
  const remedy = REMEDIES[code];
  return new CliError(
    remedy === undefined ? error.message : `the database did not do its work: ${remedy} (${code})`,
  );
}
