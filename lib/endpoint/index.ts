import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openConsole } from '../console/index.ts';
import type { Log } from '../log.ts';
import { openMetrics } from '../metrics.ts';
import type { Metrics } from '../metrics.ts';
import { formatAddress } from './address.ts';
import type { Address } from './address.ts';
import type { HttpHandler } from './answer.ts';
import { plain } from './answer.ts';
import { openHealth } from './health.ts';
import { createEndpointServer } from './server.ts';
import { endpointSettings } from './settings.ts';
import type { EndpointOptions } from './settings.ts';
import { carries } from './token.ts';

/** What operators ask a plugin server over HTTP. */
export interface Endpoint {
  /** Resolves when nobody can ask any more. Never rejects. */
  close(): Promise<void>;
}

/** Between two attempts to get the port: after a reload of Kong the earlier server has it for a while. */
const RETRY = 2000;

/**
 * Opens the endpoint, now or when its port is free. Sessions matter more than watching them: whatever is wrong here is
 * logged, and the plugin server goes on without.
 */
export function openEndpoint(
  options: EndpointOptions,
  env: Readonly<Record<string, string | undefined>>,
  log: Log,
): Endpoint | undefined {
  let settings;
  try {
    settings = endpointSettings(options, env);
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown';
    log.error({ event: 'endpoint_refused', reason }, 'there is no endpoint');
    return undefined;
  }
  const { address, metricsToken, consoleToken } = settings;
  const metrics = openMetrics();
  const console_ = consoleToken === undefined ? undefined : openConsole(consoleToken);
  const handlers = [
    openHealth(),
    metricsHandler(metrics, metricsToken),
    ...(console_ ? [console_.handler] : []),
  ];
  const server = createEndpointServer(address, handlers, log);
  const stop = new AbortController();
  listenUntilBound(server, address, log, stop.signal);
  return {
    close: async () => {
      stop.abort();
      metrics.close();
      console_?.close();
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

const metricsHandler =
  (metrics: Metrics, token: string | undefined): HttpHandler =>
  async ({ method, path, headers }) => {
    if (method !== 'GET' || path !== '/metrics') return undefined;
    if (token !== undefined && !carries(headers['authorization'], token)) {
      return plain(401, 'a bearer token is needed', { 'WWW-Authenticate': 'Bearer' });
    }
    const body = await metrics.scrape();
    return { status: 200, headers: { 'Content-Type': metrics.contentType }, body };
  };

function listenUntilBound(server: Server, address: Address, log: Log, signal: AbortSignal): void {
  let isTold = false;
  const listen = () => {
    if (!signal.aborted) server.listen(address.port, address.host);
  };
  server.on('error', (err) => {
    if (!isTold) {
      const where = formatAddress(address);
      log.warn({ event: 'endpoint_not_bound', address: where, err }, 'tries again');
    }
    isTold = true;
    if (!server.listening) setTimeout(listen, RETRY).unref();
  });
  server.on('listening', () => {
    const { address: host, port } = server.address() as AddressInfo;
    log.info({ event: 'endpoint', url: `http://${formatAddress({ host, port })}` }, 'endpoint');
  });
  listen();
  // The plugin server decides how long the process lives.
  server.unref();
}
