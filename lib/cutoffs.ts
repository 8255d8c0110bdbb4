import type { Backend } from './backend.ts';
import type { CutOffs } from './cookie-storage.ts';
import type { Session } from './session.ts';
import { longestLife } from './storage.ts';
import type { Lifetime, Whose } from './storage.ts';

/** Whose sessions a configuration's cut-offs end, and how long its cookies may live: session and persistent. */
export interface CutOffScope {
  readonly realm: string;
  readonly lifetimes: readonly Lifetime[];
}

/** How far the clocks of nodes may differ, in milliseconds. */
const SKEW = 60_000;

/**
 * For how long an end is remembered at least: 90 days. Another route of the realm may have longer timeouts, or a
 * persistent cookie, and not have been asked for on this node yet, and timeouts may be raised later. Some 200 bytes of
 * Postgres for each logout (docs/scaling.md) buy that.
 */
const SHORTEST = 90 * 86_400_000;

/** Milliseconds that any cookie of a realm may live, by all configurations of this process so far. Only raised. */
const longest = new Map<string, number>();

function learn({ realm, lifetimes }: CutOffScope): void {
  const lives = lifetimes.map((lifetime) => longestLife(lifetime) || Infinity);
  longest.set(realm, Math.max(longest.get(realm) ?? SHORTEST, ...lives));
}

/** Cut-offs for sessions that live in cookies, cached under the same rules as sessions. */
export class CachedCutOffs implements CutOffs {
  readonly #backend: Backend;
  readonly #cacheTtl: number;
  readonly #realm: string;

  constructor(backend: Backend, cacheTtl: number, scope: CutOffScope) {
    this.#backend = backend;
    this.#cacheTtl = cacheTtl;
    this.#realm = scope.realm;
    learn(scope);
  }

  now(): number {
    return this.#backend.database.now();
  }

  get hasClock(): boolean {
    return this.#backend.database.clock.isSet;
  }

  settleClock(): Promise<void> {
    return this.#backend.database.settleClock();
  }

  peek(session: Session): number | undefined {
    const known = this.#backend.cutOffs.peek(this.#keyOf(session), this.#cacheTtl);
    return known === null ? Infinity : known?.endedBefore;
  }

  async load(session: Session): Promise<number> {
    const { readiness, cutOffs, store } = this.#backend;
    await readiness.ready();
    const { family, consumerId, credentialId } = session;
    const user = this.#userOf(session);
    const known = await cutOffs.load(this.#keyOf(session), '', async (onSent) => {
      const endedBefore = await store.endedBefore({ ...session, user }, onSent);
      // Whatever is revoked means this entry, however old the session is.
      return { family, consumerId, credentialId, user, authenticatedAt: -Infinity, endedBefore };
    });
    return known?.endedBefore ?? Infinity;
  }

  async add({ family }: Session): Promise<void> {
    await this.#backend.endCookies(family, this.#until());
  }

  async addUser(whose: Whose): Promise<void> {
    await this.#backend.endCookiesOf(this.#userOf(whose), this.#until());
  }

  /** The id of a consumer has no blanks, nor has an audience. The realm is the session's, also of a persistent cookie. */
  #userOf({ consumerId, audience }: Pick<Whose, 'consumerId' | 'audience'>): string {
    return `${consumerId} ${audience} ${this.#realm}`;
  }

  #keyOf(session: Session): string {
    return `${session.family} ${session.credentialId ?? ''} ${this.#userOf(session)}`;
  }

  /** No copy is renewed after this, but the youngest may just have been. */
  #until(): number {
    return this.now() + (longest.get(this.#realm) ?? Infinity) + SKEW;
  }
}
