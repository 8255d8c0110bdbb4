import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { quantile } from '../../bench/store/figures.ts';
import { Cleanup } from '../e2e/support/cleanup.ts';
import { Forger } from '../e2e/support/forger.ts';
import { newSecret } from '../e2e/support/scene.ts';
import { startPostgres } from '../support/postgres.ts';
import { worthless } from './fuzz-cookies.ts';
import { type Loot, NAME } from './fuzz-loot.ts';
import {
  type Config,
  type Include,
  INCLUDES,
  type Kong,
  type Person,
  signIn,
  type Visit,
} from './fuzz-kong.ts';
import { MessagePackKong } from './fuzz-msgpack.ts';
import { ProtobufKong } from './fuzz-protobuf.ts';
import { type Testimony, WatchedServer } from './fuzz-server.ts';
import { changesSince, rowsOf } from './fuzz-rows.ts';
import { type Figure, main, type Program, type Settings } from './program.ts';

const STORAGES = ['kong', 'cookie'] as const;
const PROTOCOLS = [MessagePackKong, ProtobufKong];
/** Requests at once on each lane. */
const DEPTH = 32;
/** The share that comes one at a time, for the time that a refusal takes. */
const SINGLES = 0.02;
const SCHEMA = 'session_guard';
/** So that a genuine cookie is good to the end of the longest run. */
const LONG_LIVED = { idling_timeout: 0, rolling_timeout: 86_400 };

/** Statements that come with time, not with requests. */
const HOUSEKEEPING = /^(prune|migrations)/;

/** One route: a protocol, a storage, and cookies that nobody issued for it. */
interface Lane {
  readonly kong: Kong;
  readonly loot: Loot;
  readonly headers: Iterator<string, never>;
}

/** How one server fared. */
interface Siege {
  readonly tried: number;
  readonly accepted: number;
  /** Requests without a proper answer. */
  readonly failed: number;
  readonly ends: number;
  readonly troubles: number;
  /** What it asked the database, one name for each statement. */
  readonly statements: readonly string[];
  readonly rows: number;
  readonly refused: number;
  /** From a request to its answer, one at a time, in milliseconds. */
  readonly waits: readonly number[];
  /** The same of requests that have no cookie, between them: what the machine does to any request. */
  readonly idleWaits: readonly number[];
  readonly milliseconds: number;
  /** Octets. */
  readonly growth: number;
}

export const program: Program = {
  name: 'fuzz',
  claim:
    'No cookie but one that we issued is good for anything, or troubles the server or the database.',
  counts: 'Cookie headers',
  defaultCount: 1_000_000,
  run: (settings) => {
    const cleanup = new Cleanup();
    return cleanup.around(async () => {
      const figures = await fuzz(settings, cleanup);
      await cleanup.run();
      return figures;
    });
  },
};

/** A third of them as a Kong that includes nothing tells of them, and a third for each of our files. */
async function fuzz({ count, seed }: Settings, cleanup: Cleanup): Promise<Figure[]> {
  const postgres = await startPostgres();
  cleanup.defer(() => postgres.stop());
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-fuzz-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const sieges: Siege[] = [];
  for (const include of INCLUDES) {
    const server = await WatchedServer.start(join(folder, `${include}.socket`));
    cleanup.defer(() => server.stop());
    const url = await postgres.newDatabase();
    const sql = new Client({ connectionString: url });
    await sql.connect();
    cleanup.defer(() => sql.end());
    const lanes = await openLanes(server.socket, url, { include, seed });
    cleanup.defer(async () => lanes.forEach(({ kong }) => kong.close()));
    sieges.push(await besiege(server, lanes, sql, Math.ceil(count / INCLUDES.length)));
  }
  return figuresOf(sieges, count);
}

