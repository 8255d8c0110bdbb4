import type { LogLine } from './bus.ts';
import type { Session } from './session.ts';
import type { Use } from './storage.ts';
import type { Touch } from './store.ts';

export interface TouchesOptions {
  /** Writes them all in one statement. */
  readonly write: (touches: readonly Touch[]) => Promise<void>;
  /** They are in the store now. */
  readonly onWritten: (touches: readonly Touch[]) => void;
  /** Now, in milliseconds, on the database's clock. */
  readonly now: () => number;
  readonly log: LogLine;
  /** How many uses are kept while the store is down. Default 100,000. */
  readonly max?: number | undefined;
}

interface Pending extends Touch {
  /** When it is to be written, on the database's clock. */
  readonly dueAt: number;
}

/** The predecessor's grace waits for the first presentation of its successor. Milliseconds. */
const SOON = 50;
/** Other uses are looked through this often, more often only for touch intervals of a few seconds. */
const TICK = 1000;
const BATCH = 500;
/** Before the next attempt when the store did not take them. */
const RETRY = 1000;

/**
 * Uses of sessions that are not in the table yet. Each session is written at most once per touch interval, and the
 * last use inside an interval is written when that ends, so that nobody is out early.
 */
export class Touches {
  readonly #options: TouchesOptions;
  readonly #pending = new Map<string, Pending>();
  readonly #soon = new Set<string>();
  #writing: ReadonlyMap<string, Pending> = new Map();
  #tick = TICK;
  #timers: { soon?: NodeJS.Timeout | undefined; tick?: NodeJS.Timeout | undefined } = {};
  #queue: Promise<void> = Promise.resolve();
  /** Longer than usual while the store is down, without end after `stop`. */
  #pause = 0;
  #dropped = 0;

  constructor(options: TouchesOptions) {
    this.#options = options;
  }

  /** Notes a use of a session. One that does not prolong it is only noted if it presents a generation first. */
  note(session: Session, { generation, lifetime, touchInterval, prolongs }: Use): void {
    const now = this.#options.now();
    const isFirst = generation === session.generation && session.confirmedAt === undefined;
    if (!isFirst && !prolongs) return;
    const known = this.#pending.get(session.key);
    const touch = {
      key: session.key,
      seenAt: prolongs ? now : session.seenAt,
      confirmed: isFirst ? { generation, at: now } : undefined,
      lifetime,
      dueAt: Math.max(now, session.seenAt + touchInterval),
    };
    this.#keep(known ? merge(known, touch) : touch);
    if (isFirst) this.#soon.add(session.key);
    this.#tick = Math.min(this.#tick, Math.max(SOON, touchInterval / 4));
    this.#arm();
  }

  /** The session as it will be when everything noted here is written. */
  overlay(session: Session): Session {
    const writing = this.#writing.get(session.key);
    const pending = this.#pending.get(session.key);
    const written = writing ? applyTouch(session, writing) : session;
    return pending ? applyTouch(written, pending) : written;
  }

  /** Nothing more is written about sessions that have ended. */
  forget(keys: readonly string[]): void {
    for (const key of keys) this.#take(key);
  }

  /** Writes everything, due or not. Rejects when the store does not take it. */
  flush(): Promise<void> {
    return this.#serially(() => this.#write([...this.#pending.keys()]));
  }

