const KEPT = 1000;

/** What one proxied request and the plugin server said to each other. */
export interface Conversation {
  readonly requestId: string;
  /** The PDK calls of the plugin, in order, by their dotted Lua name. */
  readonly calls: string[];
  /** How often Kong waited for the plugin server, without starting and closing instances. */
  roundTrips: number;
  started: number;
  closed: number;
  /** Events that were run again after "no plugin instance" (or a closed connection, with ProtoBuf). */
  retries: number;
}

/** The newest conversations, so that tests can assert what a request cost. */
export class Conversations {
  readonly #byRequest = new Map<string, Conversation>();
  #opened = 0;

  /** How many began so far. */
  get opened(): number {
    return this.#opened;
  }

  open(requestId: string): Conversation {
    const existing = this.#byRequest.get(requestId);
    if (existing !== undefined) return existing;
    const fresh = { requestId, calls: [], roundTrips: 0, started: 0, closed: 0, retries: 0 };
    this.#byRequest.set(requestId, fresh);
    this.#opened++;
    const [oldest] = this.#byRequest.keys();
    if (this.#byRequest.size > KEPT && oldest !== undefined) this.#byRequest.delete(oldest);
    return fresh;
  }

  /** Of the request with this X-Kong-Request-Id; undefined where the plugin did not run. */
  get(requestId: string): Conversation | undefined {
    return this.#byRequest.get(requestId);
  }

  last(): Conversation | undefined {
    return this.newest(1)[0];
  }

  /** At most so many, the newest last. */
  newest(count: number): readonly Conversation[] {
    return [...this.#byRequest.values()].slice(-count);
  }
}
