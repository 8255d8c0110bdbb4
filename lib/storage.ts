import type { SessionLimit } from './config.ts';
import type { Session } from './session.ts';

/** How long a session may live in the store: both limits in milliseconds, 0 = without end. */
export interface Lifetime {
  readonly rolling: number;
  readonly absolute: number;
}

/** Milliseconds that a token may live, 0 = without end. */
export const longestLife = ({ rolling, absolute }: Lifetime): number =>
  rolling === 0 || absolute === 0 ? rolling || absolute : Math.min(rolling, absolute);

/** What a cookie names: one session and the generation of it that the browser holds. */
export interface Presented {
  readonly key: string;
  readonly generation: number;
  /** With storage `cookie`: the session, as the cookie has it. */
  readonly session?: Session;
}

/** A session to be: the storage fills in the moments from its own clock. */
export type NewSession = Omit<
  Session,
  | 'generation'
  | 'authenticatedAt'
  | 'startedAt'
  | 'renewedAt'
  | 'previousRenewedAt'
  | 'confirmedAt'
  | 'seenAt'
>;

/** A sign-in. */
export interface Beginning {
  readonly session: NewSession;
  readonly lifetime: Lifetime;
  /** The persistent session of the same family, where one is wanted. */
  readonly remember?: { readonly session: NewSession; readonly lifetime: Lifetime };
  /** Sessions of earlier users of the browser: they end with this beginning, in the same transaction. */
  readonly replaces: readonly Session[];
  readonly limit: SessionLimit | undefined;
}

export interface Begun {
  readonly session: Session;
  readonly remember?: Session;
}

/** One use of a session. */
export interface Use {
  /** The generation that was presented. */
  readonly generation: number;
  readonly lifetime: Lifetime;
  /** Milliseconds between two writes of the last use. */
  readonly touchInterval: number;
  /** False for a request that must not prolong the session; the presentation counts all the same. */
  readonly prolongs: boolean;
}

/**
 * Where sessions live. Every method that asks a database rejects within the configured timeouts: with
 * ERR_STORE_UNAVAILABLE, or with ERR_SCHEMA where the tables are not those of this version; nothing else is to be expected.
 */
export interface Storage {
  /** Now, in milliseconds, on the clock that wrote the sessions. */
  now(): number;
  /**
   * What this node may rely on without asking: a session, `null` for one that is known to be gone, or
   * `undefined` where only the store can tell (not cached, too old, or the bus is not healthy).
   */
  peek(presented: Presented): Session | null | undefined;
  /**
   * Asks the store. `null` means gone for good: a row precedes its cookie, so absence is final. `undefined`: it is there,
   * for others to read.
   */
  load(presented: Presented): Promise<Session | null | undefined>;
  /** Stores what a sign-in begins. `null` = the consumer has as many sessions as the limit allows, and it refuses. */
  create(beginning: Beginning): Promise<Begun | null>;
  /**
   * Raises the generation if the session still has the given one, and returns the session as it then is:
   * the same successor for every caller. `null` = it is dead. Never revives anything.
   */
  renew(session: Session, lifetime: Lifetime): Promise<Session | null>;
  /**
   * Begins another session of the family of a living remember session, unless one with that key exists: then that
   * one is returned. `authenticatedAt` is the remember session's. `null` = the family has ended.
   */
  restore(remember: Session, session: NewSession, lifetime: Lifetime): Promise<Session | null>;
  /** Ends a family: when this resolves no generation of it is accepted on this node, and soon on no other. */
  end(session: Session): Promise<void>;
  /**
   * Notes a use, off the request's path: last seen, and the first presentation of a generation. Returns another
   * session than the given one where the cookie has to carry the change.
   */
  seen(session: Session, use: Use): Session;
  /**
   * The sign-ins of a consumer within one realm and audience, the last used first, each by one session: by the remember
   * session where there is no other.
   */
  list(whose: Whose): Promise<readonly Session[]>;
  /** Ends the family of one of the consumer's sessions by its handle; `undefined` if there is none. */
  endByHandle(whose: Whose, handle: string): Promise<Ended | undefined>;
  /** Ends all families of the consumer but the given one. */
  endOthers(whose: Whose, exceptFamily: string | undefined): Promise<Ended>;
}

export interface Ended {
  /** Sessions that ended; absent where nobody knows (storage `cookie`). */
  readonly count?: number;
  /** Whether the session of the request is among them. */
  readonly current: boolean;
}

/** Whose sessions: those that a route's user may see. */
export interface Whose {
  readonly consumerId: string;
  readonly audience: string;
  readonly realm: string;
  /** The realm of the persistent cookies, where there are any. */
  readonly rememberRealm?: string;
  /** As Config has it: who is idle is not listed. */
  readonly idleFor: number;
  /** The session of the request; with storage `cookie` the only one there is to know. */
  readonly current?: Session;
}
