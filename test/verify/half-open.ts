import { setTimeout as sleep } from 'node:timers/promises';
import type { BusOptions } from '../../lib/bus.ts';
import { Blackhole } from '../support/blackhole.ts';
import {
  createTables,
  HOUR,
  newSession,
  openNode,
  signIn,
  type TestNode,
  untilTrusted,
} from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import { type Figure, main, type Program } from './program.ts';

/** A connection that goes silent, from a node's point of view. */
interface Round {
  /** Milliseconds from the silence until the node no longer relied on what it remembers. */
  readonly detected: number;
  /** Milliseconds after the revocation on another node until this one stopped saying yes from memory. */
  readonly stale: number;
  /** Whether it said yes once more after that. */
  readonly wasAccepted: boolean;
}

interface Settings {
  readonly name: string;
  /** Absent: the product's own. */
  readonly bus?: Pick<BusOptions, 'heartbeat' | 'heartbeatTimeout' | 'retry'>;
  /** Milliseconds until it must be noticed. */
  readonly bound: number;
  /** Milliseconds that a node goes on looking after it noticed. */
  readonly aftermath: number;
}

/** What a heartbeat is by default (lib/bus.ts), and with it the longest that a silence goes unnoticed. */
const HEARTBEAT = 5000;
const SETTINGS: readonly Settings[] = [
  {
    name: 'test settings (heartbeat 200 ms)',
    bus: { heartbeat: 200, heartbeatTimeout: 150, retry: [20, 100] },
    bound: 300,
    aftermath: 500,
  },
  { name: 'defaults (heartbeat 5 s)', bound: 15_000, aftermath: 2000 },
];
/** Long, so that only the heartbeat can be what ends the trust. */
const CACHE_TTL = 60_000;

async function silence(url: string, other: TestNode, settings: Settings): Promise<Round> {
  const network = await Blackhole.open(url);
  const listenUrl = network.through(url); // the pool goes past it
  const { bus } = settings;
  const node = openNode(url, { database: { listenUrl }, cacheTtl: CACHE_TTL, bus: bus ?? {} });
  try {
    await untilTrusted(node);
    const session = await signIn(node, newSession(), HOUR);
    network.swallow();
    const silentAt = performance.now();
    await other.storage.end(session);
    const revokedAt = performance.now();
    let detectedAt = silentAt; // when it last said yes: this process may be late to look, the node is not late to know
    for (; node.storage.peek(session); await sleep(1)) detectedAt = performance.now();
    const noticedAt = performance.now();
    let wasAccepted = false;
    while (performance.now() < noticedAt + settings.aftermath) {
      wasAccepted ||= Boolean(node.storage.peek(session) ?? (await node.storage.load(session)));
      await sleep(20);
    }
    return {
      detected: detectedAt - silentAt,
      stale: Math.max(0, detectedAt - revokedAt),
      wasAccepted,
    };
  } finally {
    await node.close();
    await network.close();
  }
}

async function measure(url: string, rounds: number, settings: Settings): Promise<Figure[]> {
  const other = openNode(url, { database: { listenUrl: url } });
  try {
    const results: Round[] = [];
    for (let left = rounds; left > 0; left -= AT_ONCE) {
      const some = Array.from({ length: Math.min(left, AT_ONCE) }, () =>
        silence(url, other, settings),
      );
      results.push(...(await Promise.all(some)));
    }
    const { name, bound } = settings;
    const longest = (of: (round: Round) => number) => Math.round(Math.max(...results.map(of)));
    return [
      { name: `${name}: silent connections`, value: results.length, atLeast: rounds },
      {
        name: `${name}: noticed after at most`,
        value: longest((one) => one.detected),
        unit: 'ms',
        atMost: bound,
      },
      {
        name: `${name}: a revocation missed for at most`,
        value: longest((one) => one.stale),
        unit: 'ms',
        atMost: bound,
      },
      {
        name: `${name}: accepted after it was noticed`,
        value: results.filter((one) => one.wasAccepted).length,
        atMost: 0,
      },
    ];
  } finally {
    await other.close();
  }
}

const AT_ONCE = 10;

export async function run(rounds: number, settings = SETTINGS): Promise<Figure[]> {
  const postgres = await startPostgres();
  try {
    const url = await postgres.newDatabase();
    await createTables(url);
    const figures: Figure[] = [];
    for (const each of settings) figures.push(...(await measure(url, rounds, each)));
    const bound = {
      name: 'upper bound by design at defaults: one heartbeat',
      value: HEARTBEAT,
      unit: 'ms',
    };
    return [...figures, bound];
  } finally {
    await postgres.stop();
  }
}

export const program: Program = {
  name: 'half-open',
  claim:
    'A node whose LISTEN connection has gone silent stops to rely on its memory within one heartbeat of the last proof.',
  counts: 'silent connections with each of the settings',
  defaultCount: 100,
  run: ({ count }) => run(count),
};

await main(import.meta.url, program);
