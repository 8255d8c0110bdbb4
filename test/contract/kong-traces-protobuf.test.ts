import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Json } from '../support/gateway/entities.ts';
import { type Gateway, startGateway } from '../support/gateway/index.ts';
import { type Certificate, createCertificate } from '../support/tls.ts';
import { TRACES } from '../support/traces.ts';
import { type Answer, requestBody, sendHttp2, sendLines } from './traces/client.ts';
import { type HeaderMap, type Ports, assertBody, headerMap } from './traces/compare.ts';
import { ProtobufPeer } from './traces/protobuf-peer.ts';
import {
  type ProtobufTrace,
  commandOf,
  fieldOf,
  loadProtobufTraces,
  messageOf,
} from './traces/protobuf-trace.ts';
import { createProtobufWorld, pathOf } from './traces/protobuf-world.ts';
import { closedPort, recordedPlugin, recordedPorts } from './traces/recorded.ts';
import { type RecordedRequest, member, textOf } from './traces/trace.ts';
import { type Upstream, startUpstream } from './traces/upstream.ts';

const SHORTENED = 'the recording leaves out frames or bytes';
const CONCURRENT = 'which connection takes which request is chance';
const UNREAD = 'the peer of this test always reads; see gateway-protobuf.test.ts';
const OTHERWISE = 'as a test of its own in gateway-protobuf.test.ts';
const PROCESSES = 'several server processes: replayed for MsgPack:1 in kong-traces.test.ts, 13-*';

/** Traces that the stand-in cannot replay, by the beginning of their names, with the reason. */
const NOT_REPLAYED: readonly (readonly [name: string, reason: string])[] = [
  ['03-service-set-headers-big', SHORTENED],
  ['04-client-aborts', 'for a client that has left the stand-in does not go to the upstream'],
  ['03-ctx-get-odd', 'asks for what Kong keeps for itself in ngx.ctx'],
  ['03-header-long', 'recorded with larger header buffers than the default'],
  ['04-close-25-times', OTHERWISE],
  ['04-close-right-after-acts', SHORTENED],
  ['04-close-right-after-everything', SHORTENED],
  ['04-pipelined-many', SHORTENED],
  ['04-server-closes-after-every-return', OTHERWISE],
  ['04-two-events-out-of-order', CONCURRENT],
  ['01-reply-slow', CONCURRENT],
  ['05-killed', PROCESSES],
  ['05-socket-missing', PROCESSES],
  ['05-two-servers', OTHERWISE],
  ['05-reset-reaches-other-worker', CONCURRENT],
  ['05-unknown-instance-20-concurrent', OTHERWISE],
  ['06-idle-60s', 'takes a minute; the pool is the one of gateway-failures.test.ts'],
  ['06-two-workers', CONCURRENT],
  ['04-close-with-unread-answers', UNREAD],
  ['09-unread', UNREAD],
];

/** Headers in which the stand-in differs. */
const DIFFERENT: ReadonlyMap<string, string> = new Map([
  ['03-body-none', 'transfer-encoding'], // node's client frames every POST
  ['08-websocket-exit', 'connection'], // node gives up its parser at an upgrade
  ['12-close-instance-wrong-sequence', 'kong-request-id'], // of correlation-id
  ['12-config-change', 'kong-request-id'],
]);

/** Requests that had been made within the same minute. */
const EARLIER: { readonly [trace: string]: readonly RecordedRequest[] } = {
  '07-full-via-set-ctx': [{ lines: ['GET /full HTTP/1.1', 'Host: app.test', 'apikey: k-alice'] }],
};

/** A body that the trace cannot show as text. */
const BODIES: { readonly [trace: string]: Buffer } = {
  '03-body-binary': Buffer.from('AP8KDYBB', 'base64'),
};

