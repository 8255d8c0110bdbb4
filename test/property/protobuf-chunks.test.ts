import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import * as fc from 'fast-check';
import { MAX_FRAME_BYTES, ProtobufWriter } from '../../lib/server/protobuf-codec.ts';
import { KongLine } from '../contract/server-kong-protobuf.ts';
import { listen } from '../unit/server/harness.ts';
import { runs } from '../support/runs.ts';

const frame = (fill: (out: ProtobufWriter) => void): Buffer => {
  const out = new ProtobufWriter();
  out.begin();
  const start = out.beginFrame();
  fill(out);
  out.endFrame(start);
  return out.copy();
};

const event = (sequence: number, id: number): Buffer =>
  frame((out) => {
    out.intField(1, sequence);
    const start = out.beginMessage(36);
    out.intField(1, id);
    out.textField(2, 'access');
    out.endMessage(start);
  });

const text = (value: string): Buffer => frame((out) => out.textField(1, value));
const EMPTY = frame(() => undefined);

/** What Kong sends at a time in three requests on one connection: an answer to an act and the next call come together. */
function conversation(id: number): Buffer[] {
  const reads = Buffer.concat([text('a=b'), text('192.0.2.1')]);
  const behind = [2, 3].map((sequence) => Buffer.concat([EMPTY, event(sequence, id)]));
  return [event(1, id), reads, behind[0]!, reads, behind[1]!, reads, EMPTY];
}

/** Bytes in pieces that end at the given fractions of them. */
function cut(bytes: Buffer, fractions: readonly number[]): Buffer[] {
  const ends = fractions.map((fraction) => Math.floor(fraction * bytes.length)).toSorted(byValue);
  return [0, ...ends].map((start, i) => bytes.subarray(start, ends[i] ?? bytes.length));
}
const byValue = (a: number, b: number): number => a - b;

test('what the server says does not depend on the pieces in which it hears', async (t) => {
  const { path, host } = await listen(t);
  const starter = await KongLine.open(path);
  const id = await starter.start({ behaviour: 'echo' });
  await starter.close();
  const stages = conversation(id);

  /** Sends each stage when everything that the server owed for the one before has come. */
  async function said(cuts: readonly (readonly number[])[], sizes?: number[]): Promise<Buffer[]> {
    const socket = connect(path);
    await once(socket, 'connect');
    let received: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
    const answers: Buffer[] = [];
    for (const [i, stage] of stages.entries()) {
      for (const piece of cut(stage, cuts[i] ?? [])) {
        if (piece.length > 0) socket.write(piece);
        await setImmediate();
        await setImmediate();
      }
      const owed = i === stages.length - 1 ? 0 : (sizes?.[i] ?? 1);
      while (received.length < owed) await once(socket, 'data');
      answers.push(received);
      received = Buffer.alloc(0);
    }
    socket.destroy();
    await once(socket, 'close');
    await host.idle();
    return answers;
  }

  const whole = await said([]);
  assert.match(whole[0]!.toString('latin1'), /get_var.*get_ip/s);
  assert.match(whole[5]!.toString('latin1'), /X-Echo.*a=b/s);
  const sizes = whole.map(({ length }) => length);
  const fraction = fc.double({ min: 0, max: 1, noNaN: true });
  const cuts = fc.array(fc.array(fraction, { maxLength: 12 }), {
    minLength: stages.length,
    maxLength: stages.length,
  });
  await fc.assert(
    fc.asyncProperty(cuts, async (points) => assert.deepEqual(await said(points, sizes), whole)),
    runs(100),
  );
});

test('a frame of the largest size is read, one octet more closes the connection', async (t) => {
  const { path, events } = await listen(t);
  const kong = await KongLine.open(path);
  t.after(() => kong.close());
  const padding = (length: number) =>
    JSON.stringify({ behaviour: 'pass', pad: 'x'.repeat(length) });
  const room = MAX_FRAME_BYTES - 100;
  const id = await kong.start(JSON.parse(padding(room)) as object);
  assert.deepEqual(await kong.request(id), []);
  await assert.rejects(kong.start(JSON.parse(padding(MAX_FRAME_BYTES)) as object), /closed/);
  assert.deepEqual(events(), ['garbage']);
});

test('an oversized answer in the middle of a request closes its connection and ends the request', async (t) => {
  const { path, host, events } = await listen(t);
  const kong = await KongLine.open(path);
  const id = await kong.start({ behaviour: 'echo' });
  kong.handle(id);
  await kong.frame();
  const tooLong = Buffer.alloc(4);
  tooLong.writeUInt32LE(MAX_FRAME_BYTES + 1);
  kong.socket.write(tooLong);
  for (let left = 3; left > 0; left--) await kong.frame();
  await assert.rejects(kong.frame(), /closed/);
  await host.idle();
  assert.ok(events().includes('garbage'));
});
