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
import {
  type HeaderMap,
  type Ports,
  assertBody,
  assertRequest,
  headerMap,
  pluginLines,
} from './traces/compare.ts';
import { Peer, earlierEvent } from './traces/peer.ts';
import { closedPort, recordedPlugin, recordedPorts } from './traces/recorded.ts';
import {
  type Exchange,
  type RecordedRequest,
  type Trace,
  argumentOf,
  eventOf,
  loadTraces,
  member,
  methodOf,
  textOf,
} from './traces/trace.ts';
import { type Upstream, startUpstream } from './traces/upstream.ts';
import { show } from './traces/wire.ts';
import { type Defaults, PEOPLE, type World, createWorld, pluginPhrases } from './traces/world.ts';

/** Traces that the stand-in cannot replay, with the reason. */
const NOT_REPLAYED: ReadonlyMap<string, string> = new Map([
  [
    '08-exit-with-other-plugins',
    'response-transformer and correlation-id, which nothing else needs; header filters on an exit: 14-exit-with-cors',
  ],
  [
    '16-idle-60s',
    "takes a minute: the pool's 60 s are asserted with a mocked clock in gateway-failures.test.ts",
  ],
]);

/** Headers in which the stand-in differs, and why that does no harm. */
const DIFFERENT: ReadonlyMap<string, { readonly header: string; readonly reason: string }> =
  new Map([
    [
      '04-body-none',
      {
        header: 'transfer-encoding',
        reason: "node's client frames every POST; nginx sends none here",
      },
    ],
    [
      '14-websocket-exit',
      {
        header: 'connection',
        reason: 'node gives up its parser at an upgrade, so the socket is closed',
      },
    ],
  ]);

/** Requests that had been made within the same minute, by the consumer they ended with. */
const EARLIER: { readonly [trace: string]: readonly (keyof typeof PEOPLE)[] } = {
  '17-full-session': ['alice'],
  '17-full-session-only-cookie': ['alice', 'alice'],
  '17-scoped-rate-limiting-429': ['alice'],
};

/** A body that the trace cannot show as text. */
const BODIES: { readonly [trace: string]: Buffer } = {
  '04-body-raw-binary': Buffer.from('AP+ACg==', 'base64'),
};

describe('the stand-in talks to a plugin server as Kong did', () => {
  const traces = loadTraces(TRACES);
  let folder = '';
  let upstream: Upstream;
  let tls: Certificate;
  let deadPort = 0;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kong-traces-'));
    await writeFile(join(folder, 'dump.json'), JSON.stringify([recordedPlugin()]));
    upstream = await startUpstream();
    tls = await createCertificate();
    deadPort = await closedPort();
  });

  after(async () => {
    upstream.close();
    await rm(folder, { recursive: true });
  });

  for (const trace of traces) {
    const reason = NOT_REPLAYED.get(trace.name);
    const difference = DIFFERENT.get(trace.name);
    if (difference)
      console.log(`DIFFERENT: ${trace.name}: ${difference.header}: ${difference.reason}`);
    if (reason !== undefined) console.log(`NOT REPLAYED: ${trace.name}: ${reason}`);
    else test(trace.name, () => replay(trace));
  }

  async function replay(trace: Trace): Promise<void> {
    const world = createWorld(trace, pluginPhrases(trace, traces), {
      defaults: recordedDefaults(traces),
      upstreamPort: upstream.port,
      deadPort,
    });
    const socketPath = join(folder, 'peer.sock');
    const peer = await Peer.listen(socketPath);
    const gateway = await startGateway({
      server: { socketPath, queryCmd: `cat '${join(folder, 'dump.json')}'` },
      entities: world.entities,
      env: trace.environment,
      workers: trace.name === '01-two-workers' ? 2 : 1,
      tls,
    });
    try {
      await replayOn(trace, { gateway, peer, world });
    } finally {
      await gateway.stop();
      await peer.close();
    }
  }

  async function replayOn(
    trace: Trace,
    { gateway, peer, world }: { gateway: Gateway; peer: Peer; world: World },
  ): Promise<void> {
    const ports: Ports = {
      proxy: Number(new URL(gateway.proxyUrl).port),
      secure: Number(new URL(gateway.proxySslUrl).port),
      upstream: upstream.port,
    };
    await prepare(trace, { peer, world, ports });
    upstream.seen.length = 0;
    const logged = gateway.log.length;
    peer.play(trace.exchanges);
    const answers = await sendAll(trace, ports);
    assert.deepEqual(peer.unexpected, []);
    assert.deepEqual(peer.left.map(methodOf), [], 'recorded requests that were not made');
    assertConversation(trace, peer, ports);
    answers.forEach((answer, i) => assertAnswer(answer, trace, i));
    assertUpstream(trace, upstream, ports);
    assert.deepEqual(pluginLines(gateway.log.slice(logged)), pluginLines(trace.kongLog));
  }
});

/** Brings the stand-in to where the trace begins: an instance runs, counters are used, the server is dead. */
async function prepare(
  trace: Trace,
  { peer, world, ports }: { peer: Peer; world: World; ports: Ports },
): Promise<void> {
  const [first] = trace.exchanges;
  const isStarting = first !== undefined && methodOf(first) === 'plugin.StartInstance';
  const closing = trace.exchanges.find((exchange) => methodOf(exchange) === 'plugin.CloseInstance');
  const isDead = trace.kongLog.some((line) => line.includes('trying to connect'));
  if (!isDead && first === undefined) return;
  if (isStarting && closing === undefined) return;
  const stale =
    closing === undefined ? first && member(argumentOf(first), 'InstanceId') : argumentOf(closing);
  const instance = stale ?? 0;
  const consumers = EARLIER[trace.name] ?? [];
  const [start] = earlierEvent(instance);
  const script = [undefined, ...consumers].flatMap((name) =>
    earlierEvent(instance, name && PEOPLE[name]).slice(1),
  );
  peer.play(start === undefined ? script : [start, ...script]);
  await awayFromMinuteEnd(trace);
  const request = withoutKey(trace);
  for (const _ of [undefined, ...consumers]) if (request) await send(request, ports, trace.name);
  assert.deepEqual(peer.unexpected, []);
  if (closing !== undefined) world.touchPlugins();
  if (isDead) await peer.die();
}

