import { setTimeout as sleep } from 'node:timers/promises';
import { Crowd } from '../support/chaos/crowd.ts';
import { Load, longestGap } from '../support/chaos/load.ts';
import { PROTOCOLS, type Protocol, Stage } from '../support/chaos/stage.ts';
import { startPostgres } from '../support/postgres.ts';
import { type Figure, main, type Program } from './program.ts';

const RATE = 500;
/** Milliseconds from one kill to the next. Kong starts a new process at most once a second. */
const PAUSE = 3000;

interface Result {
  readonly requests: number;
  readonly wrong: number;
  readonly lost: number;
  readonly revived: number;
  readonly away: number;
  readonly renewed: number;
}

async function killUnderLoad(protocol: Protocol, kills: number, rate: number): Promise<Result> {
  const postgres = await startPostgres();
  const url = await postgres.newDatabase();
  // Everybody renews every few kills, so that some renewals are cut in half.
  const config = { storage: 'kong', postgres: { url }, rolling_timeout: 30, cookie_renew: 15 };
  const stage = await Stage.open({ protocol, config });
  try {
    const crowd = await Crowd.gather(stage, 40);
    const before = crowd.members.map(({ browser }) => browser.cookies());
    const load = new Load(rate, crowd.shoot).start();
    await sleep(1000);
    let away = 0;
    for (let kill = 0; kill < kills; kill++) {
      const killedAt = performance.now();
      stage.gateway.killPluginServer('SIGKILL');
      await sleep(PAUSE);
      away = Math.max(away, longestGap(load.samples, 'session', killedAt, killedAt + PAUSE));
    }
    await load.stop();
    return {
      requests: load.samples.length,
      wrong: load.count(({ outcome }) => outcome === 'wrong'),
      lost: await crowd.lost(),
      revived: await crowd.revived(),
      away,
      renewed: crowd.members.filter(({ browser }, index) => browser.cookies() !== before[index])
        .length,
    };
  } finally {
    await stage.close();
    await postgres.stop();
  }
}

/** With another rate on a machine that does other things besides: how long anything takes is then only told. */
export async function run(kills: number, rate = RATE): Promise<Figure[]> {
  const figures: Figure[] = [];
  const longest = rate === RATE ? { atMost: 2000 } : {};
  for (const protocol of PROTOCOLS) {
    const result = await killUnderLoad(protocol, kills, rate);
    figures.push(
      { name: `${protocol}: requests`, value: result.requests, atLeast: kills },
      { name: `${protocol}: served as somebody else`, value: result.wrong, atMost: 0 },
      { name: `${protocol}: sessions lost`, value: result.lost, atMost: 0 },
      { name: `${protocol}: ended sessions served`, value: result.revived, atMost: 0 },
      {
        name: `${protocol}: longest without a session served`,
        value: Math.round(result.away),
        unit: 'ms',
        ...longest,
      },
      { name: `${protocol}: sessions renewed meanwhile`, value: result.renewed },
    );
  }
  return figures;
}

export const program: Program = {
  name: 'sigkill',
  claim:
    'A plugin server that is killed under load lets nobody pass as somebody else and loses no session.',
  counts: `kills over each protocol, at ${RATE} requests/s`,
  defaultCount: 25,
  run: ({ count }) => run(count),
};

await main(import.meta.url, program);
