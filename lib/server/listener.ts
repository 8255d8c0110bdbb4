import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../log.ts';
import { withBuffer } from './accepted.ts';
import { bindSocket } from './socket-file.ts';
import type { SocketFile } from './socket-file.ts';
import { HEAD_BYTES } from './transport.ts';
import type { Transport } from './transport.ts';

/** When nothing came for this long on any pooled connection, none is about to be used. */
const QUIET_MS = 500;

/** Accepts Kong's connections and hands each to the transport that understands its first bytes. */
export class Listener {
  readonly #transports: readonly Transport[];
  readonly #log: Log;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(transports: readonly Transport[], log: Log) {
    this.#transports = transports;
    this.#log = log;
    this.#server = createServer({ pauseOnConnect: true }, (socket) =>
      this.#accept(withBuffer(socket)),
    );
  }

  async listen(path: string): Promise<SocketFile> {
    const file = await bindSocket(this.#server, path);
    this.#server.on('error', (err) =>
      this.#log.error({ event: 'accept-failed', err }, 'could not accept a connection'),
    );
    return file;
  }

  stopAccepting(): void {
    this.#server.close();
  }

  /**
   * Ends the connections once nothing has come on any of them for a while, within `patience` milliseconds. As long as
   * some are in use Kong is on its way to the server after us and may start an instance on any of them, which fails
   * where it meets a closed one. One after the other, for the same reason.
   */
  async endConnections(patience: number): Promise<void> {
    const end = Date.now() + patience;
    await this.#quiet(end);
    for (const socket of this.#sockets) {
      socket.end();
      if (Date.now() < end) await delay(1);
    }
    while (this.#sockets.size > 0 && Date.now() < end) await delay(10);
    for (const socket of this.#sockets) socket.destroy();
  }

  async #quiet(end: number): Promise<void> {
    const traffic = () => [...this.#sockets].reduce((sum, { bytesRead }) => sum + bytesRead, 0);
    for (let before = NaN; this.#sockets.size > 0 && Date.now() < end;) {
      const now = traffic();
      if (now === before) return;
      before = now;
      await delay(Math.min(QUIET_MS, end - Date.now()));
    }
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    // Kong resets connections when its read timeout has passed (kong-protocol.md F3).
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
      if (transport) return transport.serve(socket, head);
      this.#log.error({ event: 'garbage' }, 'closed a connection of an unknown protocol');
      socket.destroy();
    };
    socket.on('data', onData);
  }
}
