/** Milliseconds: what the configuration of model-world.ts says. */
export const LIMITS = {
  idling: 50 * 60_000,
  rolling: 60 * 60_000,
  absolute: 120 * 60_000,
  /** Left of `rolling` when a renewal is due. */
  renew: 30 * 60_000,
  stale: 10_000,
};

/** A sign-in, as whoever reads the documentation would tell of it. All moments in milliseconds. */
export class ModelSession {
  readonly person: string;
  readonly beganAt: number;
  /** How often it was renewed. */
  generation = 0;
  renewedAt: number;
  /** When the cookie before the newest was issued. */
  previousRenewedAt: number | undefined;
  /** When a browser first came with the newest cookie. */
  presentedAt: number | undefined;
  usedAt: number;
  isEnded = false;

  constructor(person: string, now: number) {
    this.person = person;
    this.beganAt = now;
    this.renewedAt = now;
    this.usedAt = now;
  }

  /** Whether its row is still one of a living session: the idle limit is not in it. */
  isStored(now: number): boolean {
    return (
      !this.isEnded && now < this.renewedAt + LIMITS.rolling && now < this.beganAt + LIMITS.absolute
    );
  }
}

/** What a browser's cookie says: the session as it was after so many renewals. */
export interface Copy {
  readonly session: ModelSession;
  readonly generation: number;
}

/**
 * - `fresh`: the newest cookie of a living session
 * - `previous`: the one before it, good as long as the newest may not have arrived
 * - `dead`: good for nothing ever again
 * - `outdated`: good for nothing, but its session lives
 */
type Standing = 'fresh' | 'previous' | 'dead' | 'outdated';

/** What happens to sessions. */
export type Turn = 'idling' | 'rolling' | 'absolute' | 'replayed' | 'renewed' | 'previous';

/** A small model of all that is promised about sessions in a store. Ends are known at once, everywhere. */
export class Model {
  now: number;
  readonly sessions: ModelSession[] = [];
  readonly #note: (turn: Turn) => void;

  /** `note` hears what has happened, so that somebody can count whether everything does. */
  constructor(now: number, note: (turn: Turn) => void) {
    this.now = now;
    this.#note = note;
  }

  begin(person: string): ModelSession {
    const session = new ModelSession(person, this.now);
    this.sessions.push(session);
    return session;
  }

  revoke(person: string): void {
    for (const session of this.sessions) session.isEnded ||= session.person === person;
  }

  /** Looks at a cookie. A stolen one ends its session. */
  judge({ session, generation }: Copy): Standing {
    if (session.isEnded || this.#isOver(session)) return 'dead';
    if (generation === session.generation) return 'fresh';
    const isPrevious = generation === session.generation - 1;
    // Since then the owner's browser is known to hold a newer one.
    const replacedAt = isPrevious ? session.presentedAt : session.previousRenewedAt;
    if (replacedAt !== undefined && this.now - replacedAt > LIMITS.stale) {
      this.#note('replayed');
      session.isEnded = true;
      return 'dead';
    }
    const issuedAt = session.previousRenewedAt ?? 0;
    return isPrevious && this.now - issuedAt <= LIMITS.rolling ? 'previous' : 'outdated';
  }

  /** A living session is used with a cookie that is good. Returns whether the response has to carry the newest one. */
  use(session: ModelSession, standing: 'fresh' | 'previous'): boolean {
    session.usedAt = this.now;
    if (standing === 'previous') {
      this.#note('previous');
      return session.presentedAt === undefined;
    }
    session.presentedAt ??= this.now;
    if (this.now - session.renewedAt <= LIMITS.rolling - LIMITS.renew) return false;
    this.#note('renewed');
    session.generation += 1;
    session.previousRenewedAt = session.renewedAt;
    session.renewedAt = this.now;
    session.presentedAt = undefined;
    return true;
  }

  #isOver({ beganAt, renewedAt, usedAt }: ModelSession): boolean {
    const since = { absolute: beganAt, rolling: renewedAt, idling: usedAt };
    const names = ['absolute', 'rolling', 'idling'] as const;
    const passed = names.find((name) => this.now - since[name] > LIMITS[name]);
    if (passed !== undefined) this.#note(passed);
    return passed !== undefined;
  }
}
