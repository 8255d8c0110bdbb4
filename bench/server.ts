import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Cleanup } from '../test/e2e/support/cleanup.ts';
import { describe } from '../test/verify/program.ts';
import type { Figure } from '../test/verify/program.ts';
import { openAlone } from './alone.ts';
import type { Alone } from './alone.ts';
import { total } from './probe.ts';
import { cpuMicroseconds } from './processes.ts';
import { tampered } from './sessions.ts';
import { median } from './statistics.ts';

/*
 * `node --import tsx bench/server.ts [--requests N] [--rounds N]`: what a request costs the plugin server alone, counted
 * in requests, not in seconds; what it costs when they come so seldom that the server sleeps between them; and how late
 * its event loop is at 80 % of the load that it can just bear.
 */
const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '5000' },
    rounds: { type: 'string', default: '3' },
  },
});
const [requests, rounds] = [Number(values.requests), Number(values.rounds)];

const CONNECTIONS = 16;
const WARM = 16;
const LOAD = 0.8;
/** Requests per second, and for how long. */
const RATES = [500, 1000, 2000, 4000] as const;
const SECONDS = 4;

const SCENARIOS = ['valid', 'cold', 'invalid', 'anonymous'] as const;
type Scenario = (typeof SCENARIOS)[number];

interface Cost {
  /** Microseconds of CPU time for each request. */
  readonly cpu: number;
  readonly perSecond: number;
  readonly statements: number;
  readonly decryptions: number;
}

async function measure(alone: Alone, scenario: Scenario, warm: readonly string[]): Promise<Cost> {
  const cookies = {
    valid: () => warm,
    cold: () => alone.mint.mint({ storage: 'kong', count: requests }),
    invalid: () => tampered(warm[0] ?? '', 512),
    anonymous: () => [''],
  };
  const asked = await cookies[scenario]();
  const isSignedIn = scenario === 'valid' || scenario === 'cold';
  const { server } = alone;
  const [before, counts] = [await cpuMicroseconds(server.pid), await server.probe.counts()];
  const load = { connections: CONNECTIONS, requests, cookies: asked, isSignedIn };
  const seconds = await alone.drive(load);
  const [after, counted] = [await cpuMicroseconds(server.pid), await server.probe.counts()];
  return {
    cpu: (after - before) / requests,
    perSecond: requests / seconds,
    statements: (total(counted) - total(counts)) / requests,
    decryptions: (counted.decryptions - counts.decryptions) / requests,
  };
}

/** What a verified request costs at so many a second, in microseconds of CPU time. */
async function costAt(alone: Alone, warm: readonly string[], rate: number): Promise<number> {
  const count = rate * SECONDS;
  const before = await cpuMicroseconds(alone.server.pid);
  const load = { connections: CONNECTIONS, requests: count, cookies: warm, isSignedIn: true };
  await alone.drive({ ...load, rate });
  return ((await cpuMicroseconds(alone.server.pid)) - before) / count;
}

async function seldomCosts(alone: Alone, warm: readonly string[]): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const rate of RATES) {
    const value = round(await costAt(alone, warm, rate));
    figures.push({ name: `valid, ${rate} requests/s: server CPU`, value, unit: 'µs' });
  }
  return figures;
}

async function lateness(alone: Alone, warm: readonly string[], rate: number) {
  await alone.server.probe.delay();
  const load = { connections: CONNECTIONS, requests, cookies: warm, isSignedIn: true };
  await alone.drive({ ...load, rate });
  return alone.server.probe.delay();
}

async function run(): Promise<Figure[]> {
  const cleanup = new Cleanup();
  try {
    const alone = await openAlone(cleanup);
    const warm = await alone.mint.mint({ storage: 'kong', count: WARM });
    const costs = new Map<Scenario, Cost[]>(SCENARIOS.map((scenario) => [scenario, []]));
    for (let round = 0; round <= rounds; round++) {
      for (const scenario of SCENARIOS) {
        const cost = await measure(alone, scenario, warm);
        if (round > 0) costs.get(scenario)?.push(cost); // the first is for the compiler
      }
    }
    const of = (scenario: Scenario, quantity: keyof Cost): number =>
      median(costs.get(scenario)?.map((cost) => cost[quantity]) ?? []);
    const seldom = await seldomCosts(alone, warm);
    await sleep(200);
    const rate = of('valid', 'perSecond') * LOAD;
    const { p50, p99, max } = await lateness(alone, warm, rate);
    return [
      ...SCENARIOS.map((scenario) => ({
        name: `${scenario}: server CPU`,
        value: round(of(scenario, 'cpu')),
        unit: 'µs',
        ...(scenario === 'valid' && { atMost: 100 }),
        ...(scenario === 'invalid' && { atMost: round(of('cold', 'cpu')) }),
      })),
      ...seldom,
      { name: 'valid: SQL statements', value: round(of('valid', 'statements')), atMost: 0.05 },
      { name: 'valid: decryptions', value: round(of('valid', 'decryptions')), atMost: 0.05 },
      { name: 'cold: SQL statements', value: round(of('cold', 'statements')), atMost: 1.05 },
      { name: 'valid: requests per second', value: round(of('valid', 'perSecond')) },
      { name: 'event loop late at 80 %: p50', value: round(p50), unit: 'ms' },
      { name: 'event loop late at 80 %: p99', value: round(p99), unit: 'ms', atMost: 20 },
      { name: 'event loop late at 80 %: longest', value: round(max), unit: 'ms' },
    ];
  } finally {
    await cleanup.run();
  }
}

const round = (value: number): number => Number(value.toPrecision(3));

for (const figure of await run()) console.log(describe(figure));
