import { setTimeout as sleep } from 'node:timers/promises';
import { HOUR, newSession, openNode, signIn } from '../support/nodes.ts';

/**
 * A node that renews its sessions, `URL RATE`: so many times a second, until its standard input ends. Then it prints
 * how many renewals that were a second.
 */
const [url = '', rate = '0'] = process.argv.slice(2);
const SESSIONS = 200;
const TICK = 10; // milliseconds

const node = openNode(url);
const sessions = await Promise.all(
  Array.from({ length: SESSIONS }, () => signIn(node, newSession(), HOUR)),
);
const over = new AbortController();
process.stdin.on('end', () => over.abort()).resume();
console.log('ready');

const running = new Set<Promise<void>>();
let renewals = 0;

async function renew(index: number): Promise<void> {
  const renewed = await node.storage.renew(sessions[index]!, HOUR);
  if (renewed) sessions[index] = renewed;
  renewals++;
}

const start = performance.now();
for (let begun = 0; !over.signal.aborted;) {
  const due = ((performance.now() - start) / 1000) * Number(rate);
  // Each session is renewed by one at a time, or it would be no renewal.
  for (; begun < due && running.size < SESSIONS / 2; begun++) {
    const work = renew(begun % SESSIONS).finally(() => running.delete(work));
    running.add(work);
  }
  await sleep(TICK);
}
const seconds = (performance.now() - start) / 1000;
await Promise.all(running);
await node.close();
console.log(renewals / seconds);
