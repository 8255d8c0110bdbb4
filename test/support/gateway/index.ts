import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { Server, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { createAdmin, createStartConfig } from './admin/index.ts';
import { Entities, type Kind } from './entities.ts';
import { externalPlugin } from './external.ts';
import { closeListener, createPlainListener, createSecureListener, listen } from './listener.ts';
import { ErrorLog } from './log.ts';
import { acl } from './plugins/acl.ts';
import { basicAuth } from './plugins/basic-auth.ts';
import { cors } from './plugins/cors.ts';
import { keyAuth } from './plugins/key-auth.ts';
import type { Plugin } from './plugins/plugin.ts';
import { rateLimiting } from './plugins/rate-limiting.ts';
import { requestTermination } from './plugins/request-termination.ts';
import { PluginServer } from './plugin-server.ts';
import { Proxy } from './proxy.ts';
import { type PluginInfo, queryPlugin } from './query.ts';
import { Conversations } from './recorder.ts';
import { Connection } from './rpc/connection.ts';
import { Instances } from './rpc/instances.ts';
import { MessagePackRpc } from './rpc/msgpack.ts';
import { ConnectionPool } from './rpc/pool.ts';
import type { RpcWiring } from './rpc/rpc.ts';
import { trustedIps } from './trusted.ts';
import { View } from './view.ts';
import { Worker } from './worker.ts';

/** A plugin server as kong.conf names it (kong-protocol.md A.1). */
export interface PluginServerDefinition {
  readonly socketPath: string;
  /** The dump: run through the shell with the full environment. */
  readonly queryCmd: string;
  /** Absent where somebody else starts the server. */
  readonly startCmd?: string;
}

export interface GatewayOptions {
  readonly server: PluginServerDefinition;
  readonly entities?: Entities;
  /** 0, the default, takes a free port. */
  readonly adminPort?: number;
  readonly proxyPort?: number;
  readonly proxySslPort?: number;
  readonly host?: string;
  readonly workers?: number;
  /** The environment of `{vault://env/…}`. */
  readonly env?: { readonly [name: string]: string };
  /** nginx's lua_socket_read_timeout, 60 s. */
  readonly readTimeoutMs?: number;
  /** From one start of the plugin server to the next, at least. */
  readonly respawnDelayMs?: number;
  /** How often workers take over changes of routes, services and plugins; 0 is at once, Kong's is 5000. */
  readonly propagationMs?: number;
  readonly tls?: { readonly key: string | Buffer; readonly cert: string | Buffer };
  readonly trustedIps?: readonly string[];
  readonly onLog?: (line: string) => void;
}

export interface Gateway {
  readonly adminUrl: string;
  readonly proxyUrl: string;
  /** Empty without `tls`. */
  readonly proxySslUrl: string;
  readonly entities: Entities;
  /** The newest lines of Kong's error log, the plugin server's own lines among them at info. */
  readonly log: readonly string[];
  readonly conversations: Conversations;
  killPluginServer(signal: NodeJS.Signals): void;
  serverPid(): number | undefined;
  stop(): Promise<void>;
}

const READY_LIMIT_MS = 20_000;

/** Starts the stand-in for Kong; resolves when it serves requests and its plugin server listens. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { server, host = '127.0.0.1', entities = new Entities() } = options;
  const log = new ErrorLog(options.onLog);
  const info = await queryPlugin(server.queryCmd);
  const node = { id: randomUUID(), entities, log, isTrusted: trustedIps(options.trustedIps ?? []) };
  const conversations = new Conversations();
  const { workers, close } = createWorkers(options, { info, entities, conversations });
  const stopFollowing = follow(entities, workers, options.propagationMs ?? 0);
  let turn = 0;
  const proxy = new Proxy(node, () => workers[turn++ % workers.length] as Worker);
  const listeners = new Listeners(host);
  const admin = createServer(createAdmin(entities, { plugins: [info] }));
  const adminPort = await listeners.open(admin, options.adminPort);
  const plain = await listeners.open(createPlainListener(proxy), options.proxyPort);
  const secure =
    options.tls &&
    (await listeners.open(createSecureListener(options.tls, proxy), options.proxySslPort));
  const process_ = startServer(options, info.name, log);
  await waitForSocket(server.socketPath);
  return {
    adminUrl: `http://${host}:${String(adminPort)}`,
    proxyUrl: `http://${host}:${String(plain)}`,
    proxySslUrl: secure === undefined ? '' : `https://${host}:${String(secure)}`,
    entities,
    log: log.lines,
    conversations,
    killPluginServer: (signal) => process_?.kill(signal),
    serverPid: () => process_?.pid,
    async stop() {
      stopFollowing();
      await listeners.close();
      close();
      await process_?.stop();
    },
  };
}

function createWorkers(
  options: GatewayOptions,
  parts: { info: PluginInfo; entities: Entities; conversations: Conversations },
): { workers: Worker[]; close: () => void } {
  const { info, entities, conversations } = parts;
  const bundled: Plugin[] = [keyAuth, basicAuth, acl, cors, requestTermination, rateLimiting()];
  const instances = Array.from({ length: options.workers ?? 1 }, () => new Instances(info.name));
  const pools = instances.map(() => new ConnectionPool(options.server.socketPath));
  const startConfig = createStartConfig({ plugins: [info], env: options.env ?? {} });
  const workers = instances.map((own, i) => {
    const wiring: RpcWiring = {
      name: info.name,
      pool: pools[i] as ConnectionPool,
      instances: own,
      readTimeoutMs: options.readTimeoutMs ?? 60_000,
      resetInstances: () => instances.forEach((one) => one.reset()),
    };
    const external = externalPlugin(info, new MessagePackRpc(wiring), conversations);
    const view = new View(entities, startConfig);
    return new Worker(view, [...bundled, external]);
  });
  const close = (): void => {
    for (const worker of workers) worker.close();
    for (const pool of pools) pool.close();
  };
  return { workers, close };
}

/** Lets the workers take over changes, at once or at the next tick of `everyMs`. */
function follow(entities: Entities, workers: readonly Worker[], everyMs: number): () => void {
  const pending = new Set<Kind>();
  const apply = (): void => {
    for (const { view } of workers) {
      if (pending.has('routes') || pending.has('services')) view.copyRoutes();
      if (pending.has('plugins')) view.copyPlugins();
    }
    pending.clear();
  };
  const changed = (kind: Kind): void => {
    pending.add(kind);
    if (everyMs === 0) apply();
  };
  entities.on('change', changed);
  const timer = everyMs === 0 ? undefined : setInterval(apply, everyMs);
  return () => {
    entities.off('change', changed);
    clearInterval(timer);
  };
}

class Listeners {
  readonly #host: string;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  constructor(host: string) {
    this.#host = host;
  }

  async open(server: Server, port = 0): Promise<number> {
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    const bound = await listen(server, port, this.#host);
    this.#servers.push(server);
    return bound;
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map((server) => closeListener(server, this.#sockets)));
  }
}

function startServer(
  options: GatewayOptions,
  name: string,
  log: ErrorLog,
): PluginServer | undefined {
  const { startCmd } = options.server;
  if (startCmd === undefined) return undefined;
  const respawnDelayMs = Math.max(1000, options.respawnDelayMs ?? 1000);
  const child = new PluginServer({ command: startCmd, name, log, respawnDelayMs });
  child.start();
  return child;
}

/** Kong serves before the plugin server listens; here tests need not poll for it. */
async function waitForSocket(path: string): Promise<void> {
  const deadline = Date.now() + READY_LIMIT_MS;
  for (;;) {
    try {
      (await Connection.open(path)).destroy();
      return;
    } catch (error) {
      if (Date.now() > deadline)
        throw new Error(`no plugin server listens on ${path}`, { cause: error });
      await sleep(20);
    }
  }
}
