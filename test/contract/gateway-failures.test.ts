import { encode } from '@msgpack/msgpack';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, mock, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Entities } from '../support/gateway/entities.ts';
import { type Gateway, type GatewayOptions, startGateway } from '../support/gateway/index.ts';
import { luaLength } from '../support/gateway/lua.ts';
import { ConnectionPool } from '../support/gateway/rpc/pool.ts';
import { ProtobufPeer } from './traces/protobuf-peer.ts';
import { type Call, PROBE, ScriptedServer } from './traces/scripted.ts';
import { type Upstream, startUpstream } from './traces/upstream.ts';

/** What the stand-in does when the plugin server fails, as Kong's rpc/mp_rpc.lua does: case by case. */

interface Setting {
  readonly server: ScriptedServer;
  readonly gateway: Gateway;
  readonly get: (path?: string) => Promise<number>;
}

interface Prepared {
  readonly folder: string;
  readonly entities: Entities;
  readonly upstream: Upstream;
}

/** Two routes, /one and /two, each with the plugin. */
async function prepare(t: TestContext): Promise<Prepared> {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-failures-'));
  const upstream = await startUpstream();
  t.after(async () => {
    upstream.close();
    await rm(folder, { recursive: true });
  });
  const entities = new Entities();
  const service = { host: '127.0.0.1', port: upstream.port, protocol: 'http' };
  const { id } = entities.put('services', service);
  for (const name of ['one', 'two']) {
    const route = entities.put('routes', { paths: [`/${name}`], service: { id } });
    entities.put('plugins', { name: 'probe', config: {}, route: { id: route.id } });
  }
  return { folder, entities, upstream };
}

async function setUp(t: TestContext, options: Partial<GatewayOptions> = {}): Promise<Setting> {
  const { folder, entities } = await prepare(t);
  const dump = join(folder, 'dump.json');
  await writeFile(dump, JSON.stringify([PROBE]));
  const socketPath = join(folder, 'probe.socket');
  const server = await ScriptedServer.listen(socketPath);
  t.after(() => server.close());
  const definition = { socketPath, queryCmd: `cat '${dump}'` };
  const gateway = await startGateway({ server: definition, entities, ...options });
  t.after(() => gateway.stop());
  const get = async (path = '/one'): Promise<number> => {
    const response = await fetch(`${gateway.proxyUrl}${path}`);
    await response.body?.cancel();
    return response.status;
  };
  return { server, gateway, get };
}

const PASSES = 200;
const REFUSED = 500;

const lastLine = ({ gateway }: Setting): string => gateway.log.at(-1) ?? '';

/** A message of the server in pieces, whole or not. */
function writeBytes({ id, socket }: Call, result: unknown, cut?: number): void {
  socket.write(encode([1, id, null, result]).subarray(0, cut));
}

test('StartInstance: nobody listens', async (t) => {
  const setting = await setUp(t);
  await setting.server.die();
  assert.equal(await setting.get(), REFUSED);
  assert.match(lastLine(setting), /connection refused/);
});

test('StartInstance: closed, or an error string; the next request tries again', async (t) => {
  const setting = await setUp(t);
  setting.server.onStart = ({ socket }) => void socket.destroy();
  assert.equal(await setting.get(), REFUSED);
  assert.match(lastLine(setting), /no data/);
  setting.server.onStart = (call) => call.fail('secret: too short');
  assert.equal(await setting.get(), REFUSED);
  assert.match(lastLine(setting), /secret: too short/);
  assert.deepEqual(setting.server.methods(), ['StartInstance', 'StartInstance']);
});

const passing: { [failure: string]: { answer: (call: Call) => void; log: RegExp | undefined } } = {
  'closed before any byte': {
    answer: ({ socket }) => socket.destroy(),
    log: /\[error\].* no data/,
  },
  'an error string': {
    answer: (call) => call.fail('event id 5 not found'),
    log: /\[error\].* event id 5 not found/,
  },
  'neither error nor result': { answer: (call) => call.reply(null), log: undefined },
};

for (const [failure, { answer, log }] of Object.entries(passing)) {
  test(`HandleEvent: ${failure}: the request passes`, async (t) => {
    const setting = await setUp(t);
    setting.server.onEvent = answer;
    assert.equal(await setting.get(), PASSES);
    if (log === undefined) assert.deepEqual(setting.gateway.log, []);
    else assert.match(lastLine(setting), log);
  });
}

