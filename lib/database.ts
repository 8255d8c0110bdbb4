import diagnostics from 'node:diagnostics_channel';
import { DatabaseError, Pool } from 'pg';
import type { ClientConfig, PoolClient, QueryConfig } from 'pg';
import { SessionError } from './errors.ts';

/** Where the sessions are and how long one may wait for them. Times in milliseconds. */
export interface DatabaseOptions {
  /** `postgres://…`; what it says about the connection wins over the single fields. */
  readonly url?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly database?: string | undefined;
  /** Lower case letters, digits and `_`. Default `session_guard`. */
  readonly schema?: string | undefined;
  /** Encrypt the connection. Default false, unless the URL asks for it. */
  readonly ssl?: boolean | undefined;
  /** With `ssl`: refuse a certificate that no known authority vouches for. Default true. */
  readonly sslVerify?: boolean | undefined;
  /** PEM of a private authority. */
  readonly sslCa?: string | undefined;
  /** Connections at most, besides the one that listens. Default 10. */
  readonly poolSize?: number | undefined;
  /** Default 2000. */
  readonly connectTimeout?: number | undefined;
  /** Default 2000. */
  readonly statementTimeout?: number | undefined;
  /**
   * False behind a pooler in transaction mode (PgBouncer): no named statements and no settings that belong
   * to a session. The server then knows no statement timeout; ours ends the connection instead.
   */
  readonly prepared?: boolean | undefined;
  /** Create and upgrade the tables before the first statement. Default true; otherwise they are only checked. */
  readonly migrate?: boolean | undefined;
  /** A way around the pooler, since LISTEN needs a connection of its own. Default: `url`. */
  readonly listenUrl?: string | undefined;
}

/** SQL with the schema already in it. The name is that of the prepared statement and of the metric. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

export interface Answer<Row> {
  readonly rows: Row[];
  /** Between these two moments (Date.now) the database worked on the statement. */
  readonly sentAt: number;
  readonly receivedAt: number;
}

/** Published on `session-guard.query` for every statement, for metrics and tests. */
export interface QueryEvent {
  readonly name: string;
  readonly milliseconds: number;
  readonly error: unknown;
}

export interface PoolState {
  readonly size: number;
  readonly busy: number;
  readonly idle: number;
  readonly waiting: number;
}

const queries = diagnostics.channel('session-guard.query');

/** What a client waits beyond the server's own limit, so that the server's answer can still arrive. */
const GRACE = 250;
/** A connection does more than this in the time that anybody waits for it. */
const WAITING_PER_CONNECTION = 100;
const CLOSE_TIMEOUT = 2500;

type Settings = ReturnType<typeof settingsOf>;

function settingsOf(options: DatabaseOptions) {
  const { schema = 'session_guard', sslVerify = true, sslCa } = options;
  return {
    connection: {
      ...(options.url === undefined
        ? withoutAbsent({
            host: options.host,
            port: options.port,
            user: options.user,
            password: options.password,
            database: options.database,
          })
        : { connectionString: options.url }),
      ...(options.ssl && { ssl: { rejectUnauthorized: sslVerify, ...(sslCa && { ca: sslCa }) } }),
    },
    schema,
    poolSize: options.poolSize ?? 10,
    connectTimeout: options.connectTimeout ?? 2000,
    statementTimeout: options.statementTimeout ?? 2000,
    prepared: options.prepared ?? true,
    migrate: options.migrate ?? true,
    listenUrl: options.listenUrl,
  };
}

/** An explicit `undefined` would keep pg from looking at PGHOST and its like. */
const withoutAbsent = (fields: Record<string, unknown>): ClientConfig =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const databases = new Map<string, Database>();

/**
 * The pool for these settings: one for the whole process, since Kong starts a plugin instance for every
 * worker and configuration and drops them without notice. Connects when first asked.
 * @throws SessionError ERR_CONFIG
 */
