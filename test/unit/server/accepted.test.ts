import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { withBuffer } from '../../../lib/server/accepted.ts';

interface Ends {
  readonly accepted: Socket;
  readonly client: Socket;
}

async function open(context: TestContext, prepare: (accepted: Socket) => Socket): Promise<Ends> {
  const folder = await mkdtemp(join(tmpdir(), 'accepted-'));
  const server = createServer({ pauseOnConnect: true }).listen(join(folder, 'socket'));
  await once(server, 'listening');
  const connected = once(server, 'connection') as Promise<[Socket]>;
  const client = connect(join(folder, 'socket'));
  const [socket] = await connected;
  const accepted = prepare(socket);
  context.after(async () => {
    client.destroy();
    accepted.destroy();
    server.close();
    await rm(folder, { recursive: true });
  });
  return { accepted, client };
}

const nothing = () => undefined;

/** Sends back what it gets, and the end. */
function echo(socket: Socket): void {
  socket.on('data', (chunk: Buffer) => socket.write(chunk));
}

async function received(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

test('a connection keeps every byte, in both directions, and its end', async (context) => {
  const kept: Buffer[] = [];
  let taken = 0;
  const { accepted, client } = await open(context, (socket) => {
    const buffered = withBuffer(socket, () => (taken = kept.length));
    assert.notEqual(buffered, socket, 'this Node takes a buffer');
    return buffered;
  });
  accepted.on('data', (chunk: Buffer) => kept.push(chunk));
  echo(accepted);
  const closed = once(accepted, 'close');
  const sent = randomBytes(1_000_000);
  const answer = received(client);
  client.end(sent);
  assert.ok((await answer).equals(sent));
  await closed;
  assert.ok(Buffer.concat(kept).equals(sent), 'what was read is not overwritten');
  assert.equal(accepted.bytesRead, sent.length);
  assert.equal(taken, kept.length, 'it is told of a chunk after the chunk');
});

test('two connections do not read each other', async (context) => {
  const ends = await Promise.all(
    [1, 2].map(() => open(context, (socket) => withBuffer(socket, nothing))),
  );
  const sent = ends.map(() => randomBytes(200_000));
  const answers = ends.map(({ accepted, client }, index) => {
    echo(accepted);
    const answer = received(client);
    client.end(sent[index]!);
    return answer;
  });
  const got = await Promise.all(answers);
  assert.deepEqual(
    got.map((bytes, index) => bytes.equals(sent[index]!)),
    [true, true],
  );
});

test('where Node takes no buffer the connection is used as it came', async (context) => {
  const { accepted, client } = await open(context, (socket) => {
    Object.defineProperty((socket as { _handle?: object })._handle, 'useUserBuffer', { value: 0 });
    const same = withBuffer(socket, nothing);
    assert.equal(same, socket);
    return same;
  });
  echo(accepted);
  const answer = received(client);
  client.end('hello');
  assert.equal((await answer).toString(), 'hello');
});