  /** Nothing is written by itself any more. */
  stop(): void {
    this.#pause = Infinity;
    clearTimeout(this.#timers.soon);
    clearTimeout(this.#timers.tick);
  }

  #keep(touch: Pending): void {
    this.#pending.set(touch.key, touch);
    if (this.#pending.size <= (this.#options.max ?? 100_000)) return;
    const [oldest = touch.key] = this.#pending.keys();
    this.#take(oldest);
    if (this.#dropped++ === 0) this.#options.log('touches_dropped', { kept: this.#pending.size });
  }

  #take(key: string): Pending | undefined {
    const touch = this.#pending.get(key);
    this.#pending.delete(key);
    this.#soon.delete(key);
    return touch;
  }

  #arm(): void {
    const pause = this.#pause;
    if (pause === Infinity) return;
    const { soon, tick } = this.#timers;
    if (this.#soon.size > 0 && soon === undefined) {
      const wake = () => {
        this.#timers.soon = undefined;
        void this.#writeNow([...this.#soon]);
      };
      this.#timers.soon = setTimeout(wake, Math.max(SOON, pause)).unref();
    }
    if (this.#pending.size > 0 && tick === undefined) {
      const wake = () => {
        this.#timers.tick = undefined;
        void this.#writeNow(this.#due());
      };
      this.#timers.tick = setTimeout(wake, Math.max(this.#tick, pause)).unref();
    }
  }

  #due(): string[] {
    const now = this.#options.now();
    return [...this.#pending.values()].flatMap(({ key, dueAt }) => (dueAt <= now ? [key] : []));
  }

  async #writeNow(keys: readonly string[]): Promise<void> {
    try {
      await this.#serially(() => this.#write(keys));
    } catch (error) {
      if (this.#pause === 0) {
        this.#options.log('touches_delayed', { count: this.#pending.size, error });
      }
      this.#pause = Math.max(this.#pause, RETRY);
    }
    this.#arm();
  }

  #serially(work: () => Promise<void>): Promise<void> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }

  async #write(keys: readonly string[]): Promise<void> {
    for (let start = 0; start < keys.length; start += BATCH) {
      const taken = keys.slice(start, start + BATCH).flatMap((key) => this.#take(key) ?? []);
      if (taken.length > 0) await this.#writeBatch(taken);
    }
  }

  async #writeBatch(touches: readonly Pending[]): Promise<void> {
    this.#writing = new Map(touches.map((touch) => [touch.key, touch]));
    try {
      await this.#options.write(touches);
      this.#options.onWritten(touches);
      if (this.#pause === RETRY) this.#pause = 0;
    } catch (error) {
      for (const touch of touches) {
        const newer = this.#pending.get(touch.key);
        this.#keep(newer ? merge(touch, newer) : touch);
        if (touch.confirmed) this.#soon.add(touch.key);
      }
      throw error;
    } finally {
      this.#writing = new Map();
    }
  }
}

/** Two uses of one session, the earlier one first, as one to be written when the earlier one is due. */
const merge = (earlier: Pending, later: Pending): Pending => ({
  key: later.key,
  seenAt: Math.max(earlier.seenAt, later.seenAt),
  confirmed: newerConfirmation(earlier.confirmed, later.confirmed),
  lifetime: {
    rolling: longer(earlier.lifetime.rolling, later.lifetime.rolling),
    absolute: longer(earlier.lifetime.absolute, later.lifetime.absolute),
  },
  dueAt: earlier.dueAt,
});

/** Of one generation the first presentation counts, of two the newer generation. */
const newerConfirmation = (earlier: Touch['confirmed'], later: Touch['confirmed']) =>
  later && later.generation > (earlier?.generation ?? -1) ? later : earlier;

/** 0 means without end. */
const longer = (one: number, other: number): number =>
  one === 0 || other === 0 ? 0 : Math.max(one, other);

/** What a touch will have made of a session. */
export function applyTouch(session: Session, { seenAt, confirmed }: Touch): Session {
  const isFirst = session.confirmedAt === undefined && confirmed?.generation === session.generation;
  if (!isFirst && seenAt <= session.seenAt) return session;
  // Written out, since it is done with every request of a known session: V8 copies by a spread more slowly.
  return {
    key: session.key,
    handle: session.handle,
    family: session.family,
    kind: session.kind,
    generation: session.generation,
    consumerId: session.consumerId,
    credentialId: session.credentialId,
    audience: session.audience,
    realm: session.realm,
    subject: session.subject,
    data: session.data,
    authenticatedAt: session.authenticatedAt,
    startedAt: session.startedAt,
    renewedAt: session.renewedAt,
    previousRenewedAt: session.previousRenewedAt,
    confirmedAt: isFirst ? confirmed.at : session.confirmedAt,
    seenAt: Math.max(seenAt, session.seenAt),
  };
}
