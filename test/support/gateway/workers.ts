import { createStartConfig } from './admin/index.ts';
import type { Entities, Kind } from './entities.ts';
import { externalPlugin } from './external.ts';
import { acl } from './plugins/acl.ts';
import { basicAuth } from './plugins/basic-auth.ts';
import { cors } from './plugins/cors.ts';
import { keyAuth } from './plugins/key-auth.ts';
import type { Plugin } from './plugins/plugin.ts';
import { rateLimiting } from './plugins/rate-limiting.ts';
import { requestTermination } from './plugins/request-termination.ts';
import type { PluginInfo } from './query.ts';
import type { Conversations } from './recorder.ts';
import { Instances } from './rpc/instances.ts';
import { MessagePackRpc } from './rpc/msgpack.ts';
import { ConnectionPool } from './rpc/pool.ts';
import { ProtobufRpc } from './rpc/protobuf.ts';
import { View } from './view.ts';
import { Worker } from './worker.ts';

export interface WorkersOptions {
  readonly server: { readonly socketPath: string };
  readonly entities: Entities;
  readonly conversations: Conversations;
  readonly workers?: number;
  readonly env?: { readonly [name: string]: string };
  readonly readTimeoutMs?: number;
  readonly idleMs?: number;
  readonly propagationMs?: number;
}

export interface Workers {
  /** The worker that takes the next request: they take turns. */
  next(): Worker;
  close(): void;
}

/** lua_socket_read_timeout. */
const READ_TIMEOUT_MS = 60_000;

/** The workers of one node, each with its own view, instances and connections. */
export function createWorkers(info: PluginInfo, options: WorkersOptions): Workers {
  const { entities, conversations } = options;
  const bundled: Plugin[] = [keyAuth, basicAuth, acl, cors, requestTermination, rateLimiting()];
  const startConfig = createStartConfig({ plugins: [info], env: options.env ?? {} });
  const parts = Array.from({ length: options.workers ?? 1 }, () => ({
    instances: new Instances(info.name),
    pool: new ConnectionPool(options.server.socketPath, options.idleMs),
  }));
  const resetInstances = (): void => parts.forEach(({ instances }) => instances.reset());
  const readTimeoutMs = options.readTimeoutMs ?? READ_TIMEOUT_MS;
  const workers = parts.map(({ instances, pool }) => {
    const wiring = { name: info.name, pool, instances, readTimeoutMs, resetInstances };
    const rpc =
      info.protocol === 'ProtoBuf:1' ? new ProtobufRpc(wiring) : new MessagePackRpc(wiring);
    const external = externalPlugin(info, rpc, conversations);
    return new Worker(new View(entities, startConfig), [...bundled, external]);
  });
  const stopFollowing = follow(entities, workers, options.propagationMs ?? 0);
  let turn = 0;
  return {
    next: () => workers[turn++ % workers.length] as Worker,
    close() {
      stopFollowing();
      for (const worker of workers) worker.close();
      for (const { pool } of parts) pool.close();
    },
  };
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
