import type { Session } from './session.ts';

/** How long a session may live in the store: both limits in milliseconds, 0 = without end. */
export interface Lifetime {
  readonly rolling: number;
  readonly absolute: number;
}

/** What a cookie names: one session and the generation of it that the browser holds. */
export interface Presented {
  readonly key: string;
  readonly generation: number;
  /** With storage `cookie`: the session, as the cookie has it. */
  readonly session?: Session;
}

/**
 * Where sessions live. Every method that asks a database rejects with ERR_STORE_UNAVAILABLE within the
 * configured timeouts; nothing else is to be expected of them.
 */
export interface Storage {
  /** Now, in milliseconds, on the clock that wrote the sessions. */
  now(): number;
  /**
   * What this node may rely on without asking: a session, `null` for one that is known to be gone, or
   * `undefined` where only the store can tell (not cached, too old, or the bus is not healthy).
   */
  peek(presented: Presented): Session | null | undefined;
  /** Asks the store. `null` means gone for good: a row precedes its cookie, so absence is final. */
  load(presented: Presented): Promise<Session | null>;
  /** Stores a new session and, in the same transaction, ends the family it replaces. */
  create(session: NewSession, lifetime: Lifetime, replaces?: Session): Promise<Session>;
  /**
   * Raises the generation if the session still has the given one, and returns the session as it then is:
   * the same successor for every caller. `null` = it is dead. Never revives anything.
   */
  renew(session: Session, lifetime: Lifetime): Promise<Session | null>;
  /** Ends a family: when this resolves no generation of it is accepted on this node, and soon on no other. */
  end(session: Session): Promise<void>;
  /**
   * Notes a use, off the request's path: last seen, and the first presentation of a generation. Returns another
   * session than the given one where the cookie has to carry the change.
   */
  seen(session: Session, generation: number, lifetime: Lifetime, touchInterval: number): Session;
}

/** A session to be: the storage fills in the moments from its own clock. */
export type NewSession = Omit<
  Session,
  'generation' | 'authenticatedAt' | 'renewedAt' | 'previousRenewedAt' | 'confirmedAt' | 'seenAt'
>;
