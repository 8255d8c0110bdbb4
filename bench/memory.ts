import { setTimeout as sleep } from 'node:timers/promises';
import { Cleanup } from '../test/e2e/support/cleanup.ts';
import { describe } from '../test/verify/program.ts';
import { openAlone } from './alone.ts';
import type { Alone } from './alone.ts';
import { residentBytes } from './processes.ts';

/*
 * `node --import tsx bench/memory.ts`: what the plugin server holds for 50,000 sessions that it has seen: the growth of
 * its heap, everything that a cookie leaves behind included.
 */
const SESSIONS = 50_000;
/** Served before the first look, so that what every server holds is not counted. */
const FIRST = 2000;
const CONNECTIONS = 16;
/** Longer than what is written in batches waits. */
const SETTLED_MS = 3000;
const MEGABYTE = 1024 ** 2;

async function visit(alone: Alone, count: number): Promise<void> {
  const cookies = await alone.mint.mint({ storage: 'kong', count });
  await alone.drive({ connections: CONNECTIONS, requests: count, cookies, isSignedIn: true });
}

async function held({ server }: Alone): Promise<number> {
  await sleep(SETTLED_MS);
  return (await server.probe.memory()).held / MEGABYTE;
}

const cleanup = new Cleanup();
try {
  const alone = await openAlone(cleanup, ['--expose-gc']);
  await visit(alone, FIRST);
  const before = await held(alone);
  await visit(alone, SESSIONS - FIRST);
  const growth = (((await held(alone)) - before) * SESSIONS) / (SESSIONS - FIRST);
  const resident = (await residentBytes(alone.server.pid)) / MEGABYTE;
  const figures = [
    { name: '50,000 sessions', value: Number(growth.toFixed(1)), unit: 'MB', atMost: 40 },
    { name: 'a session', value: Math.round((growth * MEGABYTE) / SESSIONS), unit: 'bytes' },
    { name: 'resident memory with them', value: Math.round(resident), unit: 'MB' },
  ];
  for (const figure of figures) console.log(describe(figure));
} finally {
  await cleanup.run();
}
