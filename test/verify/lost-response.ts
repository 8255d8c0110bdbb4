import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'pg';
import { inParallel } from '../e2e/support/waiting.ts';
import { startPostgres } from '../support/postgres.ts';
import { ServerNode } from '../support/server-node.ts';
import type { ServerRoute } from '../support/server-node.ts';
import { SECRET } from '../support/visitor.ts';
import { cookieOf, insist, openTokens, signIn } from './races-requests.ts';
import type { Figure, Program, Settings } from './program.ts';
import { main } from './program.ts';

const NODES = 3;
const SCHEMA = 'session_guard';
/** Clients that are set up together. */
const TOGETHER = 100;
/** Seconds. */
const STALE_TTL = 4;

/** RFC 9700 4.14 for the replay. */
export const program: Program = {
  name: 'lost-response',
  claim:
    'Whoever never receives the successor keeps the session; whoever replays an old cookie ends it, and no other.',
  counts: 'clients whose renewal got lost, every other one of them robbed later',
  defaultCount: 1000,
  run,
};

async function run({ count, seed }: Settings): Promise<Figure[]> {
  const postgres = await startPostgres();
  const url = await postgres.newDatabase();
  const nodes = await ServerNode.startAll(NODES);
  const pool = new Pool({ connectionString: url, max: 2 });
  const config = { secret: SECRET, storage: 'kong', stale_ttl: STALE_TTL, postgres: { url } };
  try {
    const routes = await Promise.all(nodes.map((node) => node.route(config)));
    const plans = fc.sample(PLAN, { seed, numRuns: count });
    const stories: Story[] = [];
    for (let first = 0; first < count; first += TOGETHER) {
      const group = plans.slice(first, first + TOGETHER);
      stories.push(...(await runTogether(pool, routes, group)));
    }
    return figuresOf(stories);
  } finally {
    await pool.end();
    await Promise.all(nodes.map((node) => node.stop()));
    await postgres.stop();
  }
}

interface Plan {
  /** The nodes that the first sign-in, the renewal and everything after it meet, in this order. */
  readonly path: readonly number[];
  /** How many responses in a row are lost, the first with the successor in it. */
  readonly losses: number;
  /** Whether the successor arrives in the end, and the old cookie turns out to have been copied. */
  readonly isRobbed: boolean;
}

const PLAN: fc.Arbitrary<Plan> = fc.record({
  path: fc.infiniteStream(fc.nat({ max: NODES - 1 })).map((nodes) => [...nodes.take(12)]),
  losses: fc.integer({ min: 1, max: 4 }),
  isRobbed: fc.boolean(),
});

async function runTogether(
  pool: Pool,
  routes: readonly ServerRoute[],
  plans: readonly Plan[],
): Promise<Story[]> {
  const clients = await inParallel(plans, 8, (plan) => Client.begin(routes, plan));
  await pool.query(
    `update ${SCHEMA}.sessions set renewed_at = renewed_at - interval '50 minutes'
    where renewed_at > now() - interval '25 minutes'`,
  );
  await pool.query('select pg_notify($1, $2)', [SCHEMA, 'reload']);
  return inParallel(clients, 50, (client) => client.live());
}

/** What a client has been through; absent where it was none of its plan. */
interface Story {
  /** With the old cookie, while the successor's responses were lost. */
  readonly passed: readonly boolean[];
  /** Different successors offered meanwhile. */
  readonly offered: number;
  readonly arrived?: boolean;
  /** With the old cookie right after the successor: a tab that was slower. Absent if we were too slow to try. */
  readonly slowTab?: boolean;
  /** What was accepted after the replay: nothing is. */
  readonly acceptedAfterReplay?: number;
  /** The person's session in another browser, at the end. */
  readonly bystander: boolean;
}

class Client {
  readonly #routes: readonly ServerRoute[];
  readonly #plan: Plan;
  readonly #person = { id: randomUUID(), username: 'alice' };
  readonly #path: number[];
  #cookie = '';
  #bystander = '';

  private constructor(routes: readonly ServerRoute[], plan: Plan) {
    this.#routes = routes;
    this.#plan = plan;
    this.#path = [...plan.path];
  }

  static async begin(routes: readonly ServerRoute[], plan: Plan): Promise<Client> {
    const client = new Client(routes, plan);
    client.#cookie = (await client.#signIn()) ?? '';
    client.#bystander = (await client.#signIn()) ?? '';
    return client;
  }

  async #signIn(): Promise<string | undefined> {
    return cookieOf(await signIn(this.#next(), this.#person));
  }

  async live(): Promise<Story> {
    const losses = await inParallel(Array.from({ length: this.#plan.losses }), 1, () =>
      this.#visit(this.#cookie),
    );
    const offered = losses.flatMap(({ successor }) => successor ?? []);
    const generations = (await openTokens(offered)).map(({ generation }) => generation);
    const story = {
      passed: losses.map(({ isPassed }) => isPassed),
      offered: offered.length === losses.length ? new Set(generations).size : NaN,
    };
    const rest = this.#plan.isRobbed ? await this.#beRobbed() : {};
    return { ...story, ...rest, bystander: (await this.#visit(this.#bystander)).isPassed };
  }

  async #beRobbed() {
    const { successor = '' } = await this.#visit(this.#cookie);
    const presentedAt = performance.now();
    const arrived = (await this.#visit(successor)).isPassed;
    const { isPassed: slowTab } = await this.#visit(this.#cookie);
    const isInTime = performance.now() - presentedAt < STALE_TTL * 1000;
    await sleep(STALE_TTL * 1000 + 1000);
    const replay = await this.#visit(this.#cookie);
    const after = await inParallel(this.#routes, 1, (route) => this.#visit(successor, route));
    const accepted = [replay, ...after].filter(({ isPassed }) => isPassed);
    return { arrived, ...(isInTime && { slowTab }), acceptedAfterReplay: accepted.length };
  }

  async #visit(cookies: string, route = this.#next()) {
    const reply = await insist(route, { cookies });
    return { isPassed: reply.consumerId === this.#person.id, successor: cookieOf(reply) };
  }

  #next(): ServerRoute {
    const route = this.#routes[this.#path.shift() ?? 0];
    if (route === undefined) throw new TypeError('a node that is not there');
    return route;
  }
}

function figuresOf(stories: readonly Story[]): Figure[] {
  const robbed = stories.filter(({ arrived }) => arrived !== undefined);
  const inTime = robbed.filter(({ slowTab }) => slowTab !== undefined);
  const count = (holds: (story: Story) => boolean, among = stories) => among.filter(holds).length;
  const all = (name: string, value: number, of: number): Figure => ({
    name,
    value,
    atLeast: of,
    atMost: of,
  });
  return [
    all(
      'kept their session',
      count(({ passed }) => passed.every(Boolean)),
      stories.length,
    ),
    all(
      'were offered one and the same successor each time',
      count(({ offered }) => offered === 1),
      stories.length,
    ),
    { name: 'robbed', value: robbed.length, atLeast: 1 },
    all(
      'passed with the successor when it arrived',
      count(({ arrived }) => arrived === true, robbed),
      robbed.length,
    ),
    all(
      'passed with the old cookie just after',
      count(({ slowTab }) => slowTab === true, inTime),
      inTime.length,
    ),
    all(
      'ended at the replay, at every node',
      count(({ acceptedAfterReplay }) => acceptedAfterReplay === 0, robbed),
      robbed.length,
    ),
    all(
      'kept their session in another browser',
      count(({ bystander }) => bystander),
      stories.length,
    ),
  ];
}

await main(import.meta.url, program);
