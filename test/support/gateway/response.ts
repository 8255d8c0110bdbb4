import type { IncomingMessage } from 'node:http';

import { KONG_VERSION, upstreamLatency } from './answer.ts';
import type { Exchange } from './exchange.ts';
import { Headers, type HeaderLine, withCharset } from './headers.ts';

/** Headers of which nginx keeps one line: the upstream's replaces what plugins set. */
const SINGLE = new Set([
  'content-type',
  'content-length',
  'date',
  'etag',
  'last-modified',
  'location',
]);

/** Headers of the upstream that end at the proxy. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'via',
  'server',
]);

/** The upstream's head with what Kong adds: the plugins' headers first, the upstream's behind them. */
export function proxiedHeaders(
  exchange: Exchange,
  response: IncomingMessage,
  sentAt: number,
): Headers {
  const upstream = Headers.fromRaw(response.rawHeaders);
  const listed = new Set(
    upstream.all('connection').flatMap((value) => value.toLowerCase().split(/\s*,\s*/)),
  );
  const isKept = (name: string): boolean => !HOP_BY_HOP.has(name) && !listed.has(name);
  const single = upstream.lines.filter(([name]) => SINGLE.has(name.toLowerCase()));
  const others = upstream.lines.filter(
    ([name]) => !SINGLE.has(name.toLowerCase()) && isKept(name.toLowerCase()),
  );
  const own = exchange.responseHeaders.lines.filter(
    ([name]) => !SINGLE.has(name.toLowerCase()) || !upstream.has(name),
  );
  return new Headers([
    ...single.map(([name, value]): HeaderLine => [
      name,
      name.toLowerCase() === 'content-type' ? withCharset(value) : value,
    ]),
    ...own,
    ...others,
    ['Server', upstream.first('server') ?? KONG_VERSION],
    ...upstreamLatency(exchange, sentAt, upstream.first('via')),
    ['X-Kong-Request-Id', exchange.requestId],
  ]);
}