const refused: { [failure: string]: (call: Call) => void } = {
  'part of a reply, then closed': (call) => {
    writeBytes(call, { Data: 'ret', EventId: 1 }, 5);
    call.socket.end();
  },
  garbage: ({ socket }) => socket.write(Buffer.of(0xc1)),
  'a reply to another message': ({ id, socket }) =>
    socket.write(encode([1, id + 1, null, { Data: 'ret', EventId: 1 }])),
  'an error that is a table': (call) => call.fail({ code: 1 }),
  'a result without Data': (call) => call.reply({ EventId: 1 }),
  'a request instead of a reply': ({ id, socket }) => socket.write(encode([0, id, 'x', []])),
};

for (const [failure, answer] of Object.entries(refused)) {
  test(`HandleEvent: ${failure}: 500, and the next request is served`, async (t) => {
    const setting = await setUp(t);
    const { onEvent } = setting.server;
    setting.server.onEvent = (call) => {
      setting.server.onEvent = onEvent;
      answer(call);
    };
    assert.equal(await setting.get(), REFUSED);
    assert.equal(await setting.get(), PASSES);
  });
}

test('a reply in single bytes, after a notification, before stray bytes', async (t) => {
  const { server, get } = await setUp(t);
  server.onEvent = ({ id, socket }) => {
    const bytes = [...encode([2, 'serverPid', 5]), ...encode([1, id, null, { Data: 'ret' }])];
    void (async () => {
      for (const byte of bytes) {
        socket.write(Buffer.of(byte));
        await sleep(1);
      }
    })();
  };
  assert.equal(await get(), PASSES);
  server.onEvent = ({ id, socket }) =>
    socket.write(Buffer.concat([encode([1, id, null, { Data: 'ret' }]), Buffer.from('stray')]));
  assert.equal(await get(), PASSES);
  assert.equal(await get(), PASSES);
  assert.equal(server.connections, 1);
});

test('a reply after the read timeout: the request passed, the connection is given up', async (t) => {
  const setting = await setUp(t, { readTimeoutMs: 100 });
  const { server, get } = setting;
  assert.equal(await get(), PASSES);
  const late: Call[] = [];
  server.onEvent = (call) => late.push(call);
  assert.equal(await get(), PASSES);
  assert.match(lastLine(setting), /no data/);
  const [call] = late;
  assert.ok(call);
  const closed = once(call.socket, 'close');
  call.reply({ Data: 'ret', EventId: 1 });
  await closed;
  server.onEvent = (event) => event.reply({ Data: 'ret', EventId: 2 });
  assert.equal(await get(), PASSES);
});

test('a late reply reaches the next request on the connection: an innocent 500', async (t) => {
  const { server, get } = await setUp(t, { readTimeoutMs: 100 });
  assert.equal(await get(), PASSES);
  const late: Call[] = [];
  server.onEvent = (call) => late.push(call);
  assert.equal(await get(), PASSES);
  server.onEvent = () => late[0]?.reply({ Data: 'ret', EventId: 1 });
  assert.equal(await get(), REFUSED);
});

