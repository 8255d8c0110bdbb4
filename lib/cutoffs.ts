import type { Backend } from './backend.ts';
import type { CutOffs } from './cookie-storage.ts';
import type { Session } from './session.ts';
import type { Lifetime } from './storage.ts';

/** How long the cookies of a configuration live. */
export interface CookieLifetimes {
  readonly session: Lifetime;
  readonly remember: Lifetime | undefined;
}

/** How far the clocks of nodes may differ, in milliseconds. */
const SKEW = 60_000;

/** Cut-offs for sessions that live in cookies, cached under the same rules as sessions. */
export class CachedCutOffs implements CutOffs {
  readonly #backend: Backend;
  readonly #cacheTtl: number;
  readonly #lifetimes: CookieLifetimes;

  /** `lifetimes` tell how long a cut-off is needed. */
  constructor(backend: Backend, cacheTtl: number, lifetimes: CookieLifetimes) {
    this.#backend = backend;
    this.#cacheTtl = cacheTtl;
    this.#lifetimes = lifetimes;
  }

  now(): number {
    return this.#backend.database.now();
  }

  peek(session: Session): number | undefined {
    const known = this.#backend.cutOffs.peek(keyOf(session), this.#cacheTtl);
    return known === null ? Infinity : known?.endedBefore;
  }

  async load(session: Session): Promise<number> {
    const { readiness, cutOffs, store } = this.#backend;
    await readiness.ready();
    const { family, consumerId, credentialId } = session;
    const known = await cutOffs.load(keyOf(session), '', async (onSent) => {
      const endedBefore = await store.endedBefore(session, onSent);
      // Whatever is revoked means this entry, however old the session is.
      return { family, consumerId, credentialId, authenticatedAt: -Infinity, endedBefore };
    });
    return known?.endedBefore ?? Infinity;
  }

  async add({ family, startedAt, authenticatedAt }: Session): Promise<void> {
    // With a persistent cookie there may be younger sessions of the family than this one.
    const youngest = this.#lifetimes.remember ? this.now() : startedAt;
    await this.#backend.endCookies(family, this.#until(youngest, authenticatedAt));
  }

  async addConsumer(consumerId: string): Promise<void> {
    await this.#backend.endConsumer(consumerId, this.#until(this.now(), this.now()));
  }

  /** When no cookie of today is alive any more. No copy is renewed after this: the youngest may just have been. */
  #until(startedAt: number, authenticatedAt: number): number {
    const { session, remember } = this.#lifetimes;
    const end = ({ rolling, absolute }: Lifetime, since: number) =>
      Math.min(
        rolling === 0 ? Infinity : this.now() + rolling,
        absolute === 0 ? Infinity : since + absolute,
      );
    const last = end(session, startedAt);
    return (remember ? Math.max(last, end(remember, authenticatedAt)) : last) + SKEW;
  }
}

const keyOf = ({ family, consumerId, credentialId = '' }: Session): string =>
  `${family} ${consumerId} ${credentialId}`;
