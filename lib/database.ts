import { createHash } from 'node:crypto';
import diagnostics from 'node:diagnostics_channel';
import { DatabaseError, Pool } from 'pg';
import type { ClientConfig, PoolClient, QueryConfig } from 'pg';
import { Connection } from './connection.ts';
import { DatabaseClock, TIME } from './database-clock.ts';
import { isTimeout, rejectAsUnavailable } from './database-errors.ts';
import { settingsOf } from './database-settings.ts';
import type { DatabaseOptions, Settings } from './database-settings.ts';
import { isDoneWithin } from './patience.ts';

export type { DatabaseOptions };

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
/** As Kong keeps its own (pg_keepalive_timeout): visitors who come every half minute need no new connection. */
const IDLE_TIMEOUT = 60_000;
const NOW: Statement = { name: 'now', text: `select ${TIME} as now` };

/** Sends a statement; one without values may be several, separated by semicolons, and is not prepared. */
export type Run = <Row extends object>(
  statement: Statement,
  values?: readonly unknown[],
) => Promise<Row[]>;

const databases = new Map<string, Database>();

/**
 * The pool for these settings: one for the whole process, since Kong starts a plugin instance for every
 * worker and configuration and drops them without notice. Connects when first asked.
 * @throws SessionError ERR_CONFIG; the message calls `url` by `urlField`
 */
export function openDatabase(options: DatabaseOptions, urlField?: string): Database {
  const settings = settingsOf(options, urlField);
  const name = JSON.stringify(settings);
  let database = databases.get(name);
  if (database === undefined) {
    const opened = new Database(settings, () => {
      if (databases.get(name) === opened) databases.delete(name);
    });
    database = opened;
    databases.set(name, database);
  }
  return database;
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
      Client: Connection,
      application_name: 'session-guard',
      max: settings.poolSize,
      connectionTimeoutMillis: settings.connectTimeout,
      idleTimeoutMillis: IDLE_TIMEOUT,
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

  /**
   * Resolves when `now` is the database's time: asks for it if nothing else has told it.
   * @throws SessionError ERR_STORE_UNAVAILABLE
   */
  async settleClock(): Promise<void> {
    if (this.clock.isSet) return;
    const { rows, sentAt, receivedAt } = await this.query<{ now: number }>(NOW, []);
    this.clock.sample(sentAt, receivedAt, rows[0]?.now ?? NaN);
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
    return observe(statement.name, async () => {
      const startedAt = performance.now();
      const client = await this.#acquire();
      const waited = performance.now() - startedAt;
      onSent?.();
      return this.#run<Row>(client, statement, values, this.#patience() - waited);
    }).catch(rejectAsUnavailable);
  }

  /**
   * Several statements in one transaction, under a lock of that name, which one transaction at a time has. Every
   * statement sees what was committed before it began. The connection does not outlive a failure, so that nothing
   * half done stays open. `timeout` in milliseconds for each statement.
   * @throws SessionError ERR_STORE_UNAVAILABLE
   */
  async transaction<T>(lock: string, timeout: number, work: (run: Run) => Promise<T>): Promise<T> {
    const patience = timeout + GRACE;
    const begin = { text: beginning(lock, timeout), query_timeout: patience };
    const client = await observe('begin', () => this.#begin(begin)).catch(rejectAsUnavailable);
    const run: Run = ({ name, text }, values) => {
      const isNamed = values !== undefined && this.#settings.prepared;
      const query = { ...(isNamed && { name }), text, query_timeout: patience };
      return observe(name, async () => {
        return (await client.query({ ...query, ...(values && { values: [...values] }) })).rows;
      });
    };
    try {
      const result = await work(run);
      await run({ name: 'commit', text: 'commit' });
      client.release();
      return result;
    } catch (error) {
      client.release(true);
      return rejectAsUnavailable(error);
    }
  }

  /** How the listener connects: never through the pool. */
  get listener(): ClientConfig {
    const { listener, connectTimeout } = this.#settings;
    return {
      ...listener,
      application_name: 'session-guard listener',
      connectionTimeoutMillis: connectTimeout,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    };
  }

  /** A later openDatabase starts afresh. */
  retire(): void {
    this.#forget();
  }

  /** Lets running statements end, but not for ever. */
  async close(): Promise<void> {
    this.retire();
    if (this.#pool.ending) return;
    await isDoneWithin(CLOSE_TIMEOUT, this.#pool.end());
  }

  #patience(): number {
    return Math.max(this.#settings.connectTimeout, this.#settings.statementTimeout) + GRACE;
  }

  async #begin(query: QueryConfig): Promise<PoolClient> {
    const client = await this.#acquire();
    try {
      await client.query(query);
      return client;
    } catch (error) {
      client.release(true);
      throw error;
    }
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

/** Publishes what became of a statement, the wait for a connection included. */
async function observe<T>(name: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  let error: unknown;
  try {
    return await work();
  } catch (cause) {
    error = cause;
    throw cause;
  } finally {
    if (queries.hasSubscribers) {
      const event = { name, milliseconds: performance.now() - startedAt, error };
      queries.publish(event satisfies QueryEvent);
    }
  }
}

/** One round trip instead of three. What goes into the text are two numbers. */
function beginning(lock: string, timeout: number): string {
  const id = createHash('sha256').update(lock).digest().readBigInt64BE();
  return `begin; set local statement_timeout = ${Math.ceil(timeout)}; select pg_advisory_xact_lock(${id})`;
}
