import type { Actor, AuditEntry, AuditTable } from './audit-table.ts';
import type { Backend } from './backend.ts';
import type { LogLine } from './bus.ts';
import { events } from './events.ts';
import type { EventCode, Place, SessionEvent } from './events.ts';
import { repetitionOf, Repetitions } from './repetitions.ts';

/** Which events are kept, and whose doing they are. */
const KEPT: { readonly [code in EventCode]?: Actor } = {
  session_created: 'user',
  session_restored: 'user',
  session_ended: 'user',
  session_replaced: 'user',
  session_renewed: 'session-guard',
  session_replayed: 'session-guard',
  session_bound_elsewhere: 'session-guard',
  session_limit: 'session-guard',
  consumer_gone: 'session-guard',
  credential_gone: 'session-guard',
};

export interface AuditOptions {
  readonly table: Pick<AuditTable, 'insert' | 'prune'>;
  /** Milliseconds on the database's clock. */
  readonly now: () => number;
  /** Before each writing: whether the tables may be used. */
  readonly ready: () => Promise<void>;
  readonly log: LogLine;
  /** Milliseconds that an entry is kept. Where configurations differ, the longest. */
  retention: number;
  /** Entries that wait to be written at most. Default 10,000. */
  readonly max?: number | undefined;
}

const BATCH = 500;
/** Milliseconds that entries wait for company, and before another attempt. */
const SOON = 500;
const RETRY = 5000;
const PRUNE_INTERVAL = 600_000;
const PRUNE_BATCH = 5000;
const PRUNE_BATCHES = 20;

/**
 * Writes entries in batches, off every request's path. While the database does not take them they wait, up to a bound;
 * what comes then is lost, and told to the log with its number.
 */
export class Audit {
  readonly #options: AuditOptions;
  #waiting: AuditEntry[] = [];
  #timer: NodeJS.Timeout | undefined;
  #pruneTimer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isFailing = false;
  #isStopped = false;
  #lost = 0;

  constructor(options: AuditOptions) {
    this.#options = options;
    this.#pruneLater(PRUNE_INTERVAL * Math.random());
  }

  keepFor(retention: number): void {
    this.#options.retention = Math.max(this.#options.retention, retention);
  }

  note(entry: Omit<AuditEntry, 'at'>): void {
    if (this.#waiting.length >= (this.#options.max ?? 10_000)) {
      this.#lost += 1;
      return;
    }
    this.#waiting.push({ at: this.#options.now(), ...entry });
    this.#writeLater(this.#isFailing ? RETRY : SOON);
  }

  /** Writes what waits. Rejects when the database does not take it. */
  flush(): Promise<void> {
    const work = this.#writing.then(() => this.#write());
    this.#writing = work.catch(() => {});
    return work;
  }

  /** Nothing is written by itself any more. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#pruneTimer);
  }

  #writeLater(pause: number): void {
    if (this.#isStopped || this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.flush().catch((error: unknown) => {
        if (!this.#isFailing) this.#options.log('audit_delayed', { error });
        this.#isFailing = true;
        this.#writeLater(RETRY);
      });
    }, pause).unref();
  }

  async #write(): Promise<void> {
    await this.#options.ready();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, BATCH);
      await this.#options.table.insert(batch);
      this.#waiting = this.#waiting.slice(batch.length);
    }
    this.#isFailing = false;
    if (this.#lost > 0) this.#options.log('audit_lost', { count: this.#lost });
    this.#lost = 0;
  }

  #pruneLater(pause: number): void {
    this.#pruneTimer = setTimeout(() => {
      this.#prune().catch((error: unknown) => this.#options.log('prune_failed', { error }));
    }, pause).unref();
  }

  async #prune(): Promise<void> {
    try {
      const { ready, table, retention } = this.#options;
      await ready();
      for (let batch = 0; batch < PRUNE_BATCHES; batch++) {
        if ((await table.prune(retention, PRUNE_BATCH)) < PRUNE_BATCH) break;
      }
    } finally {
      if (!this.#isStopped) this.#pruneLater(PRUNE_INTERVAL * (0.5 + Math.random()));
    }
  }
}

const audits = new WeakMap<Place, Audit>();
const repetitions = new Repetitions();
let isListening = false;

/** Keeps what happens under one configuration. `retention` in milliseconds. */
export function openAudit(backend: Backend, place: Place, retention: number): void {
  const audit = backend.openAudit(retention);
  audits.set(place, audit);
  if (!isListening) events.subscribe((message) => keep(message as SessionEvent));
  isListening = true;
}

function keep(event: SessionEvent): void {
  const { code, session, at, reason } = event;
  const actor = KEPT[code];
  const audit = at && audits.get(at);
  if (actor === undefined || audit === undefined) return;
  const name = repetitionOf(code, event);
  if (name !== undefined && repetitions.next(name) === undefined) return;
  const { handle, family, consumerId, audience } = session ?? {};
  audit.note({
    event: code,
    actor,
    handle,
    family,
    consumerId,
    audience,
    route: at?.route,
    reason,
  });
}
