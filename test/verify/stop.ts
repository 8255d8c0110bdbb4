import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser } from '../support/client.ts';
import { Blackhole } from '../support/blackhole.ts';
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

interface Stop {
  readonly dropped: number;
  /** From the signal to the end of the process, in milliseconds. */
  readonly took: number;
  /** How the process ended, as Kong tells it. */
  readonly how: string;
  readonly connections: number;
  readonly unwritten: number;
}

async function stopOnce(protocol: Protocol): Promise<Stop> {
  const postgres = await startPostgres();
  const url = await postgres.newDatabase();
  const network = await Blackhole.open(url);
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
  try {
    const people = await stage.people(IN_FLIGHT);
    const browsers: Browser[] = [];
    for (const person of people) browsers.push(await stage.signIn(person));
    const visit = () => Promise.all(browsers.map((browser) => browser.ask({ scheme: 'http' })));
    await visit(); // the first presentation of a cookie is written at once
    await sleep(500);
    const [moment] = await query<{ now: Date }>(url, 'select clock_timestamp() as now');
    network.delay(SLOWNESS);
    const { conversations } = stage.gateway;
    const begun = conversations.opened + IN_FLIGHT;
    const replies = visit();
    await until(() => conversations.opened >= begun);
    await sleep(SLOWNESS); // for the last of them to reach the server
    const signalledAt = performance.now();
    stage.gateway.killPluginServer('SIGTERM');
    const outcomes = (await replies).map((reply, index) => stage.judge(reply, people[index]));
    await until(() => how !== undefined, 2 * DEADLINE).catch(() => {}); // told as `not at all`
    const took = performance.now() - signalledAt;
    network.delay(0);
    const [late] = await query<{ count: number }>(
      url,
      'select count(*)::integer as count from session_guard.sessions where seen_at < $1',
      [moment?.now],
    );
    return {
      dropped: outcomes.filter((outcome) => outcome !== 'served').length,
      took,
      how: how ?? 'not at all',
      connections: await connectionsOf(url),
      unwritten: late?.count ?? 0,
    };
  } finally {
    await stage.close();
    await network.close();
    await postgres.stop();
  }
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
      figure('requests in flight', results.length * IN_FLIGHT, { atLeast: stops }),
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
