import { createHash, hkdfSync, webcrypto } from 'node:crypto';
import { LRUCache } from 'lru-cache';

export type Key = webcrypto.CryptoKey;

/** What a key is for: a token of one purpose is worthless in another (RFC 8725 3.11, 3.12). */
export type Purpose = 'session' | 'remember' | 'data';

const DAY = 86_400_000;
/** Browsers keep no cookie longer (RFC 6265bis 5.5). */
const LONGEST_COOKIE_DAYS = 400;

/** Derived keys for the whole process; a key is used for one day, so there are few. */
const derived = new LRUCache<string, Promise<Key>>({ max: 1024 });

/**
 * The keys of one instance. Each secret yields, for every purpose, realm and day, a key of its own: no key is used
 * often enough to meet the 2^32 limit of random IVs (NIST SP 800-38D 8.3). `kid` is 8 octets derived from
 * the secret and the number of the day since the epoch: `Bv6pLkqTz0M.20779`.
 */
export class KeyRing {
  readonly #secrets: readonly { id: string; secret: string; digest: string }[];
  readonly #realm: string;
  readonly #oldestDays: number;

  /** @param longest milliseconds a token may live, 0 = without end */
  constructor(secrets: readonly string[], realm: string, longest: number) {
    this.#realm = realm;
    this.#oldestDays =
      longest === 0 ? Infinity : Math.max(LONGEST_COOKIE_DAYS, Math.ceil(longest / DAY));
    this.#secrets = secrets.map((secret) => ({
      id: Buffer.from(hkdf(secret, 'kid', 8)).toString('base64url'),
      secret,
      digest: createHash('sha256').update(secret).digest('base64url'),
    }));
  }

  /** Distinguishes rings without giving anything away: instances with the same secrets and realm share it. */
  get identity(): string {
    return [this.#realm, ...this.#secrets.map(({ digest }) => digest)].join(' ');
  }

  /** The kid that tokens sealed now carry. */
  sealingKid(now: number): string {
    return `${this.#first.id}.${Math.floor(now / DAY)}`;
  }

  /** Whether a token under this kid should be sealed anew, because its secret is only a fallback. */
  isFallback(kid: string): boolean {
    return !kid.startsWith(`${this.#first.id}.`);
  }

  /**
   * Whether the kid is one of ours and its day can be that of a living token. Nothing is derived before this
   * says yes.
   */
  knows(kid: string, now: number): boolean {
    const day = dayOf(kid);
    const today = Math.floor(now / DAY);
    if (day === undefined || day > today + 1 || day < today - this.#oldestDays) return false;
    return this.#secretOf(kid) !== undefined;
  }

  /** The key under a kid that `knows` accepted. */
  key(purpose: Purpose, kid: string): Promise<Key> {
    const found = this.#secretOf(kid);
    if (found === undefined) throw new TypeError('key of an unknown kid');
    const name = [purpose, this.#realm, kid, found.digest].join(' ');
    const known = derived.get(name);
    if (known) return known;
    const key = importKey(hkdf(found.secret, `${purpose} ${this.#realm} ${kid}`, 32));
    derived.set(name, key);
    return key;
  }

  get #first() {
    const first = this.#secrets[0];
    if (first === undefined) throw new TypeError('a key ring needs a secret');
    return first;
  }

  #secretOf(kid: string) {
    const id = kid.slice(0, kid.indexOf('.'));
    return this.#secrets.find((candidate) => candidate.id === id);
  }
}

/** One spelling per day: no sign, no leading zero. */
function dayOf(kid: string): number | undefined {
  const match = /\.(0|[1-9]\d{0,5})$/.exec(kid);
  return match ? Number(match[1]) : undefined;
}

/** RFC 5869 with an empty salt; the info carries the product's name so that the secret may serve others too. */
const hkdf = (secret: string, info: string, length: number): ArrayBuffer =>
  hkdfSync('sha256', secret, '', `session-guard ${info}`, length);

const importKey = (raw: ArrayBuffer): Promise<Key> =>
  webcrypto.subtle.importKey('raw', raw, 'AES-GCM', false, ['encrypt', 'decrypt']);
