import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from './stage.ts';

/** One request that was answered. Moments are performance.now(). */
export interface Sample {
  readonly kind: string;
  readonly outcome: Outcome;
  readonly sentAt: number;
  readonly answeredAt: number;
}

/** Sends one request and says what kind it was and what became of it. */
export type Shot = (index: number) => Promise<{ readonly kind: string; readonly outcome: Outcome }>;

/** Milliseconds between two looks at the clock. */
const TICK = 10;
/** More at a time would only be queues of our own. */
const MOST_AT_ONCE = 2000;

/** Requests at a steady rate, whether the earlier ones are answered or not, as visitors come. */
export class Load {
  readonly samples: Sample[] = [];
  readonly #perSecond: number;
  readonly #shoot: Shot;
  readonly #running = new Set<Promise<void>>();
  #skipped = 0;
  #sent = 0;
  #isStopped = false;
  #loop: Promise<void> | undefined;

  constructor(perSecond: number, shoot: Shot) {
    this.#perSecond = perSecond;
    this.#shoot = shoot;
  }

  start(): this {
    this.#loop = this.#run();
    return this;
  }

  /** Requests that have no answer yet. */
  get inFlight(): number {
    return this.#running.size;
  }

  /** Requests that should have been sent while too many others were waiting. */
  get skipped(): number {
    return this.#skipped;
  }

  count(filter: (sample: Sample) => boolean): number {
    return this.samples.filter(filter).length;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#loop;
    await Promise.all(this.#running);
  }

  async #run(): Promise<void> {
    const startedAt = performance.now();
    while (!this.#isStopped) {
      const due = Math.floor(((performance.now() - startedAt) / 1000) * this.#perSecond);
      for (; this.#sent < due; this.#sent++) this.#send(this.#sent);
      await sleep(TICK);
    }
  }

  #send(index: number): void {
    if (this.#running.size >= MOST_AT_ONCE) {
      this.#skipped++;
      return;
    }
    const shot = this.#measure(index);
    this.#running.add(shot);
    void shot.finally(() => this.#running.delete(shot));
  }

  async #measure(index: number): Promise<void> {
    const sentAt = performance.now();
    const { kind, outcome } = await this.#shoot(index);
    this.samples.push({ kind, outcome, sentAt, answeredAt: performance.now() });
  }
}

/** The longest time in which no request of the kind was served, in milliseconds, from `since` to `until`. */
export function longestGap(
  samples: readonly Sample[],
  kind: string,
  since: number,
  until: number,
): number {
  const served = samples
    .filter((sample) => sample.kind === kind && sample.outcome === 'served')
    .map(({ answeredAt }) => answeredAt)
    .filter((at) => at > since && at < until)
    .toSorted((one, other) => one - other);
  const moments = [since, ...served, until];
  return Math.max(...moments.slice(1).map((at, index) => at - (moments[index] ?? since)));
}

/** The middle of the waiting times, in milliseconds; 0 where there is none. */
export function median(samples: readonly Sample[]): number {
  const times = samples.map(({ sentAt, answeredAt }) => answeredAt - sentAt);
  return times.toSorted((one, other) => one - other)[Math.floor(times.length / 2)] ?? 0;
}
