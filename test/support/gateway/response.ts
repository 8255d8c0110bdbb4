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
  const single: HeaderLine[] = [];
  const others: HeaderLine[] = [];
  for (const line of upstream.lines) {
    const [name, value] = line;
    const lower = name.toLowerCase();
    if (lower === 'content-type') single.push([name, withCharset(value)]);
    else if (SINGLE.has(lower)) single.push(line);
    else if (!HOP_BY_HOP.has(lower) && !listed.has(lower)) others.push(line);
  }
  const own = exchange.responseHeaders.lines.filter(
    ([name]) => !SINGLE.has(name.toLowerCase()) || !upstream.has(name),
  );
  return new Headers([
    ...single,
    ...own,
    ...others,
    ['Server', upstream.first('server') ?? KONG_VERSION],
    ...upstreamLatency(exchange, sentAt, upstream.first('via')),
    ['X-Kong-Request-Id', exchange.requestId],
  ]);
}