async function besiege(
  server: WatchedServer,
  lanes: readonly Lane[],
  sql: Client,
  count: number,
): Promise<Siege> {
  const before = await quiet(server);
  const rows = await rowsOf(sql, SCHEMA);
  const tally = { accepted: 0, failed: 0, tried: 0 };
  const each = Math.ceil(count / lanes.length);
  const singles = Math.ceil(each * SINGLES);
  const startedAt = performance.now();
  await Promise.all(lanes.map((lane) => attack(lane, each - singles, tally)));
  const milliseconds = performance.now() - startedAt;
  const { waits, idleWaits } = await waitsOf(lanes, singles, tally);
  const after = await server.testimony();
  return {
    ...tally,
    milliseconds,
    ends: Number(!server.isRunning),
    troubles: server.troubles,
    statements: sentSince(before, after),
    rows: await changesSince(sql, SCHEMA, rows),
    growth: after.rss - before.rss,
    waits,
    idleWaits,
    refused: await refusedGenuine(lanes),
  };
}

function figuresOf(sieges: readonly Siege[], count: number): Figure[] {
  const sum = (of: (siege: Siege) => number) => sieges.reduce((total, one) => total + of(one), 0);
  const none = (name: string, of: (siege: Siege) => number): Figure => ({
    name,
    value: sum(of),
    atMost: 0,
  });
  const tried = sum((siege) => siege.tried);
  const p99 = (of: 'waits' | 'idleWaits') =>
    quantile(
      sieges.flatMap((siege) => siege[of]),
      0.99,
    );
  return [
    { name: 'cookie headers tried', value: tried, atLeast: count },
    none('accepted', ({ accepted }) => accepted),
    none('requests without a proper answer', ({ failed }) => failed),
    none('ends of the server', ({ ends }) => ends),
    none('defects in its log', ({ troubles }) => troubles),
    statementsOf(sieges),
    none('rows written', ({ rows }) => rows),
    none('genuine cookies refused afterwards', ({ refused }) => refused),
    {
      name: 'p99 of a refusal, one at a time',
      value: rounded(p99('waits')),
      unit: 'ms',
      atMost: 5,
    },
    {
      name: 'p99 of a request without a cookie, between them',
      value: rounded(p99('idleWaits')),
      unit: 'ms',
    },
    {
      name: 'time per header, many at a time',
      value: rounded(sum((siege) => siege.milliseconds) / tried),
      unit: 'ms',
    },
    {
      name: 'growth of a server',
      value: rounded(Math.max(...sieges.map(({ growth }) => growth)) / 2 ** 20),
      unit: 'MiB',
    },
  ];
}

/** Names what was asked, so that a run which misses this one says why. */
function statementsOf(sieges: readonly Siege[]): Figure {
  const asked = sieges.flatMap(({ statements }) => statements);
  const names = [...new Set(asked)].toSorted().join(', ');
  return { name: `SQL statements${names && ` (${names})`}`, value: asked.length, atMost: 0 };
}

async function openLanes(
  socket: string,
  url: string,
  { include, seed }: { include: Include; seed: number },
): Promise<Lane[]> {
  const lanes: Lane[] = [];
  for (const storage of STORAGES) {
    for (const protocol of PROTOCOLS) {
      const secret = newSecret();
      const database = storage === 'kong' ? { postgres: { url, schema: SCHEMA } } : {};
      const config: Config = { secret, storage, ...LONG_LIVED, ...database };
      const bare = await protocol.open(socket, config);
      const kong: Kong = {
        visit: (visit) => bare.visit({ ...visit, include }),
        close: () => bare.close(),
      };
      const loot = await collect(kong, secret, storage);
      const own = INCLUDES.length * (seed + lanes.length) + INCLUDES.indexOf(include);
      lanes.push({ kong, loot, headers: worthless(loot, own) });
    }
  }
  return lanes;
}

const person = (username: string): Person => ({ id: randomUUID(), username });