export function openDatabase(options: DatabaseOptions): Database {
  checkUrl('url', options.url);
  checkUrl('listen_url', options.listenUrl);
  const settings = settingsOf(options);
  // Quoted everywhere all the same: a name from a configuration never becomes SQL (CVE-2019-15658).
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(settings.schema)) {
    throw new SessionError('ERR_CONFIG', 'postgres.schema must match ^[a-z_][a-z0-9_]{0,62}$');
  }
  const name = JSON.stringify(settings);
  let database = databases.get(name);
  if (database === undefined) {
    database = new Database(settings, () => databases.delete(name));
    databases.set(name, database);
  }
  return database;
}

function checkUrl(field: string, url: string | undefined): void {
  if (url === undefined) return;
  // Not in the message and not as a cause: a URL carries a password.
  if (!/^(postgres|postgresql|socket):/.test(url) || !URL.canParse(url)) {
    throw new SessionError(
      'ERR_CONFIG',
      `postgres.${field} must be a URL like postgres://user@host/database`,
    );
  }
}

/** A pool with bounded waiting, and the clock of the database behind it. */
export class Database {
  readonly schema: string;
  /** Whether the tables are to be created and upgraded by whoever uses them. */
  readonly migrates: boolean;
  readonly clock = new DatabaseClock();
  readonly #settings: Settings;
  readonly #pool: Pool;
  readonly #forget: () => void;
  /** When a connection last answered (performance.now). */
  readonly #answeredAt = new WeakMap<PoolClient, number>();
  #wedgedAt = -Infinity;

