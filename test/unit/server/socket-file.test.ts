import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { bindSocket } from '../../../lib/server/socket-file.ts';
import { socketPath } from './harness.ts';

/** A server that says its name to whoever connects. */
function namedServer(t: TestContext, name: string): Server {
  const server = createServer((socket) => socket.end(name));
  t.after(() => server.close());
  return server;
}

async function whoAnswers(path: string): Promise<string> {
  const socket = connect(path);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(socket, 'end');
  socket.destroy();
  return text;
}

test('only this user can connect, whatever the umask', async (t) => {
  const path = socketPath(t);
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  await bindSocket(namedServer(t, 'a'), path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(process.umask(0), 0);
});

test('the second server takes the path, and the first one sees it and leaves it alone', async (t) => {
  const path = socketPath(t);
  const first = namedServer(t, 'first');
  const firstFile = await bindSocket(first, path);
  assert.equal(firstFile.status(), 'ours');
  const secondFile = await bindSocket(namedServer(t, 'second'), path);
  assert.equal(firstFile.status(), 'taken');
  first.close();
  firstFile.remove();
  assert.equal(secondFile.status(), 'ours');
  assert.equal(await whoAnswers(path), 'second');
  assert.equal(readdirSync(dirname(path)).length, 1);
});

test('the path is free of a dead server, and freed at the end', async (t) => {
  const path = socketPath(t);
  const file = await bindSocket(namedServer(t, 'a'), path);
  rmSync(path);
  assert.equal(file.status(), 'missing');
  const next = await bindSocket(namedServer(t, 'b'), path);
  next.remove();
  next.remove();
  assert.deepEqual(readdirSync(dirname(path)), []);
});

test('a file that is no socket is never replaced', async (t) => {
  const path = socketPath(t);
  writeFileSync(path, 'precious');
  await assert.rejects(bindSocket(namedServer(t, 'a'), path), /is not a socket/);
  assert.equal(readFileSync(path, 'utf8'), 'precious');
});

test('a directory that is missing and a path that is too long are said', async (t) => {
  const path = socketPath(t);
  await assert.rejects(bindSocket(namedServer(t, 'a'), join(path, 'x')), /does not exist/);
  const deep = join(dirname(path), 'd'.repeat(100));
  mkdirSync(deep);
  await assert.rejects(bindSocket(namedServer(t, 'a'), join(deep, 'x')), /too long/);
});
