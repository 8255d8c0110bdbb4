import { setTimeout as sleep } from 'node:timers/promises';
import { HEAP_ARGS, type Holdings, holdings } from '../support/chaos/heap.ts';
import { Load } from '../support/chaos/load.ts';
import { query } from '../support/chaos/sql.ts';
import { openWorld, type World } from './database-faults/world.ts';
import { type Figure, main, type Program } from './program.ts';

const RATE = 500;
/** Milliseconds from one fault to the next, and how long a fault lasts. */
const PAUSE = 20_000;
const LASTS = 3000;
const MEGABYTE = 1024 * 1024;
const MINUTE = 60_000;

/** In this order, so that the server lives for more than a minute between two of its own ends. */
const FAULTS: readonly ((world: World) => Promise<unknown>)[] = [
  async ({ stage }) => stage.gateway.killPluginServer('SIGKILL'),
  async ({ postgres }) => {
    await postgres.kill();
    await sleep(LASTS);
    await postgres.start();
  },
  ({ url }) =>
    query(
      url,
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'session-guard%'",
    ),
  async ({ postgres }) => {
    await postgres.pause();
    await sleep(LASTS);
    await postgres.resume();
  },
  async ({ network }) => {
    network.delay(1000);
    await sleep(LASTS);
    network.delay(0);
  },
];

/** Bytes that a session takes in the memory of a node, which keeps the last 50,000 (bench/memory.ts). */
const CACHED = 757;

interface Reading extends Holdings {
  readonly at: number;
  /** Sessions that began so far: those of visitors with a key and no cookie, none of which is seen again. */
  readonly begun: number;
}

/**
 * Megabytes a minute beyond what the cache is meant to hold: the line through the readings (least squares) whose slope
 * all processes share. The first reading of a process is its warm-up.
 */
function slopeOf(readings: readonly Reading[]): number {
  let [above, below] = [0, 0];
  for (const pid of new Set(readings.map((reading) => reading.pid))) {
    const own = readings.filter((reading) => reading.pid === pid).slice(1);
    const mean = (of: (reading: Reading) => number) =>
      own.reduce((sum, reading) => sum + of(reading), 0) / own.length;
    const [at, heap] = [mean((one) => one.at), mean(heapOf)];
    for (const reading of own) {
      above += (reading.at - at) * (heapOf(reading) - heap);
      below += (reading.at - at) ** 2;
    }
  }
  return below === 0 ? 0 : (above / below) * (MINUTE / MEGABYTE);
}

const heapOf = ({ heapUsed, begun }: Reading): number => heapUsed - begun * CACHED;

export async function run(seconds: number, rate = RATE): Promise<Figure[]> {
  const scale = { rate, lasts: LASTS, quiet: 0, isTimed: false };
  const world = await openWorld(scale, HEAP_ARGS);
  const load = new Load(rate, world.crowd.shoot).start();
  try {
    const readings: Reading[] = [];
    const end = performance.now() + seconds * 1000;
    let faults = 0;
    while (performance.now() < end) {
      const next = performance.now() + PAUSE;
      await FAULTS[faults++ % FAULTS.length]?.(world);
      await sleep(Math.max(0, Math.min(next, end) - performance.now()));
      const found = await holdings(world.stage);
      const begun = load.count(({ kind, outcome }) => kind === 'key' && outcome === 'served');
      if (found) readings.push({ ...found, begun, at: performance.now() });
    }
    await load.stop();
    const wrong = load.count(({ outcome }) => outcome === 'wrong');
    const served = load.count(({ outcome }) => outcome === 'served');
    return [
      { name: 'requests', value: load.samples.length, atLeast: seconds },
      { name: 'of them served', value: served, atLeast: seconds },
      { name: 'skipped, since too many waited', value: load.skipped },
      { name: 'faults', value: faults, atLeast: 1 },
      { name: 'served as somebody else', value: wrong, atMost: 0 },
      { name: 'sessions lost', value: await world.crowd.lost(), atMost: 0 },
      { name: 'ended sessions served afterwards', value: await world.crowd.revived(), atMost: 0 },
      { name: 'sessions begun', value: readings.at(-1)?.begun ?? 0 },
      {
        name: 'growth of the heap beyond their cache',
        value: Math.round(slopeOf(readings) * 100) / 100,
        unit: 'MB/min',
        atMost: 1,
      },
    ];
  } finally {
    await load.stop();
    await world.close();
  }
}

export const program: Program = {
  name: 'soak',
  claim:
    'Through ten minutes of faults nobody is taken for another, no session is lost, and the heap does not grow.',
  counts: `seconds at ${RATE} requests/s, with a fault every ${PAUSE / 1000} s`,
  defaultCount: 600,
  run: ({ count }) => run(count),
};

await main(import.meta.url, program);
