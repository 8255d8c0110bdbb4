/** What a session knows about its consumer, sealed in the table or in the cookie. Byte strings as in pdk.ts. */
export interface SessionData {
  readonly username?: string;
  readonly customId?: string;
  readonly groups?: readonly string[];
  /** Where the sign-in came from. */
  readonly ip?: string;
  readonly userAgent?: string;
  /** The credential's fingerprint (credentials.ts), where Kong's database is known. */
  readonly credential?: string;
  /** What `bind` ties the session to, as a hash. */
  readonly bound?: string;
}

/**
 * One login for its whole life. A renewal raises `generation`; it never makes a second session.
 * Moments are milliseconds since the epoch on the clock of the storage (Storage.now).
 */
export interface Session {
  /** SHA-256 of the id, as 43 characters of base64url. The id itself is only in the cookie. */
  readonly key: string;
  /** Public name (UUID): listing, revoking, logs, `Session-Id`. It authenticates nobody. */
  readonly handle: string;
  /** UUID shared with the remember session of the same login. Logout and revocation act on it. */
  readonly family: string;
  readonly kind: 'session' | 'remember';
  readonly generation: number;
  readonly consumerId: string;
  readonly credentialId: string | undefined;
  readonly audience: string;
  readonly realm: string;
  readonly subject: string | undefined;
  readonly data: SessionData;
  /** When a credential was verified. Revocations count from here, and so does the age of a sign-in. */
  readonly authenticatedAt: number;
  /** When this session began: later than `authenticatedAt` if it was restored. `absolute` counts from here. */
  readonly startedAt: number;
  /** When the current generation was issued. */
  readonly renewedAt: number;
  /** When the generation before it was issued: its own rolling deadline counts from here. */
  readonly previousRenewedAt: number | undefined;
  /** When the current generation was presented for the first time; the predecessor's grace counts from here. */
  readonly confirmedAt: number | undefined;
  /** Last use as far as it is known here: never ahead of the truth. */
  readonly seenAt: number;
}

/** All in milliseconds; 0 switches a limit off. */
export interface Timeouts {
  readonly idling: number;
  readonly rolling: number;
  readonly absolute: number;
  /** How long a predecessor lives on after its successor was first presented. */
  readonly stale: number;
  /** A renewal is due when no more than this is left of `rolling`. */
  readonly renew: number;
}

/**
 * - `current`: the newest generation, alive
 * - `predecessor`: the one before it, inside its grace
 * - `expired`: a timeout has passed, and the session with it
 * - `superseded`: this copy is too old, but the session lives and the browser may hold its newest cookie
 * - `replayed`: a generation that no honest client sends any more
 * - `unknown`: a generation newer than the session (a store that lost its latest writes)
 */
export type Verdict = 'current' | 'predecessor' | 'expired' | 'superseded' | 'replayed' | 'unknown';

/** Clocks of nodes differ a little: a moment in the future counts as now. */
const age = (since: number, now: number): number => Math.max(0, now - since);

const hasPassed = (limit: number, since: number, now: number): boolean =>
  limit > 0 && age(since, now) > limit;

/** Judges one presented generation of a session. A session is still good at exactly its limit. */
export function judge(
  session: Session,
  generation: number,
  timeouts: Timeouts,
  now: number,
): Verdict {
  if (hasEnded(session, timeouts, now)) return 'expired';
  if (generation === session.generation) return 'current';
  if (generation > session.generation) return 'unknown';
  const supersededAt = whenSuperseded(session, generation);
  if (supersededAt !== undefined && hasPassedGrace(supersededAt, timeouts, now)) return 'replayed';
  const { previousRenewedAt } = session;
  const isPredecessor = generation === session.generation - 1;
  if (!isPredecessor || previousRenewedAt === undefined) return 'superseded';
  // Its own rolling deadline is never prolonged by the wait for the successor.
  return hasPassed(timeouts.rolling, previousRenewedAt, now) ? 'superseded' : 'predecessor';
}

function hasEnded(session: Session, timeouts: Timeouts, now: number): boolean {
  return (
    hasPassed(timeouts.absolute, session.startedAt, now) ||
    hasPassed(timeouts.idling, session.seenAt, now) ||
    hasPassed(timeouts.rolling, session.renewedAt, now)
  );
}

/**
 * When an older generation had its successor in use at the latest: for the predecessor when the successor was first
 * presented (never, perhaps), for those before it when the next one was issued.
 */
const whenSuperseded = (session: Session, generation: number): number | undefined =>
  generation === session.generation - 1 ? session.confirmedAt : session.previousRenewedAt;

/** `stale` 0 leaves no grace at all, so this does not read 0 as "off". */
const hasPassedGrace = (since: number, timeouts: Timeouts, now: number): boolean =>
  age(since, now) > timeouts.stale;

export const isAlive = (verdict: Verdict): boolean =>
  verdict === 'current' || verdict === 'predecessor';

/** Whether the current generation has reached the renewal mark. */
export function isRenewalDue(session: Session, timeouts: Timeouts, now: number): boolean {
  return timeouts.rolling > 0 && age(session.renewedAt, now) > timeouts.rolling - timeouts.renew;
}

/** Milliseconds until each limit, never negative; absent where the limit is switched off. */
export interface Remaining {
  readonly idling?: number;
  readonly rolling?: number;
  readonly absolute?: number;
}

/** A request is a use, so idle time begins with it, unless it is one that counts from `idleSince`. */
export function remaining(
  session: Session,
  timeouts: Timeouts,
  now: number,
  idleSince = now,
): Remaining {
  const left = (limit: number, since: number) => Math.max(0, limit - age(since, now));
  return {
    ...(timeouts.idling > 0 && { idling: left(timeouts.idling, idleSince) }),
    ...(timeouts.rolling > 0 && { rolling: left(timeouts.rolling, session.renewedAt) }),
    ...(timeouts.absolute > 0 && { absolute: left(timeouts.absolute, session.startedAt) }),
  };
}
