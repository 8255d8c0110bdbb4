import type { PdkCall } from '../pdk.ts';
import {
  checkActs,
  checkReads,
  endsEvent,
  Event,
  EventOver,
  isExit,
  UNAVAILABLE,
} from './event.ts';
import type { Host } from './host.ts';
import { encodeCalls, encodeEnd } from './protobuf-calls.ts';
import { methodOf } from './protobuf-methods.ts';

/** The connection of one request, as the request sees it. */
export interface Line {
  send(frames: Buffer): void;
  /**
   * Says that the request is over but so many answers are still to come, and whether Kong then
   * closes the connection.
   */
  settle(answers: number, isClosing: boolean): void;
}

interface Batch {
  readonly calls: readonly PdkCall[];
  readonly results: unknown[];
  resolve(results: unknown[]): void;
  reject(err: Error): void;
}

/**
 * A request over ProtoBuf. We ask and Kong answers, in order and on this one connection, so that a
 * batch is one round trip whatever its length (Kong's rpc/pb_rpc.lua).
 */
export class ProtobufEvent extends Event {
  override readonly pipelined = true;
  override readonly identityByContext = true;
  readonly #line: Line;
  readonly #sequence: number;
  #batch: Batch | undefined;

  constructor(host: Host, line: Line, sequence: number) {
    super(host);
    this.#line = line;
    this.#sequence = sequence;
  }

  override read(calls: readonly PdkCall[]): Promise<unknown[]> {
    return new Promise((resolve, reject) => {
      this.#check();
      checkReads(calls);
      if (calls.length === 0) return resolve([]);
      this.#line.send(encodeCalls(calls));
      this.#batch = { calls, results: [], resolve, reject };
    });
  }

  override async act(calls: readonly PdkCall[]): Promise<void> {
    // Behind a batch that Kong is slow to answer an exit can still be said, as `refuse` does.
    if (!isExit(calls)) this.#check();
    else if (this.isOver) throw new EventOver();
    checkActs(calls);
    this.#end(calls);
    this.finish();
  }

  /** Kong's answer to the next call of the batch. */
  answer(frame: Buffer): void {
    const batch = this.#batch!;
    const { calls, results } = batch;
    results.push(methodOf(calls[results.length]!).decode(frame));
    if (results.length < calls.length) return;
    this.#batch = undefined;
    batch.resolve(results);
  }

  get isAsking(): boolean {
    return this.#batch !== undefined;
  }

  /** Kong has closed the connection: it answers 500 by itself. */
  disconnected(): void {
    if (this.isOver) return;
    this.host.log.warn({ event: 'disconnected' }, 'Kong gave up a request');
    this.finish();
  }

  protected override refuse(): void {
    this.#end([UNAVAILABLE]);
  }

  protected override release(): void {
    this.#batch?.reject(new EventOver());
    this.#batch = undefined;
  }

  #end(calls: readonly PdkCall[]): void {
    const unanswered = this.#batch ? this.#batch.calls.length - this.#batch.results.length : 0;
    const last = calls.at(-1);
    const isClosing = last !== undefined && endsEvent(last);
    this.#line.send(encodeEnd(calls, this.#sequence));
    this.#line.settle(unanswered + calls.length - (isClosing ? 1 : 0), isClosing);
  }

  #check(): void {
    if (this.isOver) throw new EventOver();
    if (this.#batch) throw new TypeError('Kong has not answered the batch before');
  }
}
