import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { encode } from '@msgpack/msgpack';
import { FieldReader } from '../../../lib/server/protobuf-codec.ts';
import { MsgpackTransport } from '../../../lib/server/msgpack.ts';
import { ProtobufTransport } from '../../../lib/server/protobuf.ts';
import { KongConnection } from '../../contract/server-kong.ts';
import { KongLine } from '../../contract/server-kong-protobuf.ts';
import { listen } from './harness.ts';

async function openServer(t: TestContext, deadline?: number) {
  const server = await listen(t, deadline);
  const open = async () => {
    const connection = await KongLine.open(server.path);
    t.after(() => connection.close());
    return connection;
  };
  return { ...server, open, kong: await open() };
}

/** Status of the exit that stands next on the line. */
async function exitStatus(kong: KongLine): Promise<number> {
  assert.equal(await kong.name(), 'kong.response.exit');
  const reader = new FieldReader(await kong.frame());
  let status = 0;
  while (reader.next()) if (reader.field === 1) status = reader.int32();
  return status;
}

test('a request is two round trips: its reads in one write, its acts and the end in another', async (t) => {
  const { kong } = await openServer(t);
  const id = await kong.start({ behaviour: 'echo', label: 'x' });
  const writes: string[] = [];
  kong.socket.on('data', (chunk: Buffer) => writes.push(chunk.toString('latin1')));
  const names = await kong.request(id, { 'kong.nginx.get_var': 'a=b' });
  const reads = ['kong.nginx.get_var', 'kong.client.get_ip'];
  assert.deepEqual(names, [...reads, 'kong.response.set_header', 'kong.log.notice']);
  assert.equal(writes.length, 2);
  assert.match(writes[0]!, /get_var.*get_ip/s);
  assert.match(writes[1]!, /set_header.*X-Echo.*a=b.*notice/s);
});

test('requests follow each other on a connection, with their answers read in between', async (t) => {
  const { kong, host } = await openServer(t);
  const id = await kong.start({ behaviour: 'echo' });
  const pass = await kong.start({ behaviour: 'pass' });
  for (let i = 0; i < 20; i++) {
    assert.equal((await kong.request(id, { 'kong.nginx.get_var': `${i}` })).length, 3);
    assert.deepEqual(await kong.request(pass), []);
  }
  assert.equal(host.running, 0);
});

test('the fields of a call may come in any order, byte by byte', async (t) => {
  const { kong } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  kong.handle(id, 'access', true);
  assert.equal(await kong.name(), '');
  assert.equal(await kong.returned(), kong.sequence);
});

test('an exit is the last frame; the connection that Kong then closes is no error', async (t) => {
  const { kong, host, events } = await openServer(t);
  const id = await kong.start({ behaviour: 'exit' });
  kong.handle(id);
  assert.equal(await exitStatus(kong), 401);
  assert.equal(host.running, 1); // until Kong has read it
  await kong.close();
  await host.idle();
  assert.deepEqual(events(), []);
});

for (const behaviour of ['throw-at-once', 'silent', 'nil', 'exit-first', 'exit-as-read']) {
  test(`a handler that fails (${behaviour}) ends in 503`, async (t) => {
    const { kong, host, events } = await openServer(t);
    kong.handle(await kong.start({ behaviour }));
    assert.equal(await exitStatus(kong), 503);
    await kong.close();
    await host.idle();
    assert.ok(events().includes('request-failed'));
  });
}

test('a handler that never ends is answered with 503 at the deadline', async (t) => {
  const { kong, host } = await openServer(t, 50);
  kong.handle(await kong.start({ behaviour: 'hang' }));
  assert.equal(await exitStatus(kong), 503);
  await kong.close();
  await host.idle();
});

test('when Kong is the slow one, 503 stands behind the reads, and their answers are swallowed', async (t) => {
  const { kong, host } = await openServer(t, 50);
  kong.handle(await kong.start({ behaviour: 'echo' }));
  for (const name of ['kong.nginx.get_var', 'kong.client.get_ip']) {
    assert.equal(await kong.name(), name);
    await kong.frame();
  }
  assert.equal(await exitStatus(kong), 503);
  kong.answer('late');
  kong.answer('later');
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(kong.socket.readableEnded, false);
  await kong.close();
  await host.idle();
});

test('a handler may refuse behind reads that Kong has not answered, and do nothing else', async (t) => {
  const { kong, host, events } = await openServer(t);
  kong.handle(await kong.start({ behaviour: 'exit-while-asking' }));
  for (const name of ['kong.nginx.get_var', 'kong.client.get_ip']) {
    assert.equal(await kong.name(), name);
    await kong.frame();
  }
  assert.equal(await exitStatus(kong), 503);
  kong.answer('late');
  kong.answer('later');
  await kong.close();
  await host.idle();
  assert.equal(events().includes('request-failed'), false);
});

test('a handler that goes on while Kong owes it results ends in 503', async (t) => {
  const { kong, host, events } = await openServer(t);
  kong.handle(await kong.start({ behaviour: 'pass-while-asking' }));
  assert.equal(await kong.name(), 'kong.client.get_ip');
  await kong.frame();
  assert.equal(await exitStatus(kong), 503);
  await kong.close();
  await host.idle();
  assert.ok(events().includes('request-failed'));
});

