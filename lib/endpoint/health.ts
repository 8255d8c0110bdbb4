import { openBackends } from '../backend.ts';
import type { Backend } from '../backend.ts';
import { json, plain } from './answer.ts';
import type { HttpHandler } from './answer.ts';

/** Those who ask more often get the last answer. Milliseconds. */
const MAX_AGE = 1000;

interface DatabaseState {
  readonly schema: string;
  /** Reachable, with tables that this version works with. */
  readonly database: 'ok' | 'unavailable' | 'schema';
  /** Whether revocations of other nodes are known to arrive; without that nothing is cached. */
  readonly listener: 'ok' | 'lost';
}

/**
 * `/healthz`: the process answers. `/readyz`: so does every database in use, its tables fit, and its listener hears.
 * Kong starts the plugin with the first request of a route: before that there is no database in use.
 */
export function openHealth(): HttpHandler {
  let askedAt = -Infinity;
  let states: Promise<DatabaseState[]> = Promise.resolve([]);
  const ask = () => {
    if (performance.now() - askedAt >= MAX_AGE) {
      askedAt = performance.now();
      states = Promise.all(openBackends().map(stateOf));
    }
    return states;
  };
  return async ({ method, path }) => {
    if (method !== 'GET') return undefined;
    if (path === '/healthz') return plain(200, 'ok');
    if (path !== '/readyz') return undefined;
    const databases = await ask();
    const isReady = databases.every(
      ({ database, listener }) => database === 'ok' && listener === 'ok',
    );
    return json(isReady ? 200 : 503, { status: isReady ? 'ready' : 'not ready', databases });
  };
}

async function stateOf({ database, readiness, bus }: Backend): Promise<DatabaseState> {
  const listener = bus.isHealthy ? 'ok' : 'lost';
  const { schema } = database;
  try {
    await readiness.ready();
    await database.query({ name: 'ping', text: 'select 1' }, []);
    return { schema, database: 'ok', listener };
  } catch (error) {
    const isSchema = (error as { code?: unknown }).code === 'ERR_SCHEMA';
    return { schema, database: isSchema ? 'schema' : 'unavailable', listener };
  }
}
