import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type Server, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Entities, type Entity } from '../support/gateway/entities.ts';
import { type Gateway, type GatewayOptions, startGateway } from '../support/gateway/index.ts';
import { createCertificate } from '../support/tls.ts';
import { sendLines } from './traces/client.ts';
import { PROBE, ScriptedServer } from './traces/scripted.ts';
import { type Seen, startUpstream } from './traces/upstream.ts';

/** What the recordings do not show of the stand-in for Kong, but scenarios and the demo need. */

interface Setting {
  readonly gateway: Gateway;
  readonly entities: Entities;
  readonly server: ScriptedServer;
  readonly service: Entity;
  readonly seen: Seen[];
  readonly port: number;
  readonly get: (path: string, ...headers: string[]) => Promise<number>;
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

async function setUp(t: TestContext, options: Partial<GatewayOptions> = {}): Promise<Setting> {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'dump.json'), JSON.stringify([PROBE]));
  const socketPath = join(folder, 'probe.socket');
  const server = await ScriptedServer.listen(socketPath);
  t.after(() => server.close());
  const upstream = await startUpstream();
  t.after(() => upstream.close());
  const entities = new Entities();
  const service = entities.put('services', {
    host: '127.0.0.1',
    port: upstream.port,
    protocol: 'http',
    path: '/base',
  });
  const definition = { socketPath, queryCmd: `cat '${join(folder, 'dump.json')}'` };
  const gateway = await startGateway({ server: definition, entities, ...options });
  t.after(() => gateway.stop());
  const port = Number(new URL(gateway.proxyUrl).port);
  const get: Setting['get'] = async (path, ...headers) => {
    const lines = [`GET ${path} HTTP/1.1`, ...headers];
    if (!headers.some((header) => header.startsWith('Host:'))) lines.push('Host: app.test');
    return (await sendLines(port, { lines }, Buffer.alloc(0))).status;
  };
  return { gateway, entities, server, service, seen: upstream.seen, port, get };
}

function putRoute({ entities, service }: Setting, fields: Parameters<Entities['put']>[1]): Entity {
  return entities.put('routes', { ...fields, service: { id: service.id } });
}

const lines = (seen: Seen | undefined, name: string): string[] =>
  (seen?.headers ?? []).filter(([own]) => own.toLowerCase() === name).map(([, value]) => value);

test('routes: a host beats none, a longer path a shorter one, a plain host a wildcard', async (t) => {
  const setting = await setUp(t);
  const { seen, get } = setting;
  putRoute(setting, { paths: ['/'] });
  putRoute(setting, { paths: ['/a'], strip_path: false });
  putRoute(setting, { paths: ['/a/b'], preserve_host: true });
  putRoute(setting, { hosts: ['*.app.test'], paths: ['/wild'] });
  putRoute(setting, { hosts: ['x.app.test'], paths: ['/'] });
  putRoute(setting, { paths: ['/post'], methods: ['POST'] });
  await get('/a/c?q=1');
  await get('/a/b/c', 'Host: Keep.test:8000');
  await get('/wild/w', 'Host: y.app.test');
  await get('/wild/w', 'Host: X.app.test:8000');
  await get('/post');
  const urls = ['/base/a/c?q=1', '/base/c', '/base/w', '/base/wild/w', '/base/post'];
  assert.deepEqual(
    seen.map(({ url }) => url),
    urls,
  );
  assert.deepEqual(lines(seen[1], 'host'), ['Keep.test:8000']);
  assert.match(lines(seen[0], 'host')[0] ?? '', /^127\.0\.0\.1:\d+$/);
});

