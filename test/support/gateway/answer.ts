import type { Exchange } from './exchange.ts';
import { type Exit, HANDLED_STATUSES, JSON_TYPE, NGINX_TITLES, errorExit } from './exit.ts';
import { Headers, type HeaderLine, headerValues, withCharset } from './headers.ts';
import { encodeJson, entries, isTable } from './lua.ts';

export const KONG_VERSION = 'kong/3.9.1';

/** A response ready to leave, but for the headers that belong to the connection. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

/**
 * What an exit looks like on the wire: kong.response.exit and the pages of nginx. `filterHeaders` runs where Kong's
 * header_filter phase does, between the exit's own headers and those of the proxy.
 */
export function answerExit(exchange: Exchange, exit: Exit, filterHeaders: () => void): Answer {
  const { responseHeaders: headers } = exchange;
  if (exit.body === undefined && HANDLED_STATUSES.has(exit.status)) {
    return answerExit(exchange, handledError(exchange, exit.status), filterHeaders);
  }
  for (const [name, value] of entries(exit.headers)) headers.set(String(name), headerValues(value));
  filterHeaders();
  if (exit.body !== undefined) return answerBody(exchange, exit);
  const title = NGINX_TITLES[exit.status];
  const body = title === undefined ? '' : nginxPage(title);
  const lines: HeaderLine[] = [['Date', new Date().toUTCString()]];
  if (title !== undefined) {
    // nginx's charset filter leaves redirects alone.
    const charset = exit.status < 400 ? '' : '; charset=UTF-8';
    lines.push(['Content-Type', `text/html${charset}`]);
  }
  if (exit.status !== 204 && exit.status !== 304)
    lines.push(['Content-Length', String(body.length)]);
  const own = headers.lines.filter(([name]) => !isBodyHeader(name));
  return finish(exchange, exit.status, [...lines, ...own], body);
}

function answerBody(exchange: Exchange, exit: Exit): Answer {
  const { responseHeaders: headers } = exchange;
  const isJson = isTable(exit.body);
  const body = isTable(exit.body) ? encodeJson(exit.body) : (exit.body ?? '');
  const type = headers.first('content-type') ?? (isJson ? JSON_TYPE : undefined);
  const lines: HeaderLine[] = [['Date', new Date().toUTCString()]];
  if (type !== undefined) lines.push(['Content-Type', withCharset(type)]);
  const own = headers.lines.filter(([name]) => !isBodyHeader(name));
  return finish(
    exchange,
    exit.status,
    [...lines, ...own, ['Content-Length', String(body.length)]],
    body,
  );
}

/** kong_error_handler: the format of Accept, else of Content-Type, else plain text (error_handlers.lua). */
export function handledError(exchange: Exchange, status: number): Exit {
  const format = exchange.header('accept') ?? exchange.header('content-type') ?? 'text/plain';
  // 494 is nginx's own; the client gets 400 with its message.
  const fault = status === 494 ? { status: 400, message: TOO_LARGE } : { status };
  return errorExit(fault, format, exchange.requestId);
}

const TOO_LARGE = 'Request header or cookie too large';

const isBodyHeader = (name: string): boolean => /^content-(type|length)$/i.test(name);

const nginxPage = (title: string): string =>
  `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n` +
  `<center><h1>${title}</h1></center>\r\n</body>\r\n</html>\r\n`;

function finish(exchange: Exchange, status: number, lines: HeaderLine[], body: string): Answer {
  const latency: HeaderLine[] = exchange.proxied
    ? [...upstreamLatency(exchange, Date.now()), ['Server', KONG_VERSION]]
    : [
        ['X-Kong-Response-Latency', String(Date.now() - exchange.startedAt)],
        ['Server', KONG_VERSION],
      ];
  const headers = new Headers([...lines, ...latency, ['X-Kong-Request-Id', exchange.requestId]]);
  return { status, headers, body: Buffer.from(body, 'latin1') };
}

/** The headers of a response that came from the upstream, or should have. */
export function upstreamLatency(exchange: Exchange, sentAt: number, via?: string): HeaderLine[] {
  const own = `1.1 ${KONG_VERSION}`;
  return [
    ['X-Kong-Upstream-Latency', String(Date.now() - sentAt)],
    ['X-Kong-Proxy-Latency', String(sentAt - exchange.startedAt)],
    ['Via', via === undefined ? own : `${via}, ${own}`],
  ];
}
