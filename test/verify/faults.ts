import { setTimeout as sleep } from 'node:timers/promises';
import { closeStorages } from '../../lib/storages.ts';
import type { Reply } from '../support/client.ts';
import { garbageFor, PDK_FAULTS } from '../support/chaos/pdk.ts';
import { identityOf, PROTOCOLS } from '../support/chaos/stage.ts';
import { STATEMENT_FAULTS } from '../support/chaos/statements.ts';
import { WIRE_FAULTS } from '../support/chaos/wire.ts';
import { startPostgres } from '../support/postgres.ts';
import { type Fault, Lane, type LaneOptions, type Places, STORAGES } from './faults/lane.ts';
import { type Scenario, SCENARIOS } from './faults/scenarios.ts';
import { type Figure, main, type Program } from './program.ts';

/** Milliseconds until a request that has no answer counts as hanging: the default deadline. */
const PATIENCE = 5000;
const BASELINES = 150;
/** Between two of them: a store that is still being prepared, or a machine that is busy. */
const PAUSE = 200;

interface Findings {
  /** Places that a fault could hit, over all scenarios. */
  points: number;
  faults: number;
  readonly wrong: string[];
  readonly hung: string[];
  readonly broken: string[];
}

const places = ({ calls, statements, messages }: Places): number =>
  calls.length + statements.length + messages;

/** Every fault at every place. */
function faultsAt({ calls, statements, messages }: Places): Fault[] {
  const at = (count: number) => Array.from({ length: count }, (_, index) => index);
  return [
    ...calls.flatMap((method, index) =>
      PDK_FAULTS.flatMap((kind) =>
        (kind === 'garbage' ? garbageFor(method) : [undefined]).map((garbage): Fault => ({
          place: 'call',
          at: index,
          kind,
          garbage,
        })),
      ),
    ),
    ...at(statements.length).flatMap((index) =>
      STATEMENT_FAULTS.map((kind): Fault => ({ place: 'statement', at: index, kind })),
    ),
    ...at(messages).flatMap((index) =>
      WIRE_FAULTS.map((kind): Fault => ({ place: 'message', at: index, kind })),
    ),
  ];
}

/** The same choice for the same seed (a linear congruential generator, Numerical Recipes). */
function sample<T>(list: readonly T[], count: number, seed: number): T[] {
  const rest = [...list];
  const chosen: T[] = [];
  for (let state = seed; chosen.length < count && rest.length > 0;) {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    chosen.push(...rest.splice(Math.floor((state / 2 ** 32) * rest.length), 1));
  }
  return chosen;
}

/** What a request of the scenario comes past while nothing breaks. */
async function survey(lane: Lane, scenario: Scenario): Promise<Places> {
  for (let attempt = 1; ; attempt++) {
    const { ask } = await scenario.prepare(lane);
    lane.arm();
    const reply = await lane.stage.ask(ask);
    if (scenario.isWhole(reply)) return lane.places();
    if (attempt === BASELINES) throw failure(`${lane.name}: ${scenario.name}`, reply);
    await sleep(PAUSE);
  }
}

const failure = (what: string, { status, body }: Reply): Error =>
  new Error(`${what} does not work without any fault: ${status} ${body.slice(0, 100)}`);

async function suffer(lane: Lane, scenario: Scenario, fault: Fault, found: Findings) {
  const { ask, person, check } = await scenario.prepare(lane);
  lane.arm(fault);
  const reply: Reply | undefined = await lane.stage
    .ask({ ...ask, signal: AbortSignal.timeout(PATIENCE) })
    .catch(() => undefined);
  const passed = lane.places();
  lane.arm();
  const { place, at, kind } = fault;
  const where = { call: passed.calls, statement: passed.statements, message: [] }[place][at] ?? '';
  const told = 'garbage' in fault ? ` ${JSON.stringify(fault.garbage) ?? ''}` : '';
  const what = `${lane.name}: ${scenario.name}, ${place} ${at} ${where}, ${kind}${told}`;
  if (reply === undefined) found.hung.push(what);
  const identity = reply && identityOf(reply);
  if (identity !== undefined && identity !== person.id) found.wrong.push(`${what}: ${identity}`);
  const broken = await check(reply);
  if (broken !== undefined) found.broken.push(`${what}: ${broken}`);
  found.faults++;
}

async function runLane(options: LaneOptions, most: number, seed: number): Promise<Findings> {
  const found: Findings = { points: 0, faults: 0, wrong: [], hung: [], broken: [] };
  const lane = await Lane.open(options);
  try {
    for (const scenario of SCENARIOS) {
      const passed = await survey(lane, scenario);
      found.points += places(passed);
      for (const fault of sample(faultsAt(passed), most, seed)) {
        await suffer(lane, scenario, fault, found);
      }
    }
  } finally {
    await lane.close();
  }
  return found;
}

/** Waits for all of them, so that none still runs when another has failed. */
async function all<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

/** The lanes of one kind of server side by side. */
async function runServer(server: LaneOptions['server'], most: number, seed: number) {
  const postgres = await startPostgres();
  try {
    const lanes = STORAGES.flatMap((storage) =>
      PROTOCOLS.map((protocol): LaneOptions => ({ postgres, protocol, storage, server })),
    );
    const findings = await all(lanes.map((options) => runLane(options, most, seed)));
    return lanes.map(({ storage }, index) => ({ storage, ...(findings[index] as Findings) }));
  } finally {
    await closeStorages();
    await postgres.stop();
  }
}

export async function run(most: number, seed: number): Promise<Figure[]> {
  const findings = [
    ...(await runServer('handler', most, seed)),
    ...(await runServer('process', most, seed)),
  ];
  for (const { wrong, hung, broken } of findings) {
    for (const line of [...wrong, ...hung, ...broken]) console.log(line);
  }
  return STORAGES.flatMap((storage) => {
    const own = findings.filter((found) => found.storage === storage);
    const sum = (of: (found: Findings) => number) => own.reduce((total, one) => total + of(one), 0);
    const figure = (what: string, value: number, bound: Partial<Figure> = { atMost: 0 }) => ({
      name: `storage ${storage}: ${what}`,
      value,
      ...bound,
    });
    const points = Math.min(...own.map((found) => found.points));
    return [
      figure('places where something can break', points, { atLeast: 30 }),
      figure(
        'faults',
        sum((found) => found.faults),
        { atLeast: 1 },
      ),
      figure(
        'reached the upstream unverified',
        sum(({ wrong }) => wrong.length),
      ),
      figure(
        'without an answer in 5 s',
        sum(({ hung }) => hung.length),
      ),
      figure(
        'sessions lost, or alive after a confirmed logout',
        sum(({ broken }) => broken.length),
      ),
    ];
  });
}

export const program: Program = {
  name: 'faults',
  claim:
    'Whatever breaks at whatever place of a request: nobody passes unverified, nothing hangs, no session is lost, no logout is a lie.',
  counts: 'faults at most for each scenario, storage, protocol and kind of server',
  defaultCount: 10_000,
  run: ({ count, seed }) => run(count, seed),
};

await main(import.meta.url, program);
