import { isRevokedBy } from './notice.ts';
import type { Revocable, Revocation } from './notice.ts';
import type { Packing } from './packing.ts';
import { Shelf } from './shelf.ts';
import type { Entry } from './shelf.ts';

export interface CacheOptions<V> {
  /** Entries at most. Default 50,000. */
  readonly max?: number | undefined;
  /** Whether revocations of other nodes are known to arrive. */
  readonly isTrusted: () => boolean;
  readonly packing?: Packing<V> | undefined;
  /** Milliseconds that never go back. Default performance.now. */
  readonly clock?: (() => number) | undefined;
}

/** A session, or what a node knows about one. */
export interface Cacheable extends Revocable {
  /** Of two answers the one with the higher generation is the newer one. */
  readonly generation?: number;
}

/** A question that several requests wait for. */
interface Load<V> {
  isSent: boolean;
  result: Promise<V | null>;
}

type Change<V> = (value: V) => V;

/** How often a question is asked when revocations overtake its answer; then the session is gone. */
const ATTEMPTS = 3;

/**
 * What this node knows of sessions, by their verified key: never by the cookie, of which there are several spellings.
 * An answer of the store that was under way while the session was revoked is not believed.
 */
export class Cache<V extends Cacheable> {
  readonly #entries: Shelf<V>;
  readonly #loads = new Map<string, Load<V>>();
  /** When each question under way began, oldest first, counted in #sequence: revocations are kept for these. */
  readonly #underWay = new Set<number>();
  /** What has changed about a session since each of the questions about it began. */
  readonly #changes = new Map<string, Set<Change<V>[]>>();
  readonly #revocations: { readonly at: number; readonly revocation: Revocation }[] = [];
  readonly #isTrusted: () => boolean;
  readonly #clock: () => number;
  #sequence = 0;
  #clearedAt = 0;
  /** Looks that were answered, and that were not, since the start. */
  hits = 0;
  misses = 0;

  constructor(options: CacheOptions<V>) {
    const { max = 50_000, isTrusted, packing, clock = () => performance.now() } = options;
    this.#isTrusted = isTrusted;
    this.#clock = clock;
    this.#entries = new Shelf(max, packing);
  }

  /** What is known and younger than `ttl` milliseconds; `null` = gone, `undefined` = ask the store. */
  peek(key: string, ttl: number): V | null | undefined {
    const entry = this.#isTrusted() ? this.#entries.get(key) : undefined;
    if (entry === undefined || this.#clock() - entry.askedAt >= ttl) {
      this.misses += 1;
      return undefined;
    }
    this.hits += 1;
    return entry.value;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Asks the store through `question`, which reports when it leaves. Requests that come before that share it; a later
   * one must not be told what was true before it came, perhaps from another node, and has a question of its own.
   * `by` keeps apart those who may not share an answer.
   */
  load(
    key: string,
    by: string,
    question: (onSent: () => void) => Promise<V | null>,
  ): Promise<V | null> {
    const name = `${by} ${key}`;
    const current = this.#loads.get(name);
    if (current && !current.isSent) return current.result;
    const load: Load<V> = { isSent: false, result: Promise.resolve(null) };
    this.#loads.set(name, load);
    const onSent = () => {
      load.isSent = true;
    };
    load.result = this.ask(key, () => question(onSent)).finally(() => {
      if (this.#loads.get(name) === load) this.#loads.delete(name);
    });
    return load.result;
  }

  /**
   * Remembers the store's answer to `question`. If the session was revoked meanwhile nobody knows which came first:
   * then `again` is asked.
   */
  async ask(key: string, question: () => Promise<V | null>, again = question): Promise<V | null> {
    const changes: Change<V>[] = [];
    const asking = this.#changes.get(key) ?? new Set();
    this.#changes.set(key, asking.add(changes));
    try {
      return await this.#ask(key, changes, question, again);
    } finally {
      asking.delete(changes);
      if (asking.size === 0) this.#changes.delete(key);
    }
  }

  async #ask(
    key: string,
    changes: readonly Change<V>[],
    question: () => Promise<V | null>,
    again: () => Promise<V | null>,
  ): Promise<V | null> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const startedAt = ++this.#sequence;
      const askedAt = this.#clock();
      this.#underWay.add(startedAt);
      try {
        const answer = await (attempt === 0 ? question() : again());
        const value = answer && changes.reduce((before, change) => change(before), answer);
        if (value && this.#wasRevoked(value, startedAt)) continue;
        if (startedAt > this.#clearedAt) this.#remember(key, { value, askedAt });
        return value;
      } finally {
        this.#underWay.delete(startedAt);
        this.#forgetRevocations();
      }
    }
    return null;
  }

  /** Forgets the sessions that a revocation means, and returns their keys. */
  revoke(revocation: Revocation): readonly string[] {
    if (this.#underWay.size > 0) this.#revocations.push({ at: ++this.#sequence, revocation });
    const keys = this.#entries.keysOf(revocation);
    for (const key of keys) this.#entries.delete(key);
    return keys;
  }

  /**
   * Changes what is known about a session without making it any newer, and what is being asked: the store may have
   * looked before the change was written. Changing what has it already must change nothing.
   */
  amend(key: string, change: Change<V>): void {
    for (const changes of this.#changes.get(key) ?? []) changes.push(change);
    const entry = this.#entries.peek(key);
    if (entry?.value) this.#entries.set(key, { ...entry, value: change(entry.value) });
  }

  /** Revocations may have been missed: of what is under way now nothing will be remembered either. */
  clear(): void {
    this.#clearedAt = ++this.#sequence;
    this.#entries.clear();
  }

  #remember(key: string, entry: Entry<V>): void {
    const known = this.#entries.peek(key);
    if (known === undefined || !isNewer(known, entry)) this.#entries.set(key, entry);
  }

  #wasRevoked(value: V, since: number): boolean {
    return this.#revocations.some(
      ({ at, revocation }) => at > since && isRevokedBy(value, revocation),
    );
  }

  #forgetRevocations(): void {
    const [oldest = Infinity] = this.#underWay;
    const first = this.#revocations.findIndex(({ at }) => at > oldest);
    this.#revocations.splice(0, first === -1 ? this.#revocations.length : first);
  }
}

/** The higher generation, or else the later question. */
function isNewer(one: Entry<Cacheable>, other: Entry<Cacheable>): boolean {
  const difference = (one.value?.generation ?? NaN) - (other.value?.generation ?? NaN);
  return difference > 0 || (!(difference < 0) && one.askedAt > other.askedAt);
}
