import { openBackend } from './backend.ts';
import type { Backend, BackendOptions } from './backend.ts';
import { CachedCutOffs } from './cutoffs.ts';
import type { CutOffScope } from './cutoffs.ts';
import type { Database } from './database.ts';
import { report } from './events.ts';
import type { Place } from './events.ts';
import type { NewRow, Owner, StoredSession } from './rows.ts';
import type { Session, SessionData } from './session.ts';
import type {
  Beginning,
  Begun,
  Ended,
  Lifetime,
  NewSession,
  Presented,
  Storage,
  Use,
  Whose,
} from './storage.ts';
import type { Store } from './store.ts';
import { UUID } from './uuid.ts';

export { closeAll } from './backend.ts';

/** Seals what the table keeps about a consumer. `key` is the session's; `undefined` = does not open. */
export interface Codec {
  seal(key: string, data: SessionData): Promise<Uint8Array>;
  open(key: string, sealed: Uint8Array): Promise<SessionData | undefined>;
}

export interface ServerStorageOptions extends BackendOptions {
  readonly database: Database;
  readonly codec: Codec;
  /** How old what we know without asking may be, in milliseconds. Default 5000; 0 = always ask. */
  readonly cacheTtl?: number | undefined;
  /** Whose configuration this is, for events. */
  readonly at?: Place | undefined;
}

/** Sessions in Postgres, for one configuration; instances with the same database share all but codec and `cacheTtl`. */
export const openServerStorage = ({
  database,
  codec,
  cacheTtl = 5000,
  at,
  ...options
}: ServerStorageOptions): ServerStorage =>
  new ServerStorage(openBackend(database, options), codec, cacheTtl, at);

export interface CutOffsOptions extends BackendOptions, CutOffScope {
  readonly database: Database;
  readonly cacheTtl?: number | undefined;
}

/** Ends of sessions that live in cookies alone. */
export const openCutOffs = ({
  database,
  cacheTtl = 5000,
  realm,
  lifetimes,
  ...options
}: CutOffsOptions): CachedCutOffs =>
  new CachedCutOffs(openBackend(database, options), cacheTtl, { realm, lifetimes });

/** A session as a list shows it. Its data is empty where the codec cannot open it. */
export interface ListedSession extends Session {
  /** Milliseconds; Infinity where nothing limits the session. */
  readonly expiresAt: number;
}

/** Its data was sealed under a secret that this configuration does not have. */
class Unreadable extends Error {}

let instances = 0;

export class ServerStorage implements Storage {
  readonly #backend: Backend;
  readonly #codec: Codec;
  readonly #cacheTtl: number;
  readonly #at: { readonly at?: Place };
  /** Answers that were opened with another codec are not ours to share before they are in the cache. */
  readonly #name = `${instances++}`;
  /** Renewals and restorations under way. */
  readonly #shared = new Map<string, Promise<Session | null>>();

  constructor(backend: Backend, codec: Codec, cacheTtl: number, at?: Place) {
    this.#at = at ? { at } : {};
    this.#backend = backend;
    this.#codec = codec;
    this.#cacheTtl = cacheTtl;
  }

  now(): number {
    return this.#backend.database.now();
  }

  peek({ key }: Pick<Presented, 'key'>): Session | null | undefined {
    const session = this.#backend.sessions.peek(key, this.#cacheTtl);
    return session ? this.#backend.touches.overlay(session) : session;
  }

