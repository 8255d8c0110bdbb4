import { openBackends } from './backend.ts';
import type { Backend } from './backend.ts';

/** What one look into the tables told. */
export interface Sample {
  readonly schema: string;
  /** Sign-ins that are alive. */
  readonly active: number;
  /** Seconds since the oldest row that is still there expired; 0 if there is none. */
  readonly pruneLag: number;
}

/** Counting reads the table: not more often than this, however often somebody asks. */
const MAX_AGE = 60_000;

/**
 * Looks into the tables of all databases in use. An answer is good for a minute, that nobody answered too; a database
 * that does not answer is left out.
 */
export function openSamples(maxAge = MAX_AGE): () => Promise<readonly Sample[]> {
  let takenAt = -Infinity;
  let last: Promise<readonly Sample[]> = Promise.resolve([]);
  let known = 0;
  return () => {
    const backends = openBackends();
    if (performance.now() - takenAt >= maxAge || backends.length !== known) {
      takenAt = performance.now();
      known = backends.length;
      last = takeAll(backends);
    }
    return last;
  };
}

async function takeAll(backends: readonly Backend[]): Promise<Sample[]> {
  const results = await Promise.allSettled(backends.map(take));
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

async function take(backend: Backend): Promise<Sample> {
  const { database } = backend;
  const active = await backend.count();
  const { rows } = await database.query<{ lag: number | null }>(
    {
      name: 'prune_lag',
      text: `select extract(epoch from now() - min(expires_at))::float8 as lag
        from "${database.schema}".sessions where expires_at <= now()`,
    },
    [],
  );
  return { schema: database.schema, active, pruneLag: rows[0]?.lag ?? 0 };
}
