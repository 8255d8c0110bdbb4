import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { after, before, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** `npm start` as a newcomer meets it: what it prints is pasted into a shell, and Ctrl-C ends it. */
const DEMO = fileURLToPath(new URL('../support/demo.ts', import.meta.url));
const READY = 'Ctrl-C ends it.';

let home: string;

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'session-guard-start-'));
  await chmod(home, 0o755); // Postgres may run as another user
});

after(() => rm(home, { recursive: true, force: true }));

type Demo = ChildProcessByStdio<null, Readable, Readable>;

/** A process group of its own, as a terminal gives it; ended with the test. */
function startDemo(t: TestContext, ports: Record<string, number>): Demo {
  const flags = Object.entries(ports).flatMap(([flag, port]) => [`--${flag}`, `${port}`]);
  const demo = spawn(process.execPath, ['--import', 'tsx', DEMO, ...flags], {
    env: { ...process.env, TMPDIR: home },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  t.after(async () => {
    if (demo.exitCode !== null) return;
    demo.kill('SIGTERM');
    await once(demo, 'exit');
  });
  return demo;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => promisify(server.close.bind(server))()));
  return ports;
}

async function linesUntilReady(output: Readable): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of createInterface(output)) {
    if (line.includes(READY)) return lines;
    lines.push(line);
  }
  throw new Error(`the demo did not start:\n${lines.join('\n')}`);
}

/** Processes that were given a path below `folder`; none where there is no /proc. */
async function processesOf(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return commands.filter((command) => command.includes(folder));
}

const sh = async (line: string) =>
  (await promisify(execFile)('/bin/sh', ['-c', line])).stdout.trim();
const skip = spawnSync('curl', ['--version']).status === 0 ? false : 'no curl';

void test('the printed curl lines sign in, call, sign out and are refused', { skip }, async (t) => {
  const [http = 0, https = 0, admin = 0] = await freePorts(3);
  const demo = startDemo(t, { port: http, 'ssl-port': https, 'admin-port': admin });
  const lines = (await linesUntilReady(demo.stdout)).filter((line) => line.startsWith('curl '));
  const answers: string[] = [];
  for (const line of lines) answers.push(await sh(line));
  const [signedIn = '', called = '', signedOut, refused = '', ...rest] = answers;
  assert.match(signedIn, /^\{"username":"demo",.*\}\n200$/);
  assert.match(called, /^\{"username":"demo",.*\}\n200$/);
  assert.equal(signedOut, '200');
  assert.match(refused, /403$/);
  assert.deepEqual(rest, []);
});

void test('Ctrl-C ends the demo and leaves neither processes nor files behind', async (t) => {
  const [http = 0, https = 0, admin = 0] = await freePorts(3);
  const demo = startDemo(t, { port: http, 'ssl-port': https, 'admin-port': admin });
  await linesUntilReady(demo.stdout);
  assert.notDeepEqual(await processesOf(home), []);
  process.kill(-(demo.pid ?? NaN), 'SIGINT');
  assert.deepEqual(await once(demo, 'exit'), [0, null]);
  assert.deepEqual(await processesOf(home), []);
  const files = await readdir(home);
  assert.deepEqual(
    files.filter((name) => name.startsWith('session-guard')),
    [],
  );
});

void test('a port in use is reported with the flag that changes it', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const [http = 0, admin = 0] = await freePorts(2);
  const demo = startDemo(t, { port: http, 'ssl-port': port, 'admin-port': admin });
  const complaint = text(demo.stderr);
  assert.deepEqual(await once(demo, 'exit'), [1, null]);
  assert.match(await complaint, new RegExp(`^port ${port} is in use: .* --ssl-port <number>\n$`));
});