  async load({ key }: Pick<Presented, 'key'>): Promise<Session | null | undefined> {
    await this.#backend.readiness.ready();
    const session = await this.#backend.sessions
      .load(key, this.#name, (onSent) => this.#fetch(key, onSent))
      .catch(orUndefined);
    return session && this.#backend.touches.overlay(session);
  }

  async create({ session, lifetime, remember, replaces, limit }: Beginning): Promise<Begun | null> {
    const { readiness, sessions, store } = this.#backend;
    const parts = [{ session, lifetime }, ...(remember ? [remember] : [])];
    const rows = await Promise.all(parts.map((part) => this.#sealRow(part.session, part.lifetime)));
    await readiness.ready();
    const families = replaces.map(({ family }) => family);
    const answer = store.create(rows, families, limit);
    const begun = answer.then(({ stored }) => begunOf(parts, stored));
    try {
      await sessions.ask(
        session.key,
        async () => (await begun)?.session ?? null,
        () => this.#fetch(session.key),
      );
    } finally {
      // Also when it failed: the database may have done it all the same.
      for (const family of families) this.#backend.forgetFamily(family);
    }
    for (const family of (await answer).ended) this.#backend.forgetFamily(family);
    return begun;
  }

  /**
   * Requests that renew the same generation at the same time get one answer. The data is sealed anew, so that a
   * secret may be dropped once every session has been renewed or has ended.
   */
  renew({ key, generation, data }: Session, lifetime: Lifetime): Promise<Session | null> {
    return this.#share(`${key} ${generation}`, async () => {
      const sealed = await this.#codec.seal(key, data);
      return this.#ask(key, async (store) => {
        const stored = await store.renew(key, generation, sealed, lifetime);
        if (stored) {
          const { session } = stored;
          report(stored.isRaised ? 'session_renewed' : 'renewal_lost', { session, ...this.#at });
        }
        return stored;
      });
    });
  }

  /** Requests that restore the same session at the same time get one answer. */
  restore(remember: Session, session: NewSession, lifetime: Lifetime): Promise<Session | null> {
    return this.#share(session.key, async () => {
      const row = await this.#sealRow(session, lifetime);
      return this.#ask(session.key, (store) => store.restore(remember.key, row));
    });
  }

  end({ family }: Pick<Session, 'family'>): Promise<void> {
    return this.#backend.end(family);
  }

  seen(session: Session, use: Use): Session {
    this.#backend.touches.note(session, use);
    return session;
  }

  /** At most 200. */
  async list(whose: Whose): Promise<readonly ListedSession[]> {
    const { readiness, store, touches } = this.#backend;
    await readiness.ready();
    const stored = await store.list(ownerOf(whose), whose.idleFor);
    const listed = await Promise.all(
      stored.map(async ({ session, sealed, expiresAt }) => {
        const data = (await this.#codec.open(session.key, sealed)) ?? {};
        return { ...touches.overlay({ ...session, data }), expiresAt };
      }),
    );
    return listed.toSorted((one, other) => other.seenAt - one.seenAt);
  }

  async endByHandle(whose: Whose, handle: string): Promise<Ended | undefined> {
    if (!UUID.test(handle)) return undefined;
    await this.#backend.readiness.ready();
    const ended = await this.#backend.store.endHandle(handle, ownerOf(whose));
    for (const family of ended) this.#backend.forgetFamily(family);
    if (ended.length === 0) return undefined;
    const { current } = whose;
    return { count: 1, current: current !== undefined && ended.includes(current.family) };
  }

  async endOthers(whose: Whose, exceptFamily: string | undefined): Promise<Ended> {
    await this.#backend.readiness.ready();
    const ended = await this.#backend.store.endOthers(ownerOf(whose), exceptFamily);
    for (const family of ended) this.#backend.forgetFamily(family);
    const { current } = whose;
    return {
      count: ended.length,
      current: current !== undefined && current.family !== exceptFamily,
    };
  }

  async #sealRow({ data, ...session }: NewSession, lifetime: Lifetime): Promise<NewRow> {
    return { session, sealed: await this.#codec.seal(session.key, data), lifetime };
  }

  async #share(name: string, work: () => Promise<Session | null>): Promise<Session | null> {
    const running = this.#shared.get(name);
    if (running) return running;
    const result = work();
    this.#shared.set(name, result);
    try {
      return await result;
    } finally {
      this.#shared.delete(name);
    }
  }

  /** What the store says about a session, remembered as the newest that is known. */
  async #ask(
    key: string,
    question: (store: Store) => Promise<StoredSession | undefined>,
  ): Promise<Session | null> {
    const { readiness, sessions, store, touches } = this.#backend;
    await readiness.ready();
    const session = await sessions
      .ask(key, async () => this.#open(await question(store)))
      .catch(orUndefined);
    return session ? touches.overlay(session) : null;
  }

  async #fetch(key: string, onSent?: () => void): Promise<Session | null> {
    return this.#open(await this.#backend.store.load(key, onSent));
  }

  async #open(stored: StoredSession | undefined): Promise<Session | null> {
    if (stored === undefined) return null;
    const { session, sealed } = stored;
    const data = await this.#codec.open(session.key, sealed);
    if (data === undefined) throw new Unreadable();
    return { ...session, data };
  }
}

/** To this configuration the session is dead, but others may read it: it is not remembered as gone. */
function orUndefined(error: unknown): undefined {
  if (error instanceof Unreadable) return undefined;
  throw error;
}

const ownerOf = ({ consumerId, audience, realm, rememberRealm }: Whose): Owner => ({
  consumerId,
  audience,
  realms: rememberRealm === undefined ? [realm] : [realm, rememberRealm],
});

/** The rows of a sign-in with the data that went into them. */
function begunOf(
  parts: readonly Pick<Beginning, 'session'>[],
  stored: readonly StoredSession[],
): Begun | null {
  const [session, remember] = parts.flatMap(({ session: { key, data } }) => {
    const row = stored.find((one) => one.session.key === key);
    return row ? [{ ...row.session, data }] : [];
  });
  return session ? { session, ...(remember && { remember }) } : null;
}
