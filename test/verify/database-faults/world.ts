import { setTimeout as sleep } from 'node:timers/promises';
import { Cleanup } from '../../e2e/support/cleanup.ts';
import { Blackhole } from '../../support/blackhole.ts';
import { Crowd } from '../../support/chaos/crowd.ts';
import { Load, median, type Sample } from '../../support/chaos/load.ts';
import { Stage } from '../../support/chaos/stage.ts';
import { type Postgres, startPostgres } from '../../support/postgres.ts';
import type { Figure } from '../program.ts';

/** Milliseconds. Also the longest that a node may rely on what it has read. */
export const CACHE_TTL = 2000;
const STORE_DEADLINE = 2000;
/** How long the client waits beyond it for the server's own word (lib/database.ts). */
const GRACE = 250;
const POOL = 10;

export interface Scale {
  /** Requests per second. */
  readonly rate: number;
  /** How long a trouble lasts, in milliseconds. */
  readonly lasts: number;
  /** Milliseconds without trouble before it, and after the first session was served again. */
  readonly quiet: number;
  /** False on a machine that does other things besides: how long anything takes is then only told. */
  readonly isTimed: boolean;
}

/** A Kong whose sessions are in a Postgres of its own, behind a network that can be bad. */
export interface World {
  readonly scale: Scale;
  readonly postgres: Postgres;
  readonly network: Blackhole;
  /** The database itself, past the network. */
  readonly url: string;
  readonly stage: Stage;
  readonly crowd: Crowd;
  close(): Promise<void>;
}

export function openWorld(scale: Scale, nodeArgs: readonly string[] = []): Promise<World> {
  const cleanup = new Cleanup();
  return cleanup.around(async () => {
    const postgres = await startPostgres({ own: true });
    cleanup.defer(() => postgres.stop());
    const url = await postgres.newDatabase();
    const network = await Blackhole.open(url);
    cleanup.defer(() => network.close());
    const config = {
      storage: 'kong',
      cache_ttl: CACHE_TTL / 1000,
      postgres: { url: network.through(url), pool_size: POOL },
    };
    const stage = await Stage.open({ protocol: 'protobuf', config, nodeArgs });
    cleanup.defer(() => stage.close());
    const crowd = await Crowd.gather(stage, 40);
    return { scale, postgres, network, url, stage, crowd, close: () => cleanup.run() };
  });
}

export interface Trouble {
  readonly name: string;
  /** Resolves when the database is broken. */
  readonly begin: (world: World) => Promise<void>;
  /** Resolves when the database would serve again. */
  readonly end: (world: World) => Promise<void>;
  /** False where the database still answers some: then nothing is said about the cache. */
  readonly isTotal: boolean;
}

/** Milliseconds; who is not served again by then never will be. */
const RECOVERY = 30_000;

/** One trouble under load, from quiet to quiet. */
export async function endure(world: World, trouble: Trouble): Promise<Figure[]> {
  const { scale, crowd, network } = world;
  const load = new Load(scale.rate, crowd.shoot).start();
  let connections = 0;
  const watch = setInterval(() => (connections = Math.max(connections, network.clients)), 50);
  try {
    const moments = await suffer(world, trouble, load);
    await load.stop();
    return await assess(world, trouble, load, { ...moments, connections });
  } finally {
    clearInterval(watch);
    await load.stop();
  }
}

interface Moments {
  readonly beganAt: number;
  readonly brokenAt: number;
  readonly endedAt: number;
  readonly healedAt: number;
  /** Requests without an answer at the end, for each of those half-way; fewer than connections are no queue. */
  readonly growth: number;
}

