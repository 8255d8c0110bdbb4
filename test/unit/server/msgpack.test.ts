import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { encode } from '@msgpack/msgpack';
import { isCall, KongConnection } from '../../contract/server-kong.ts';
import type { Answer, StepData } from '../../contract/server-kong.ts';
import { listen } from './harness.ts';

async function openServer(t: TestContext, deadline?: number) {
  const server = await listen(t, deadline);
  const open = async () => {
    const connection = await KongConnection.open(server.path);
    t.after(() => connection.close());
    return connection;
  };
  return { ...server, open, kong: await open() };
}

const step = ({ error, result }: Answer): StepData => {
  assert.equal(error, null);
  return result as StepData;
};

/** Kong answers 503 to the client and the request goes no further. */
function assertUnavailable(answer: Answer): void {
  const { Data } = step(answer);
  assert.ok(isCall(Data));
  const [status, body, headers] = Data.Args as [number, string, Record<string, string>];
  assert.equal(Data.Method, 'kong.response.exit');
  assert.equal(status, 503);
  assert.equal(typeof (JSON.parse(body) as { message: unknown }).message, 'string');
  assert.match(headers['Retry-After']!, /^\d+$/);
}

/**
 * Kong calls `err:lower()`: anything but a string is a Lua error there, hence a 500
 * (Kong's rpc/mp_rpc.lua).
 */
const assertRefused = ({ error, result }: Answer): void => {
  assert.equal(typeof error, 'object');
  assert.notEqual(error, null);
  assert.equal(result, null);
};

test('a request is its PDK calls, one for each answer, and then "ret"', async (t) => {
  const { kong, transport, host } = await openServer(t);
  const id = await kong.start({ behaviour: 'echo', label: 'x' });
  const calls = await kong.request(id, { 'kong.nginx.get_var': 'a=b' });
  assert.deepEqual(calls, [
    { Method: 'kong.nginx.get_var', Args: ['http_cookie'] },
    { Method: 'kong.client.get_ip', Args: [] },
    { Method: 'kong.response.set_header', Args: ['X-Echo', 'a=b'] },
    { Method: 'kong.log.notice', Args: ['x'] },
  ]);
  assert.equal(transport.events.size, 0);
  assert.equal(host.running, 0);
});

test('nothing to do is one answer', async (t) => {
  const { kong } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  assert.equal(step(await kong.handle(id)).Data, 'ret');
});

test('an absent result is undefined, and bytes come back as they were', async (t) => {
  const { kong } = await openServer(t);
  const id = await kong.start({ behaviour: 'echo' });
  const [, , absent] = await kong.request(id, { 'kong.nginx.get_var': undefined });
  assert.deepEqual(absent!.Args, ['X-Echo', 'undefined']);

  let answer = await kong.handle(id);
  answer = await kong.step(step(answer), Buffer.from([0x61, 0xff, 0x80]));
  answer = await kong.step(step(answer), '10.0.0.1');
  // A binary is no string: the test's plugin turns it into text.
  assert.deepEqual((step(answer).Data as { Args: unknown[] }).Args, ['X-Echo', '97,255,128']);
});

test('the steps of a request may come over other connections', async (t) => {
  const { kong, open } = await openServer(t);
  const id = await kong.start({ behaviour: 'echo' });
  const first = step(await kong.handle(id));
  const other = await open();
  const second = step(await other.step(first, 'a=b'));
  await kong.close();
  const third = step(await other.step(second, '::1'));
  assert.deepEqual(third.Data, { Method: 'kong.response.set_header', Args: ['X-Echo', 'a=b'] });
});

test('a step is known by its shape, whatever its method is called', async (t) => {
  const { kong, host } = await openServer(t);
  const id = await kong.start({ behaviour: 'keys' });
  for (const method of ['plugin.CloseInstance', 'plugin.HandleEvent', 'DELETE', '__proto__', '']) {
    const first = step(await kong.handle(id));
    const query = { _method: [method] };
    const second = step(await kong.step(first, query, method));
    assert.deepEqual(second.Data, { Method: 'kong.log.notice', Args: ['_method', 'false'] });
    assert.equal(step(await kong.step(second, undefined)).Data, 'ret');
  }
  assert.equal(host.instances.size, 1);
});

test('a key named __proto__ is a key', async (t) => {
  const { kong } = await openServer(t);
  const id = await kong.start({ behaviour: 'keys' });
  const first = step(await kong.handle(id));
  const query = Object.fromEntries([
    ['__proto__', { polluted: true }],
    ['a', ['b']],
  ]);
  const second = step(await kong.step(first, query));
  assert.deepEqual(second.Data, { Method: 'kong.log.notice', Args: ['__proto__,a', 'false'] });
});

