import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../log.ts';
import { withBuffer } from './accepted.ts';
import { bindSocket } from './socket-file.ts';
import type { SocketFile } from './socket-file.ts';
import { HEAD_BYTES } from './transport.ts';
import type { Ask, Transport } from './transport.ts';

/** When nothing came for this long on any pooled connection, none is about to be used. */
const QUIET_MS = 500;
/** Kong closes a connection that it has not used for 60 s (the default lua_socket_keepalive_timeout). */
const KONG_PATIENCE_MS = 65_000;
/** From one question to the next, and from one look to the next. */
const TICK_MS = 20;

/** Accepts Kong's connections and hands each to the transport that understands its first bytes. */
export class Listener {
  readonly #transports: readonly Transport[];
  readonly #log: Log;
  readonly #server: Server;
  readonly #sockets = new Map<Socket, Ask | undefined>();
  #isHastened = false;

  /** @param received called after whatever Kong has sent */
  constructor(transports: readonly Transport[], log: Log, received: () => void) {
    this.#transports = transports;
    this.#log = log;
    this.#server = createServer({ pauseOnConnect: true }, (socket) =>
      this.#accept(withBuffer(socket, received)),
    );
  }

  async listen(path: string): Promise<SocketFile> {
    const file = await bindSocket(this.#server, path);
    this.#server.on('error', (err) =>
      this.#log.error({ event: 'accept-failed', err }, 'could not accept a connection'),
    );
    return file;
  }

  /** No new connections, and Kong is asked to give up those it has, until all are gone. */
  stopAccepting(): void {
    this.#server.close();
    const timer = setInterval(() => {
      if (this.#sockets.size === 0) clearInterval(timer);
      for (const ask of this.#sockets.values()) ask?.();
    }, TICK_MS);
  }

  /** Somebody waits for `endConnections`: it takes seconds from now on, where it could take a minute. */
  hasten(): void {
    this.#isHastened = true;
  }

  /**
   * Waits for Kong to give up the connections, and closes what is left within `patience` milliseconds. As long as some
   * are in use Kong is on its way to the server after us and may start an instance on any of them, which is answered
   * with 500 where it meets a closed one: so none is closed before it is quiet, and then one after the other.
   */
  async endConnections(patience: number): Promise<void> {
    await this.#emptyWithin(KONG_PATIENCE_MS, () => !this.#isHastened);
    const end = Date.now() + patience;
    await this.#quiet(end);
    for (const socket of this.#sockets.keys()) {
      socket.end();
      if (Date.now() < end) await delay(1);
    }
    await this.#emptyWithin(end - Date.now());
    for (const socket of this.#sockets.keys()) socket.destroy();
  }

  async #quiet(end: number): Promise<void> {
    const traffic = () =>
      [...this.#sockets.keys()].reduce((sum, { bytesRead }) => sum + bytesRead, 0);
    for (let before = NaN; this.#sockets.size > 0 && Date.now() < end;) {
      const now = traffic();
      if (now === before) return;
      before = now;
      await this.#emptyWithin(Math.min(QUIET_MS, end - Date.now()));
    }
  }

  /** Waits until there is no connection any more, so many milliseconds at most, and as long as it is allowed. */
  async #emptyWithin(milliseconds: number, isAllowed = () => true): Promise<void> {
    const end = Date.now() + milliseconds;
    while (this.#sockets.size > 0 && Date.now() < end && isAllowed()) await delay(TICK_MS);
  }

  #accept(socket: Socket): void {
    this.#sockets.set(socket, undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    // Kong resets connections when its read timeout has passed.
    socket.on('error', (err) => this.#log.debug({ event: 'connection-error', err }, err.message));
    this.#recognise(socket);
  }

  /** Kong 3.4 opens a connection without sending anything, to see whether we are there. */
  #recognise(socket: Socket): void {
    let head: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
      if (head.length < HEAD_BYTES) return;
      socket.off('data', onData);
      const transport = this.#transports.find((candidate) => candidate.accepts(head));
      if (transport) return void this.#sockets.set(socket, transport.serve(socket, head));
      this.#log.error({ event: 'garbage' }, 'closed a connection of an unknown protocol');
      socket.destroy();
    };
    socket.on('data', onData);
  }
}
