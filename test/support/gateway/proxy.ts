import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { Answer } from './answer.ts';
import { Exchange, type Incoming, type Node } from './exchange.ts';
import { Headers } from './headers.ts';
import type { Handler, Respond } from './listener.ts';
import { variable } from './pdk/nginx.ts';
import { proxiedHeaders } from './response.ts';
import { type Target, sendRequest } from './upstream.ts';
import { proxyUpgrade } from './websocket.ts';
import { type Worker, upstreamFailed } from './worker.ts';

/** The request path: a worker decides, then the upstream or Kong itself answers. */
export class Proxy implements Handler {
  readonly #node: Node;
  readonly #nextWorker: () => Worker;

  constructor(node: Node, nextWorker: () => Worker) {
    this.#node = node;
    this.#nextWorker = nextWorker;
  }

  request(incoming: Incoming, respond: Respond): void {
    const exchange = this.#begin(incoming);
    this.#serve(exchange, respond).catch((error: unknown) => {
      // A client that went away ends here, and an upstream that broke off; anything else is a defect.
      this.#node.log.write('error', `request ${exchange.requestId}: ${String(error)}`);
      incoming.abort();
    });
  }

  upgrade(incoming: Incoming, client: { socket: Duplex; head: Buffer }): void {
    const exchange = this.#begin(incoming);
    this.#serveUpgrade(exchange, client).catch((error: unknown) => {
      this.#node.log.write('error', `request ${exchange.requestId}: ${String(error)}`);
      client.socket.destroy();
    });
  }

  async #serve(exchange: Exchange, respond: Respond): Promise<void> {
    const decision = await this.#nextWorker().decide(exchange);
    if ('answer' in decision) return send(decision.answer, respond);
    const sentAt = Date.now();
    let response: IncomingMessage;
    try {
      response = await sendWithRetries(exchange, decision.target, decision.body);
    } catch (error) {
      this.#node.log.write('error', `${String(error)} while reading response header from upstream`);
      return send(upstreamFailed(exchange, decision.outcome), respond);
    }
    decision.outcome.filterHeaders();
    const output = respond(response.statusCode ?? 502, proxiedHeaders(exchange, response, sentAt));
    if (response.complete) sendWhole(response, output);
    else await pipeline(response, output);
  }

  async #serveUpgrade(exchange: Exchange, client: { socket: Duplex; head: Buffer }): Promise<void> {
    const decision = await this.#nextWorker().decide(exchange);
    if ('answer' in decision) return sendRaw(decision.answer, client.socket);
    const sentAt = Date.now();
    try {
      const refusal = await proxyUpgrade(exchange, decision.target, client);
      if (refusal === undefined) return;
      const headers = proxiedHeaders(exchange, refusal, sentAt);
      const chunks = await refusal.toArray();
      const body = Buffer.concat(chunks as Buffer[]);
      sendRaw({ status: refusal.statusCode ?? 502, headers, body }, client.socket);
    } catch (error) {
      this.#node.log.write('error', `${String(error)} while connecting to upstream`);
      sendRaw(upstreamFailed(exchange, decision.outcome), client.socket);
    }
  }

  #begin(incoming: Incoming): Exchange {
    const exchange = new Exchange(this.#node, incoming);
    const { include } = this.#node;
    if (include) {
      exchange.variables = include.variables((name) => {
        const value = variable(exchange, name);
        return typeof value === 'string' ? value : undefined;
      });
    }
    return exchange;
  }
}

/** nginx does not repeat these once they may have reached the upstream. */
const NOT_IDEMPOTENT = new Set(['POST', 'PATCH', 'LOCK']);

async function sendWithRetries(
  exchange: Exchange,
  target: Target,
  body: Buffer,
): Promise<IncomingMessage> {
  const isRepeatable = !NOT_IDEMPOTENT.has(exchange.incoming.method);
  const retries = isRepeatable ? Number(target.service['retries'] ?? 5) : 0;
  for (let left = retries; ; left--) {
    try {
      return await sendRequest(exchange, target, body);
    } catch (error) {
      if (left <= 0) throw error;
    }
  }
}

/** What has come whole leaves whole: in one write with the head, and without a pipeline's listeners. */
function sendWhole(response: IncomingMessage, output: NodeJS.WritableStream): void {
  const body = response.read() as Buffer | null;
  if (body === null) output.end();
  else output.end(body);
}

function send({ status, headers, body }: Answer, respond: Respond): void {
  respond(status, headers).end(body);
}

function sendRaw({ status, headers, body }: Answer, socket: Duplex): void {
  const lines = new Headers([...headers.lines, ['Connection', 'close']]).lines;
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.write(`HTTP/1.1 ${String(status)} \r\n${head}\r\n`, 'latin1');
  socket.end(body);
}