test('a header line above 8 kB is a 400, and so are too many of them', async (t) => {
  const setting = await setUp(t);
  putRoute(setting, { paths: ['/'] });
  const { get, seen } = setting;
  assert.equal(await get('/', `Cookie: session=${'a'.repeat(8000)}`), 200);
  assert.equal(await get('/', `Cookie: session=${'a'.repeat(8192)}`), 400);
  assert.equal(await get('/', `Cookie: session=${'a'.repeat(65_536)}`), 400);
  const many = Array.from({ length: 5 }, (_, i) => `X-${String(i)}: ${'a'.repeat(8000)}`);
  assert.equal(await get('/', ...many), 400);
  assert.equal(seen.length, 1);
});

test('headers listed in Connection go away after the plugins, whoever set them', async (t) => {
  const setting = await setUp(t);
  const route = putRoute(setting, { paths: ['/'] });
  const { entities, server, get, seen } = setting;
  entities.put('plugins', { name: 'probe', config: {}, route: { id: route.id } });
  server.onEvent = (call) => {
    const identity = { 'X-Consumer-Username': 'alice', 'X-Other': 'kept' };
    const set = { Method: 'kong.service.request.set_headers', Args: [identity] };
    call.reply({ Data: call.method === 'plugin.HandleEvent' ? set : 'ret', EventId: 1 });
  };
  const spoofed = ['x_consumer_username: admin', 'Connection: close, X-Consumer-Username'];
  assert.equal(await get('/', ...spoofed), 200);
  assert.deepEqual(lines(seen[0], 'x-consumer-username'), []);
  assert.deepEqual(lines(seen[0], 'x-other'), ['kept']);
  // Another name for Kong, the same for many frameworks.
  assert.deepEqual(lines(seen[0], 'x_consumer_username'), ['admin']);
});

test('two auth plugins: with anonymous either is enough, without each must succeed', async (t) => {
  const setting = await setUp(t);
  const { entities, get, seen } = setting;
  const anonymous = entities.put('consumers', { username: 'anonymous' }).id;
  const alice = entities.put('consumers', { username: 'alice' });
  entities.put('keyauth_credentials', { key: 'k-alice', consumer: { id: alice.id } });
  for (const [path, config] of [
    ['/or', { anonymous }],
    ['/and', {}],
  ] as const) {
    const route = { id: putRoute(setting, { paths: [path] }).id };
    entities.put('plugins', { name: 'key-auth', config, route });
    entities.put('plugins', { name: 'basic-auth', config, route });
  }
  assert.equal(await get('/or'), 200);
  assert.deepEqual(lines(seen.at(-1), 'x-consumer-username'), ['anonymous']);
  assert.deepEqual(lines(seen.at(-1), 'x-anonymous-consumer'), ['true']);
  assert.equal(await get('/or', 'apikey: k-alice', 'X-Anonymous-Consumer: true'), 200);
  assert.deepEqual(lines(seen.at(-1), 'x-consumer-username'), ['alice']);
  assert.deepEqual(lines(seen.at(-1), 'x-anonymous-consumer'), []);
  assert.equal(await get('/or?apikey=k-alice'), 200);
  assert.deepEqual(lines(seen.at(-1), 'x-consumer-username'), ['alice']);
  assert.equal(await get('/and', 'apikey: k-alice'), 401);
  assert.equal(await get('/or', 'apikey: a', 'apikey: b'), 200);
  assert.deepEqual(lines(seen.at(-1), 'x-consumer-username'), ['anonymous']);
});

test('only the most specific configuration of a plugin runs, global ones least', async (t) => {
  const setting = await setUp(t);
  const { entities, service, get } = setting;
  const route = { id: putRoute(setting, { paths: ['/'] }).id };
  const terminate = (status: number, scope: Parameters<Entities['put']>[1]): string =>
    entities.put('plugins', {
      name: 'request-termination',
      config: { status_code: status, message: 'x' },
      ...scope,
    }).id;
  terminate(411, {});
  assert.equal(await get('/'), 411);
  terminate(412, { service: { id: service.id } });
  assert.equal(await get('/'), 412);
  const own = terminate(413, { route });
  assert.equal(await get('/'), 413);
  terminate(414, { route, service: { id: service.id } });
  assert.equal(await get('/'), 414);
  entities.delete('plugins', own);
  assert.equal(await get('/'), 414);
});

