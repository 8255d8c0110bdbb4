import {
  type Agent,
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
} from 'node:http';
import { request as httpsRequest } from 'node:https';

import { KONG_VERSION } from './answer.ts';
import type { Entity } from './entities.ts';
import type { Exchange } from './exchange.ts';
import { Headers, type HeaderLine } from './headers.ts';
import { text } from './plugins/plugin.ts';

/** Headers of the request that end at the proxy; nginx and the runloop write their own. */
const PROXY_HEADERS = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-path',
  'x-forwarded-port',
  'x-forwarded-prefix',
  'x-forwarded-proto',
  'x-kong-request-id',
  'x-real-ip',
]);

export const isWebSocket = (exchange: Exchange): boolean =>
  exchange.header('upgrade')?.toLowerCase() === 'websocket';

/** The request's headers as the upstream gets them (runloop/handler.lua, access). */
export function upstreamHeaders(exchange: Exchange, service: Entity, body: Buffer): Headers {
  dropConnectionHeaders(exchange);
  const host = exchange.upstreamHost ?? `${text(service['host'])}:${text(service['port'])}`;
  const lines: HeaderLine[] = [
    ['Via', viaHeader(exchange)],
    ['Host', host],
  ];
  const isUpgrade = isWebSocket(exchange);
  if (isUpgrade) lines.push(['Upgrade', 'websocket']);
  lines.push(['Connection', isUpgrade ? 'keep-alive, Upgrade' : 'keep-alive']);
  lines.push(...forwardedHeaders(exchange));
  const hasLength = exchange.headers.has('content-length') || body.length > 0;
  if (hasLength) lines.push(['Content-Length', String(body.length)]);
  for (const line of exchange.headers.lines) {
    if (!PROXY_HEADERS.has(line[0].toLowerCase())) lines.push(line);
  }
  return new Headers(lines);
}

const VIA_VERSIONS = { '1.0': '1', '1.1': '1.1', '2.0': '2' };

function viaHeader(exchange: Exchange): string {
  const version = VIA_VERSIONS[exchange.incoming.httpVersion];
  const earlier = exchange.header('via');
  return `${earlier === undefined ? '' : `${earlier}, `}${version} ${KONG_VERSION}`;
}

function forwardedHeaders(exchange: Exchange): HeaderLine[] {
  const { incoming } = exchange;
  const earlier = exchange.header('x-forwarded-for');
  const from = incoming.peer.address;
  const forwarded: [string, string | undefined][] = [
    ['X-Forwarded-Proto', incoming.scheme],
    ['X-Forwarded-Host', exchange.host],
    ['X-Forwarded-Port', String(incoming.localPort)],
    ['X-Forwarded-Path', exchange.rawPath],
    ['X-Forwarded-Prefix', exchange.match?.prefix],
  ];
  return [
    ['X-Forwarded-For', earlier === undefined ? exchange.remoteAddress : `${earlier}, ${from}`],
    ...forwarded.map(([name, own]): HeaderLine => [
      name,
      exchange.trustedHeader(name) ?? own ?? '',
    ]),
    ['X-Real-IP', exchange.remoteAddress],
    ['X-Kong-Request-Id', exchange.requestId],
  ];
}

/** What the client lists in Connection goes away after the plugins ran, whoever set it (kong/runloop/handler.lua). */
function dropConnectionHeaders(exchange: Exchange): void {
  for (const name of exchange.headers.all('connection').join(',').split(',')) {
    const listed = name.trim().toLowerCase();
    if (listed !== '' && listed !== 'upgrade') exchange.headers.delete(listed);
  }
}

export interface Target {
  readonly service: Entity;
  readonly agent: Agent | undefined;
  readonly headers: Headers;
}

/** Opens the request to the upstream; its body, if any, is still to be written. */
export function openRequest(
  exchange: Exchange,
  { service, agent, headers }: Target,
): ClientRequest {
  const open = service['protocol'] === 'https' ? httpsRequest : httpRequest;
  const hasQuery = exchange.args !== '' || exchange.incoming.target.endsWith('?');
  return open({
    host: text(service['host']),
    port: Number(service['port']),
    method: exchange.incoming.method,
    path: `${exchange.match?.upstreamPath ?? '/'}${hasQuery ? `?${exchange.args}` : ''}`,
    headers: headers.toRaw(),
    setHost: false,
    agent,
  });
}

/** Sends the request and waits for the head of the response; rejects where the upstream gives none. */
export function sendRequest(
  exchange: Exchange,
  target: Target,
  body: Buffer,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = openRequest(exchange, target);
    request.on('response', resolve);
    request.on('error', reject);
    // An empty chunk would be a second part of the write.
    if (body.length > 0) request.end(body);
    else request.end();
  });
}
