import { isDoneWithin } from '../patience.ts';
import { Coalescing } from './coalescing.ts';
import { Host } from './host.ts';
import type { HostOptions } from './host.ts';
import { Listener } from './listener.ts';
import { MsgpackTransport } from './msgpack.ts';
import { ProtobufTransport } from './protobuf.ts';
import type { SocketFile } from './socket-file.ts';

/**
 * How long a stop waits for connections to become quiet, and for the plugin to write what is
 * pending.
 */
const CONNECTIONS_MS = 2000;
const CLOSE_MS = 3000;

export interface ServeOptions extends HostOptions {
  /** Path of the unix socket. */
  readonly socket: string;
  /** Microseconds; see {@link Coalescing}. */
  readonly coalesce: number;
}

/** A plugin server that listens. */
export interface RunningServer {
  readonly socketFile: SocketFile;
  /**
   * Takes no new connections, finishes the running requests, waits for Kong to give up its
   * connections (which may take a minute), closes the plugin. Never rejects; later calls join the
   * first.
   */
  drain(): Promise<void>;
  /** A drain, under way or to come, takes seconds. */
  hasten(): void;
}

/** Starts to serve. Rejects when the socket cannot be bound. */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const host = new Host(options);
  const transports = [new MsgpackTransport(host), new ProtobufTransport(host)];
  const { received } = new Coalescing(host, options.coalesce);
  const listener = new Listener(transports, host.log, received);
  const socketFile = await listener.listen(options.socket);
  const { name, version } = host.plugin;
  host.log.info({ event: 'listening', plugin: name, version, socket: options.socket }, 'listening');
  let drained: Promise<void> | undefined;
  return {
    socketFile,
    drain: () => (drained ??= drain(host, listener, socketFile)),
    hasten: () => listener.hasten(),
  };
}

async function drain(host: Host, listener: Listener, socketFile: SocketFile): Promise<void> {
  host.isDraining = true;
  listener.stopAccepting();
  socketFile.remove();
  const finish = async (what: string, limit: number, task: Promise<void>) => {
    if (!(await isDoneWithin(limit, task)))
      host.log.error({ event: 'not-drained', what }, 'gave up waiting');
  };
  // A request ends at its deadline; the rest is for Kong to read what we wrote.
  await finish('requests', host.deadline + CONNECTIONS_MS, host.idle());
  await listener.endConnections(CONNECTIONS_MS);
  try {
    await finish('plugin', CLOSE_MS, host.plugin.close());
  } catch (err) {
    host.log.error({ event: 'close-failed', err }, 'the plugin did not close');
  }
}
