import type { Pdk, PdkCall } from '../../../lib/pdk.ts';

/** What becomes of one call of a handler to Kong. */
export type PdkFault = 'error' | 'silence' | 'garbage';
export const PDK_FAULTS: readonly PdkFault[] = ['error', 'silence', 'garbage'];

const GARBAGE: readonly unknown[] = [42, true, 'garbage', [4, 2], { 4: 2 }, new Uint8Array(4)];

/** Calls that answer with a text, and with a table that another plugin may have made. */
const TEXTS =
  /^kong\.(nginx\.get_var|request\.get_header|client\.get_forwarded_ip|request\.get_forwarded_scheme)$/;
const TABLES = /^kong\.client\.(get_credential|get_consumer|load_consumer)$/;

/** What a call of Kong's never answers: what it could is nothing that anybody could tell from the truth. */
export const garbageFor = (method: string): readonly unknown[] =>
  GARBAGE.filter((answer) => {
    if (TEXTS.test(method)) return typeof answer !== 'string';
    const isTable = typeof answer === 'object' && answer?.constructor === Object;
    return !(TABLES.test(method) && isTable);
  });

export interface PdkPlan {
  /** Index of the call; what was asked before it is done. */
  readonly at: number;
  readonly fault: PdkFault;
  readonly garbage: unknown;
}

/** The Pdk of one request with a fault in it. Counts the calls, those of acts included. */
export class FaultyPdk implements Pdk {
  readonly pipelined: boolean;
  readonly identityByContext: boolean;
  readonly calls: string[] = [];
  readonly #pdk: Pdk;
  readonly #plan: PdkPlan | undefined;

  constructor(pdk: Pdk, plan: PdkPlan | undefined) {
    this.pipelined = pdk.pipelined;
    this.identityByContext = pdk.identityByContext;
    this.#pdk = pdk;
    this.#plan = plan;
  }

  async read(calls: readonly PdkCall[]): Promise<unknown[]> {
    const hit = this.#note(calls);
    if (hit === undefined) return this.#pdk.read(calls);
    if (hit.fault !== 'garbage') return this.#fail(calls.slice(0, hit.index), hit.fault);
    const answers = await this.#pdk.read(calls);
    return answers.map((answer, index) => (index === hit.index ? hit.garbage : answer));
  }

  async act(calls: readonly PdkCall[]): Promise<void> {
    const hit = this.#note(calls);
    // Nobody looks at the answers to acts.
    if (hit === undefined || hit.fault === 'garbage') return this.#pdk.act(calls);
    await this.#fail(calls.slice(0, hit.index), hit.fault);
  }

  #note(calls: readonly PdkCall[]) {
    const first = this.calls.length;
    this.calls.push(...calls.map(([method]) => method));
    const index = (this.#plan?.at ?? -1) - first;
    return this.#plan && index >= 0 && index < calls.length
      ? { index, fault: this.#plan.fault, garbage: this.#plan.garbage }
      : undefined;
  }

  /** Read, not act: what was done stays done, but the event is not over. */
  async #fail(done: readonly PdkCall[], fault: PdkFault): Promise<never> {
    if (done.length > 0) await this.#pdk.read(done);
    if (fault === 'error') throw new Error('broken on purpose');
    return new Promise<never>(() => {});
  }
}