async function suffer(world: World, { begin, end }: Trouble, load: Load): Promise<Moments> {
  const { lasts, quiet } = world.scale;
  await sleep(quiet);
  const beganAt = performance.now();
  await begin(world);
  const brokenAt = performance.now();
  await sleep(lasts / 2);
  const halfWay = Math.max(POOL, load.inFlight);
  await sleep(lasts / 2);
  const growth = load.inFlight / halfWay;
  const endedAt = performance.now();
  await end(world);
  const healedAt = performance.now();
  while (firstBack(load, healedAt) === undefined && performance.now() - healedAt < RECOVERY)
    await sleep(20);
  await sleep(quiet);
  return { beganAt, brokenAt, endedAt, healedAt, growth };
}

/** The first session that was served after the end, of those who asked after it. */
const firstBack = ({ samples }: Load, healedAt: number): Sample | undefined =>
  samples.find(
    ({ kind, outcome, sentAt }) => kind === 'session' && outcome === 'served' && sentAt > healedAt,
  );

async function assess(
  { scale, crowd }: World,
  { name, isTotal }: Trouble,
  load: Load,
  { beganAt, brokenAt, endedAt, healedAt, growth, connections }: Moments & { connections: number },
): Promise<Figure[]> {
  const { samples } = load;
  const during = samples.filter(({ sentAt }) => sentAt > brokenAt && sentAt < endedAt);
  const back = firstBack(load, healedAt);
  const timed = (bound: number) => (scale.isTimed ? { atMost: bound } : {});
  const figure = (what: string, value: number, rest: Partial<Figure> = {}): Figure => ({
    name: `${name}: ${what}`,
    value: Math.round(value * 100) / 100,
    ...rest,
  });
  return [
    figure('requests', samples.length, { atLeast: 1 }),
    figure(
      'served as somebody else',
      count(samples, ({ outcome }) => outcome === 'wrong'),
      { atMost: 0 },
    ),
    ...(isTotal
      ? [
          figure(
            'sessions served from memory for longer than cache_ttl',
            count(samples, isStale(brokenAt, endedAt)),
            { atMost: 0 },
          ),
        ]
      : []),
    figure('sessions lost', await crowd.lost(), { atMost: 0 }),
    figure('ended sessions served afterwards', await crowd.revived(), { atMost: 0 }),
    figure('served again after', back ? back.answeredAt - healedAt : Infinity, {
      unit: 'ms',
      atMost: scale.isTimed ? 3000 : RECOVERY,
    }),
    figure('slowest answer meanwhile', slowest(during.filter(isAnsweredBefore(endedAt))), {
      unit: 'ms',
      ...timed(STORE_DEADLINE + GRACE + 200),
    }),
    // Some hundreds are answered at once then, by a stand-in and a client on the same cores.
    figure('slowest answer to who waited at its end', slowest(during), { unit: 'ms' }),
    figure('slowest answer to requests without our cookie', slowest(during.filter(isNobody)), {
      unit: 'ms',
    }),
    figure('waiting at the end, against half-way', growth, timed(1.5)),
    figure('connections at most', connections, { atMost: POOL + 1 }),
    figure(
      'waiting of requests without our cookie, against before',
      median(during.filter(isNobody)) /
        median(samples.filter((sample) => isNobody(sample) && sample.answeredAt < beganAt)),
    ),
  ];
}

const count = (samples: readonly Sample[], what: (sample: Sample) => boolean): number =>
  samples.filter(what).length;

const isNobody = ({ kind }: Sample): boolean => kind === 'nobody';

const isAnsweredBefore =
  (moment: number) =>
  ({ answeredAt }: Sample): boolean =>
    answeredAt < moment;

/** What is answered after the end may have waited for it. */
const isStale =
  (brokenAt: number, endedAt: number) =>
  ({ kind, outcome, sentAt, answeredAt }: Sample): boolean =>
    kind === 'session' &&
    outcome === 'served' &&
    sentAt > brokenAt + CACHE_TTL &&
    answeredAt < endedAt;

const slowest = (samples: readonly Sample[]): number =>
  samples.reduce((most, { sentAt, answeredAt }) => Math.max(most, answeredAt - sentAt), 0);
