import fc from 'fast-check';
import type { Scheduler } from 'fast-check';
import { setImmediate } from 'node:timers/promises';
import { openBackend } from '../../lib/backend.ts';
import type { Backend } from '../../lib/backend.ts';
import type { Guard } from '../../lib/presence.ts';
import { openServerStorage } from '../../lib/server-storage.ts';
import { plainCodec, until } from '../support/nodes.ts';
import { alice, openGuard, signInAs, Visitor } from '../support/visitor.ts';
import type { Visit } from '../support/visitor.ts';
import { IDLE_EXEMPT } from './races-plan.ts';
import { atOnce, ModelDatabase } from './schedules-database.ts';
import type { Pace } from './schedules-database.ts';
import { Tables } from './schedules-tables.ts';
import type { Figure, Program, Settings } from './program.ts';
import { main } from './program.ts';

export const program: Program = {
  name: 'schedules',
  claim:
    'In whatever order statements, answers and notices of two nodes happen: nothing comes back to life, one successor, no living session is lost.',
  counts: 'schedules of 2 to 6 requests, on the real code over modelled tables',
  defaultCount: 10_000,
  run,
};

const T0 = 1_800_000_000_000;
const MINUTE = 60_000;
const DAY = 86_400_000;

/** `look` is a use that is no activity, hence no renewal. */
type Deed = 'use' | 'look' | 'lost-use' | 'logout' | 'end-consumer' | 'expire' | 'touch';

interface Step {
  readonly deed: Deed;
  readonly node: number;
}

interface Plan {
  readonly steps: readonly Step[];
  /** Nodes that know the session beforehand. */
  readonly warm: readonly number[];
}

const stepOf = (...deeds: readonly Deed[]): fc.Arbitrary<Step> =>
  fc.record({ deed: fc.constantFrom(...deeds), node: fc.nat({ max: 1 }) });

const planOf = (usual: fc.Arbitrary<Step>, ends: fc.Arbitrary<readonly Step[]>) =>
  fc.record({
    steps: fc
      .tuple(fc.array(usual, { minLength: 1, maxLength: 5 }), ends)
      .map((parts) => parts.flat()),
    warm: fc.uniqueArray(fc.nat({ max: 1 })),
  });

const USES = stepOf('use', 'look', 'lost-use', 'touch');
const ENDS = stepOf('logout', 'end-consumer');

/** Of several ends the last would put right what the first left wrong: mostly there is one. */
const PLAN: fc.Arbitrary<Plan> = fc.oneof(
  { weight: 4, arbitrary: planOf(USES, fc.tuple(ENDS)) },
  { weight: 2, arbitrary: planOf(USES, fc.array(ENDS, { minLength: 2, maxLength: 3 })) },
  { weight: 2, arbitrary: planOf(USES, fc.tuple(stepOf('expire'))) },
  { weight: 2, arbitrary: planOf(USES, fc.constant([])) },
);

interface Node {
  readonly database: ModelDatabase;
  readonly backend: Backend;
  readonly guard: Guard;
}

interface Counts {
  ended: number;
  expired: number;
  alive: number;
  renewed: number;
  acceptedAfterEnd: number;
  resurrected: number;
  forked: number;
  lost: number;
}

async function run({ count, seed }: Settings): Promise<Figure[]> {
  const tables = new Tables();
  const nodes = await openNodes(tables);
  const counts: Counts = {
    ended: 0,
    expired: 0,
    alive: 0,
    renewed: 0,
    acceptedAfterEnd: 0,
    resurrected: 0,
    forked: 0,
    lost: 0,
  };
  try {
    const property = fc.asyncProperty(fc.scheduler(), PLAN, (scheduler, plan) =>
      new Run(tables, nodes, plan, counts).play(scheduler),
    );
    await fc.assert(property, { numRuns: count, seed });
  } finally {
    await Promise.all(nodes.map(({ backend }) => backend.close()));
  }
  return figuresOf(counts);
}

async function openNodes(tables: Tables): Promise<Node[]> {
  const databases: ModelDatabase[] = [];
  for (const name of ['one', 'two']) databases.push(new ModelDatabase(name, tables, databases));
  const nodes = databases.map((database): Node => {
    const storage = openServerStorage({
      database,
      codec: plainCodec,
      cacheTtl: 3600_000,
      bus: { heartbeat: 60_000, heartbeatTimeout: 30_000 },
      pruneInterval: 3600_000,
      neighbours: () => [],
    });
    const fields = {
      storage: 'kong',
      postgres: { url: 'postgres://model' },
      idling_timeout: 0,
      idle_exempt_header: IDLE_EXEMPT,
    };
    return { database, backend: openBackend(database), guard: openGuard(fields, storage) };
  });
  for (const { backend } of nodes) {
    backend.touches.stop(); // written when the schedule says
    backend.readiness.recheck();
  }
  await until(() => nodes.every(({ backend }) => isTrusted(backend)), 60_000);
  return nodes;
}

/** A node that does not trust its cache yet would ask the store every time. */
function isTrusted({ sessions }: Backend): boolean {
  void sessions.ask('probe', () => Promise.resolve(null));
  return sessions.peek('probe', 3600_000) === null;
}

/** One session under one schedule. */
class Run {
  readonly #tables: Tables;
  readonly #nodes: readonly Node[];
  readonly #plan: Plan;
  readonly #counts: Counts;
  readonly #visitor = new Visitor();
  /** Every Cookie header that the browser ever had or missed. */
  readonly #issued = new Set<string>();
  /** When the end was certain on each node, counted in #moment. */
  readonly #overAt = new Map<number, number>();
  #moment = 0;
  #isExpired = false;