test('exit is the last message of its request', async (t) => {
  const { kong, transport } = await openServer(t);
  const id = await kong.start({ behaviour: 'exit' });
  const { Data } = step(await kong.handle(id));
  const headers = { 'X-Why': ['a', 'b'] };
  assert.deepEqual(Data, { Method: 'kong.response.exit', Args: [401, '', headers] });
  assert.equal(transport.events.size, 0);
});

test('100,000 exits leave nothing behind', async (t) => {
  const { kong, transport, host } = await openServer(t);
  const id = await kong.start({ behaviour: 'exit' });
  for (let round = 0; round < 100; round++) {
    const calls: Uint8Array[] = [];
    for (let i = 0; i < 1000; i++) {
      calls.push(kong.encode('plugin.HandleEvent', { InstanceId: id, EventName: 'access' }));
    }
    kong.socket.write(Buffer.concat(calls));
    for (let i = 0; i < 1000; i++) assert.equal((await kong.answer()).error, null);
  }
  assert.equal(transport.events.size, 0);
  assert.equal(host.running, 0);
});

const FAILING = ['throw-at-once', 'silent', 'nil', 'exit-first', 'exit-as-read'];
for (const behaviour of FAILING) {
  test(`a handler that fails (${behaviour}) ends in 503`, async (t) => {
    const { kong, transport, events } = await openServer(t);
    const id = await kong.start({ behaviour });
    assertUnavailable(await kong.handle(id));
    assert.equal(transport.events.size, 0);
    assert.ok(events().includes('request-failed'));
  });
}

test('a handler that throws after a call ends in 503', async (t) => {
  const { kong, host } = await openServer(t);
  const id = await kong.start({ behaviour: 'throw' });
  assertUnavailable(await kong.step(step(await kong.handle(id)), '::1'));
  assert.equal(host.running, 0);
});

test('what a handler does after its acts changes nothing', async (t) => {
  const { kong, host } = await openServer(t);
  const id = await kong.start({ behaviour: 'act-twice' });
  assert.equal(step(await kong.handle(id)).Data, 'ret');
  assert.equal(step(await kong.handle(id)).Data, 'ret');
  assert.equal(host.running, 0);
});

test('a handler that never ends is answered with 503 at the deadline', async (t) => {
  const { kong, transport, host } = await openServer(t, 50);
  const id = await kong.start({ behaviour: 'hang' });
  assertUnavailable(await kong.handle(id));
  assert.equal(transport.events.size, 0);
  assert.equal(host.running, 0);
});

test('a call that Kong never answers is forgotten at the deadline, and its late answer ends in 503', async (t) => {
  const { kong, transport, host } = await openServer(t, 50);
  const id = await kong.start({ behaviour: 'echo' });
  const first = step(await kong.handle(id));
  assert.equal(host.running, 1);
  await host.idle();
  assert.equal(transport.events.size, 0);
  assertUnavailable(await kong.step(first, 'late'));
});

for (const [behaviour, isFault] of [
  ['exit-while-asking', false],
  ['pass-while-asking', true],
] as const) {
  test(`a handler that ends while Kong works on a call (${behaviour}) ends in 503`, async (t) => {
    const { kong, transport, host, events } = await openServer(t);
    const id = await kong.start({ behaviour });
    const first = step(await kong.handle(id));
    await host.idle();
    assert.equal(transport.events.size, 0);
    assertUnavailable(await kong.step(first, 'late'));
    assert.equal(events().includes('request-failed'), isFault);
  });
}

test('a step of a request that nobody knows ends in 503, never in a restart of instances', async (t) => {
  const { kong } = await openServer(t);
  const id = await kong.start({ behaviour: 'echo' });
  for (const EventId of ['x', 5, 0, '', '__proto__']) {
    assertUnavailable(await kong.step({ EventId, Data: '' }, 'x'));
    assertUnavailable(await kong.step({ EventId, Data: '' }, 'x', 'plugin.CloseInstance'));
  }
  assert.equal(step(await kong.handle(id)).EventId === undefined, false);
});

