import { channel } from 'node:diagnostics_channel';
import { Audit } from './audit.ts';
import { AuditTable } from './audit-table.ts';
import { Bus } from './bus.ts';
import type { BusOptions, LogLine } from './bus.ts';
import { Cache } from './cache.ts';
import type { Database } from './database.ts';
import type { Notice, Revocable, Revocation } from './notice.ts';
import { sessionPacking } from './packing.ts';
import { isDoneWithin } from './patience.ts';
import { Pruner } from './prune.ts';
import { Readiness } from './readiness.ts';
import type { Session } from './session.ts';
import { Store } from './store.ts';
import { applyTouch, Touches } from './touches.ts';

/** Times in milliseconds. Whoever opens a database first in a process decides for all. */
export interface BackendOptions {
  /** Default: published on the diagnostics channel `session-guard.storage`. */
  readonly log?: LogLine | undefined;
  /** Sessions in the cache at most. Default 50,000. */
  readonly cacheSize?: number | undefined;
  readonly bus?: Pick<BusOptions, 'heartbeat' | 'heartbeatTimeout' | 'retry'> | undefined;
  readonly pruneInterval?: number | undefined;
  /** How long it stays open when no configuration uses it. Default 60,000, longer than any request takes. */
  readonly grace?: number | undefined;
  /**
   * Whom in this process it tells what it ends. Default: all. The same tables may be open more than once, by another
   * user or way or with other limits, and a logout counts there too when it is confirmed, whatever becomes of NOTIFY.
   */
  readonly neighbours?: (() => Iterable<Backend>) | undefined;
}

/** What a node knows about the cut-offs that mean a session. */
export interface KnownCutOff extends Revocable {
  readonly endedBefore: number;
}

const diagnostics = channel('session-guard.storage');
const publish: LogLine = (event, fields) => {
  if (diagnostics.hasSubscribers) diagnostics.publish({ event, ...fields });
};

const FLUSH_TIMEOUT = 3000;

const backends = new Map<Database, Backend>();

/** Everything that the plugin instances of this process share for one database. */
export function openBackend(database: Database, options: BackendOptions = {}): Backend {
  let backend = backends.get(database);
  if (backend === undefined) {
    backend = new Backend(database, options, () => backends.delete(database));
    backends.set(database, backend);
  }
  return backend;
}

/** Those in use, for whoever watches this process. */
export const openBackends = (): readonly Backend[] => [...backends.values()];

/** Writes what is pending and closes every connection; resolves within seconds whatever happens. */
export async function closeAll(): Promise<void> {
  await Promise.allSettled([...backends.values()].map((backend) => backend.close()));
}

export class Backend {
  readonly database: Database;
  readonly store: Store;
  readonly sessions: Cache<Session>;
  readonly cutOffs: Cache<KnownCutOff>;
  readonly touches: Touches;
  readonly readiness: Readiness;
  readonly bus: Bus;
  /** Notices of revocations, this node's own among them. */
  revocationsReceived = 0;
  readonly #pruner: Pruner;
  #audit: Audit | undefined;
  readonly #log: LogLine;
  readonly #forget: () => void;
  readonly #grace: number;
  readonly #neighbours: () => Iterable<Backend>;
  #users = 0;
  #closing: NodeJS.Timeout | undefined;

