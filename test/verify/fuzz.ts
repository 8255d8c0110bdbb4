import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { Cleanup } from '../e2e/support/cleanup.ts';
import { Forger } from '../e2e/support/forger.ts';
import { newSecret } from '../e2e/support/scene.ts';
import { startPostgres } from '../support/postgres.ts';
import { worthless } from './fuzz-cookies.ts';
import { type Loot, NAME } from './fuzz-loot.ts';
import { type Config, type Kong, type Person, signIn } from './fuzz-kong.ts';
import { MessagePackKong } from './fuzz-msgpack.ts';
import { ProtobufKong } from './fuzz-protobuf.ts';
import { type Testimony, WatchedServer } from './fuzz-server.ts';
import { type Figure, main, type Program, type Settings } from './program.ts';

const STORAGES = ['kong', 'cookie'] as const;
const PROTOCOLS = [MessagePackKong, ProtobufKong];
/** Requests at once on each lane. */
const DEPTH = 32;
const SCHEMA = 'session_guard';

/** Statements that come with time, not with requests. */
const HOUSEKEEPING = /^(prune|migrations)/;

/** One route: a protocol, a storage, and cookies that nobody issued for it. */
interface Lane {
  readonly kong: Kong;
  readonly loot: Loot;
}

interface Tally {
  accepted: number;
  failed: number;
  tried: number;
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

async function fuzz({ count, seed }: Settings, cleanup: Cleanup): Promise<Figure[]> {
  const postgres = await startPostgres();
  cleanup.defer(() => postgres.stop());
  const url = await postgres.newDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-fuzz-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const server = await WatchedServer.start(join(folder, 'fuzz.socket'));
  cleanup.defer(() => server.stop());
  const lanes = await openLanes(server.socket, url);
  cleanup.defer(async () => lanes.forEach(({ kong }) => kong.close()));
  const sql = new Client({ connectionString: url });
  await sql.connect();
  cleanup.defer(() => sql.end());

  const before = await quiet(server);
  const rows = await rowsOf(sql);
  const tally: Tally = { accepted: 0, failed: 0, tried: 0 };
  const startedAt = performance.now();
  await Promise.all(
    lanes.map((lane, index) => attack(lane, Math.ceil(count / lanes.length), seed + index, tally)),
  );
  const milliseconds = performance.now() - startedAt;
  const after = await server.testimony();
  const changed = await changesSince(sql, rows);
  return [
    { name: 'cookie headers tried', value: tally.tried, atLeast: count },
    { name: 'accepted', value: tally.accepted, atMost: 0 },
    { name: 'requests without a proper answer', value: tally.failed, atMost: 0 },
    { name: 'ends of the server', value: Number(!server.isRunning), atMost: 0 },
    { name: 'defects in its log', value: server.troubles, atMost: 0 },
    { name: 'SQL statements', value: sent(after) - sent(before), atMost: 0 },
    { name: 'rows written', value: changed, atMost: 0 },
    { name: 'genuine cookies refused afterwards', value: await refusedGenuine(lanes), atMost: 0 },
    { name: 'milliseconds per header', value: rounded(milliseconds / tally.tried) },
    {
      name: 'growth of the server',
      value: rounded((after.rss - before.rss) / 2 ** 20),
      unit: 'MiB',
    },
  ];
}

async function openLanes(socket: string, url: string): Promise<Lane[]> {
  const lanes: Lane[] = [];
  for (const storage of STORAGES) {
    for (const protocol of PROTOCOLS) {
      const secret = newSecret();
      const database = storage === 'kong' ? { postgres: { url, schema: SCHEMA } } : {};
      const config: Config = { secret, storage, ...database };
      const kong = await protocol.open(socket, config);
      lanes.push({ kong, loot: await collect(kong, secret, storage) });
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
    if (sent(testimony) === last) return testimony;
    last = sent(testimony);
    await sleep(1500);
  }
}

const sent = ({ statements }: Testimony): number =>
  Object.entries(statements)
    .filter(([name]) => !HOUSEKEEPING.test(name))
    .reduce((sum, [, times]) => sum + times, 0);

async function attack({ kong, loot }: Lane, count: number, seed: number, tally: Tally) {
  const headers = worthless(loot, seed);
  let left = count;
  const one = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const cookies = headers.next().value;
      try {
        const { identity, exit } = await kong.visit({ cookies });
        tally.accepted += Number(identity !== undefined);
        tally.failed += Number(exit !== undefined);
      } catch {
        tally.failed += 1;
      }
      tally.tried += 1;
    }
  };
  await Promise.all(Array.from({ length: DEPTH }, one));
}

interface Rows {
  readonly count: number;
  /** No transaction with this number or a later one had written when it was read. */
  readonly transaction: string;
}

async function rowsOf(sql: Client): Promise<Rows> {
  const { rows } = await sql.query<Rows>(
    `select count(*)::integer as count, pg_current_xact_id()::text as transaction from ${SCHEMA}.sessions`,
  );
  return rows[0] ?? { count: 0, transaction: '0' };
}

/** Rows that were inserted, updated or deleted. */
async function changesSince(sql: Client, { count, transaction }: Rows): Promise<number> {
  const query = `select count(*)::integer as count from ${SCHEMA}.sessions where xmin::text::bigint >= $1`;
  const { rows } = await sql.query<{ count: number }>(query, [transaction]);
  return (rows[0]?.count ?? 0) + Math.max(0, count - (await rowsOf(sql)).count);
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
