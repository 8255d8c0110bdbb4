import { randomBytes } from 'node:crypto';
import { isSame } from '../endpoint/token.ts';

/** One browser that has shown the token. */
export interface Login {
  readonly id: string;
  /** What its forms carry, since a cookie alone does not tell whose form it was (CSRF). */
  readonly formToken: string;
}

interface Entry extends Login {
  until: number;
}

/** Idle for so long, a browser has to show the token again. Seconds, as the cookie has it. */
export const IDLE_SECONDS = 900;
/** Browsers at once; the one idle for longest goes first. */
const MAX = 50;
/** Wrong tokens in a minute, from whomever: then nobody is let in for the rest of it. */
const MAX_FAILURES = 10;
const MINUTE = 60_000;

const random = (): string => randomBytes(24).toString('base64url');

/** Who may use the console, in memory: it ends with the process. */
export class Logins {
  readonly #token: string;
  readonly #clock: () => number;
  readonly #byId = new Map<string, Entry>();
  #failures = { since: -Infinity, count: 0 };

  constructor(token: string, clock: () => number = () => performance.now()) {
    this.#token = token;
    this.#clock = clock;
  }

  /** `undefined` = the wrong token; 'later' = too many of them. */
  begin(token: string): Login | undefined | 'later' {
    const now = this.#clock();
    if (now - this.#failures.since > MINUTE) this.#failures = { since: now, count: 0 };
    if (this.#failures.count >= MAX_FAILURES) return 'later';
    if (!isSame(token.trim(), this.#token)) {
      this.#failures.count += 1;
      return undefined;
    }
    const entry = { id: random(), formToken: random(), until: now + IDLE_SECONDS * 1000 };
    this.#byId.set(entry.id, entry);
    if (this.#byId.size > MAX) this.#byId.delete([...this.#byId.keys()][0] ?? '');
    return entry;
  }

  /** The login that a cookie proves; it lives on from now. */
  find(id: string | undefined): Login | undefined {
    const entry = id === undefined ? undefined : this.#byId.get(id);
    if (entry === undefined) return undefined;
    this.#byId.delete(entry.id);
    const now = this.#clock();
    if (now > entry.until) return undefined;
    entry.until = now + IDLE_SECONDS * 1000;
    this.#byId.set(entry.id, entry);
    return entry;
  }

  end({ id }: Login): void {
    this.#byId.delete(id);
  }
}