  constructor(tables: Tables, nodes: readonly Node[], plan: Plan, counts: Counts) {
    this.#tables = tables;
    this.#nodes = nodes;
    this.#plan = plan;
    this.#counts = counts;
  }

  async play(scheduler: Scheduler): Promise<void> {
    this.#tables.clear(T0);
    await this.#visitor.visit(this.#node(0).guard, signInAs(alice));
    this.#issued.add(this.#visitor.cookies);
    this.#tables.now += 50 * MINUTE; // in the last quarter of the rolling limit
    for (const { backend } of this.#nodes) backend.sessions.clear();
    for (const index of this.#plan.warm) {
      await this.#visitor.visit(this.#node(index).guard, { headers: [IDLE_EXEMPT] });
    }
    const pace: Pace = (step, act) => scheduler.schedule(Promise.resolve(), step, undefined, act);
    for (const { database } of this.#nodes) database.pace = pace;
    await scheduler.waitFor(Promise.all(this.#plan.steps.map((step) => this.#take(step, pace))));
    await scheduler.waitIdle();
    for (const { database } of this.#nodes) database.pace = atOnce;
    await this.#judge();
  }

  async #take({ deed, node: index }: Step, pace: Pace) {
    const { guard, backend } = this.#node(index);
    await pace(`${deed} at ${index}`);
    switch (deed) {
      case 'use':
        return this.#visit(index, this.#visitor);
      case 'look':
        return this.#visit(index, this.#visitor, { headers: [IDLE_EXEMPT] });
      case 'lost-use':
        return this.#visit(index, this.#visitor.copy());
      case 'logout': {
        const leave = { method: 'DELETE', target: '/?session_logout=1' };
        // A copy, so that a thief's browser goes on with what the owner's has deleted.
        const { kind } = await this.#visitor.copy().visit(guard, leave);
        if (kind === 'logout') this.#over(index);
        return;
      }
      case 'end-consumer':
        await backend.endConsumer(alice.id);
        return this.#over(index);
      case 'expire':
        this.#tables.now += DAY;
        this.#isExpired = true;
        return this.#nodes.forEach((_, each) => this.#over(each));
      case 'touch':
        return backend.touches.flush();
    }
  }

  async #visit(index: number, visitor: Visitor, visit: Visit = {}): Promise<void> {
    const began = ++this.#moment;
    const decision = await visitor.visit(this.#node(index).guard, visit);
    this.#issued.add(visitor.cookies);
    const overAt = this.#overAt.get(index) ?? Infinity;
    if (decision.kind === 'session') this.#counts.acceptedAfterEnd += Number(began > overAt);
    else if (this.#overAt.size === 0 && !this.#endsSomewhere) this.#counts.lost++;
  }

  #over(index: number): void {
    if (!this.#overAt.has(index)) this.#overAt.set(index, ++this.#moment);
  }

  get #endsSomewhere(): boolean {
    const ends: readonly Deed[] = ['logout', 'end-consumer', 'expire'];
    return this.#plan.steps.some(({ deed }) => ends.includes(deed));
  }

  #node(index: number): Node {
    const found = this.#nodes[index];
    if (found === undefined) throw new TypeError(`there is no node ${index}`);
    return found;
  }

  /** When all is done and every notice has been heard. */
  async #judge(): Promise<void> {
    await setImmediate();
    for (const { backend } of this.#nodes) await backend.touches.flush();
    const { rows, raises } = this.#tables;
    const counts = this.#counts;
    const isOver = this.#overAt.size > 0;
    counts[this.#isExpired ? 'expired' : isOver ? 'ended' : 'alive']++;
    counts.renewed += Number(raises.size > 0);
    counts.forked += Number([...raises.values()].some((times) => times > 1));
    const living = [...rows.values()].filter((row) => this.#tables.isAlive(row));
    if (isOver) counts.resurrected += living.length;
    else counts.lost += Number(living.length !== 1);
    for (const { guard } of this.#nodes) {
      // The newest first: to judge an older one a node asks the store, and then knows better of the newest too.
      const issued = isOver ? [...this.#issued].toReversed() : [this.#visitor.cookies];
      for (const cookies of issued) {
        const { kind } = await browserWith(cookies).visit(guard, { headers: [IDLE_EXEMPT] });
        if (isOver) counts.acceptedAfterEnd += Number(kind === 'session');
        else counts.lost += Number(kind !== 'session');
      }
    }
  }
}

function browserWith(cookies: string): Visitor {
  const visitor = new Visitor();
  const [name = '', value = ''] = cookies.split('=');
  visitor.jar.set(name, value);
  return visitor;
}

const figuresOf = (counts: Counts): Figure[] => [
  { name: 'sessions that were ended', value: counts.ended },
  { name: 'sessions that expired', value: counts.expired },
  { name: 'sessions that lived on', value: counts.alive },
  { name: 'sessions that were renewed', value: counts.renewed, atLeast: 1 },
  { name: 'accepted after the end', value: counts.acceptedAfterEnd, atMost: 0 },
  { name: 'rows that came back to life', value: counts.resurrected, atMost: 0 },
  { name: 'generations with more than one successor', value: counts.forked, atMost: 0 },
  { name: 'living sessions lost', value: counts.lost, atMost: 0 },
];

await main(import.meta.url, program);