test('a second answer to one call ends in 503 and leaves the request alone', async (t) => {
  const { kong, open } = await openServer(t);
  const id = await kong.start({ behaviour: 'slow' });
  const first = kong.handle(id);
  const { Data, EventId } = step(await first);
  assert.deepEqual(Data, { Method: 'kong.log.notice', Args: ['slow'] });
  const other = await open();
  assert.equal(step(await other.step({ EventId, Data: '' }, undefined)).Data, 'ret');
  assertUnavailable(await other.step({ EventId, Data: '' }, undefined));
});

test('an unknown instance makes Kong start it: the words it looks for', async (t) => {
  const { kong } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  for (const unknown of [`${id}0`, 0, 1, '', undefined, null, {}, true]) {
    const { error, result } = await kong.handle(unknown);
    assert.match(String(error).toLowerCase(), /no plugin instance/);
    assert.equal(result, null);
  }
  for (let i = 0; i < 10_000; i++) assert.notEqual((await kong.handle(i)).error, null);
  assert.equal(step(await kong.handle(id)).Data, 'ret');
});

test('a closed instance is unknown; closing one that is not there is no error', async (t) => {
  const { kong } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  for (const closed of [id, id, 7, null, {}]) {
    assert.equal((await kong.call('plugin.CloseInstance', closed)).error, null);
  }
  assert.match(String((await kong.handle(id)).error), /no plugin instance/);
});

test('a refused configuration is an error text, and nothing of it is told', async (t) => {
  const { kong, lines, counts, host } = await openServer(t);
  const { error } = await kong.call('plugin.StartInstance', {
    Name: 'test-plugin',
    Config: JSON.stringify({ behaviour: 'none', secret: 'hush-hush' }),
  });
  assert.equal(error, 'config.behaviour: name a known one (größer ist nicht besser)');
  for (const Config of ['', '{"secret":"hush-hush",', '[]', 'null', Buffer.of(0x7b, 0xff), 5]) {
    const answer = await kong.call('plugin.StartInstance', { Name: 'test-plugin', Config });
    assert.equal(typeof answer.error, 'string');
    assert.doesNotMatch(String(answer.error), /hush/);
  }
  await assert.rejects(kong.start({}, 'other-plugin'), /test-plugin only/);
  assert.doesNotMatch(lines.join(''), /hush/);
  assert.equal(counts.created, 1);
  assert.equal(host.instances.size, 0);
});

test('other methods, phases and shapes are refused so that Kong does not let the request pass', async (t) => {
  const { kong, host } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  for (const method of ['plugin.SetPluginDir', 'plugin.GetPluginInfo', 'constructor', '', 'x']) {
    assertRefused(await kong.call(method, '/tmp'));
  }
  for (const EventName of ['rewrite', 'log', undefined, '__proto__', 5]) {
    assertRefused(await kong.call('plugin.HandleEvent', { InstanceId: id, EventName }));
  }
  assertRefused(await kong.call('plugin.HandleEvent', undefined));
  assert.equal(host.instances.size, 1);
});

