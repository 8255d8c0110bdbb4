import { setTimeout as sleep } from 'node:timers/promises';

/** Asks until there is something to return. Times in milliseconds. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  { limit = 30_000, every = 100 }: { limit?: number; every?: number } = {},
): Promise<T> {
  const deadline = Date.now() + limit;
  for (;;) {
    const found = await check();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`not within ${limit} ms: ${what}`);
    await sleep(every);
  }
}

/** Waits for moments counted from one beginning, so that slow requests in between do not add up. */
export class Clock {
  readonly #begin = Date.now();

  /** Seconds since the beginning. */
  get elapsed(): number {
    return (Date.now() - this.#begin) / 1000;
  }

  async at(seconds: number): Promise<void> {
    await sleep(Math.max(0, this.#begin + seconds * 1000 - Date.now()));
  }
}

/** Runs `work` for every item, at most `width` at a time, and returns the results in order. */
export async function inParallel<T, R>(
  items: readonly T[],
  width: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const entries = items.entries();
  const lane = async (): Promise<void> => {
    for (const [index, item] of entries) results[index] = await work(item, index);
  };
  await Promise.all(Array.from({ length: width }, lane));
  return results;
}
