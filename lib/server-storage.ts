import { openBackend } from './backend.ts';
import type { Backend, BackendOptions } from './backend.ts';
import { CachedCutOffs } from './cutoffs.ts';
import type { Database } from './database.ts';
import type { StoredSession } from './rows.ts';
import type { Session, SessionData } from './session.ts';
import type { Lifetime, NewSession, Presented, Storage } from './storage.ts';

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
}

/** Sessions in Postgres, for one configuration; instances with the same database share all but codec and `cacheTtl`. */
export const openServerStorage = ({
  database,
  codec,
  cacheTtl = 5000,
  ...options
}: ServerStorageOptions): ServerStorage =>
  new ServerStorage(openBackend(database, options), codec, cacheTtl);

export interface CutOffsOptions extends BackendOptions {
  readonly database: Database;
  readonly cacheTtl?: number | undefined;
  readonly lifetime: Lifetime;
}

/** Ends of sessions that live in cookies alone. */
export const openCutOffs = ({
  database,
  cacheTtl = 5000,
  lifetime,
  ...options
}: CutOffsOptions): CachedCutOffs =>
  new CachedCutOffs(openBackend(database, options), cacheTtl, lifetime);

/** A session as a list shows it. */
export type ListedSession = Omit<Session, 'data'> & {
  /** Absent where the codec cannot open it. */
  readonly data: SessionData | undefined;
  readonly expiresAt: number;
};

/** Its data was sealed under a secret that this configuration does not have. */
class Unreadable extends Error {}

let instances = 0;

export class ServerStorage implements Storage {
  readonly #backend: Backend;
  readonly #codec: Codec;
  readonly #cacheTtl: number;
  /** Answers that were opened with another codec are not ours to share before they are in the cache. */
  readonly #name = `${instances++}`;
  readonly #renewals = new Map<string, Promise<Session | null>>();

  constructor(backend: Backend, codec: Codec, cacheTtl: number) {
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

  async load({ key }: Pick<Presented, 'key'>): Promise<Session | null> {
    await this.#backend.readiness.ready();
    const session = await this.#backend.sessions
      .load(key, this.#name, (onSent) => this.#fetch(key, onSent))
      .catch(orNull);
    return session && this.#backend.touches.overlay(session);
  }

  async create(session: NewSession, lifetime: Lifetime, replaces?: Session): Promise<Session> {
    const { readiness, sessions, store } = this.#backend;
    const { data, ...rest } = session;
    const sealed = await this.#codec.seal(session.key, data);
    await readiness.ready();
    const insert = async () => {
      const stored = await store.create(rest, sealed, lifetime, replaces?.family);
      return { ...stored.session, data };
    };
    const created = insert();
    await sessions.ask(
      session.key,
      () => created,
      () => this.#fetch(session.key),
    );
    if (replaces) this.#backend.forgetFamily(replaces.family);
    return created;
  }

  /** Requests that renew the same generation at the same time get one answer. */
  async renew({ key, generation }: Session, lifetime: Lifetime): Promise<Session | null> {
    const name = `${key} ${generation}`;
    const running = this.#renewals.get(name);
    if (running) return running;
    const renewal = this.#renew(key, generation, lifetime);
    this.#renewals.set(name, renewal);
    try {
      return await renewal;
    } finally {
      this.#renewals.delete(name);
    }
  }

  end({ family }: Pick<Session, 'family'>): Promise<void> {
    return this.#backend.end(family);
  }

  seen(session: Session, generation: number, lifetime: Lifetime, touchInterval: number): Session {
    this.#backend.touches.note(session, generation, lifetime, touchInterval);
    return session;
  }

  /** The sessions of a consumer, the newest first, at most 1000. */
  async list(consumerId: string): Promise<ListedSession[]> {
    await this.#backend.readiness.ready();
    const stored = await this.#backend.store.list(consumerId);
    return Promise.all(
      stored.map(async ({ session, sealed, expiresAt }) => {
        const data = await this.#codec.open(session.key, sealed);
        return { ...session, data, expiresAt };
      }),
    );
  }

  async #renew(key: string, generation: number, lifetime: Lifetime): Promise<Session | null> {
    const { readiness, sessions, store, touches } = this.#backend;
    await readiness.ready();
    const session = await sessions
      .ask(key, async () => this.#open(await store.renew(key, generation, lifetime)))
      .catch(orNull);
    return session && touches.overlay(session);
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
function orNull(error: unknown): null {
  if (error instanceof Unreadable) return null;
  throw error;
}
