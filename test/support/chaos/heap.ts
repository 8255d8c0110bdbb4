import { setTimeout as sleep } from 'node:timers/promises';
import type { Stage } from './stage.ts';

/** What a server process holds after a full garbage collection. */
export interface Holdings {
  readonly pid: number;
  readonly heapUsed: number;
  /** Sockets, timers and the like that the event loop knows of. */
  readonly resources: number;
  /** Listeners on the process, the signals' included. */
  readonly listeners: number;
}

const PRELOAD = `
  process.on('SIGUSR2', () => {
    gc();
    gc();
    const listeners = process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0);
    const { heapUsed } = process.memoryUsage();
    const resources = process.getActiveResourcesInfo().length;
    process.stderr.write(JSON.stringify({ pid: process.pid, heapUsed, resources, listeners }) + '\\n');
  });`;

/** For the server's process, so that it can be asked for its holdings. */
export const HEAP_ARGS: readonly string[] = [
  '--expose-gc',
  '--import',
  `data:text/javascript,${encodeURIComponent(PRELOAD).replaceAll("'", '%27')}`,
];

const PATIENCE = 20_000;

/** Asks the server of a stage with HEAP_ARGS. Resolves with `undefined` if it ends before it answers. */
export async function holdings({ gateway }: Stage): Promise<Holdings | undefined> {
  const pid = gateway.serverPid();
  const isAnswer = (line: string) => line.includes(`{"pid":${pid},"heapUsed"`);
  const before = gateway.log.filter(isAnswer).length;
  gateway.killPluginServer('SIGUSR2');
  const end = performance.now() + PATIENCE;
  while (performance.now() < end && gateway.serverPid() === pid) {
    const answers = gateway.log.filter(isAnswer);
    const last = answers.at(-1);
    if (last !== undefined && answers.length > before) {
      return JSON.parse(last.slice(last.indexOf('{'))) as Holdings;
    }
    await sleep(20);
  }
  return undefined;
}