test('an unknown instance closes the connection before anything is written', async (t) => {
  const { kong, open, host } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  for (const unknown of [0, id + 1, 2 ** 31 - 1]) {
    const line = await open();
    line.handle(unknown);
    await assert.rejects(line.frame(), /closed/);
  }
  const negative = await open();
  negative.call(36, (out) => out.bytes(Buffer.from([0x08, ...Array<number>(9).fill(0xff), 1])));
  await assert.rejects(negative.frame(), /closed/);
  assert.equal(host.running, 0);
  assert.deepEqual(await kong.request(id), []);
});

test('a refused configuration, and one for another plugin, close the connection', async (t) => {
  const { open, lines, host } = await openServer(t);
  const broken = await open();
  await assert.rejects(broken.start({ behaviour: 'none', secret: 'hush-hush' }), /closed/);
  const other = await open();
  await assert.rejects(other.start({ behaviour: 'pass' }, 'other-plugin'), /closed/);
  assert.equal(host.instances.size, 0);
  assert.match(lines.join(''), /config.behaviour/);
  assert.doesNotMatch(lines.join(''), /hush/);
});

test('a closed instance is unknown', async (t) => {
  const { kong } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  kong.call(35, (out) => out.intField(1, id));
  assert.equal(await kong.returned(), kong.sequence);
  kong.handle(id);
  await assert.rejects(kong.frame(), /closed/);
});

test('an unknown phase ends in 503: closing would make Kong try for ever', async (t) => {
  const { kong } = await openServer(t);
  kong.handle(await kong.start({ behaviour: 'pass' }), 'rewrite');
  assert.equal(await exitStatus(kong), 503);
});

test('Kong giving up a request in the middle ends it', async (t) => {
  const { kong, host, events } = await openServer(t);
  kong.handle(await kong.start({ behaviour: 'echo' }));
  await kong.frame();
  await kong.close();
  await host.idle();
  assert.deepEqual(events(), ['disconnected']);
});

test('a server that drains takes no request, and waits until Kong has answered the acts', async (t) => {
  const { kong, open, host } = await openServer(t);
  const id = await kong.start({ behaviour: 'slow' });
  const other = await open();
  kong.handle(id);
  while (host.running === 0) await new Promise((resolve) => setImmediate(resolve));
  host.isDraining = true;
  other.handle(id);
  await assert.rejects(other.frame(), /closed/);
  assert.equal(await kong.name(), 'kong.log.notice');
  await kong.frame();
  assert.equal(await kong.name(), '');
  assert.equal(await kong.returned(), kong.sequence);
  assert.equal(host.running, 1);
  kong.send(Buffer.alloc(0));
  await host.idle();
});

test('a server that drains closes a connection in answer to a request alone', async (t) => {
  const { kong, open, host } = await openServer(t);
  const pass = await kong.start({ behaviour: 'pass' });
  const slow = await kong.start({ behaviour: 'slow' });
  const other = await open();
  kong.handle(slow);
  while (host.running === 0) await new Promise((resolve) => setImmediate(resolve));
  host.isDraining = true;
  await kong.name();
  await kong.frame();
  assert.equal(await kong.name(), '');
  await kong.returned();
  kong.send(Buffer.alloc(0)); // the answer to the act: now the request is over
  for (const line of [kong, other]) {
    // A start that finds its connection closed is a 500; the one below would be such a start.
    assert.ok((await line.start({ behaviour: 'pass' })) > 0);
    line.call(35, (out) => out.intField(1, pass));
    assert.equal(await line.returned(), line.sequence);
    line.handle(slow);
    await assert.rejects(line.frame(), /closed/);
  }
});

test('both protocols are served on one socket, told by their first bytes', async (t) => {
  const { kong, path } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  const msgpack = await KongConnection.open(path);
  t.after(() => msgpack.close());
  assert.deepEqual(await msgpack.request(await msgpack.start({ behaviour: 'pass' })), []);
  assert.deepEqual(await kong.request(id), []);
});

test('no frame is taken for a MessagePack call and no call for a frame', async (t) => {
  const { host } = await openServer(t);
  const [msgpack, protobuf] = [new MsgpackTransport(host), new ProtobufTransport(host)];
  const head = Buffer.alloc(4);
  for (let length = 1; length <= 1024 * 1024; length++) {
    head.writeUInt32LE(length);
    assert.ok(protobuf.accepts(head) && !msgpack.accepts(head), `length ${length}`);
  }
  for (const id of [...Array(70_000).keys()].slice(1).concat(2 ** 24, 2 ** 31, 2 ** 32 - 1)) {
    const call = Buffer.from(encode([0, id, 'plugin.Step', []]));
    assert.ok(msgpack.accepts(call) && !protobuf.accepts(call), `id ${id}`);
  }
  assert.equal(
    msgpack.accepts(Buffer.from('GET ')) || protobuf.accepts(Buffer.from('GET ')),
    false,
  );
});

test('garbage closes its connection and no other', async (t) => {
  const { kong, path, events } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  const hostile = [
    [1, 0, 0, 0, 0xff],
    [2, 0, 0, 0, 0x08, 0x02], // no command
    [4, 0, 0, 0, 0xfa, 0x01, 0x01, 0x00], // field 31
    [3, 0, 0, 0, 0xa0, 0x02, 0x01], // the event as a number
    [0xff, 0xff, 0xff, 0xff],
    [0, 0, 0, 0],
  ];
  for (const bytes of hostile) {
    const socket = connect(path);
    socket.on('error', () => undefined).resume();
    socket.write(Uint8Array.from(bytes));
    await new Promise((resolve) => socket.once('close', resolve));
  }
  assert.equal(events().filter((event) => event === 'garbage').length, hostile.length);
  assert.deepEqual(await kong.request(id), []);
});
