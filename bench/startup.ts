import { setTimeout as sleep } from 'node:timers/promises';
import { describe } from '../test/verify/program.ts';
import { residentBytes } from './processes.ts';
import { startServer } from './server-process.ts';
import { median } from './statistics.ts';

/* `node --import tsx bench/startup.ts`: how long the plugin server takes until it listens, and what it holds idle. */
const STARTS = 10;
const SETTLED_MS = 1000;

const times: number[] = [];
const sizes: number[] = [];
for (let start = 0; start < STARTS; start++) {
  const server = await startServer();
  times.push(server.startedIn);
  if (start % 3 === 0) {
    await sleep(SETTLED_MS);
    sizes.push((await residentBytes(server.pid)) / 1024 ** 2);
  }
  await server.close();
}
const figures = [
  { name: 'start until it listens', value: Math.round(median(times)), unit: 'ms', atMost: 300 },
  { name: 'fastest start', value: Math.round(Math.min(...times)), unit: 'ms' },
  { name: 'resident memory, idle', value: Math.round(median(sizes)), unit: 'MB', atMost: 90 },
];
for (const figure of figures) console.log(describe(figure));
