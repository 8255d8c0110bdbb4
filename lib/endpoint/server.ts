import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Log } from '../log.ts';
import { isOwnName, isLoopback } from './address.ts';
import type { Address } from './address.ts';
import { HttpError, plain } from './answer.ts';
import type { HttpAnswer, HttpHandler, HttpRequest } from './answer.ts';

/** Bytes of a form: ours have a token and a few words. */
const MAX_BODY = 8192;
const TIMEOUT = 10_000;
const MAX_CONNECTIONS = 100;

/** An HTTP server of a few pages for a few readers, that asks `handlers` in turn. It does not listen yet. */
export function createEndpointServer(
  address: Address,
  handlers: readonly HttpHandler[],
  log: Log,
): Server {
  // Where the whole network can ask, a token says who may; nobody needs to go by the name.
  const checksName = isLoopback(address.host);
  const listener: RequestListener = (message, response) => {
    void answer(message, handlers, checksName)
      .catch((err: unknown) => {
        if (err instanceof HttpError) return plain(err.status, err.message);
        log.error({ event: 'endpoint_failed', err }, 'could not answer');
        return plain(500, 'internal error');
      })
      .then((result) => write(response, message, result));
  };
  const server = createServer({ requestTimeout: TIMEOUT, headersTimeout: TIMEOUT }, listener);
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

async function answer(
  message: IncomingMessage,
  handlers: readonly HttpHandler[],
  checksName: boolean,
): Promise<HttpAnswer> {
  if (checksName && !isOwnName(message.headers.host)) {
    return plain(421, 'ask for this endpoint by its IP address or as localhost');
  }
  const request = toRequest(message);
  for (const handler of handlers) {
    const result = await handler(request);
    if (result) return result;
  }
  return plain(404, 'not found');
}

function toRequest(message: IncomingMessage): HttpRequest {
  const method = message.method === 'HEAD' ? 'GET' : message.method;
  if (method !== 'GET' && method !== 'POST') throw new HttpError(405, 'GET, HEAD or POST');
  const target = message.url ?? '';
  if (!target.startsWith('/') || !URL.canParse(target, 'http://endpoint')) {
    throw new HttpError(400, 'bad target');
  }
  const url = new URL(target, 'http://endpoint');
  return {
    method,
    path: url.pathname,
    query: url.searchParams,
    headers: message.headers as HttpRequest['headers'],
    form: () => readForm(message),
  };
}

async function readForm(message: IncomingMessage): Promise<URLSearchParams> {
  const type = message.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/x-www-form-urlencoded') throw new HttpError(415, 'a form is expected');
  const length = Number(message.headers['content-length'] ?? NaN);
  if (!(length <= MAX_BODY)) throw new HttpError(413, 'the form is too long, or has no length');
  return new URLSearchParams(await text(message));
}

function write(
  response: ServerResponse,
  { method }: IncomingMessage,
  { status, headers, body }: HttpAnswer,
): void {
  response.writeHead(status, {
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'Content-Length': Buffer.byteLength(body),
    ...headers,
  });
  response.end(method === 'HEAD' ? undefined : body);
}