  constructor(settings: Settings, forget: () => void) {
    this.schema = settings.schema;
    this.migrates = settings.migrate;
    this.#settings = settings;
    this.#forget = forget;
    this.#pool = new Pool({
      ...settings.connection,
      application_name: 'session-guard',
      max: settings.poolSize,
      connectionTimeoutMillis: settings.connectTimeout,
      // Sent with the start-up packet, which a pooler in transaction mode would refuse.
      ...(settings.prepared && { statement_timeout: settings.statementTimeout }),
      keepAlive: true,
      allowExitOnIdle: true,
    });
    // An idle connection that breaks is gone from the pool; one in use tells its query.
    this.#pool.on('error', () => {});
    this.#pool.on('connect', (client) => client.on('error', () => {}));
  }

  /** Milliseconds since the epoch, on the database's clock. */
  now(): number {
    return this.clock.now();
  }

  /** Connections of the pool, and requests that wait for one. */
  get pool(): PoolState {
    const { totalCount, idleCount, waitingCount } = this.#pool;
    const { poolSize: size } = this.#settings;
    return { size, busy: totalCount - idleCount, idle: idleCount, waiting: waitingCount };
  }

  /**
   * Runs one statement. `onSent` is called when a connection takes it, after any waiting.
   * @throws SessionError ERR_STORE_UNAVAILABLE, within the longer of the two timeouts and a little
   */
  async query<Row extends object>(
    statement: Statement,
    values: readonly unknown[],
    onSent?: () => void,
  ): Promise<Answer<Row>> {
    const startedAt = performance.now();
    let error: unknown;
    try {
      const client = await this.#acquire();
      const waited = performance.now() - startedAt;
      onSent?.();
      return await this.#run<Row>(client, statement, values, this.#patience() - waited);
    } catch (cause) {
      error = cause;
      throw unavailable(cause);
    } finally {
      if (queries.hasSubscribers) {
        const event = { name: statement.name, milliseconds: performance.now() - startedAt, error };
        queries.publish(event satisfies QueryEvent);
      }
    }
  }

  /**
   * Several statements in one transaction, for migrations. The connection does not outlive a failure, so
   * that nothing half done stays open. `timeout` in milliseconds for each statement.
   */
  async transaction<T>(
    timeout: number,
    work: (
      run: <Row extends object>(text: string, values?: readonly unknown[]) => Promise<Row[]>,
    ) => Promise<T>,
  ): Promise<T> {
    const client = await this.#acquire().catch((error: unknown) => {
      throw unavailable(error);
    });
    const run = async <Row extends object>(text: string, values: readonly unknown[] = []) => {
      const query = { text, values: [...values], query_timeout: timeout + GRACE };
      return (await client.query<Row>(query)).rows;
    };
    try {
      await run('begin');
      await run(`set local statement_timeout = ${Math.ceil(timeout)}`);
      const result = await work(run);
      await run('commit');
      client.release();
      return result;
    } catch (error) {
      client.release(true);
      throw unavailable(error);
    }
  }

  /** How the listener connects: never through the pool. */
  get listener(): ClientConfig {
    const { connection, connectTimeout, listenUrl } = this.#settings;
    return {
      ...connection,
      ...(listenUrl !== undefined && { connectionString: listenUrl }),
      application_name: 'session-guard listener',
      connectionTimeoutMillis: connectTimeout,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    };
  }

  /** Lets running statements end, but not for ever. A later openDatabase starts afresh. */
  async close(): Promise<void> {
    this.#forget();
    if (this.#pool.ending) return;
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise((resolve) => (timer = setTimeout(resolve, CLOSE_TIMEOUT)));
    await Promise.race([this.#pool.end(), limit]);
    clearTimeout(timer);
  }

  #patience(): number {
    return Math.max(this.#settings.connectTimeout, this.#settings.statementTimeout) + GRACE;
  }

  async #acquire(): Promise<PoolClient> {
    if (this.#pool.waitingCount >= this.#settings.poolSize * WAITING_PER_CONNECTION) {
      throw new Error('all connections are busy');
    }
    for (;;) {
      const client = await this.#pool.connect();
      // When one connection has gone silent the idle ones usually have too (a fail-over, a firewall): those
      // that have not answered since are not tried one by one. At most the pool's size are thrown away.
      if ((this.#answeredAt.get(client) ?? Infinity) > this.#wedgedAt) return client;
      client.release(true);
    }
  }

  async #run<Row extends object>(
    client: PoolClient,
    { name, text }: Statement,
    values: readonly unknown[],
    timeout: number,
  ): Promise<Answer<Row>> {
    const query: QueryConfig<unknown[]> & { query_timeout: number } = {
      ...(this.#settings.prepared && { name }),
      text,
      values: [...values],
      query_timeout: Math.max(GRACE, timeout),
    };
    const sentAt = Date.now();
    try {
      const { rows } = await client.query<Row>(query);
      const receivedAt = Date.now();
      this.#answeredAt.set(client, performance.now());
      client.release();
      return { rows, sentAt, receivedAt };
    } catch (error) {
      // Only a connection that answered may be used again, unless the answer was its farewell.
      const isUsable = error instanceof DatabaseError && !/^(08|57P)/.test(error.code ?? '');
      if (isUsable) this.#answeredAt.set(client, performance.now());
      else if (isTimeout(error)) this.#wedgedAt = performance.now();
      client.release(!isUsable);
      throw error;
    }
  }
}

const isTimeout = (error: unknown): boolean =>
  error instanceof Error && error.message === 'Query read timeout';

/** The cause may name a host, a user or a column, but never a password or a connection string. */
function unavailable(cause: unknown): SessionError {
  if (cause instanceof SessionError) return cause;
  const code = (cause as { code?: unknown } | null)?.code;
  const detail =
    typeof code === 'string' ? code : cause instanceof Error ? cause.message : 'unknown';
  return new SessionError('ERR_STORE_UNAVAILABLE', `the database did not do its work: ${detail}`, {
    cause,
  });
}

/**
 * The database's clock as far as its answers tell. An answer proves that the offset lies between (its time −
 * received) and (its time − sent); the estimate moves only as far as that demands, so a slow answer, whose
 * bounds are wide, spoils nothing, and a clock that was set is followed with the next answer.
 */
export class DatabaseClock {
  #offset: number | undefined;

  now(): number {
    return Math.round(Date.now() + (this.#offset ?? 0));
  }

  /** All three in milliseconds since the epoch; `sentAt` and `receivedAt` on our clock. */
  sample(sentAt: number, receivedAt: number, databaseNow: number): void {
    const low = databaseNow - receivedAt - 1; // Date.now() leaves up to a millisecond out
    const high = databaseNow - sentAt;
    if (!(low <= high)) return; // our clock was set meanwhile
    const offset = this.#offset ?? (low + high) / 2;
    this.#offset = Math.min(Math.max(offset, low), high);
  }
}
