import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Pool } from 'pg';
import { inParallel } from '../e2e/support/waiting.ts';
import { Blackhole } from '../support/blackhole.ts';
import { startPostgres } from '../support/postgres.ts';
import { isOurAnswer, ServerNode } from '../support/server-node.ts';
import type { ServerRoute } from '../support/server-node.ts';
import { SECRET } from '../support/visitor.ts';
import { cookieOf, insist, signIn } from './races-requests.ts';
import type { Figure, Program, Settings } from './program.ts';
import { main } from './program.ts';

const SCHEMA = 'session_guard';
const LOAD = fileURLToPath(new URL('revocation-load.ts', import.meta.url));
const RATE = 1000; // renewals a second
const LANES = 4;
/** A revocation that takes longer has not come by NOTIFY. Milliseconds; `cache_ttl` is far longer. */
const MISSED = 10_000;
/** Seconds. */
const LONG_TTL = 60;
const SHORT_TTL = 1;

export const program: Program = {
  name: 'revocation',
  claim:
    'Who signs out on one node is out on the other within 50 ms, and within cache_ttl when the notice gets lost.',
  counts: 'logouts on one of two server processes, half of them while a third renews sessions',
  defaultCount: 10_000,
  run,
};

/** Two nodes; the second one hears of the first through a network that can fail. */
interface World {
  readonly url: string;
  readonly pool: Pool;
  readonly network: Blackhole;
  readonly here: ServerRoute;
  readonly there: ServerRoute;
  readonly thereNode: ServerNode;
  /** As `there`, with a short cache_ttl. */
  readonly hasty: ServerRoute;
}

async function run({ count }: Settings): Promise<Figure[]> {
  const postgres = await startPostgres();
  const url = await postgres.newDatabase();
  const network = await Blackhole.open(url);
  const [first, second] = await Promise.all([ServerNode.start(), ServerNode.start()]);
  const pool = new Pool({ connectionString: url, max: 2 });
  const config = { secret: SECRET, storage: 'kong', stale_ttl: LONG_TTL, cache_ttl: LONG_TTL };
  const shaky = { ...config, postgres: { url, listen_url: network.through(url) } };
  try {
    const here = await first.route({ ...config, postgres: { url } });
    const there = await second.route(shaky);
    const hasty = await second.route({ ...shaky, cache_ttl: SHORT_TTL });
    const world = { url, pool, network, here, there, hasty, thereNode: second };
    const few = Math.max(2, Math.min(50, Math.round(count / 100)));
    return [
      ...(await measure(world, Math.ceil(count / 2), 'idle')),
      ...(await underLoad(world, Math.floor(count / 2))),
      ...(await withoutNotice(world, few)),
      ...(await resynchronised(world, few)),
    ];
  } finally {
    await pool.end();
    await Promise.all([first.stop(), second.stop()]);
    await network.close();
    await postgres.stop();
  }
}

/** A session that both nodes know. */
async function session({ here, there }: Pick<World, 'here' | 'there'>) {
  const person = { id: randomUUID(), username: 'alice' };
  const cookies = cookieOf(await signIn(here, person)) ?? '';
  const isIn = async (route: ServerRoute) =>
    (await insist(route, { cookies })).consumerId === person.id;
  if (!(await isIn(there))) throw new Error('the other node does not know the session');
  return { person, cookies, isIn };
}

/** Milliseconds from the logout's 200 on one node until the other has refused the cookie; Infinity for a miss. */
async function latency(world: World): Promise<number> {
  const { cookies, isIn } = await session(world);
  const target = '/?session_logout=true';
  const reply = await world.here.ask({ method: 'DELETE', target, cookies });
  if (!isOurAnswer(reply)) throw new Error('the logout was not confirmed');
  const since = performance.now();
  while (await isIn(world.there)) if (performance.now() - since > MISSED) return Infinity;
  return performance.now() - since;
}

async function measure(world: World, count: number, how: string): Promise<Figure[]> {
  const rounds = Array.from({ length: count });
  const latencies = await inParallel(rounds, LANES, () => latency(world));
  const sorted = latencies.toSorted((one, other) => one - other);
  const at = (share: number) => sorted[Math.min(count - 1, Math.floor(count * share))] ?? NaN;
  const tell = (value: number) => Number(value.toFixed(1));
  return [
    { name: `${how}: logouts`, value: count },
    {
      name: `${how}: missed by the other node`,
      value: latencies.filter((one) => one === Infinity).length,
      atMost: 0,
    },
    { name: `${how}: known to the other node, p50`, value: tell(at(0.5)), unit: 'ms' },
    { name: `${how}: known to the other node, p99`, value: tell(at(0.99)), unit: 'ms', atMost: 50 },
    { name: `${how}: known to the other node, worst`, value: tell(at(1)), unit: 'ms' },
  ];
}

async function underLoad(world: World, count: number): Promise<Figure[]> {
  const child = spawn(process.execPath, ['--import', 'tsx', LOAD, world.url, String(RATE)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout);
  const exit = once(child, 'exit');
  await once(lines, 'line');
  const figures = await measure(world, count, 'under load');
  const last = once(lines, 'line') as Promise<[string]>;
  child.stdin.end();
  const [rate] = await last;
  await exit;
  return [
    ...figures,
    { name: 'renewals meanwhile', value: Math.round(Number(rate)), unit: 'a second', atLeast: 1 },
  ];
}

/** Rows that go without a word: requests begun later than `cache_ttl` find out. */
async function withoutNotice({ pool, here, hasty }: World, count: number): Promise<Figure[]> {
  let [accepted, late] = [0, 0];
  await inParallel(Array.from({ length: count }), count, async () => {
    const { person, isIn } = await session({ here, there: hasty });
    await pool.query(`delete from ${SCHEMA}.sessions where consumer_id = $1`, [person.id]);
    const since = performance.now();
    while (performance.now() - since < SHORT_TTL * 1000) accepted += Number(await isIn(hasty));
    late += Number(await isIn(hasty));
  });
  return [
    { name: 'without a notice: accepted within cache_ttl', value: accepted },
    { name: 'without a notice: accepted later than cache_ttl', value: late, atMost: 0 },
  ];
}

/** Sessions that end while a node cannot hear of it: it trusts nothing, and forgets all when it hears again. */
async function resynchronised(world: World, count: number): Promise<Figure[]> {
  const { pool, network, there, thereNode } = world;
  const listening = () => thereNode.log.filter(({ event }) => event === 'bus_listening').length;
  const known = await inParallel(Array.from({ length: count }), 8, () => session(world));
  const before = listening();
  network.reset();
  await pool.query(`delete from ${SCHEMA}.sessions where consumer_id = any($1)`, [
    known.map(({ person }) => person.id),
  ]);
  for (let wait = 0; listening() === before && wait < 15_000; wait += 10) await sleep(10);
  const accepted = await inParallel(known, 8, ({ isIn }) => isIn(there));
  return [
    { name: 'times the listener came back', value: listening() - before, atLeast: 1 },
    { name: 'accepted after it had come back', value: accepted.filter(Boolean).length, atMost: 0 },
  ];
}

await main(import.meta.url, program);
