import { LRUCache } from 'lru-cache';
import type { EventCode, EventFields } from './events.ts';

/** What one client can bring about with every request, without anything changing by it. */
const REPEATABLE: ReadonlySet<EventCode> = new Set([
  'session_replayed',
  'session_bound_elsewhere',
  'session_restored',
  'session_limit',
]);
const MINUTE = 60_000;

/**
 * Under which name such an event is told once, and then once a minute: evidence must not be flooded away.
 * `undefined` = every one of them is news.
 */
export const repetitionOf = (code: EventCode, { session }: EventFields): string | undefined =>
  REPEATABLE.has(code) ? `${code} ${session?.handle ?? session?.consumerId}` : undefined;

/** Remembers what was told lately, of the last 10,000 names. */
export class Repetitions {
  readonly #told = new LRUCache<string, { readonly at: number; omitted: number }>({ max: 10_000 });

  /**
   * How many of this name were left out since it was last told; `undefined` = this one is to be left out too.
   *
   * @param interval milliseconds
   */
  next(name: string, interval = MINUTE): number | undefined {
    const now = performance.now();
    const last = this.#told.get(name);
    if (last && now - last.at < interval) {
      last.omitted += 1;
      return undefined;
    }
    this.#told.set(name, { at: now, omitted: 0 });
    return last?.omitted ?? 0;
  }
}
