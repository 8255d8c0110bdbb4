import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Load } from '../support/chaos/load.ts';
import { PROTOCOLS, type Protocol, SERVER, Stage } from '../support/chaos/stage.ts';
import { until } from '../support/nodes.ts';

/* One server after the other takes the path, as at a reload of Kong, while requests come in. */

const HAND_OVERS = 3;
const PER_SECOND = 40;
const PEOPLE = 8;
/** For Kong's own 60 s, which a server waits for. */
const IDLE_MS = 500;

/** A session-guard-server of the build, on a path that another one may have; resolves when it listens. Keeps what it warns of. */
async function startServer(socketPath: string, complaints: string[]) {
  const child = spawn(process.execPath, [SERVER, '--socket', socketPath, '--detached'], {
    env: {},
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exit = once(child, 'close').then(([code]: (number | null)[]) => code);
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const isComplaint = (line: string) => /"level":"(warn|error|fatal)"/.test(line);
  child.stderr.on('end', () => complaints.push(...said.split('\n').filter(isComplaint)));
  await until(() => said.includes('"listening"') || child.exitCode !== null, 60_000);
  const end = async () => {
    child.kill('SIGTERM');
    await exit;
  };
  return { end, exit };
}

/** A stage whose plugin server is the newest that was started, and how to start the next. */
async function openStage(protocol: Protocol) {
  let path = '';
  const complaints: string[] = [];
  let server: Awaited<ReturnType<typeof startServer>> | undefined;
  const serve = async (socketPath: string) => {
    path = socketPath;
    server = await startServer(socketPath, complaints);
    return async () => server?.end();
  };
  const gateway = { idleMs: IDLE_MS };
  const stage = await Stage.open({ protocol, config: { storage: 'cookie' }, gateway, serve });
  /** Resolves with the exit code of the server before. */
  const handOver = async () => {
    const before = server;
    server = await startServer(path, complaints);
    return before?.exit;
  };
  return { stage, handOver, complaints };
}

/** What became of the requests of people with sessions during `work` that were not served as themselves. */
async function lossesDuring(stage: Stage, work: () => Promise<void>) {
  const people = await stage.people(PEOPLE);
  const browsers = await Promise.all(people.map((person) => stage.signIn(person)));
  const losses: string[] = [];
  const load = new Load(PER_SECOND, async (index) => {
    const reply = await browsers[index % PEOPLE]!.ask({ scheme: 'http', fresh: true });
    const outcome = stage.judge(reply, people[index % PEOPLE]);
    if (outcome !== 'served') losses.push(`${outcome}: ${reply.status} ${reply.body}`);
    return { kind: 'session', outcome };
  }).start();
  try {
    await work();
  } finally {
    await load.stop();
  }
  assert.ok(load.samples.length > PER_SECOND);
  return losses;
}

for (const protocol of PROTOCOLS) {
  test(`${protocol}: no request is lost while one server after the other takes the path`, async (t) => {
    const { stage, handOver, complaints } = await openStage(protocol);
    t.after(() => stage.close());
    const exits: unknown[] = [];
    const losses = await lossesDuring(stage, async () => {
      for (let round = 0; round < HAND_OVERS; round++) {
        const exit = handOver();
        // Every worker then starts its instances anew, over connections to either server.
        for (const change of [0, 1]) {
          await stage.admin.change(`/plugins/${stage.plugin.id}`, { tags: [`${round}-${change}`] });
          await sleep(300);
        }
        exits.push(await exit);
      }
    });
    const errors = stage.gateway.log.filter((line) => line.startsWith('[error]'));
    assert.deepEqual([...losses, ...errors], [], complaints.join('\n'));
    assert.deepEqual(exits, Array(HAND_OVERS).fill(0));
  });
}
