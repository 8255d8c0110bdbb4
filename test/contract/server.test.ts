import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { socketPath } from '../unit/server/harness.ts';
import { KongLine } from './server-kong-protobuf.ts';
import { isCall, KongConnection } from './server-kong.ts';
import type { StepData } from './server-kong.ts';
import { ServerProcess } from './server-process.ts';

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
  test(`a server without environment serves, says nothing on stdout, and ends at ${signal}`, async (t) => {
    const path = socketPath(t);
    const server = await ServerProcess.serve(t, path);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const kong = await KongConnection.open(path);
    const id = await kong.start({ behaviour: 'echo' });
    const calls = await kong.request(id, { 'kong.nginx.get_var': 'a=b' });
    assert.deepEqual(calls.at(-1), { Method: 'kong.response.set_header', Args: ['X-Echo', 'a=b'] });
    server.child.kill(signal);
    assert.deepEqual(await server.exit, { code: 0, signal: null });
    assert.equal(server.stdout, '');
    assert.deepEqual(
      server.log.map(({ event }) => event),
      ['listening', 'stopping', 'stopped'],
    );
    assert.deepEqual(readdirSync(dirname(path)), []);
    await kong.close();
  });

test('SIGTERM finishes the running request and takes no new connection', async (t) => {
  const path = socketPath(t);
  const server = await ServerProcess.serve(t, path);
  const [kong, other] = [await KongConnection.open(path), await KongConnection.open(path)];
  const id = await kong.start({ behaviour: 'slow' });
  const running = kong.handle(id);
  await kong.call.bind(other)('plugin.CloseInstance', 'none'); // the server has seen the request
  server.child.kill('SIGTERM');
  await server.until(() => server.stderr.includes('"stopping"'));
  await assert.rejects(KongConnection.open(path));
  const step = (await running).result as StepData;
  assert.ok(isCall(step.Data));
  assert.equal(((await kong.step(step, undefined)).result as StepData).Data, 'ret');
  assert.equal((await server.exit).code, 0);
});

test('a second SIGTERM ends at once', async (t) => {
  const path = socketPath(t);
  const server = await ServerProcess.serve(t, path);
  const kong = await KongConnection.open(path);
  const id = await kong.start({ behaviour: 'hang' });
  const running = assert.rejects(kong.handle(id));
  await new Promise((resolve) => setTimeout(resolve, 50));
  server.child.kill('SIGTERM');
  await server.until(() => server.stderr.includes('"stopping"'));
  server.child.kill('SIGTERM');
  assert.equal((await server.exit).code, 1);
  await running;
});

test('the next server on the path takes over, as at a reload of Kong', async (t) => {
  const path = socketPath(t);
  const first = await ServerProcess.serve(t, path);
  const old = await KongConnection.open(path);
  const id = await old.start({ behaviour: 'pass' });
  const second = await ServerProcess.serve(t, path);
  const kong = await KongConnection.open(path);
  // An id of the first server never runs anything in the second.
  assert.match(String((await kong.handle(id)).error), /no plugin instance/);
  assert.equal(
    ((await kong.handle(await kong.start({ behaviour: 'pass' }))).result as StepData).Data,
    'ret',
  );
  await old.close();
  assert.equal((await first.exit).code, 0);
  assert.equal(
    first.log.some(({ reason }) => /taken/.test(String(reason))),
    true,
  );
  assert.ok(existsSync(path));
  assert.equal(second.child.exitCode, null);
  await kong.close();
});

test('a server whose path was taken waits for Kong to give up its connections, until it is told to stop', async (t) => {
  const path = socketPath(t);
  for (const ending of ['close', 'SIGTERM']) {
    const server = await ServerProcess.serve(t, path);
    const kong = await KongLine.open(path);
    const id = await kong.start({ behaviour: 'pass' });
    await ServerProcess.serve(t, path);
    await server.until(() => server.stderr.includes('"stopping"'));
    assert.equal(await Promise.race([server.exit, delay(1000)]), undefined);
    // It may be used any moment, and is closed in answer to a request only.
    assert.ok((await kong.start({ behaviour: 'pass' })) !== id);
    if (ending === 'close') kong.socket.destroy();
    else server.child.kill('SIGTERM');
    assert.deepEqual(await server.exit, { code: 0, signal: null });
    kong.socket.destroy();
  }
});

