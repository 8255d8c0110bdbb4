import { createHash } from 'node:crypto';
import { AdminStore } from '../admin-store.ts';
import type { AdminSession, Selector, Stats } from '../admin-store.ts';
import { openBackends } from '../backend.ts';
import { revoke } from '../revoke.ts';
import { UUID } from '../uuid.ts';

/** What the console shows of one database. */
export interface Listing {
  readonly schema: string;
  /** `undefined`: the database does not answer. */
  readonly stats: Stats | undefined;
  readonly sessions: readonly AdminSession[];
  readonly hasMore: boolean;
}

/** What is to be ended. */
export type Target =
  | { readonly kind: 'handle'; readonly handle: string }
  | { readonly kind: 'consumer'; readonly consumerId: string };

const LIMIT = 200;

const stores = () =>
  openBackends().map((backend) => ({ backend, store: new AdminStore(backend.database) }));

/** The living sessions of every database in use. `filter`: a handle, the id of a consumer, or a subject; '' = all. */
export function list(filter: string): Promise<Listing[]> {
  return Promise.all(
    stores().map(async ({ backend, store }) => {
      const { schema } = backend.database;
      try {
        await backend.readiness.ready();
        const [stats, found] = await Promise.all([store.stats(), search(store, filter)]);
        const hasMore = found.length > LIMIT;
        return { schema, stats, sessions: found.slice(0, LIMIT), hasMore };
      } catch {
        return { schema, stats: undefined, sessions: [], hasMore: false };
      }
    }),
  );
}

async function search(store: AdminStore, filter: string): Promise<readonly AdminSession[]> {
  const limit = LIMIT + 1;
  if (filter === '') return store.list({ limit });
  if (UUID.test(filter)) {
    const one = await store.find(filter);
    if (one?.state === 'alive') return [one];
  }
  const ofConsumer = await store.list({ consumerId: filter, limit });
  if (ofConsumer.length > 0) return ofConsumer;
  // As hash_subject keeps it: the first half of its SHA-256.
  const digest = createHash('sha256').update(filter).digest();
  const hashed = digest.subarray(0, 16).toString('base64url');
  return store.list({ subjects: [filter, hashed], limit });
}

/** How many living sign-ins a target has. */
export async function count(target: Target): Promise<number> {
  const counts = await Promise.all(stores().map(({ store }) => store.count(target)));
  return counts.reduce((sum, one) => sum + one, 0);
}

/** Ends them on every node. */
export async function end(target: Target, reason: string): Promise<void> {
  for (const { backend, store } of stores()) {
    const selector: Selector = target;
    if ((await store.count(selector)) > 0) await revoke(selector, backend, store, reason);
  }
}

/** `undefined`: it names nothing that could be ended. */
export function targetOf(fields: URLSearchParams): Target | undefined {
  const handle = fields.get('handle') ?? '';
  const consumerId = fields.get('consumer') ?? '';
  if (UUID.test(handle)) return { kind: 'handle', handle };
  return consumerId === '' ? undefined : { kind: 'consumer', consumerId };
}