test('X-Real-IP and X-Forwarded-* count only from trusted peers', async (t) => {
  const spoofed = [
    'X-Real-IP: 203.0.113.8',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: b.test',
  ];
  const proto = async (trustedIps: string[]): Promise<string[]> => {
    const setting = await setUp(t, { trustedIps });
    putRoute(setting, { paths: ['/'], protocols: ['http', 'https'] });
    await setting.get('/', ...spoofed);
    const names = ['x-real-ip', 'x-forwarded-proto', 'x-forwarded-host'];
    return names.flatMap((name) => lines(setting.seen[0], name));
  };
  assert.deepEqual(await proto([]), ['127.0.0.1', 'http', 'app.test']);
  assert.deepEqual(await proto(['127.0.0.0/8']), ['203.0.113.8', 'https', 'b.test']);
});

test('HTTPS over HTTP/1.1 and HTTP/2 on one port; several Set-Cookie lines stay apart', async (t) => {
  const tls = await createCertificate();
  const setting = await setUp(t, { tls });
  putRoute(setting, { paths: ['/'] });
  const { gateway, entities, service, seen } = setting;
  entities.put('services', { ...service, path: null });
  const url = new URL('/cookie', gateway.proxySslUrl);
  const cookies = await new Promise((resolve, reject) => {
    const request = httpsRequest(url, { rejectUnauthorized: false, agent: false }, (response) => {
      response.resume();
      resolve(response.headers['set-cookie']);
    });
    request.on('error', reject).end();
  });
  assert.deepEqual(cookies, ['up=1; Path=/', 'up2=2']);
  const session = connectHttp2(gateway.proxySslUrl, { rejectUnauthorized: false });
  const stream = session.request({ ':path': '/cookie' });
  const headers = await new Promise<{ 'set-cookie'?: string[] }>((resolve, reject) => {
    stream.on('response', resolve).on('error', reject).resume();
  });
  session.close();
  assert.deepEqual(headers['set-cookie'], ['up=1; Path=/', 'up2=2']);
  assert.deepEqual(
    seen.flatMap((one) => lines(one, 'x-forwarded-proto')),
    ['https', 'https'],
  );
});

test('changes of routes and plugins take effect at the next tick, consumers at once', async (t) => {
  const setting = await setUp(t, { propagationMs: 400 });
  const { entities, get } = setting;
  const route = putRoute(setting, { paths: ['/'] });
  assert.equal(await get('/'), 404);
  entities.put('plugins', { name: 'key-auth', config: {}, route: { id: route.id } });
  for (let tries = 0; tries < 50 && (await get('/', 'apikey: k')) === 404; tries++) await sleep(20);
  assert.equal(await get('/', 'apikey: k'), 401);
  const consumer = entities.put('consumers', { username: 'alice' });
  entities.put('keyauth_credentials', { key: 'k', consumer: { id: consumer.id } });
  assert.equal(await get('/', 'apikey: k'), 200);
});

const basic = (password: string): string =>
  `Authorization: Basic ${Buffer.from(`alice:${password}`).toString('base64')}`;

test('the Admin API writes what the proxy reads', async (t) => {
  const setting = await setUp(t);
  const { gateway, service, get } = setting;
  const post = async (path: string, body: object): Promise<number> => {
    const headers = { 'Content-Type': 'application/json' };
    const sent = { method: 'POST', headers, body: JSON.stringify(body) };
    const response = await fetch(gateway.adminUrl + path, sent);
    await response.body?.cancel();
    return response.status;
  };
  assert.equal(await post(`/services/${service.id}/routes`, { name: 'r', paths: ['/'] }), 201);
  assert.equal(await post('/consumers', { username: 'alice' }), 201);
  const account = { username: 'alice', password: 'wonderland' };
  assert.equal(await post('/consumers/alice/basic-auth', account), 201);
  assert.equal(await post('/routes/r/plugins', { name: 'basic-auth' }), 201);
  assert.equal(await get('/', basic('wonderland')), 200);
  assert.equal(await get('/', basic('looking-glass')), 401);
  assert.equal(await get('/'), 401);
});

