import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Probe } from './probe.ts';

const SERVER = fileURLToPath(new URL('../dist/lib/server/main.js', import.meta.url));

/** A plugin server as operators run it, without a Kong. */
export interface ServerProcess {
  readonly pid: number;
  readonly socket: string;
  /** Answers where the server was started with the probe. */
  readonly probe: Probe;
  /** Milliseconds from the start of the process until it took a connection. */
  readonly startedIn: number;
  close(): Promise<void>;
}

const LIMIT_MS = 20_000;

/** @param nodeOptions such as `--import`; none for the server alone */
export async function startServer(nodeOptions: readonly string[] = []): Promise<ServerProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-server-'));
  const [socket, probe] = [join(folder, 'server.sock'), join(folder, 'probe.sock')];
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...nodeOptions, SERVER, '--socket', socket], {
    env: { BENCH_PROBE: probe },
    stdio: 'ignore',
  });
  const close = async (): Promise<void> => {
    if (child.exitCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    await rm(folder, { recursive: true, force: true });
  };
  while (!(await accepts(socket))) {
    if (child.exitCode !== null || performance.now() - startedAt > LIMIT_MS) {
      await close();
      throw new Error('the plugin server did not start: run npm run build first');
    }
    await sleep(1);
  }
  const startedIn = performance.now() - startedAt;
  return { pid: child.pid ?? 0, socket, probe: new Probe(probe), startedIn, close };
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
