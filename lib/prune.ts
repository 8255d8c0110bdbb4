import type { LogLine } from './bus.ts';
import type { Store } from './store.ts';

export interface PrunerOptions {
  readonly log: LogLine;
  /** Between two turns, ± 50 % so that nodes started together do not stay in step. Milliseconds, default 15,000. */
  readonly interval?: number | undefined;
  /** Before each turn: whether the tables may be used. */
  readonly ready: () => Promise<void>;
}

/** Tens of milliseconds for a statement: it disturbs nobody. */
const BATCH = 2000;
/** The rest waits for the next turn. */
const BATCHES = 125;

/** Deletes expired sessions now and then. Every node tries, one at a time works (Store.prune). */
export class Pruner {
  readonly #store: Store;
  readonly #options: PrunerOptions;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(store: Store, options: PrunerOptions) {
    this.#store = store;
    this.#options = options;
  }

  start(): void {
    if (this.#isStopped) return;
    const pause = (this.#options.interval ?? 15_000) * (0.5 + Math.random());
    this.#timer = setTimeout(() => void this.#turn(), pause).unref();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #turn(): Promise<void> {
    try {
      await this.#options.ready();
      const sessions = await prune(this.#store);
      if (sessions > 0) this.#options.log('pruned', { sessions });
    } catch (error) {
      this.#options.log('prune_failed', { error });
    }
    this.start();
  }
}

/** Deletes what has expired, in batches, and resolves with the number of sessions. */
export async function prune(store: Store): Promise<number> {
  let total = 0;
  for (let batch = 0; batch < BATCHES; batch++) {
    const { sessions, cutoffs } = await store.prune(BATCH);
    total += sessions;
    if (Math.max(sessions, cutoffs) < BATCH) break;
  }
  return total;
}