  constructor(database: Database, options: BackendOptions, forget: () => void) {
    const log = options.log ?? publish;
    this.database = database;
    this.#log = log;
    this.#forget = forget;
    this.#grace = options.grace ?? 60_000;
    this.#neighbours = options.neighbours ?? openBackends;
    this.store = new Store(database);
    this.readiness = new Readiness(database, log);
    this.bus = new Bus(database, {
      ...options.bus,
      log,
      onNotice: (notice) => this.#hear(notice),
      onListening: () => this.#listen(),
    });
    const cache = { max: options.cacheSize, isTrusted: () => this.#isTrusted() };
    this.sessions = new Cache({ ...cache, packing: sessionPacking });
    this.cutOffs = new Cache(cache);
    this.touches = this.#openTouches();
    this.#pruner = new Pruner(this.store, {
      log,
      interval: options.pruneInterval,
      ready: () => this.readiness.ready(),
    });
    this.bus.start();
    this.#pruner.start();
  }

  /**
   * Counts a configuration in, and returns what counts it out. When the last one has gone, such as those with the old
   * password of the database, nobody is to wait for this database any more: it closes.
   */
  use(): () => void {
    this.#users += 1;
    clearTimeout(this.#closing);
    let isUsing = true;
    return () => {
      if (!isUsing) return;
      isUsing = false;
      this.#users -= 1;
      if (this.#users > 0) return;
      this.#closing = setTimeout(() => {
        // Nobody waits for it, and a rejection that nobody takes would end the process.
        this.close().catch((error: unknown) => this.#log('database_not_closed', { error }));
      }, this.#grace).unref();
    };
  }

  /** Ends a family. When this resolves nothing of it is accepted on this node. */
  async end(family: string): Promise<void> {
    await this.readiness.ready();
    try {
      await this.store.end([family]);
    } finally {
      // Also when it failed: the database may have done it all the same.
      this.forgetFamily(family);
    }
  }

  /** A family has ended in the store. */
  forgetFamily(family: string): void {
    this.#tell({ kind: 'family', target: family, before: Infinity });
  }

  /** Ends a family of sessions that are in cookies alone. `until`: when none of the cookies can be alive any more. */
  endCookies(family: string, until: number): Promise<void> {
    return this.#cut({ kind: 'family', target: family }, until);
  }

  /** Ends the sessions in cookies that a user (notice.ts) has now; `until` as above. */
  endCookiesOf(user: string, until: number): Promise<void> {
    return this.#cut({ kind: 'consumer', target: user }, until);
  }

  /** Ends all sessions of a consumer that exist now; those in cookies too. */
  async endConsumer(consumerId: string): Promise<void> {
    await this.#cut({ kind: 'consumer', target: consumerId }, Infinity);
    await this.#tidy(() => this.store.removeConsumer(consumerId));
  }

  /** Ends all sessions that began with a credential of a consumer. */
  async endCredential(consumerId: string, credentialId: string, until = Infinity): Promise<void> {
    await this.#cut({ kind: 'credential', target: credentialId }, until);
    await this.#tidy(() => this.store.removeCredential(consumerId, credentialId));
  }

  /** Ends all sessions authenticated at `before` or earlier: milliseconds, at most and by default now. */
  async endAll(before?: number, until = Infinity): Promise<void> {
    await this.#cut({ kind: 'all', target: '' }, until, before);
    await this.#tidy(() => this.store.removeEverything());
  }

  /** How many sign-ins are alive, of one consumer or of all. */
  async count(consumerId?: string): Promise<number> {
    await this.readiness.ready();
    return this.store.count(consumerId);
  }

  /** Keeps what happens to sessions for so many milliseconds, or longer where another configuration says so. */
  openAudit(retention: number): Audit {
    this.#audit ??= new Audit({
      table: new AuditTable(this.database),
      now: () => this.database.now(),
      ready: () => this.readiness.ready(),
      log: this.#log,
      retention,
    });
    this.#audit.keepFor(retention);
    return this.#audit;
  }

  async close(): Promise<void> {
    clearTimeout(this.#closing);
    this.database.retire();
    this.#forget();
    this.#pruner.stop();
    this.touches.stop();
    this.#audit?.stop();
    await Promise.all([
      isDoneWithin(FLUSH_TIMEOUT, this.touches.flush()).catch((error: unknown) =>
        this.#log('touches_lost', { error }),
      ),
      this.#audit &&
        isDoneWithin(FLUSH_TIMEOUT, this.#audit.flush()).catch((error: unknown) =>
          this.#log('audit_delayed', { error }),
        ),
    ]);
    await this.bus.stop();
    await this.database.close();
  }

  async #cut(
    { kind, target }: Pick<Revocation, 'kind' | 'target'>,
    until: number,
    before?: number,
  ): Promise<void> {
    await this.readiness.ready();
    const moment = await this.store.cut(kind, target, until, before);
    this.#tell({ kind, target, before: moment });
  }

  /** Of a neighbour with other tables it means nobody, or costs a question to the store. */
  #tell(revocation: Revocation): void {
    this.#revoke(revocation);
    for (const neighbour of this.#neighbours()) {
      if (neighbour !== this) neighbour.#evict(revocation);
    }
  }

  /** The cut-off has ended the sessions; their rows are dead weight that may as well go later. */
  async #tidy(remove: () => Promise<void>): Promise<void> {
    await remove().catch((error: unknown) => this.#log('tidying_failed', { error }));
  }

  #openTouches(): Touches {
    return new Touches({
      now: () => this.database.now(),
      log: this.#log,
      write: async (touches) => {
        await this.readiness.ready();
        await this.store.touch(touches);
      },
      onWritten: (touches) => {
        for (const touch of touches) {
          this.sessions.amend(touch.key, (session) => applyTouch(session, touch));
        }
      },
    });
  }

  #isTrusted(): boolean {
    return this.bus.isHealthy && this.readiness.isReady;
  }

  #hear(notice: Notice): void {
    if (notice === 'reload') this.#reload();
    else if (notice === 'schema') this.readiness.recheck();
    else {
      this.revocationsReceived += 1;
      this.#revoke(notice);
    }
  }

  #revoke(revocation: Revocation): void {
    this.touches.forget(this.#evict(revocation));
  }

  /** Returns the keys of the sessions that were known. */
  #evict(revocation: Revocation): readonly string[] {
    this.cutOffs.revoke(revocation);
    return this.sessions.revoke(revocation);
  }

  /** Whatever was told until now was missed, a change of the tables too. Before the first request nobody has looked. */
  #listen(): void {
    this.#reload();
    if (this.readiness.isReady) this.readiness.recheck();
  }

  #reload(): void {
    this.sessions.clear();
    this.cutOffs.clear();
  }
}
