import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { Instance } from '../../../lib/pdk.ts';
import { listen } from './harness.ts';
import { recordedEvents, replayableTraces, valueOf } from './protobuf-traces.ts';
import type { RecordedEvent } from './protobuf-traces.ts';

/** Without prototypes and absent members. */
const plain = (value: unknown): unknown =>
  value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown);

/** What the handler sees of an answer, from what the trace shows of it. */
function expectedResult(method: string, fields: unknown): unknown {
  const answer = fields as Record<string, unknown>;
  if (/set_|add_|clear_|shared\.set|authenticate|log\./.test(method)) return undefined;
  if (/get_ctx|shared\.get/.test(method)) {
    return 'null_value' in answer ? undefined : plain(valueOf(answer));
  }
  if (/get_consumer|load_consumer|get_credential/.test(method)) {
    const { id, username, custom_id, consumer_id } = answer as Record<string, string>;
    return id === undefined ? undefined : plain({ id, username, custom_id, consumer_id });
  }
  if (method.endsWith('raw_body')) return plain(bodyOf(answer['content']));
  const text = answer['v'];
  return typeof text === 'string' && text !== '' ? Buffer.from(text).toString('latin1') : undefined;
}

function bodyOf(content: unknown): Uint8Array | undefined {
  if (typeof content === 'string') return Uint8Array.from(Buffer.from(content));
  const { $strbytes } = (content ?? {}) as { $strbytes?: string };
  return $strbytes === undefined ? undefined : Uint8Array.from(Buffer.from($strbytes, 'base64'));
}

/** Plays Kong: sends what Kong sent, when the server has written what was recorded of it. */
async function replay(path: string, { call, exchanges }: RecordedEvent): Promise<void> {
  const socket = connect(path);
  await once(socket, 'connect');
  let received: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
  socket.write(call);
  for (const { written, answers } of exchanges) {
    while (received.length < written.length) await once(socket, 'data');
    assert.equal(received.toString('hex'), written.toString('hex'));
    received = Buffer.alloc(0);
    socket.write(Buffer.concat(answers));
  }
  socket.destroy();
  await once(socket, 'close');
}

test('writes what was recorded, byte for byte, and reads what Kong answered', async (t) => {
  const { host, path, lines } = await listen(t);
  let current: RecordedEvent | undefined;
  const seen: [method: string, result: unknown, expected: unknown][] = [];
  const instance: Instance = {
    async access(pdk) {
      const { exchanges } = current!;
      for (const { calls, answered } of exchanges.slice(0, -1)) {
        const results = await pdk.read(calls);
        for (const [i, [method]] of calls.entries()) {
          seen.push([method, plain(results[i]), expectedResult(method, answered[i])]);
        }
      }
      await pdk.act(exchanges.at(-1)!.calls);
    },
  };
  // The recorded ids belong to another server.
  t.mock.method(host.instances, 'get', () => instance);

  let count = 0;
  for (const name of replayableTraces()) {
    for (const event of recordedEvents(name)) {
      current = event;
      await assert.doesNotReject(replay(path, event), name);
      count += 1;
    }
  }
  for (const [method, result, expected] of seen) assert.deepEqual(result, expected, method);
  assert.equal(lines.filter((line) => line.includes('request-failed')).length, 0);
  assert.ok(count >= 90 && seen.length >= 250, `${count} requests, ${seen.length} answers`);
});
