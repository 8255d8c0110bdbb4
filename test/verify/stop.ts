import { Cleanup } from '../e2e/support/cleanup.ts';
import { Blackhole } from '../support/blackhole.ts';
import type { Member } from '../support/chaos/crowd.ts';
import { connectionsOf, query } from '../support/chaos/sql.ts';
import { PROTOCOLS, type Protocol, Stage } from '../support/chaos/stage.ts';
import { until } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import { type Figure, main, type Program } from './program.ts';

/** Requests under way when the signal comes. */
const IN_FLIGHT = 20;
/** Milliseconds that the database needs for them. */
const SLOWNESS = 100;
const DEADLINE = 5000;
/** Milliseconds that a busy machine may need for what is only waited for. */
const PATIENCE = 30_000;

interface Stop {
  /** Requests without an answer when the signal came. */
  readonly underWay: number;
  readonly dropped: number;
  /** From the signal to the end of the process, in milliseconds. */
  readonly took: number;
  /** How the process ended, as Kong tells it. */
  readonly how: string;
  readonly connections: number;
  readonly unwritten: number;
}

async function stopOnce(protocol: Protocol): Promise<Stop> {
  const cleanup = new Cleanup();
  return cleanup.around(async () => {
    const postgres = await startPostgres();
    cleanup.defer(() => postgres.stop());
    const url = await postgres.newDatabase();
    const network = await Blackhole.open(url);
    cleanup.defer(() => network.close());
    const result = await stopUnderLoad(await openScene(protocol, url, network, cleanup));
    await cleanup.run();
    return result;
  });
}

interface Scene {
  readonly url: string;
  readonly network: Blackhole;
  readonly stage: Stage;
  readonly visitors: readonly Member[];
  /** How the process ended, `undefined` if it did not. */
  readonly ended: () => string | undefined;
}

/** People whose sessions are known to the server, and a database that is slow from now on. */
async function openScene(
  protocol: Protocol,
  url: string,
  network: Blackhole,
  cleanup: Cleanup,
): Promise<Scene> {
  let how: string | undefined;
  const onLog = (line: string) => {
    how ??= /external pluginserver .* terminated: (.*)$/.exec(line)?.[1];
  };
  // The last use is written a quarter of an hour after the one before it, unless the server ends.
  const config = {
    storage: 'kong',
    cache_ttl: 0,
    idling_timeout: 3600,
    touch_interval: 900,
    postgres: { url: network.through(url), connect_timeout: 4, statement_timeout: 4 },
  };
  const stage = await Stage.open({ protocol, config, gateway: { onLog } });
  cleanup.defer(() => stage.close());
  const visitors: Member[] = [];
  for (const person of await stage.people(IN_FLIGHT)) {
    visitors.push({ person, browser: await stage.signIn(person) });
  }
  // The first presentation of a cookie is written at once.
  for (const { browser } of visitors) await browser.ask({ scheme: 'http' });
  await until(async () => (await sessionsWhere(url, 'confirmed_at is null')) === 0, PATIENCE);
  network.delay(SLOWNESS);
  return { url, network, stage, visitors, ended: () => how };
}

async function stopUnderLoad({ url, network, stage, visitors, ended }: Scene): Promise<Stop> {
  const connections = await connectionsOf(url);
  const [moment] = await query<{ now: Date }>(url, 'select clock_timestamp() as now');
  const { conversations } = stage.gateway;
  const begun = conversations.opened + IN_FLIGHT;
  let answered = 0;
  const replies = Promise.all(
    visitors.map(({ browser }) => browser.ask({ scheme: 'http' }).finally(() => answered++)),
  );
  // The server has every one of them in hand when it has asked Kong something about each.
  const isInHand = () =>
    conversations.opened >= begun &&
    conversations.newest(IN_FLIGHT).every(({ calls }) => calls.length > 0);
  await until(isInHand, PATIENCE);
  const underWay = IN_FLIGHT - answered;
  const signalledAt = performance.now();
  stage.gateway.killPluginServer('SIGTERM');
  const outcomes = (await replies).map((reply, at) => stage.judge(reply, visitors[at]?.person));
  await until(() => ended() !== undefined, PATIENCE).catch(() => {}); // told as `not at all`
  const took = performance.now() - signalledAt;
  network.delay(0);
  return {
    underWay,
    dropped: outcomes.filter((outcome) => outcome !== 'served').length,
    took,
    how: ended() ?? 'not at all',
    connections: await remaining(url, connections),
    unwritten: await sessionsWhere(url, 'seen_at < $1', moment?.now),
  };
}

async function sessionsWhere(
  url: string,
  condition: string,
  ...values: unknown[]
): Promise<number> {
  const sql = `select count(*)::integer as count from session_guard.sessions where ${condition}`;
  return (await query<{ count: number }>(url, sql, values))[0]?.count ?? NaN;
}

/** How many of the connections the database still has when it has had time to notice that they are closed. */
async function remaining(url: string, connections: readonly number[]): Promise<number> {
  const left = async () => (await connectionsOf(url)).filter((pid) => connections.includes(pid));
  await until(async () => (await left()).length === 0, PATIENCE).catch(() => {}); // told as a figure
  return (await left()).length;
}

/** `isTimed`: whether the machine is quiet enough to hold the time that a stop takes to its bound. */
export async function run(stops: number, isTimed = true): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const protocol of PROTOCOLS) {
    const results: Stop[] = [];
    for (let index = 0; index < stops; index++) results.push(await stopOnce(protocol));
    const sum = (of: (stop: Stop) => number) => results.reduce((total, one) => total + of(one), 0);
    const none = { atMost: 0 };
    const figure = (what: string, value: number, rest: Partial<Figure>): Figure => ({
      name: `${protocol}: ${what}`,
      value,
      ...rest,
    });
    figures.push(
      figure(
        'requests in flight',
        sum(({ underWay }) => underWay),
        { atLeast: stops },
      ),
      figure(
        'of them not served',
        sum((stop) => stop.dropped),
        none,
      ),
      figure(
        'stops with another exit code than 0',
        sum(({ how }) => Number(how !== 'code 0')),
        none,
      ),
      figure(
        'connections left',
        sum((stop) => stop.connections),
        none,
      ),
      figure(
        'last uses not written',
        sum((stop) => stop.unwritten),
        none,
      ),
      figure('slowest stop', Math.round(Math.max(...results.map(({ took }) => took))), {
        unit: 'ms',
        ...(isTimed && { atMost: DEADLINE }),
      }),
    );
  }
  return figures;
}

export const program: Program = {
  name: 'stop',
  claim:
    'SIGTERM: requests in flight are finished, last uses are written, every connection is closed, and the exit code is 0.',
  counts: `stops over each protocol with ${IN_FLIGHT} requests in flight`,
  defaultCount: 10,
  run: ({ count }) => run(count),
};

await main(import.meta.url, program);
