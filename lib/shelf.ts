import { LRUCache } from 'lru-cache';
import { isRevokedBy } from './notice.ts';
import type { Revocable, Revocation } from './notice.ts';
import type { Packing } from './packing.ts';

/** What is known about one key. */
export interface Entry<V> {
  /** `null`: known to be gone. */
  readonly value: V | null;
  /** Not later than the store's answer was true, in milliseconds. */
  readonly askedAt: number;
}

/** An entry as it is kept; `content` is text where there is a packing. */
interface Kept<V> {
  readonly content: V | string | null;
  readonly family: string | undefined;
  readonly askedAt: number;
}

/** Entries that are kept as objects beside their text. */
const OPEN = 2000;

/** The entries of a cache by key, and by family; the one that was not used for longest goes first. */
export class Shelf<V extends Revocable> {
  readonly #kept: LRUCache<string, Kept<V>>;
  readonly #open = new LRUCache<string, { kept: Kept<V>; entry: Entry<V> }>({ max: OPEN });
  readonly #packing: Packing<V> | undefined;
  /** Most families have one key: a list would cost more than the key itself. */
  readonly #keysOfFamily = new Map<string, string | readonly string[]>();

  constructor(max: number, packing?: Packing<V>) {
    this.#packing = packing;
    this.#kept = new LRUCache({ max, dispose: ({ family }, key) => this.#unindex(family, key) });
  }

  get size(): number {
    return this.#kept.size;
  }

  /** Counts as a use. */
  get(key: string): Entry<V> | undefined {
    const kept = this.#kept.get(key);
    return kept && this.#entryOf(key, kept);
  }

  peek(key: string): Entry<V> | undefined {
    const kept = this.#kept.peek(key);
    return kept && this.#entryOf(key, kept);
  }

  set(key: string, { value, askedAt }: Entry<V>): void {
    const content = value && this.#packing ? this.#packing.pack(value) : value;
    // Whole numbers take less memory, and an answer may only be taken for older than it is.
    const moment = Math.floor(askedAt);
    const kept = { content, family: value?.family, askedAt: moment };
    this.#kept.set(key, kept);
    this.#open.set(key, { kept, entry: { value, askedAt: moment } });
    this.#index(kept.family, key);
  }

  delete(key: string): void {
    this.#kept.delete(key);
    this.#open.delete(key);
  }

  clear(): void {
    this.#kept.clear();
    this.#open.clear();
  }

  /** The keys of what a revocation means. */
  keysOf(revocation: Revocation): readonly string[] {
    if (revocation.kind === 'family') return listOf(this.#keysOfFamily.get(revocation.target));
    const keys: string[] = [];
    for (const [key, kept] of this.#kept.entries()) {
      if (this.#isMeant(key, kept, revocation)) keys.push(key);
    }
    return keys;
  }

  #isMeant(key: string, kept: Kept<V>, revocation: Revocation): boolean {
    const { content } = kept;
    const isText = typeof content === 'string';
    if (isText && this.#packing?.mayMean(revocation, content) === false) return false;
    const value = this.#valueOf(key, kept);
    return value !== null && isRevokedBy(value, revocation);
  }

  #entryOf(key: string, kept: Kept<V>): Entry<V> {
    const open = this.#open.get(key);
    if (open?.kept === kept) return open.entry;
    const entry = { value: this.#valueOf(key, kept), askedAt: kept.askedAt };
    this.#open.set(key, { kept, entry });
    return entry;
  }

  #valueOf(key: string, { content, family }: Kept<V>): V | null {
    if (typeof content !== 'string') return content;
    if (this.#packing === undefined || family === undefined) throw new TypeError('not packed here');
    return this.#packing.unpack(content, { key, family });
  }

  #index(family: string | undefined, key: string): void {
    if (family === undefined) return;
    const keys = listOf(this.#keysOfFamily.get(family));
    if (keys.length === 0) this.#keysOfFamily.set(family, key);
    else if (!keys.includes(key)) this.#keysOfFamily.set(family, [...keys, key]);
  }

  #unindex(family: string | undefined, key: string): void {
    if (family === undefined) return;
    const keys = listOf(this.#keysOfFamily.get(family)).filter((other) => other !== key);
    if (keys.length > 0) this.#keysOfFamily.set(family, keys);
    else this.#keysOfFamily.delete(family);
  }
}

const listOf = (keys: string | readonly string[] | undefined): readonly string[] =>
  typeof keys === 'string' ? [keys] : (keys ?? []);
