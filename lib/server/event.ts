import type { Instance, Pdk, PdkCall } from '../pdk.ts';
import type { Host } from './host.ts';

/** Rejects what a handler still waits for when its event is over. */
export class EventOver extends Error {
  override readonly name = 'EventOver';

  constructor() {
    super('the request is over');
  }
}

/** These end Kong's part of the event: it sends no answer to them. */
const ENDING = new Set(['kong.response.exit', 'kong.response.error']);
export const endsEvent = (call: PdkCall): boolean => ENDING.has(call[0]);

/** An answer to the client and nothing else. A handler whose time is up may give it while Kong owes results. */
export const isExit = (calls: readonly PdkCall[]): boolean =>
  calls.length === 1 && calls.every(endsEvent);

const HEADERS = {
  'Content-Type': 'application/json; charset=utf-8',
  'Cache-Control': 'no-store',
  'Retry-After': '5',
};

/**
 * The answer where none was found: never a guess, never Kong's own way, which is to let the request
 * pass.
 */
export const UNAVAILABLE: PdkCall = [
  'kong.response.exit',
  503,
  '{"message":"The session service is unavailable, try again"}',
  HEADERS,
];

/**
 * One request inside the plugin. Whatever its handler does, Kong gets an answer before the
 * deadline: the acts of the handler, or 503.
 */
export abstract class Event implements Pdk {
  abstract readonly pipelined: boolean;
  abstract readonly identityByContext: boolean;
  protected readonly host: Host;
  #isOver = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(host: Host) {
    this.host = host;
  }

  abstract read(calls: readonly PdkCall[]): Promise<unknown[]>;
  abstract act(calls: readonly PdkCall[]): Promise<void>;
  /** Says UNAVAILABLE to Kong if it can still be said. */
  protected abstract refuse(): void;
  /** Frees what the event holds; called once. */
  protected abstract release(): void;

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Runs the handler to its end. Never throws and never rejects. */
  async run(instance: Instance): Promise<void> {
    this.host.began();
    this.#timer = setTimeout(expire, this.host.deadline, this);
    try {
      await instance.access(this);
      this.fail('the handler ended without an answer');
    } catch (err) {
      if (!(err instanceof EventOver)) this.fail('the handler failed', err);
    }
  }

  /** Ends the event with 503, unless it is over. */
  fail(reason: string, err?: unknown): void {
    if (this.#isOver) return;
    this.host.log.error({ event: 'request-failed', ...(err !== undefined && { err }) }, reason);
    this.refuse();
    this.finish();
  }

  /** Forgets the event. Idempotent. */
  protected finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.release();
    this.host.ended();
  }
}

const expire = (event: Event): void => event.fail('the handler took too long');

/** Throws TypeError unless only the last of the acts ends the event. */
export function checkActs(calls: readonly PdkCall[]): void {
  // No slice: of a frozen array it is slow.
  for (let index = 0; index < calls.length - 1; index++) {
    if (endsEvent(calls[index]!)) {
      throw new TypeError('kong.response.exit must be the last call of a batch');
    }
  }
}

/** Throws TypeError if one of the calls would never be answered. */
export function checkReads(calls: readonly PdkCall[]): void {
  if (calls.some(endsEvent)) throw new TypeError('kong.response.exit is an act, not a read');
}
