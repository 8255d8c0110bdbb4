import type { PdkCall, PdkValue } from '../pdk.ts';
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

/** Kong's turn to speak ends with a message that we answer: here, once. */
export interface Turn {
  /**
   * Returns false when the connection is gone. Throws TypeError on what cannot be encoded; the turn
   * is then not used up.
   */
  reply(data: StepData): boolean;
}

type StepData = { Data: PdkValue; EventId: string };

interface Waiter {
  resolve(result: unknown): void;
  reject(err: Error): void;
}

export const asStep = ([Method, ...Args]: PdkCall): PdkValue => ({ Method, Args });

/**
 * A request over MessagePack. Kong asks, we answer with one PDK call, Kong asks again with its
 * result, until the answer is "ret": each call is a round trip, and each may come over another
 * connection (Kong's rpc/mp_rpc.lua).
 */
export class MsgpackEvent extends Event {
  override readonly pipelined = false;
  override readonly identityByContext = false;
  readonly id: string;
  readonly #events: Map<string, MsgpackEvent>;
  /** What Kong waits for; absent while Kong works on a call. */
  #turn: Turn | undefined;
  #waiter: Waiter | undefined;

  constructor(host: Host, id: string, turn: Turn, events: Map<string, MsgpackEvent>) {
    super(host);
    this.id = id;
    this.#turn = turn;
    this.#events = events;
    events.set(id, this);
  }

  override async read(calls: readonly PdkCall[]): Promise<unknown[]> {
    checkReads(calls);
    const results: unknown[] = [];
    for (const call of calls) results.push(await this.#ask(call));
    return results;
  }

  override async act(calls: readonly PdkCall[]): Promise<void> {
    checkActs(calls);
    // While Kong works on a call nothing can be said. Its late answer ends in 503 (MsgpackTransport).
    if (isExit(calls) && this.#turn === undefined && !this.isOver) return this.finish();
    for (const call of calls) {
      if (endsEvent(call)) return this.#conclude(asStep(call));
      await this.#ask(call);
    }
    this.#conclude('ret');
  }

  /** Takes Kong's result of the call before. Returns false if there was none. */
  step(turn: Turn, result: unknown): boolean {
    const waiter = this.#waiter;
    if (!waiter) return false;
    this.#turn = turn;
    this.#waiter = undefined;
    waiter.resolve(result);
    return true;
  }

  protected override refuse(): void {
    this.#turn?.reply({ Data: asStep(UNAVAILABLE), EventId: this.id });
  }

  protected override release(): void {
    this.#events.delete(this.id);
    this.#turn = undefined;
    this.#waiter?.reject(new EventOver());
    this.#waiter = undefined;
  }

  #ask(call: PdkCall): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#send(asStep(call));
      this.#waiter = { resolve, reject };
    });
  }

  /** Kong never tells that it has received the last answer. */
  #conclude(data: PdkValue): void {
    this.#send(data);
    this.finish();
  }

  #send(data: PdkValue): void {
    if (this.isOver) throw new EventOver();
    if (this.#turn === undefined) throw new TypeError('Kong has not answered the call before');
    const isSent = this.#turn.reply({ Data: data, EventId: this.id });
    this.#turn = undefined;
    if (isSent) return;
    this.finish();
    throw new EventOver();
  }
}