/** The trace's request, but anonymous where that is allowed: it must not use up a counter of alice's. */
function withoutKey(trace: Trace): RecordedRequest | undefined {
  const [request] = trace.requests;
  if (request?.lines === undefined || !trace.plugins.includes('key-auth {anonymous'))
    return request;
  return { ...request, lines: request.lines.filter((header) => !header.startsWith('apikey')) };
}

/** Rate limits count by the minute of the clock. */
async function awayFromMinuteEnd(trace: Trace): Promise<void> {
  const left = 60_000 - (Date.now() % 60_000);
  if (trace.name.startsWith('17-') && left < 5_000) await sleep(left);
}

const isConcurrent = ({ responses }: Trace): boolean =>
  responses.some(({ sentAtMs }, i) => i > 0 && sentAtMs < (responses[i - 1]?.doneAtMs ?? 0));

async function sendAll(trace: Trace, ports: Ports): Promise<Answer[]> {
  if (isConcurrent(trace)) {
    return Promise.all(trace.requests.map((request) => send(request, ports, trace.name)));
  }
  const answers: Answer[] = [];
  for (const request of trace.requests) answers.push(await send(request, ports, trace.name));
  return answers;
}

function send(request: RecordedRequest, ports: Ports, name: string): Promise<Answer> {
  const body = BODIES[name] ?? requestBody(request.body);
  if (request.http2 !== undefined) return sendHttp2(ports.secure, request, body);
  return sendLines(ports.proxy, request, body);
}

/** Every request of Kong, and of the same event in the same order; concurrent events may change places. */
function assertConversation(trace: Trace, peer: Peer, ports: Ports): void {
  if (isConcurrent(trace)) {
    const own = peer.received.map(({ method, argument }) => line(method, show(argument) as Json));
    const recorded = trace.exchanges.map((exchange) =>
      line(methodOf(exchange), argumentOf(exchange)),
    );
    assert.deepEqual(own.toSorted(), recorded.toSorted());
    return;
  }
  const calls = new Map<Json | undefined, string>();
  for (const received of peer.received) {
    const event = eventOf(received.expected);
    assertRequest(received, calls.get(event), ports);
    calls.set(event, nextCall(received.expected));
  }
}

/** The PDK call that the answer asks for; of a variable with its name. */
function nextCall({ reply }: Exchange): string {
  const data = member(reply?.frame[3], 'Data');
  const name = textOf(member(data, 'Method'));
  const parameters = member(data, 'Args');
  const [first] = Array.isArray(parameters) ? parameters : [];
  return /get_(var|ctx)$/.test(name) ? `${name} ${textOf(first)}` : name;
}

/** A request without the ids that tell events and instances apart. */
const line = (method: string, argument: Json): string =>
  `${method} ${JSON.stringify(member(argument, 'Data') ?? null)}`;

function assertAnswer(answer: Answer, trace: Trace, i: number): void {
  const recorded = trace.responses[i];
  assert.ok(recorded);
  assert.equal(answer.status, recorded.status);
  assertHeaders(trace, headerMap(answer.headers), headerMap(recorded.headers));
  assertBody(answer.body, recorded.body);
  assert.equal(answer.websocketEcho, recorded.websocketEcho);
}

function assertHeaders(trace: Trace, own: HeaderMap, recorded: HeaderMap): void {
  const header = DIFFERENT.get(trace.name)?.header;
  if (header !== undefined) delete own[header];
  if (header !== undefined) delete recorded[header];
  assert.deepEqual(own, recorded);
}

const byPath = <T extends { url: string }>(requests: readonly T[]): T[] =>
  requests.toSorted((a, b) => a.url.localeCompare(b.url));

function assertUpstream(trace: Trace, { seen }: Upstream, ports: Ports): void {
  // How often nginx tries again depends on its pool: one more than `retries` at least.
  const isRetried =
    new Set(seen.map(({ url }) => url)).size < seen.length && trace.responses.length === 1;
  const own = isRetried ? seen.slice(0, 1) : seen;
  const recorded = isRetried ? trace.upstream.slice(0, 1) : trace.upstream;
  assert.equal(own.length, recorded.length, 'requests that reached the upstream');
  byPath(own).forEach((request, i) => {
    const expected = byPath(recorded)[i];
    assert.ok(expected);
    assert.equal(`${request.method} ${request.url}`, `${expected.method} ${expected.url}`);
    const headers = headerMap(request.headers, recordedPorts(ports));
    assertHeaders(trace, headers, headerMap(expected.headers));
    const bytes = BODIES[trace.name];
    if (bytes === undefined) assertBody(request.body, expected.body);
    else assert.deepEqual(request.body, bytes);
  });
}

function recordedDefaults(traces: readonly Trace[]): Defaults {
  const config = traces.find(({ name }) => name === '01-start-default-config')?.config;
  assert.ok(typeof config === 'object' && config !== null && !Array.isArray(config));
  return config;
}
