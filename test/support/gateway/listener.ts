import {
  IncomingMessage,
  STATUS_CODES,
  type Server,
  type ServerResponse,
  createServer,
} from 'node:http';
import { type Http2ServerRequest, type Http2ServerResponse, createSecureServer } from 'node:http2';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

import type { Incoming } from './exchange.ts';
import { Headers, type HeaderLine } from './headers.ts';

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

/** What serves the requests of a listener. */
export interface Handler {
  request(incoming: Incoming, respond: Respond): void;
  upgrade(incoming: Incoming, client: { socket: Duplex; head: Buffer }): void;
}

/** Sends the head; the stream takes the body. */
export type Respond = (status: number, headers: Headers) => NodeJS.WritableStream;

/** Node's own limit is above nginx's, which the worker enforces. */
const OPTIONS = { maxHeaderSize: 256 * 1024, keepAliveTimeout: 65_000 };

export function createPlainListener(handler: Handler): Server {
  return wire(createServer(OPTIONS), handler);
}

/** HTTPS with HTTP/2 where the client offers it. */
export function createSecureListener(
  tls: { key: string | Buffer; cert: string | Buffer },
  handler: Handler,
): NetServer {
  const settings = { maxHeaderListSize: 256 * 1024 };
  return wire(createSecureServer({ ...OPTIONS, ...tls, allowHTTP1: true, settings }), handler);
}

function wire<T extends NetServer>(server: T, handler: Handler): T {
  server.on('request', (request: Request, response: Response) => {
    handler.request(new IncomingRequest(request), (status, headers) =>
      writeHead(response, status, headers),
    );
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    handler.upgrade(new IncomingRequest(request), { socket, head });
  });
  return server;
}

class IncomingRequest implements Incoming {
  readonly method: string;
  readonly target: string;
  readonly httpVersion: Incoming['httpVersion'];
  readonly scheme: Incoming['scheme'];
  readonly headers: Headers;
  readonly peer: Incoming['peer'];
  readonly localPort: number;
  readonly tlsProtocol: string | undefined;
  readonly #request: Request;

  constructor(request: Request) {
    const socket = request.socket;
    this.#request = request;
    this.method = request.method ?? 'GET';
    this.target = request.url ?? '/';
    this.httpVersion = request.httpVersion as Incoming['httpVersion'];
    this.scheme = 'encrypted' in socket && socket.encrypted ? 'https' : 'http';
    this.headers = headersOf(request);
    this.peer = {
      address: (socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
      port: socket.remotePort ?? 0,
    };
    this.localPort = socket.localPort ?? 0;
    this.tlsProtocol =
      socket instanceof TLSSocket ? (socket.getProtocol() ?? undefined) : undefined;
  }

  async readBody(): Promise<Buffer> {
    const request = this.#request;
    if (request instanceof IncomingMessage && request.complete) {
      return (request.read() as Buffer | null) ?? Buffer.alloc(0);
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  }

  abort(): void {
    const request = this.#request;
    if ('stream' in request) request.stream.close();
    else request.destroy();
  }
}

/** HTTP/2: `:authority` is Host, the crumbs of Cookie are one header (RFC 9113 8.2.3). */
function headersOf(request: Request): Headers {
  const sent = Headers.fromRaw(request.rawHeaders);
  if (request.httpVersionMajor < 2) return sent;
  const { lines } = sent;
  const authority = lines.find(([name]) => name === ':authority');
  const fields = lines.filter(([name]) => !name.startsWith(':') && name !== 'host');
  const headers = new Headers([
    ...(authority ? [['Host', authority[1]] as HeaderLine] : []),
    ...fields,
  ]);
  const cookies = headers.all('cookie');
  if (cookies.length > 0) headers.set('cookie', [cookies.join('; ')]);
  return headers;
}

/** HTTP/1: the lines as they are, in their order; HTTP/2: lower-case names, no connection headers. */
function writeHead(response: Response, status: number, headers: Headers): NodeJS.WritableStream {
  response.sendDate = false;
  if ('stream' in response) {
    const fields: { [name: string]: string[] } = {};
    for (const [name, value] of headers.lines) {
      if (!/^(connection|upgrade)$/i.test(name)) (fields[name.toLowerCase()] ??= []).push(value);
    }
    response.writeHead(status, fields);
    return response;
  }
  const connection = response.shouldKeepAlive ? 'keep-alive' : 'close';
  const raw = ['Connection', connection, ...headers.toRaw()];
  response.writeHead(status, STATUS_CODES[status] ?? '', raw);
  return response;
}

/** The ports of a gateway, closed together with the connections that are still open. */
export class Listeners {
  readonly #host: string;
  readonly #servers: NetServer[] = [];
  readonly #sockets = new Set<Socket>();

  constructor(host: string) {
    this.#host = host;
  }

  /** Resolves with the port; rejects with node's EADDRINUSE where it is taken. */
  async open(server: NetServer, port = 0): Promise<number> {
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, this.#host, resolve);
    });
    this.#servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closing = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closing);
  }
}
