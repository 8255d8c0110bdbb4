import { createHash } from 'node:crypto';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: [string, string][];
  readonly body: Buffer;
}

export interface Upstream {
  readonly port: number;
  readonly seen: Seen[];
  close(): void;
}

/** The upstream of the recordings: `ok`, two cookies on /cookie, any status, a closed connection, a WebSocket echo. */
export async function startUpstream(): Promise<Upstream> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    void serve(request, response, seen);
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    seen.push(view(request, Buffer.alloc(0)));
    acceptWebSocket(request, socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { port, seen, close };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  seen: Seen[],
): Promise<void> {
  const chunks = (await request.toArray()) as Buffer[];
  seen.push(view(request, Buffer.concat(chunks)));
  const path = request.url ?? '';
  if (path === '/close') return void request.socket.destroy();
  response.sendDate = false;
  response.statusCode = Number(/^\/status\/(\d+)/.exec(path)?.[1] ?? 200);
  if (path === '/cookie') response.setHeader('Set-Cookie', ['up=1; Path=/', 'up2=2']);
  response.setHeader('Content-Type', 'text/plain').setHeader('Content-Length', 2).end('ok');
}

function view(request: IncomingMessage, body: Buffer): Seen {
  const { rawHeaders: raw } = request;
  const headers = raw.flatMap((name, i): [string, string][] =>
    i % 2 ? [] : [[name, raw[i + 1] ?? '']],
  );
  return { method: request.method ?? '', url: request.url ?? '', headers, body };
}

/** RFC 6455 §4.2.2, and an echo of the first frame's payload, unmasked. */
function acceptWebSocket(request: IncomingMessage, socket: Duplex): void {
  const key = request.headers['sec-websocket-key'] ?? '';
  const accept = createHash('sha1')
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\nSet-Cookie: up=1; Path=/\r\n\r\n`,
  );
  socket.on('data', (frame: Buffer) => {
    const payload = frame.subarray(6).map((byte, i) => byte ^ (frame[2 + (i % 4)] ?? 0));
    socket.write(Buffer.concat([Buffer.of(0x81, payload.length), payload]));
  });
  socket.on('error', () => socket.destroy());
}
