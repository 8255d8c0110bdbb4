import { Agent } from 'node:http';
import { Agent as SecureAgent } from 'node:https';

import { type Answer, answerExit, handledError } from './answer.ts';
import type { Exchange } from './exchange.ts';
import { type Exit, errorExit } from './exit.ts';
import { type Outcome, runAccess } from './loop.ts';
import { type Plugin, strings } from './plugins/plugin.ts';
import { matchRoute } from './router.ts';
import { type Target, upstreamHeaders } from './upstream.ts';
import type { View } from './view.ts';

/** Where a request goes after the access phase. */
export type Decision =
  | { readonly answer: Answer }
  | { readonly target: Target; readonly body: Buffer; readonly outcome: Outcome };

/** large_client_header_buffers 4 8k: no longer line, no more than four buffers. */
const MAX_HEADER_LINE = 8192;
const MAX_HEADERS = 4 * MAX_HEADER_LINE;

const noFilters = (): void => undefined;

/** One nginx worker: its view of the configuration, its plugins and its connections to upstreams. */
export class Worker {
  readonly view: View;
  readonly #plugins: readonly Plugin[];
  readonly #http = new Agent({ keepAlive: true });
  readonly #https = new SecureAgent({ keepAlive: true });

  constructor(view: View, plugins: readonly Plugin[]) {
    this.view = view;
    this.#plugins = plugins.toSorted((a, b) => b.priority - a.priority);
  }

  async decide(exchange: Exchange): Promise<Decision> {
    const early = tooLarge(exchange) ?? this.#route(exchange);
    if (early !== undefined) return { answer: answerExit(exchange, early, noFilters) };
    const outcome = await runAccess(exchange, this.view, this.#plugins);
    const exit = outcome.exit ?? missingService(exchange);
    if (exit !== undefined) return { answer: answerExit(exchange, exit, outcome.filterHeaders) };
    return this.#forward(exchange, outcome);
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  async #forward(exchange: Exchange, outcome: Outcome): Promise<Decision> {
    const body = await exchange.body();
    const service = exchange.match?.service;
    if (service === undefined)
      throw new TypeError('a request without a service went to the upstream');
    const agent = service['protocol'] === 'https' ? this.#https : this.#http;
    const headers = upstreamHeaders(exchange, service, body);
    exchange.proxied = true;
    return { target: { service, agent, headers }, body, outcome };
  }

  #route(exchange: Exchange): Exit | undefined {
    exchange.match = matchRoute(this.view, exchange);
    if (exchange.match === undefined)
      return fault(exchange, 404, 'no Route matched with those values');
    const { route } = exchange.match;
    const { incoming } = exchange;
    if (route['preserve_host'] === true) exchange.upstreamHost = incoming.headers.first('host');
    const protocols = strings(route['protocols']);
    const scheme = exchange.trustedHeader('x-forwarded-proto') ?? incoming.scheme;
    const isSecureOnly = protocols.includes('https') && !protocols.includes('http');
    if (!isSecureOnly || scheme === 'https') return undefined;
    exchange.responseHeaders.add('Connection', ['Upgrade']);
    exchange.responseHeaders.add('Upgrade', ['TLS/1.2, HTTP/1.1']);
    return fault(exchange, 426, 'Please use HTTPS protocol');
  }
}

/** Kong's page for an upstream that does not answer. */
export function upstreamFailed(exchange: Exchange, outcome: Outcome): Answer {
  return answerExit(exchange, handledError(exchange, 502), outcome.filterHeaders);
}

function missingService(exchange: Exchange): Exit | undefined {
  if (exchange.match?.service !== undefined) return undefined;
  return fault(exchange, 503, 'no Service found with those values');
}

function fault(exchange: Exchange, status: number, message: string): Exit {
  const accept = exchange.headers.all('accept').join(',');
  return errorExit({ status, message }, accept, exchange.requestId);
}

function tooLarge(exchange: Exchange): Exit | undefined {
  const { headers, target } = exchange.incoming;
  let [total, longest] = [target.length, 0];
  for (const [name, value] of headers.lines) {
    const size = name.length + value.length + 4;
    total += size;
    longest = Math.max(longest, size);
  }
  if (total <= MAX_HEADERS && longest <= MAX_HEADER_LINE) return undefined;
  return handledError(exchange, 494);
}
