import type { Pool } from 'pg';
import type { Backend } from '../../lib/backend.ts';
import type { ServerRoute } from '../support/server-node.ts';

/** Where the rounds take place. */
export interface World {
  /** One at every node, all with the same configuration. */
  readonly routes: readonly ServerRoute[];
  readonly pool: Pool;
  readonly schema: string;
  /** A further node, as the command line is one. */
  readonly operator: Backend;
}

/** What a round has shown. All but `fate` and `family` are counts. */
export interface Verdict {
  readonly fate: 'ended' | 'expired' | 'alive' | 'undecided';
  readonly family: string;
  /** Different successors that were handed out. */
  readonly successors: number;
  readonly acceptedHere: number;
  readonly acceptedLater: number;
  readonly resurrected: number;
  readonly misfits: number;
  readonly lost: number;
  readonly innocent: number;
  readonly mixedUp: number;
}
