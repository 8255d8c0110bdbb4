import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** What the upstream saw of a request. Header values and the body are byte strings (latin1). */
export interface Echo {
  readonly method: string;
  /** As sent: path and query. */
  readonly path: string;
  /** Names in lower case; a name that came more than once has an array. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

export interface Upstream {
  readonly port: number;
  readonly url: string;
  /** How many requests arrived so far: a test that expects none compares. */
  readonly count: () => number;
  close(): Promise<void>;
}

/**
 * The echo server: every path answers 200 with an Echo as JSON, `/status/N` answers N, `/cookie`
 * also sets the cookie `up=1`, and a WebSocket handshake is answered 101 with the Echo as first text message.
 */
export async function startUpstream(port = 0, host = '127.0.0.1'): Promise<Upstream> {
  let count = 0;
  const server = createServer((request, response) => {
    count += 1;
    answer(request, response).catch(() => request.destroy()); // the client went away within its body
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    count += 1;
    greet(request, socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  return {
    port: bound,
    url: `http://127.0.0.1:${bound}`,
    count: () => count,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = JSON.stringify(echo(request, Buffer.concat(chunks)));
  const [path = ''] = (request.url ?? '').split('?');
  const status = Number(/^\/status\/([2-5]\d\d)$/.exec(path)?.[1] ?? 200);
  if (path === '/cookie') response.setHeader('Set-Cookie', 'up=1');
  response.setHeader('Content-Type', 'application/json');
  response.writeHead(status).end(status === 204 || status === 304 ? undefined : body);
}

function echo(request: IncomingMessage, body: Buffer): Echo {
  const entries = Object.entries(request.headersDistinct).map(([name, values = []]) => {
    const [first = ''] = values;
    return [name, values.length > 1 ? values : first] as const;
  });
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    headers: Object.fromEntries(entries),
    rawHeaders: request.rawHeaders,
    body: body.toString('latin1'),
  };
}

const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'; // RFC 6455 §1.3

function greet(request: IncomingMessage, socket: Duplex): void {
  socket.on('error', () => {}); // a client that resets is a client that left
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key'] ?? ''}${WEBSOCKET_GUID}`)
    .digest('base64');
  const head = [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${accept}`,
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  socket.write(textFrame(JSON.stringify(echo(request, Buffer.alloc(0)))));
  socket.end(Buffer.from([0x88, 0])); // Close, without a code
}

/** One unfragmented, unmasked text message of 126 to 65535 bytes, as every handshake's Echo is (RFC 6455 §5.2). */
function textFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  const head = Buffer.from([0x81, 126, 0, 0]);
  head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}

/** By hand, for a real Kong: `node --import tsx test/support/upstream.ts [port]`, on every interface. */
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const upstream = await startUpstream(Number(process.argv[2] ?? 9000), '0.0.0.0');
  console.log(`echoing on port ${upstream.port}`);
}
