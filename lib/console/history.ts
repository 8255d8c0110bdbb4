import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { events, requests } from '../events.ts';
import type { RequestTrace, SessionEvent } from '../events.ts';
import { resultOf } from '../metrics.ts';

const COUNTED = [
  'sign-ins',
  'renewals',
  'sign-outs',
  'missing',
  'invalid',
  'expired',
  'revoked',
  'unavailable',
] as const;
export type Counted = (typeof COUNTED)[number];
export type Counts = Record<Counted, number>;

const MINUTE = 60_000;

const EVENTS: { readonly [code: string]: Counted } = {
  session_created: 'sign-ins',
  session_renewed: 'renewals',
  session_ended: 'sign-outs',
};
const RESULTS: { readonly [result: string]: Counted } = {
  deny_missing: 'missing',
  deny_invalid: 'invalid',
  deny_expired: 'expired',
  deny_revoked: 'revoked',
  unavailable: 'unavailable',
};

const zero = (): Counts => Object.fromEntries(COUNTED.map((name) => [name, 0])) as Counts;

/** What happened on this node in the last hour, minute by minute. */
export class History {
  readonly #clock: () => number;
  readonly #minutes = new Map<number, Counts>();
  readonly length: number;

  constructor(length = 60, clock: () => number = Date.now) {
    this.length = length;
    this.#clock = clock;
  }

  /** Counts what the channels of this process tell until `stop` is called. */
  start(): { stop(): void } {
    const onEvent = (message: unknown) => this.add(EVENTS[(message as SessionEvent).code]);
    const onRequest = (message: unknown) =>
      this.add(RESULTS[resultOf((message as RequestTrace).result)]);
    subscribe(events.name, onEvent);
    subscribe(requests.asyncEnd.name, onRequest);
    return {
      stop: () => {
        unsubscribe(events.name, onEvent);
        unsubscribe(requests.asyncEnd.name, onRequest);
      },
    };
  }

  add(what: Counted | undefined): void {
    if (what === undefined) return;
    const minute = this.#minute();
    let counts = this.#minutes.get(minute);
    if (counts === undefined) {
      counts = zero();
      this.#minutes.set(minute, counts);
      for (const old of this.#minutes.keys()) {
        if (old <= minute - this.length) this.#minutes.delete(old);
      }
    }
    counts[what] += 1;
  }

  /** The last minutes, the current one last. */
  get minutes(): readonly Counts[] {
    const last = this.#minute();
    return Array.from({ length: this.length }, (_, index) => {
      return this.#minutes.get(last - this.length + 1 + index) ?? zero();
    });
  }

  total(what: Counted): number {
    return this.minutes.reduce((sum, counts) => sum + counts[what], 0);
  }

  #minute(): number {
    return Math.floor(this.#clock() / MINUTE);
  }
}