describe('the stand-in talks ProtoBuf:1 as Kong did', { concurrency: 4 }, () => {
  const traces = loadProtobufTraces(new URL('protobuf/', TRACES));
  let folder = '';
  let tls: Certificate;
  let deadPort = 0;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kong-traces-'));
    await writeFile(
      join(folder, 'dump.json'),
      JSON.stringify({ Protocol: 'ProtoBuf:1', Plugins: [recordedPlugin()] }),
    );
    tls = await createCertificate();
    deadPort = await closedPort();
  });

  after(async () => {
    await rm(folder, { recursive: true });
  });

  for (const trace of traces) {
    const reason = NOT_REPLAYED.find(([name]) => trace.name.startsWith(name))?.[1];
    if (reason !== undefined) console.log(`NOT REPLAYED: ${trace.name}: ${reason}`);
    else test(trace.name, { timeout: 30_000 }, () => replay(trace));
  }

  async function replay(trace: ProtobufTrace): Promise<void> {
    const upstream = await startUpstream();
    const isDead = trace.requests.some((request) => pathOf(request) === '/dead');
    const world = createProtobufWorld(trace, isDead ? deadPort : upstream.port);
    const socketPath = join(folder, `${trace.name}.sock`);
    const peer = await ProtobufPeer.listen(socketPath);
    const gateway = await startGateway({
      server: { socketPath, queryCmd: `cat '${join(folder, 'dump.json')}'` },
      entities: world.entities,
      env: { MY_SECRET: 'vault-resolved-secret-0123456789abcdef' },
      ...(trace.timeoutMs !== undefined && { readTimeoutMs: trace.timeoutMs }),
      trustedIps: ['127.0.0.1'],
      tls,
    });
    try {
      for (const { id, ...plugin } of world.plugins) await putPlugin(gateway, id, plugin);
      await replayOn(trace, { gateway, peer, upstream });
    } finally {
      await gateway.stop();
      await peer.close();
      upstream.close();
    }
  }

  async function replayOn(
    trace: ProtobufTrace,
    { gateway, peer, upstream }: { gateway: Gateway; peer: ProtobufPeer; upstream: Upstream },
  ): Promise<void> {
    const ports: Ports = {
      proxy: Number(new URL(gateway.proxyUrl).port),
      secure: Number(new URL(gateway.proxySslUrl).port),
      upstream: upstream.port,
    };
    peer.prepare(knownInstances(trace));
    for (const request of warmUps(trace)) await send(request, ports, BODIES[trace.name]);
    // Any change of a plugin makes the old instances close.
    if (trace.items.some((item) => commandOf(item, 'close_instance') !== undefined)) {
      gateway.entities.put('plugins', { name: 'cors', config: {}, route: { id: 'elsewhere' } });
    }
    upstream.seen.length = 0;
    peer.play(trace.items);
    const answers: Answer[] = [];
    for (const [i, request] of trace.requests.entries()) {
      await sleep(Math.min(100, gapBefore(trace, i)));
      answers.push(await send(request, ports, BODIES[trace.name]));
    }
    await peer.finished();
    assert.deepEqual(peer.faults, []);
    for (const { own, recorded } of peer.configs) assert.deepEqual(config(own), config(recorded));
    answers.forEach((answer, i) => assertAnswer(answer, trace, i));
    assertUpstream(trace, upstream, ports);
  }
});

/** Ids that events name before any start in the trace gave them. */
function knownInstances({ items }: ProtobufTrace): number[] {
  const started = new Set<Json | undefined>();
  const known = new Set<number>();
  for (const item of items) {
    const status = messageOf(item) === 'RpcReturn' ? fieldOf(item, 'instance_status') : undefined;
    if (status !== undefined) started.add(member(status, 'instance_id') ?? 0);
    for (const command of ['handle_event', 'close_instance']) {
      const id = member(commandOf(item, command), 'instance_id');
      if (typeof id === 'number' && !started.has(id)) known.add(id);
    }
  }
  return [...known];
}

/** A request for each route whose instance must be known, and what counters must have counted. */
function warmUps(trace: ProtobufTrace): RecordedRequest[] {
  const count = knownInstances(trace).length;
  const seen = new Set<string>();
  const firsts = trace.requests.filter((request) => {
    const isFirst = !seen.has(pathOf(request));
    seen.add(pathOf(request));
    return isFirst;
  });
  return [...firsts.slice(0, count), ...(EARLIER[trace.name] ?? [])];
}

/** Milliseconds in which the ends of connections could be noticed. */
function gapBefore({ responses }: ProtobufTrace, i: number): number {
  const [earlier, own] = [responses[i - 1], responses[i]];
  return Math.max(0, (own?.sentAtMs ?? 0) - (earlier?.doneAtMs ?? own?.sentAtMs ?? 0));
}

function send(
  request: RecordedRequest,
  ports: Ports,
  body = requestBody(request.body),
): Promise<Answer> {
  if (request.http2 !== undefined) return sendHttp2(ports.secure, request, body);
  return sendLines(ports.proxy, request, body);
}

/** Without what differs between two gateways: the counter, the id of the workspace. */
function config(text: string): Json {
  const parsed = JSON.parse(text) as { [key: string]: Json };
  const key = textOf(parsed['__key__']).replace(/[^:]*$/, '');
  return { ...parsed, __seq__: 0, __ws_id: '', __key__: key };
}

function assertAnswer(answer: Answer, trace: ProtobufTrace, i: number): void {
  const recorded = trace.responses[i];
  assert.ok(recorded);
  assert.equal(answer.status, recorded.status);
  if (recorded.headers === undefined) return;
  assertHeaders(trace, headerMap(answer.headers), headerMap(recorded.headers));
  assertBody(answer.body, recorded.body);
}

function assertHeaders(trace: ProtobufTrace, own: HeaderMap, recorded: HeaderMap): void {
  const header = DIFFERENT.get(trace.name);
  if (header !== undefined) delete own[header];
  if (header !== undefined) delete recorded[header];
  assert.deepEqual(own, recorded);
}

function assertUpstream(trace: ProtobufTrace, { seen }: Upstream, ports: Ports): void {
  if (trace.upstream.length === 0) return;
  assert.equal(seen.length, trace.upstream.length, 'requests that reached the upstream');
  seen.forEach((request, i) => {
    const expected = trace.upstream[i];
    assert.ok(expected);
    assert.equal(`${request.method} ${request.url}`, `${expected.method} ${expected.url}`);
    const headers = headerMap(request.headers, recordedPorts(ports));
    assertHeaders(trace, headers, headerMap(expected.headers));
    assertBody(request.body, expected.body);
  });
}

async function putPlugin(gateway: Gateway, id: string, plugin: object): Promise<void> {
  const response = await fetch(`${gateway.adminUrl}/plugins/${id}`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(plugin),
  });
  assert.equal(response.status, 200, await response.text());
}