/** A plugin server that tells its environment and closes its socket at SIGTERM. */
const SERVER = `
const { createServer } = require('node:net');
process.on('SIGTERM', () => { console.log('ends'); process.exit(); });
console.log('environment', Object.keys(process.env).join());
console.error('on stderr');
require('node:fs').rmSync(process.argv[2], { force: true });
const server = createServer((socket) => socket.on('error', () => socket.destroy()));
server.listen(process.argv[2]);
`;

test('the plugin server: no environment, its lines in the log, started again, SIGTERM', async (t) => {
  const folder = await temporaryFolder(t);
  const socketPath = join(folder, 'own.socket');
  await writeFile(join(folder, 'server.cjs'), SERVER);
  await writeFile(join(folder, 'dump.json'), JSON.stringify({ Plugins: [PROBE] }));
  const command = `'${process.execPath}' '${join(folder, 'server.cjs')}' '${socketPath}'`;
  const gateway = await startGateway({
    server: {
      socketPath,
      queryCmd: `cat '${join(folder, 'dump.json')}'`,
      startCmd: command,
    },
  });
  const first = gateway.serverPid();
  assert.ok(first);
  gateway.killPluginServer('SIGKILL');
  const hasRestarted = (): boolean => ![undefined, first].includes(gateway.serverPid());
  for (let tries = 0; tries < 200 && !hasRestarted(); tries++) await sleep(20);
  const second = gateway.serverPid();
  assert.ok(hasRestarted());
  const hasSpoken = (): boolean =>
    gateway.log.filter((line) => /on stderr/.test(line)).length === 2;
  for (let tries = 0; tries < 200 && !hasSpoken(); tries++) await sleep(20);
  await gateway.stop();
  const own = gateway.log.filter((line) => line.includes(`[probe:${String(second)}]`));
  assert.deepEqual(
    own.map((line) => line.replace(/.*\] /, '')),
    ['environment PWD', 'on stderr', 'ends'],
  );
  assert.ok(own.every((line) => line.startsWith('[info]')));
  assert.equal(gateway.serverPid(), undefined);
});

const badDumps: { [fault: string]: string } = {
  'a log line before the JSON': `WARN\n${JSON.stringify([PROBE])}`,
  'no plugin': '[]',
  'a version of two numbers': JSON.stringify([{ ...PROBE, Version: '1.0' }]),
  'a priority that is no integer': JSON.stringify([{ ...PROBE, Priority: 1.5 }]),
  'an unknown protocol': JSON.stringify({ Protocol: 'gRPC:1', Plugins: [PROBE] }),
};

for (const [fault, dump] of Object.entries(badDumps)) {
  test(`Kong does not start with ${fault} in the dump`, async (t) => {
    const folder = await temporaryFolder(t);
    await writeFile(join(folder, 'dump'), dump);
    const server = { socketPath: join(folder, 'x'), queryCmd: `cat '${join(folder, 'dump')}'` };
    await assert.rejects(startGateway({ server }), /dump|plugin probe/);
  });
}

test('a port in use is reported, and nothing is left running', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'dump.json'), JSON.stringify([PROBE]));
  const other = await listening(t);
  const address = other.address();
  assert.ok(typeof address === 'object' && address !== null);
  const server = {
    socketPath: join(folder, 'x'),
    queryCmd: `cat '${join(folder, 'dump.json')}'`,
    startCmd: 'sleep 60',
  };
  await assert.rejects(startGateway({ server, proxyPort: address.port }), {
    code: 'EADDRINUSE',
    port: address.port,
  });
});

async function listening(t: TestContext): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return server;
}