test('a removed socket ends the server with a failure, so that it is started again', async (t) => {
  const path = socketPath(t);
  const server = await ServerProcess.serve(t, path);
  const { rmSync } = await import('node:fs');
  rmSync(path);
  assert.equal((await server.exit).code, 1);
});

for (const behaviour of ['reject-later', 'throw-later']) {
  test(`an error that nothing catches (${behaviour}) is logged and ends the process`, async (t) => {
    const path = socketPath(t);
    const server = await ServerProcess.serve(t, path);
    const kong = await KongConnection.open(path);
    await kong.handle(await kong.start({ behaviour }));
    assert.equal((await server.exit).code, 1);
    const { level, err } = server.log.at(-1)!;
    assert.equal(level, 'fatal');
    assert.equal((err as { message: string }).message, 'nobody listens');
    await kong.close();
  });
}

test('the server ends with the process that started it, unless it is detached', async (t) => {
  for (const [args, outlives] of [
    [[], false],
    [['--detached'], true],
  ] as const) {
    const path = socketPath(t);
    // A parent that starts the server and ends when its stdin does.
    const script = `
      const { spawn } = require('node:child_process');
      const [tsx, entry, ...args] = process.argv.slice(1);
      const child = spawn(process.execPath, ['--import', tsx, entry, ...args], { stdio: 'ignore', env: {} });
      process.stdout.write(String(child.pid));
      process.stdin.on('data', () => process.exit());`;
    const entry = new URL('server-entry.ts', import.meta.url).pathname;
    const parent = spawn(process.execPath, [
      '-e',
      script,
      import.meta.resolve('tsx'),
      entry,
      '--socket',
      path,
      ...args,
    ]);
    const [pid] = (await once(parent.stdout, 'data')) as [Buffer];
    t.after(() => kill(Number(pid)));
    for (let i = 0; i < 1000 && !existsSync(path); i++) await wait(10);
    parent.stdin.end('end');
    await once(parent, 'close');
    const patience = outlives ? 300 : 2000;
    for (let i = 0; i < patience && isAlive(Number(pid)); i++) await wait(10);
    assert.equal(isAlive(Number(pid)), outlives);
  }
});

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A process that has ended and that nobody has asked about yet (Z) is not alive: orphans wait for init. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function kill(pid: number): void {
  if (isAlive(pid)) process.kill(pid, 'SIGKILL');
}

test('wrong use is said on stderr, exit 2; a socket that cannot be bound exit 1', async (t) => {
  const unknown = new ServerProcess(t, ['--sokcet', '/x']);
  assert.equal((await unknown.exit).code, 2);
  assert.match(unknown.stderr, /^session-guard-server: .*--sokcet/);
  const unbound = new ServerProcess(t, ['--socket', '/nowhere/at/all']);
  assert.equal((await unbound.exit).code, 1);
  assert.match(unbound.stderr, /nowhere/);
  assert.equal(unknown.stdout + unbound.stdout, '');
});

test('--version and --help', async (t) => {
  const version = new ServerProcess(t, ['--version']);
  assert.equal((await version.exit).code, 0);
  assert.equal(version.stdout, '1.2.3\n');
  const help = new ServerProcess(t, ['--help']);
  assert.equal((await help.exit).code, 0);
  assert.match(help.stdout, /--socket/);
});

test('ProtoBuf over the same socket: a request, and SIGTERM in the middle of one', async (t) => {
  const path = socketPath(t);
  const server = await ServerProcess.serve(t, path);
  const kong = await KongLine.open(path);
  const id = await kong.start({ behaviour: 'echo' });
  assert.deepEqual(await kong.request(id, { 'kong.nginx.get_var': 'a=b' }), [
    'kong.nginx.get_var',
    'kong.client.get_ip',
    'kong.response.set_header',
  ]);
  kong.handle(await kong.start({ behaviour: 'slow' }));
  const idle = await KongLine.open(path);
  idle.call(35, (out) => out.intField(1, 1));
  await idle.returned();
  server.child.kill('SIGTERM');
  assert.equal(await kong.name(), 'kong.log.notice');
  await kong.frame();
  assert.equal(await kong.name(), '');
  assert.equal(await kong.returned(), kong.sequence);
  kong.send(Buffer.alloc(0));
  assert.deepEqual(await server.exit, { code: 0, signal: null });
  await assert.rejects(kong.frame(), /closed/);
  await idle.close();
});
