import { report } from './events.ts';
import type { Place } from './events.ts';
import type { Session } from './session.ts';
import type {
  Beginning,
  Begun,
  Ended,
  NewSession,
  Presented,
  Storage,
  Use,
  Whose,
} from './storage.ts';

/** Cut-offs in a database: moments before which sessions count as ended. */
export interface CutOffs {
  now(): number;
  /** Whether `now` is the database's time; what a node's own clock says may be wrong by any amount. */
  readonly hasClock: boolean;
  settleClock(): Promise<void>;
  /** The moment as far as this node may rely on it, `undefined` where only the database can tell. */
  peek(session: Session): number | undefined;
  load(session: Session): Promise<number>;
  /** Ends a family until none of its cookies can be alive any more. */
  add(session: Session): Promise<void>;
  /** Ends all sessions that the consumer has now within the audience and realm. */
  addUser(whose: Whose): Promise<void>;
}

/** Clocks of nodes differ a little; a session from further in the future was not made by one of them. */
const MAX_SKEW = 60_000;

/**
 * Sessions that live in their cookies. Without a database each copy of a cookie lives until its own timeouts end it,
 * logout included; with one, `cutOffs` make an end final.
 */
export class CookieStorage implements Storage {
  readonly #cutOffs: CutOffs | undefined;
  readonly #clock: () => number;
  readonly #at: { readonly at?: Place };

  constructor(cutOffs: CutOffs | undefined, clock: () => number = Date.now, at?: Place) {
    this.#cutOffs = cutOffs;
    this.#clock = clock;
    this.#at = at ? { at } : {};
  }

  now(): number {
    return this.#cutOffs ? this.#cutOffs.now() : this.#clock();
  }

  peek({ session }: Presented): Session | null | undefined {
    if (session === undefined) return null;
    if (this.#cutOffs?.hasClock === false) return undefined;
    if (this.#isFromTheFuture(session)) return null;
    if (this.#cutOffs === undefined) return session;
    const cutOff = this.#cutOffs.peek(session);
    return cutOff === undefined ? undefined : survives(session, cutOff);
  }

  async load(presented: Presented): Promise<Session | null> {
    const { session } = presented;
    await this.#cutOffs?.settleClock();
    if (session === undefined || this.#isFromTheFuture(session)) return null;
    if (this.#cutOffs === undefined) return session;
    return survives(session, await this.#cutOffs.load(session));
  }

  async create({ session, remember, replaces }: Beginning): Promise<Begun> {
    await this.#cutOffs?.settleClock();
    for (const earlier of replaces) await this.end(earlier);
    return {
      session: this.#begin(session),
      ...(remember && { remember: this.#begin(remember.session) }),
    };
  }

  /** There is nobody to compare with: every copy renews for itself. */
  async renew(session: Session): Promise<Session | null> {
    const now = this.now();
    report('session_renewed', { session, ...this.#at });
    return {
      ...session,
      generation: session.generation + 1,
      previousRenewedAt: session.renewedAt,
      renewedAt: now,
      seenAt: now,
    };
  }

  async restore(remember: Session, session: NewSession): Promise<Session> {
    return { ...this.#begin(session), authenticatedAt: remember.authenticatedAt };
  }

  async end(session: Session): Promise<void> {
    await this.#cutOffs?.add(session);
  }

  /** The last use is kept in the cookie, so the cookie is sent again once in a while. */
  seen(session: Session, { touchInterval, prolongs }: Use): Session {
    const now = this.now();
    if (!prolongs || now - session.seenAt < touchInterval) return session;
    return { ...session, seenAt: now };
  }

  /** Only the cookies know of the others. */
  async list({ current }: Whose): Promise<readonly Session[]> {
    return current ? [current] : [];
  }

  async endByHandle({ current }: Whose, handle: string): Promise<Ended | undefined> {
    if (current?.handle !== handle) return undefined;
    await this.end(current);
    return { count: 1, current: true };
  }

  /** The current session ends with the others: a cut-off knows moments, not sessions. */
  async endOthers(whose: Whose, exceptFamily: string | undefined): Promise<Ended> {
    const { current } = whose;
    if (this.#cutOffs) {
      await this.#cutOffs.addUser(whose);
      return { current: current !== undefined };
    }
    const isEnded = current !== undefined && current.family !== exceptFamily;
    return { count: Number(isEnded), current: isEnded };
  }

  #begin(session: NewSession): Session {
    const now = this.now();
    return {
      ...session,
      generation: 0,
      authenticatedAt: now,
      startedAt: now,
      renewedAt: now,
      previousRenewedAt: undefined,
      confirmedAt: undefined,
      seenAt: now,
    };
  }

  #isFromTheFuture({ authenticatedAt, startedAt, renewedAt, seenAt }: Session): boolean {
    return Math.max(authenticatedAt, startedAt, renewedAt, seenAt) > this.now() + MAX_SKEW;
  }
}

const survives = (session: Session, cutOff: number): Session | null =>
  session.authenticatedAt <= cutOff ? null : session;
