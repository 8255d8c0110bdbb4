import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Entities } from '../support/gateway/entities.ts';
import { startGateway } from '../support/gateway/index.ts';
import { KongLine } from './server-kong-protobuf.ts';
import { ServerProcess } from './server-process.ts';
import { PROBE } from './traces/scripted.ts';
import { ScriptedProtobuf } from './traces/scripted-protobuf.ts';
import { startUpstream } from './traces/upstream.ts';

/** What the stand-in does over ProtoBuf where recordings cannot be replayed frame by frame, as Kong's rpc/pb_rpc.lua does it. */

const LONG = 'l'.repeat(6000);

async function setUp(t: TestContext, name = PROBE.Name, config: object = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-protobuf-'));
  const upstream = await startUpstream();
  t.after(async () => {
    upstream.close();
    await rm(folder, { recursive: true });
  });
  const entities = new Entities();
  const { id } = entities.put('services', {
    host: '127.0.0.1',
    port: upstream.port,
    protocol: 'http',
  });
  const route = entities.put('routes', { paths: ['/'], service: { id } });
  entities.put('plugins', { name, config: { ...config }, route: { id: route.id } });
  const dump = join(folder, 'dump.json');
  const fields = Object.keys(config).map((field) => ({ [field]: { type: 'string' } }));
  const schema = { name, fields: [{ config: { type: 'record', fields } }] };
  const info = { ...PROBE, Name: name, Schema: schema };
  await writeFile(dump, JSON.stringify({ Protocol: 'ProtoBuf:1', Plugins: [info] }));
  const socketPath = join(folder, 's');
  const start = async (readTimeoutMs = 60_000) => {
    const server = { socketPath, queryCmd: `cat '${dump}'` };
    const gateway = await startGateway({ server, entities, readTimeoutMs });
    t.after(() => gateway.stop());
    const get = async () => {
      const response = await fetch(gateway.proxyUrl, { headers: { 'x-long': LONG } });
      await response.body?.cancel();
      const requestId = response.headers.get('x-kong-request-id') ?? '';
      return { status: response.status, conversation: gateway.conversations.get(requestId) };
    };
    return { gateway, get };
  };
  return { socketPath, start };
}

async function scripted(t: TestContext, path: string, firstId: number): Promise<ScriptedProtobuf> {
  const server = await ScriptedProtobuf.listen(path, firstId);
  t.after(() => server.close());
  return server;
}

test('an event on a closed connection is run again at once, as often as it takes', async (t) => {
  const { socketPath, start } = await setUp(t);
  const server = await scripted(t, socketPath, 1);
  let left = 25;
  server.isKnown = () => left-- <= 0;
  const { get } = await start();
  const { status, conversation } = await get();
  assert.equal(status, 200);
  assert.equal(conversation?.retries, 25);
  assert.equal(conversation.started, 26);
  assert.deepEqual(conversation.calls, []);
});

test('twenty requests at once with an id of the server before: all pass, one start', async (t) => {
  const { socketPath, start } = await setUp(t);
  const former = await scripted(t, socketPath, 1);
  const { get } = await start();
  const first = await Promise.all(Array.from({ length: 5 }, get));
  assert.deepEqual(new Set(first.map(({ status }) => status)), new Set([200]));
  await former.close();
  const server = await scripted(t, socketPath, 1000);
  const answers = await Promise.all(Array.from({ length: 20 }, get));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  const started = answers.reduce((sum, { conversation }) => sum + (conversation?.started ?? 0), 0);
  assert.equal(started, server.started);
  assert.ok(started < answers.length, `${started} starts`);
});

test('a server may close its connections after every request', async (t) => {
  const { socketPath, start } = await setUp(t);
  const server = await scripted(t, socketPath, 1);
  server.closesAfterEvents = true;
  const { get } = await start();
  for (let i = 0; i < 50; i++) {
    const { status, conversation } = await get();
    assert.equal(status, 200);
    assert.equal(conversation?.retries, 0);
  }
});