async function collect(kong: Kong, secret: string, storage: Loot['storage']): Promise<Loot> {
  const genuine: string[] = [];
  for (let i = 0; i < 8; i++) {
    const [cookie = ''] = await signIn(kong, person(`user-${i}`));
    genuine.push(cookie.slice(NAME.length + 1));
  }
  // With storage `kong` a cookie is never that long; chunks of another route's will do.
  const chunked = storage === 'cookie' ? await collectChunks(kong) : INVENTED_CHUNKS;
  const realm = (name: string, kind: string, schema: string) =>
    new Forger(secret, `${name} ${kind} ${schema}`);
  const [own, other] =
    storage === 'kong' ? (['kong', 'cookie'] as const) : (['cookie', 'kong'] as const);
  const schema = storage === 'kong' ? SCHEMA : '';
  return {
    storage,
    genuine,
    chunked,
    forger: realm(NAME, own, schema),
    strangers: [
      realm('other', own, schema),
      realm(NAME, other, schema),
      realm(NAME, own, 'x'),
      new Forger(secret, ''),
    ],
    outsider: new Forger(newSecret(), `${NAME} ${own} ${schema}`),
    consumerId: randomUUID(),
  };
}

async function collectChunks(kong: Kong): Promise<string[][]> {
  const lengths = [3000, 6000, 9000, 20_000];
  const all: string[][] = [];
  for (const length of lengths) all.push(await signIn(kong, person('x'.repeat(length))));
  if (all.some((chunks) => chunks.length < 2)) throw new Error('no cookie came in chunks');
  return all;
}

const INVENTED_CHUNKS = [
  [`${NAME}=2~${'A'.repeat(4085)}`, `${NAME}2=AAAA`],
  [`${NAME}=3~${'B'.repeat(4085)}`, `${NAME}2=${'B'.repeat(4087)}`, `${NAME}3=BBBB`],
];

/** Resolves when what the sign-ins left to be written is written. */
async function quiet(server: WatchedServer): Promise<Testimony> {
  for (let last = -1; ;) {
    const testimony = await server.testimony();
    const sent = sentSince(NOTHING, testimony).length;
    if (sent === last) return testimony;
    last = sent;
    await sleep(1500);
  }
}

const NOTHING: Testimony = { statements: {}, rss: 0 };

const sentSince = (before: Testimony, { statements }: Testimony): string[] =>
  Object.entries(statements)
    .filter(([name]) => !HOUSEKEEPING.test(name))
    .flatMap(([name, times]) => {
      const length = times - (before.statements[name] ?? 0);
      return Array.from({ length }, () => name);
    });

interface Tally {
  accepted: number;
  failed: number;
  tried: number;
}

async function attack(lane: Lane, count: number, tally: Tally): Promise<void> {
  let left = count;
  const oneByOne = async (): Promise<void> => {
    while (left-- > 0) await tryOne(lane.kong, { cookies: lane.headers.next().value }, tally);
  };
  await Promise.all(Array.from({ length: DEPTH }, oneByOne));
  tally.tried += count;
}

async function tryOne(kong: Kong, visit: Visit, tally: Tally): Promise<void> {
  try {
    const { identity, exit } = await kong.visit(visit);
    tally.accepted += Number(identity !== undefined);
    tally.failed += Number(exit !== undefined);
  } catch {
    tally.failed += 1;
  }
}

/** How long each takes while nothing else goes on, `count` on each lane. */
async function waitsOf(
  lanes: readonly Lane[],
  count: number,
  tally: Tally,
): Promise<Pick<Siege, 'waits' | 'idleWaits'>> {
  const waits: number[] = [];
  const idleWaits: number[] = [];
  for (const { kong, headers } of lanes) {
    for (let left = count; left > 0; left--) {
      const cookies = headers.next().value;
      waits.push(await timed(() => tryOne(kong, { cookies }, tally)));
      idleWaits.push(await timed(() => tryOne(kong, {}, tally)));
    }
  }
  tally.tried += waits.length;
  return { waits, idleWaits };
}

/** In milliseconds. */
async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

async function refusedGenuine(lanes: readonly Lane[]): Promise<number> {
  let refused = 0;
  for (const { kong, loot } of lanes) {
    const headers = loot.genuine.map((value) => `${NAME}=${value}`);
    if (loot.storage === 'cookie') headers.push(...loot.chunked.map((chunks) => chunks.join('; ')));
    for (const cookies of headers) {
      refused += Number((await kong.visit({ cookies })).identity === undefined);
    }
  }
  return refused;
}

const rounded = (value: number): number => Number(value.toFixed(3));

await main(import.meta.url, program);