test('«no plugin instance» forgets every instance and runs the event again', async (t) => {
  const { server, gateway, get } = await setUp(t, { workers: 2 });
  for (const path of ['/one', '/one', '/two', '/two']) assert.equal(await get(path), PASSES);
  assert.equal(server.methods().filter((method) => method === 'StartInstance').length, 4);
  server.calls.length = 0;
  const { onEvent } = server;
  server.onEvent = (call) => {
    server.onEvent = onEvent;
    call.fail('No Plugin Instance #3');
  };
  for (const path of ['/one', '/one', '/two', '/two']) assert.equal(await get(path), PASSES);
  const starts = ['StartInstance', 'HandleEvent'];
  assert.deepEqual(server.methods(), ['HandleEvent', ...starts, ...starts, ...starts, ...starts]);
  assert.match(gateway.log.at(-1) ?? '', /\[warn\].* No Plugin Instance #3/);
});

test('a server that never knows its instances is a defect that is told', async (t) => {
  const setting = await setUp(t);
  setting.server.onEvent = (call) => call.fail('no plugin instance');
  await assert.rejects(setting.get());
  assert.match(lastLine(setting), /does not know the instances it started/);
});

test('one request starts the instance, those beside it wait for it', async (t) => {
  const { server, get } = await setUp(t);
  server.onStart = (call) => void sleep(30).then(() => call.reply({ Id: 'a' }));
  assert.deepEqual(await Promise.all([get(), get(), get()]), [PASSES, PASSES, PASSES]);
  const [first, ...others] = server.methods();
  assert.equal(first, 'StartInstance');
  assert.deepEqual(others, ['HandleEvent', 'HandleEvent', 'HandleEvent']);
});

test('a member _method of a result becomes the method of the step', async (t) => {
  const { server, gateway } = await setUp(t);
  server.onEvent = (call) => {
    const Data = call.method === 'plugin.HandleEvent' ? GET_BODY : 'ret';
    call.reply({ Data, EventId: 1 });
  };
  const body = new URLSearchParams({ _method: 'plugin.Evil' });
  const response = await fetch(`${gateway.proxyUrl}/one`, { method: 'POST', body });
  assert.equal(response.status, PASSES);
  assert.deepEqual(server.methods(), ['StartInstance', 'HandleEvent', 'Evil']);
});

const GET_BODY = { Method: 'kong.request.get_body', Args: [] };

test('PDK calls and round trips of a request are recorded', async (t) => {
  const { server, gateway } = await setUp(t);
  server.onEvent = (call) => {
    const Data = call.method === 'plugin.HandleEvent' ? GET_BODY : 'ret';
    call.reply({ Data, EventId: 1 });
  };
  const response = await fetch(`${gateway.proxyUrl}/one`);
  const id = response.headers.get('x-kong-request-id') ?? '';
  const recorded = gateway.conversations.get(id);
  assert.deepEqual(recorded, {
    requestId: id,
    calls: ['kong.request.get_body'],
    roundTrips: 2,
    started: 1,
    closed: 0,
    retries: 0,
  });
  assert.equal(gateway.conversations.last(), recorded);
});

test('ProtoBuf:1: without its server no request passes', async (t) => {
  const { folder, entities, upstream } = await prepare(t);
  const dump = join(folder, 'protobuf.json');
  await writeFile(dump, JSON.stringify({ Protocol: 'ProtoBuf:1', Plugins: [PROBE] }));
  const socketPath = join(folder, 'protobuf.socket');
  const peer = await ProtobufPeer.listen(socketPath);
  peer.prepare([7]);
  const gateway = await startGateway({
    server: { socketPath, queryCmd: `cat '${dump}'` },
    entities,
  });
  t.after(() => gateway.stop());
  assert.equal((await fetch(`${gateway.proxyUrl}/one`)).status, PASSES);
  await peer.close();
  assert.equal((await fetch(`${gateway.proxyUrl}/one`)).status, REFUSED);
  assert.equal((await fetch(`${gateway.proxyUrl}/two`)).status, REFUSED);
  assert.match(gateway.log.at(-1) ?? '', /no such file or directory/);
  assert.equal(upstream.seen.length, 1);
});

test('the pool gives out the newest connection and closes idle ones after 60 s', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-pool-'));
  const path = join(folder, 'pool.socket');
  const server = await ScriptedServer.listen(path);
  const pool = new ConnectionPool(path);
  t.after(async () => {
    mock.timers.reset();
    pool.close();
    await server.close();
    await rm(folder, { recursive: true });
  });
  const [older, newer] = [await pool.acquire(), await pool.acquire()];
  mock.timers.enable({ apis: ['setTimeout'] });
  pool.release(older);
  pool.release(newer);
  assert.equal(await pool.acquire(), newer);
  mock.timers.tick(59_999);
  assert.equal(await pool.acquire(), older);
  pool.release(older);
  mock.timers.tick(60_000);
  const fresh = await pool.acquire();
  assert.notEqual(fresh, older);
  pool.discard(fresh);
});

test('nil among arguments shortens them as LuaJIT does', () => {
  const [nil, x] = [undefined, 'x'];
  const lengths = [
    [[], 0],
    [[x, nil], 1],
    [[nil, x], 2],
    [[nil, nil], 0],
    [[x, nil, x], 1],
    [[nil, nil, x], 0],
    [[x, x, nil, x], 4],
    [[x, x, x], 3],
  ] as const;
  for (const [values, length] of lengths) assert.equal(luaLength([...values]), length);
});