/** A server that stops when it has written an event; `resume` and `kill` are what happens to it then. */
async function stopping(t: TestContext, path: string, ...args: string[]) {
  const file = fileURLToPath(new URL('stopping-server.ts', import.meta.url));
  const tsx = import.meta.resolve('tsx');
  const child = spawn(process.execPath, ['--import', tsx, file, path, ...args]);
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const isStopped = () => /^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, 'utf8'));
  const stopped = async () => {
    for (let i = 0; i < 1000 && !isStopped(); i++) await sleep(10);
    assert.ok(isStopped());
  };
  return { child, stopped };
}

test('a hundred answers that the server does not read hold nothing up', async (t) => {
  const { socketPath, start } = await setUp(t);
  const { stopped } = await stopping(t, socketPath, '100', 'kong.request.get_method');
  const { get } = await start();
  const { status, conversation } = await get();
  await stopped();
  assert.equal(status, 200);
  assert.equal(conversation?.calls.length, 100);
});

test('answers beyond the buffer of the socket wait until the server reads', async (t) => {
  const { socketPath, start } = await setUp(t);
  const server = await stopping(t, socketPath, '150', 'kong.request.get_header', 'x-long');
  const { get } = await start();
  let isAnswered = false;
  const answer = get().finally(() => (isAnswered = true));
  await server.stopped();
  await sleep(300);
  assert.equal(isAnswered, false);
  server.child.kill('SIGCONT');
  assert.equal((await answer).status, 200);
});

test('when the server does not read them in time, 500', async (t) => {
  const { socketPath, start } = await setUp(t);
  const { stopped } = await stopping(t, socketPath, '150', 'kong.request.get_header', 'x-long');
  const { get } = await start(500);
  const answer = get();
  await stopped();
  assert.equal((await answer).status, 500);
});

test('a connection reset with answers unread is 500, and the event is not run again', async (t) => {
  const { socketPath, start } = await setUp(t);
  const server = await stopping(t, socketPath, '150', 'kong.request.get_header', 'x-long');
  const { gateway, get } = await start();
  const answer = get();
  await server.stopped();
  await sleep(200);
  server.child.kill('SIGKILL');
  assert.equal((await answer).status, 500);
  const conversation = gateway.conversations.last();
  assert.equal(conversation?.retries, 0);
  assert.equal(conversation.started, 1);
});

test('a server that hands over under load runs no request twice and lets none pass unseen', async (t) => {
  const { socketPath, start } = await setUp(t, 'test-plugin', { behaviour: 'echo' });
  const former = await ServerProcess.serve(t, socketPath);
  const { gateway, get } = await start();
  const end = new AbortController();
  const seen: Awaited<ReturnType<typeof get>>[] = [];
  const lane = async () => {
    while (!end.signal.aborted) seen.push(await get());
  };
  const lanes = Promise.all(Array.from({ length: 6 }, lane));
  const successor = await ServerProcess.serve(t, socketPath);
  assert.deepEqual(await former.exit, { code: 0, signal: null });
  const before = seen.length;
  while (seen.length < before + 20) await sleep(10);
  end.abort();
  await lanes;
  assert.equal(successor.child.exitCode, null);
  const expected = ['kong.nginx.get_var', 'kong.client.get_ip', 'kong.response.set_header'];
  const done = seen.filter(({ status }) => status === 200);
  for (const { conversation } of done) {
    assert.deepEqual(conversation?.calls, expected, 'no call of a request is made twice');
  }
  // A start that meets a connection at its end cannot be run again: Kong answers 500 (part J, 3).
  for (const { status, conversation } of seen.filter((one) => !done.includes(one))) {
    assert.equal(status, 500, gateway.log.slice(-3).join('\n'));
    assert.deepEqual(conversation?.calls, []);
    assert.ok(conversation.started > 0);
  }
  const retries = seen.reduce((sum, { conversation }) => sum + (conversation?.retries ?? 0), 0);
  assert.ok(retries > 0, 'the former instances were not known to the successor');
});

test('Kong opening a connection and saying nothing hurts nobody', async (t) => {
  const { socketPath } = await setUp(t);
  const server = await ServerProcess.serve(t, socketPath);
  const silent = await KongLine.open(socketPath);
  await silent.close();
  const kong = await KongLine.open(socketPath);
  assert.deepEqual(await kong.request(await kong.start({ behaviour: 'pass' })), []);
  await kong.close();
  assert.equal(server.child.exitCode, null);
});