test('several calls in one piece and one call in many are answered in order', async (t) => {
  const { kong } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  const event = { InstanceId: id, EventName: 'access' };
  const calls = [1, 2, 3].map(() => kong.encode('plugin.HandleEvent', event));
  kong.socket.write(Buffer.concat(calls));
  for (let i = 0; i < 3; i++) assert.equal(step(await kong.answer()).Data, 'ret');
  for (const byte of kong.encode('plugin.HandleEvent', event)) {
    kong.socket.write(Uint8Array.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(step(await kong.answer()).Data, 'ret');
});

test('messages beyond 64 kB arrive whole', async (t) => {
  const { kong } = await openServer(t);
  const id = await kong.start({ behaviour: 'echo', label: 'x'.repeat(300_000) });
  const cookie = 'c'.repeat(200_000);
  const calls = await kong.request(id, { 'kong.nginx.get_var': cookie });
  assert.deepEqual(calls[2]!.Args, ['X-Echo', cookie]);
  assert.equal((calls[3]!.Args[0] as string).length, 300_000);
});

test('garbage closes its connection and no other', async (t) => {
  const { kong, open, events } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  const hostile = [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.alloc(70_000, 0xff),
    Buffer.concat([encode([0, 1, 'plugin.HandleEvent', []]), Buffer.alloc(10, 0xc1)]),
    Buffer.from(encode([1, 1, null, null])),
    Buffer.from(encode([0, 1, 'plugin.Step'])),
    Buffer.from(encode([0, 'one', 'plugin.Step', []])),
    Buffer.from(encode([0, 1, 'plugin.Step', {}])),
    Buffer.concat([Buffer.of(0x94, 0, 1, 0xa1, 0x78, 0x91), Buffer.of(0xdb, 0x7f, 0, 0, 0)]),
  ];
  for (const bytes of hostile) {
    const bad = await open();
    bad.socket.resume();
    bad.socket.write(bytes);
    await new Promise((resolve) => bad.socket.once('close', resolve));
  }
  assert.ok(events().filter((event) => event === 'garbage').length >= hostile.length);
  assert.equal(step(await kong.handle(id)).Data, 'ret');
});

test('connections that say nothing, or half a head, harm nobody', async (t) => {
  const { kong, open } = await openServer(t);
  const id = await kong.start({ behaviour: 'pass' });
  await (await open()).close();
  const half = await open();
  half.socket.write(Buffer.of(0x94, 0x00));
  await half.close();
  assert.equal(step(await kong.handle(id)).Data, 'ret');
});

test('a connection reset in the middle of a request ends that request only', async (t) => {
  const { kong, open, host, transport, events } = await openServer(t, 200);
  const id = await kong.start({ behaviour: 'echo', label: 'x'.repeat(900_000) });
  const reset = await open();
  let answer = await reset.handle(id);
  for (const result of ['a=b', '::1']) answer = await reset.step(step(answer), result);
  // Closing while the server has more to write, and with what it wrote unread, is a reset.
  reset.socket.write(reset.encode('plugin.Step', step(answer)));
  await new Promise((resolve) => reset.socket.once('readable', resolve));
  await reset.close();
  await host.idle();
  assert.ok(events().includes('connection-error'));
  assert.equal(transport.events.size, 0);
  assert.equal(step(await kong.handle(await kong.start({ behaviour: 'pass' }))).Data, 'ret');
});

test('a request whose connection is gone when it wants to speak ends', async (t) => {
  const { kong, open, host, transport } = await openServer(t);
  const id = await kong.start({ behaviour: 'slow' });
  const gone = await open();
  gone.socket.write(gone.encode('plugin.HandleEvent', { InstanceId: id, EventName: 'access' }));
  while (host.running === 0) await new Promise((resolve) => setImmediate(resolve));
  await gone.close();
  await host.idle();
  assert.equal(transport.events.size, 0);
});

test('neither cookies nor configurations nor arguments reach the log, also at level debug', async (t) => {
  const { kong, lines } = await openServer(t);
  const id = await kong.start({ behaviour: 'echo', label: 'hush-config' });
  await kong.request(id, { 'kong.nginx.get_var': 'session=hush-cookie' });
  await kong.call('plugin.hush-method', { hush: 'hush-argument' });
  await kong.step({ EventId: 'hush-event', Data: '' }, 'hush-data');
  assert.ok(lines.length > 0);
  assert.doesNotMatch(lines.join(''), /hush/);
});

test('Kong is asked for a connection where it is between two requests, and overlooks it elsewhere', async (t) => {
  const { kong, listener } = await openServer(t);
  const id = await kong.start({ behaviour: 'echo' });
  const read = () => kong.socket.bytesRead;
  /** What comes unasked while the server asks for its connections many times. */
  const unasked = async () => {
    const before = read();
    await delay(200);
    return read() - before;
  };
  const call = step(await kong.handle(id));
  listener.stopAccepting();
  assert.equal(await unasked(), 0, 'Kong carries out a call and comes back with its result');
  const next = step(await kong.step(call, 'a=b'));
  assert.equal(await unasked(), 0);
  const last = step(await kong.step(next, '127.0.0.1'));
  assert.equal(step(await kong.step(last, undefined)).Data, 'ret');
  assert.ok((await unasked()) > 0);
  // Kong may have taken the connection for something else meanwhile: it reads past what was not asked for.
  const calls = await kong.request(await kong.start({ behaviour: 'echo' }));
  assert.equal(calls.length, 3);
  assert.equal((await kong.call('plugin.CloseInstance', id)).error, null);
});

test('a request of another server begins again where nothing has been done about it, and is refused elsewhere', async (t) => {
  const { kong, open } = await openServer(t);
  const other = await openServer(t);
  const question = step(await kong.handle(await kong.start({ behaviour: 'echo' })));
  const consumer = await other.kong.step(question, null, 'plugin.StepConsumer');
  assert.match(String(consumer.error), /no plugin instance/);
  assertUnavailable(await other.kong.step(question, null));
  // One of our own that is over has had its time.
  await kong.step(question, 'a=b');
  const exit = step(await kong.handle(await kong.start({ behaviour: 'exit' })));
  assertUnavailable(await (await open()).step(exit, null, 'plugin.StepConsumer'));
});
