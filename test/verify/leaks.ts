import { HEAP_ARGS, type Holdings, holdings } from '../support/chaos/heap.ts';
import { connectionsOf } from '../support/chaos/sql.ts';
import { LOGOUT, Stage } from '../support/chaos/stage.ts';
import { inParallel } from '../e2e/support/waiting.ts';
import { startPostgres } from '../support/postgres.ts';
import { type Figure, main, type Program, type Settings } from './program.ts';

const MEGABYTE = 1024 * 1024;
/** What may be held more at the end than after the warm-up. */
const GROWTH = 5;
const AT_ONCE = 16;
/** Of all the work, before the first measurement: code is compiled, caches and pools are filled. */
const WARM_UP = 0.1;
const POOL = 10;

interface Work {
  /** As `--only` names it. */
  readonly part: string;
  readonly name: string;
  readonly times: number;
  /** Whether the server did as it should. */
  readonly once: (stage: Stage, index: number) => Promise<boolean>;
}

const workOf = (count: number): readonly Work[] => [
  {
    part: 'denials',
    name: 'denials',
    times: count,
    once: async (stage) => (await stage.ask()).status === 401,
  },
  {
    part: 'sign-ins',
    name: 'sign-ins and sign-outs',
    times: count,
    once: async (stage, index) => {
      const { key } = (await people(stage))[index % AT_ONCE] ?? { key: '' };
      const reply = await stage.ask({ headers: { apikey: key } });
      const cookie = reply.setCookies[0]?.split(';')[0] ?? '';
      return (await stage.ask({ ...LOGOUT, cookie })).status === 200;
    },
  },
  {
    part: 'changes',
    name: 'changes of the configuration',
    times: Math.ceil(count / 1000),
    once: async (stage, index) => {
      const config = { stale_ttl: 5 + (index % 5) };
      await stage.admin.change(`/plugins/${stage.plugin.id}`, { config });
      // Both workers start an instance of it.
      const replies = [await stage.ask(), await stage.ask()];
      return replies.every(({ status }) => status === 401);
    },
  },
];

const known = new WeakMap<Stage, ReturnType<Stage['people']>>();

function people(stage: Stage): ReturnType<Stage['people']> {
  const found = known.get(stage) ?? stage.people(AT_ONCE);
  known.set(stage, found);
  return found;
}

/** How often something is tried that a busy machine had no time for. */
const TRIES = 5;

/** Resolves with how often it was done as it should be. */
async function repeat(stage: Stage, { once, times }: Work, share: number): Promise<number> {
  const list = { length: Math.ceil(times * share) };
  const done = await inParallel(Array.from(list), AT_ONCE, async (_, index) => {
    for (let tries = 0; tries < TRIES; tries++) if (await once(stage, index)) return true;
    return false;
  });
  return done.filter(Boolean).length;
}

async function held(stage: Stage): Promise<Holdings> {
  const answer = await holdings(stage);
  if (answer === undefined) throw new Error('the server ended');
  return answer;
}

async function measure(stage: Stage, url: string, work: Work): Promise<Figure[]> {
  await repeat(stage, work, WARM_UP);
  const before = await held(stage);
  const done = await repeat(stage, work, 1);
  const after = await held(stage);
  const growth = (after.heapUsed - before.heapUsed) / MEGABYTE;
  const figure = (what: string, value: number, rest: Partial<Figure>): Figure => ({
    name: `${work.times} ${work.name}: ${what}`,
    value,
    ...rest,
  });
  return [
    figure('done', done, { atLeast: work.times }),
    figure('heap grew by', Math.round(growth * 100) / 100, { unit: 'MB', atMost: GROWTH }),
    figure('other process', Number(after.pid !== before.pid), { atMost: 0 }),
    figure('listeners more', after.listeners - before.listeners, { atMost: 0 }),
    // A connection of Kong's or a timer more or less is chance, one for each request is a leak.
    figure('sockets and timers more', after.resources - before.resources, { atMost: 2 * AT_ONCE }),
    figure('connections to the database', (await connectionsOf(url)).length, {
      atMost: POOL + 1,
    }),
  ];
}

async function run({ count, only }: Settings): Promise<Figure[]> {
  const postgres = await startPostgres();
  try {
    const url = await postgres.newDatabase();
    const config = { storage: 'kong', unauthenticated: 'deny', postgres: { url, pool_size: POOL } };
    const stage = await Stage.open({ protocol: 'msgpack', config, nodeArgs: HEAP_ARGS });
    try {
      const figures: Figure[] = [];
      for (const work of workOf(count)) {
        if (only?.includes(work.part) !== false) figures.push(...(await measure(stage, url, work)));
      }
      return figures;
    } finally {
      await stage.close();
    }
  } finally {
    await postgres.stop();
  }
}

export const program: Program = {
  name: 'leaks',
  claim: 'Denials, sign-ins, sign-outs and changed configurations leave nothing behind.',
  counts: 'of each part, of changes a thousandth',
  defaultCount: 1_000_000,
  parts: workOf(1).map(({ part }) => part),
  run,
};

await main(import.meta.url, program);
