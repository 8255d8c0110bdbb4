import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

import { upstreamLatency, KONG_VERSION } from './answer.ts';
import type { Exchange } from './exchange.ts';
import { Headers } from './headers.ts';
import { type Target, openRequest } from './upstream.ts';

/**
 * Hands an upgrade to the upstream and joins the two sockets. Resolves with the upstream's response where it does not
 * upgrade, with undefined where it does.
 */
export function proxyUpgrade(
  exchange: Exchange,
  target: Target,
  client: { socket: Duplex; head: Buffer },
): Promise<IncomingMessage | undefined> {
  const sentAt = Date.now();
  return new Promise((resolve, reject) => {
    const request = openRequest(exchange, target);
    request.on('error', reject);
    request.on('response', resolve);
    request.on('upgrade', (response, socket, head) => {
      client.socket.write(upgradeHead(exchange, response, sentAt), 'latin1');
      socket.unshift(head);
      client.socket.unshift(client.head);
      join(socket, client.socket);
      resolve(undefined);
    });
    request.end();
  });
}

function upgradeHead(exchange: Exchange, response: IncomingMessage, sentAt: number): string {
  const upstream = Headers.fromRaw(response.rawHeaders);
  const lines = [
    ['Connection', 'upgrade'],
    ...exchange.responseHeaders.lines,
    ...upstream.lines.filter(([name]) => !/^(connection|server|via)$/i.test(name)),
    ['Server', KONG_VERSION],
    ...upstreamLatency(exchange, sentAt),
    ['X-Kong-Request-Id', exchange.requestId],
  ];
  const text = lines.map(([name = '', value = '']) => `${name}: ${value}\r\n`).join('');
  return `HTTP/1.1 101 Switching Protocols\r\n${text}\r\n`;
}

function join(one: Duplex, other: Duplex): void {
  one.pipe(other).pipe(one);
  const part = (): void => {
    one.destroy();
    other.destroy();
  };
  for (const socket of [one, other]) socket.on('error', part).on('close', part);
}
