/** SQL: milliseconds since the epoch, with what is below one. */
export const TIME = '(extract(epoch from clock_timestamp()) * 1000)::float8';

/**
 * The database's clock as far as its answers tell. An answer proves that the offset lies between (its time −
 * received) and (its time − sent); the estimate moves only as far as that demands, so a slow answer, whose
 * bounds are wide, spoils nothing, and a clock that was set is followed with the next answer.
 */
export class DatabaseClock {
  #offset: number | undefined;

  /** Whether an answer has told the offset; before that `now` is our own clock. */
  get isSet(): boolean {
    return this.#offset !== undefined;
  }

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
