import type { LogLine } from './bus.ts';
import type { Database } from './database.ts';
import { SessionError } from './errors.ts';
import { migrate, pendingMigrations } from './migrate.ts';
import { isDoneWithin } from './patience.ts';

/** The first and the longest pause between attempts. Milliseconds. */
const RETRY = { first: 100, longest: 1000 };
/**
 * How long a request waits for an attempt: while the tables are being made, as long as for a statement. Once they were
 * well its own statement is still to come, and both together must end in that time and a little.
 */
const PATIENCE = { first: 2000, later: 200 };

/**
 * Whether the tables are what this version works with. Found out before the first statement and not at start, so that
 * a database which is down then is no problem.
 */
export class Readiness {
  readonly #database: Database;
  readonly #log: LogLine;
  #isReady = false;
  #wasReady = false;
  #checking: Promise<void> | undefined;
  #failure:
    { readonly error: unknown; readonly count: number; readonly retryAt: number } | undefined;

  constructor(database: Database, log: LogLine) {
    this.#database = database;
    this.#log = log;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /**
   * Resolves when the tables may be used.
   * @throws SessionError ERR_STORE_UNAVAILABLE; ERR_SCHEMA: somebody has to upgrade them or this program
   */
  async ready(): Promise<void> {
    if (this.#isReady) return;
    if (this.#failure && performance.now() < this.#failure.retryAt) throw this.#failure.error;
    const patience = this.#wasReady ? PATIENCE.later : PATIENCE.first;
    if (await isDoneWithin(patience, this.#checkOnce())) return;
    throw new SessionError('ERR_STORE_UNAVAILABLE', 'the tables are still being prepared');
  }

  /** Another node has changed the tables: goes on unless they turn out to be beyond us. */
  recheck(): void {
    // A check under way may have looked before the change.
    const earlier = this.#checking?.catch(() => {}) ?? Promise.resolve();
    earlier.then(() => this.#checkOnce()).catch(() => {}); // kept for whoever asks next
  }

  #checkOnce(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #check(): Promise<void> {
    try {
      const pending = await pendingMigrations(this.#database);
      if (pending.length > 0) await this.#apply();
      this.#isReady = true;
      this.#wasReady = true;
      this.#failure = undefined;
    } catch (error) {
      this.#isReady = false;
      const count = this.#failure?.count ?? 0;
      const pause = Math.min(RETRY.longest, RETRY.first * 2 ** count);
      if (count === 0) this.#log('tables_not_ready', { error });
      this.#failure = { error, count: count + 1, retryAt: performance.now() + pause };
      throw error;
    }
  }

  async #apply(): Promise<void> {
    if (!this.#database.migrates) {
      throw new SessionError(
        'ERR_SCHEMA',
        `schema ${this.#database.schema} lacks tables or changes of this version: run "session-guard migrate"`,
      );
    }
    const applied = await migrate(this.#database);
    if (applied.length > 0) this.#log('migrated', { migrations: applied });
  }
}
