import fc from 'fast-check';
import { Pool } from 'pg';
import { inParallel } from '../e2e/support/waiting.ts';
import { startPostgres } from '../support/postgres.ts';
import { ServerNode } from '../support/server-node.ts';
import { openNode } from '../support/nodes.ts';
import { SECRET } from '../support/visitor.ts';
import { IDLE_EXEMPT, PLAN } from './races-plan.ts';
import type { Plan } from './races-plan.ts';
import { Round } from './races-round.ts';
import type { Verdict, World } from './races-world.ts';
import type { Figure, Program, Settings } from './program.ts';
import { main } from './program.ts';

const NODES = 4;
/** Rounds that are set up together, so that time can be made to pass for all of them at once. */
const TOGETHER = 25;
const SCHEMA = 'session_guard';

export const program: Program = {
  name: 'races',
  claim:
    'Whatever requests meet at the same moment on four nodes: what has ended stays ended, a renewal has one successor, nobody else loses a session.',
  counts: 'rounds of 2 to 8 requests at the same moment, on 4 server processes and one Postgres',
  defaultCount: 2000,
  run,
};

async function run({ count, seed }: Settings): Promise<Figure[]> {
  const postgres = await startPostgres();
  const url = await postgres.newDatabase();
  const nodes = await ServerNode.startAll(NODES);
  const operator = openNode(url);
  const pool = new Pool({ connectionString: url, max: 4 });
  try {
    const routes = await Promise.all(nodes.map((node) => node.route(configFor(url))));
    const world: World = { routes, pool, schema: SCHEMA, operator: operator.backend };
    const plans = fc.sample(PLAN, { seed, numRuns: count });
    const verdicts: Verdict[] = [];
    for (let first = 0; first < plans.length; first += TOGETHER) {
      verdicts.push(...(await runTogether(world, plans.slice(first, first + TOGETHER))));
    }
    return figuresOf(verdicts, await rowsOfEnded(world, verdicts));
  } finally {
    await pool.end();
    await operator.close();
    await Promise.all(nodes.map((node) => node.stop()));
    await postgres.stop();
  }
}

const configFor = (url: string) => ({
  secret: SECRET,
  storage: 'kong',
  postgres: { url, statement_timeout: 4, connect_timeout: 4 },
  remember: true,
  self_service: true,
  idle_exempt_header: IDLE_EXEMPT,
});

async function runTogether(world: World, plans: readonly Plan[]): Promise<Verdict[]> {
  const rounds = await inParallel(plans, 8, (plan) => Round.begin(world, plan));
  const [expiring, others] = [true, false].map((is) =>
    rounds.filter((one) => one.isExpiring === is),
  );
  const verdicts: Verdict[] = [];
  for (const group of [others, expiring]) {
    if (group) verdicts.push(...(await raceAll(world, group)));
  }
  return verdicts;
}

async function raceAll({ pool }: World, rounds: readonly Round[]): Promise<Verdict[]> {
  await Promise.all(rounds.map((round) => round.age()));
  // Nodes forget what they knew of the sessions when they were younger.
  await pool.query('select pg_notify($1, $2)', [SCHEMA, 'reload']);
  await inParallel(rounds, 8, (round) => round.warm());
  return inParallel(rounds, 4, async (round) => {
    if (round.isExpiring) await round.untilNearTheEnd();
    await round.race();
    return round.judge();
  });
}

/** Sessions may have come back after their round was judged: a late write, for example. */
async function rowsOfEnded({ pool }: World, verdicts: readonly Verdict[]): Promise<number> {
  const ended = verdicts.filter(({ fate }) => fate === 'ended').map(({ family }) => family);
  const { rows } = await pool.query<{ count: number }>(
    `select count(*)::integer as count from ${SCHEMA}.sessions where family = any($1::uuid[])`,
    [ended],
  );
  return rows[0]?.count ?? NaN;
}

function figuresOf(verdicts: readonly Verdict[], rowsAtLast: number): Figure[] {
  const fates = (fate: Verdict['fate']) => verdicts.filter((one) => one.fate === fate).length;
  const sum = (count: (verdict: Verdict) => number) =>
    verdicts.reduce((total, verdict) => total + count(verdict), 0);
  return [
    { name: 'rounds in which the session ended', value: fates('ended') },
    { name: 'rounds in which it expired', value: fates('expired') },
    { name: 'rounds in which it lived on', value: fates('alive') },
    { name: 'rounds that a 503 left undecided', value: fates('undecided') },
    { name: 'rounds with a renewal', value: sum(({ successors }) => Number(successors > 0)) },
    {
      name: 'accepted by the node that had confirmed the end',
      value: sum(({ acceptedHere }) => acceptedHere),
      atMost: 0,
    },
    {
      name: 'accepted anywhere once the end had got about',
      value: sum(({ acceptedLater }) => acceptedLater),
      atMost: 0,
    },
    {
      name: 'living rows of ended sessions',
      value: sum(({ resurrected }) => resurrected) + rowsAtLast,
      atMost: 0,
    },
    {
      name: 'renewals with more than one successor',
      value: sum(({ successors }) => Number(successors > 1)),
      atMost: 0,
    },
    { name: 'rows that do not fit', value: sum(({ misfits }) => misfits), atMost: 0 },
    { name: 'living sessions lost', value: sum(({ lost }) => lost), atMost: 0 },
    { name: 'sessions of bystanders lost', value: sum(({ innocent }) => innocent), atMost: 0 },
    { name: 'requests taken for somebody else', value: sum(({ mixedUp }) => mixedUp), atMost: 0 },
  ];
}

await main(import.meta.url, program);
