import type { Backend } from './backend.ts';
import type { CutOffs } from './cookie-storage.ts';
import type { Session } from './session.ts';
import type { Lifetime } from './storage.ts';

/** How far the clocks of nodes may differ, in milliseconds. */
const SKEW = 60_000;

/** Cut-offs for sessions that live in cookies, cached under the same rules as sessions. */
export class CachedCutOffs implements CutOffs {
  readonly #backend: Backend;
  readonly #cacheTtl: number;
  readonly #lifetime: Lifetime;

  /** `lifetime`: that of the cookies, which tells how long a cut-off is needed. */
  constructor(backend: Backend, cacheTtl: number, lifetime: Lifetime) {
    this.#backend = backend;
    this.#cacheTtl = cacheTtl;
    this.#lifetime = lifetime;
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

  async add({ family, authenticatedAt }: Session): Promise<void> {
    const { rolling, absolute } = this.#lifetime;
    // No copy is renewed after this: the youngest may have been renewed a moment ago.
    const last = rolling === 0 ? Infinity : this.now() + rolling;
    const end = absolute === 0 ? Infinity : authenticatedAt + absolute;
    await this.#backend.endCookies(family, Math.min(last, end) + SKEW);
  }
}

const keyOf = ({ family, consumerId, credentialId = '' }: Session): string =>
  `${family} ${consumerId} ${credentialId}`;
