import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { openBackend } from '../../lib/backend.ts';
import type { Backend, BackendOptions } from '../../lib/backend.ts';
import type { SessionLimit } from '../../lib/config.ts';
import { openDatabase } from '../../lib/database.ts';
import type { Database, DatabaseOptions, QueryEvent } from '../../lib/database.ts';
import type { SessionEvent } from '../../lib/events.ts';
import { openServerStorage } from '../../lib/server-storage.ts';
import type { Codec, ServerStorage } from '../../lib/server-storage.ts';
import type { Session, SessionData } from '../../lib/session.ts';
import type { Lifetime, NewSession, Whose } from '../../lib/storage.ts';

/** A node of a cluster inside the test's process: a pool, a cache and a listener of its own. */
export interface TestNode {
  readonly database: Database;
  readonly backend: Backend;
  readonly storage: ServerStorage;
  readonly log: readonly {
    readonly event: string;
    readonly fields: Readonly<Record<string, unknown>>;
  }[];
  close(): Promise<void>;
}

export interface NodeOptions extends BackendOptions {
  readonly database?: DatabaseOptions;
  readonly cacheTtl?: number;
  readonly codec?: Codec;
}

let count = 0;

/** No pruning by itself, and heartbeats and timeouts that a busy machine does not miss. */
export function openNode(url: string, options: NodeOptions = {}): TestNode {
  const own = new URL(url);
  own.searchParams.set('fallback_application_name', `node ${count++}`); // a pool is shared by equal URLs
  const patience = { connectTimeout: 10_000, statementTimeout: 10_000 };
  const database = openDatabase({ ...patience, ...options.database, url: own.href });
  const log: { event: string; fields: Readonly<Record<string, unknown>> }[] = [];
  const storage = openServerStorage({
    database,
    codec: options.codec ?? plainCodec,
    log: (event, fields) => log.push({ event, fields }),
    cacheTtl: options.cacheTtl ?? 5000,
    cacheSize: options.cacheSize,
    bus: options.bus ?? { heartbeat: 20_000, heartbeatTimeout: 5000, retry: [20, 100] },
    pruneInterval: options.pruneInterval ?? 3600_000,
    neighbours: () => [], // the others are to be other processes
  });
  const backend = openBackend(database);
  return { database, backend, storage, log, close: () => backend.close() };
}

/** Creates the tables, so that no node hears of them later and looks again. */
export async function createTables(url: string): Promise<void> {
  const node = openNode(url);
  // A request would not wait that long for a machine that is busy with other tests.
  await until(
    () =>
      node.backend.readiness.ready().then(
        () => true,
        () => false,
      ),
    60_000,
  );
  await node.close();
}

/** Bytes that can be read back; sealing has its own tests. */
export const plainCodec: Codec = {
  seal: async (_key, data) => Buffer.from(JSON.stringify(data)),
  open: async (_key, sealed) => JSON.parse(Buffer.from(sealed).toString()) as SessionData,
};

export const HOUR = { rolling: 3600_000, absolute: 86_400_000 };

const SCOPE = { audience: 'default', realm: 'session kong session_guard' };

/** Whose sessions `newSession` makes. */
export const whose = (consumerId: string): Whose => ({ consumerId, ...SCOPE, idleFor: 0 });

export const newSession = (fields: Partial<NewSession> = {}): NewSession => ({
  key: randomBytes(32).toString('base64url'),
  handle: randomUUID(),
  family: randomUUID(),
  kind: 'session',
  consumerId: randomUUID(),
  credentialId: undefined,
  ...SCOPE,
  subject: undefined,
  data: { username: 'alice', groups: ['staff'] },
  ...fields,
});

/** A sign-in without anything besides. */
export async function signIn(
  { storage }: Pick<TestNode, 'storage'>,
  session: NewSession,
  lifetime: Lifetime,
  replaces?: Session,
): Promise<Session> {
  const begun = await storage.create({
    session,
    lifetime,
    replaces: replaces ? [replaces] : [],
    limit: undefined,
  });
  if (begun === null) throw new Error('refused without a limit');
  return begun.session;
}

export const MONTH = { rolling: 7 * 86_400_000, absolute: 30 * 86_400_000 };
export const REMEMBER_REALM = 'remember kong session_guard';

/** A sign-in with a persistent session beside it, of MONTH. */
export async function remembered(
  { storage }: Pick<TestNode, 'storage'>,
  fields: Partial<NewSession> = {},
  limit?: SessionLimit,
): Promise<{ readonly session: Session; readonly remember: Session }> {
  const session = newSession(fields);
  const { consumerId, credentialId, family } = session;
  const begun = await storage.create({
    session,
    lifetime: HOUR,
    remember: {
      session: newSession({
        family,
        consumerId,
        credentialId,
        kind: 'remember',
        realm: REMEMBER_REALM,
      }),
      lifetime: MONTH,
    },
    replaces: [],
    limit,
  });
  if (!begun?.remember) throw new Error('no persistent session was stored');
  return { session: begun.session, remember: begun.remember };
}

/** One use of a session that prolongs it. */
export const use = (
  { storage }: Pick<TestNode, 'storage'>,
  session: Session,
  generation: number,
  lifetime: Lifetime,
  touchInterval: number,
): Session => storage.seen(session, { generation, lifetime, touchInterval, prolongs: true });

/** Waits until `condition` holds; fails after `limit` milliseconds. */
export async function until(condition: () => unknown, limit = 10_000): Promise<void> {
  const end = performance.now() + limit;
  while (!(await condition())) {
    if (performance.now() > end)
      throw new Error(`did not come true in ${limit} ms: ${String(condition)}`);
    await sleep(5);
  }
}

/** Until the node trusts its cache. */
export const untilTrusted = async (node: TestNode): Promise<void> => {
  const session = await signIn(node, newSession(), HOUR);
  await until(async () => {
    if (node.storage.peek(session) === undefined) await node.storage.load(session);
    return node.storage.peek(session);
  });
};

/** The names of the statements that `work` sends, in order; a node may look after its tables at any time. */
export async function statementsOf(work: () => Promise<unknown>): Promise<string[]> {
  const events = await publishedBy<QueryEvent>('session-guard.query', work);
  return events.map(({ name }) => name).filter((name) => name !== 'migrations');
}

/** The codes of what `work` reports, in order. */
export async function codesOf(work: () => Promise<unknown>): Promise<string[]> {
  const events = await publishedBy<SessionEvent>('session-guard', work);
  return events.map(({ code }) => code);
}

async function publishedBy<Event>(channel: string, work: () => Promise<unknown>): Promise<Event[]> {
  const published: Event[] = [];
  const note = (event: unknown) => published.push(event as Event);
  subscribe(channel, note);
  try {
    await work();
  } finally {
    unsubscribe(channel, note);
  }
  return published;
}
