import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { createAdmin } from './admin/index.ts';
import { Entities } from './entities.ts';
import { Listeners, createPlainListener, createSecureListener } from './listener.ts';
import { ErrorLog } from './log.ts';
import { NginxInclude } from './nginx-include.ts';
import type { IncludedFiles } from './nginx-include.ts';
import { PluginServer } from './plugin-server.ts';
import { Proxy } from './proxy.ts';
import { queryPlugin } from './query.ts';
import { Conversations } from './recorder.ts';
import { Connection } from './rpc/connection.ts';
import { trustedIps } from './trusted.ts';
import { createWorkers } from './workers.ts';

/** A plugin server as kong.conf names it (kong/conf_loader/init.lua). */
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
  /** nginx's lua_socket_keepalive_timeout, 60 s: after it an unused connection to the plugin server is closed. */
  readonly idleMs?: number;
  /** From one start of the plugin server to the next, at least. */
  readonly respawnDelayMs?: number;
  /** How often workers take over changes of routes, services and plugins; 0 is at once, Kong's is 5000. */
  readonly propagationMs?: number;
  readonly tls?: { readonly key: string | Buffer; readonly cert: string | Buffer };
  readonly trustedIps?: readonly string[];
  readonly nginxInclude?: IncludedFiles;
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

/** What has been started, to be ended the other way round. */
type Closers = (() => Promise<void> | void)[];

/**
 * Starts the stand-in for Kong; resolves when it serves requests and its plugin server listens. Rejects where Kong
 * would not start, with nothing left running.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const closers: Closers = [];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).toReversed()) await close();
  };
  try {
    return { ...(await start(options, closers)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(options: GatewayOptions, closers: Closers): Promise<Omit<Gateway, 'stop'>> {
  const { server, host = '127.0.0.1', entities = new Entities() } = options;
  const log = new ErrorLog(options.onLog);
  const info = await queryPlugin(server.queryCmd);
  const process_ = startServer(options, info.name, log);
  closers.push(() => process_?.stop());
  const conversations = new Conversations();
  const pool = createWorkers(info, { ...options, entities, conversations });
  closers.push(() => pool.close());
  const { nginxInclude } = options;
  const node = {
    id: randomUUID(),
    entities,
    log,
    isTrusted: trustedIps(options.trustedIps ?? []),
    include: nginxInclude === undefined ? undefined : new NginxInclude(nginxInclude),
  };
  const proxy = new Proxy(node, () => pool.next());
  const listeners = new Listeners(host);
  closers.push(() => listeners.close());
  const admin = createServer(createAdmin(entities, { plugins: [info] }));
  const adminPort = await listeners.open(admin, options.adminPort);
  const proxyPort = await listeners.open(createPlainListener(proxy), options.proxyPort);
  const secure = options.tls && createSecureListener(options.tls, proxy);
  const securePort = secure && (await listeners.open(secure, options.proxySslPort));
  await waitForSocket(server.socketPath);
  return {
    adminUrl: `http://${host}:${String(adminPort)}`,
    proxyUrl: `http://${host}:${String(proxyPort)}`,
    proxySslUrl: securePort === undefined ? '' : `https://${host}:${String(securePort)}`,
    entities,
    log: log.lines,
    conversations,
    killPluginServer: (signal) => process_?.kill(signal),
    serverPid: () => process_?.pid,
  };
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
