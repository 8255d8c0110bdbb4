import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../log.ts';
import { bindSocket } from './socket-file.ts';
import type { SocketFile } from './socket-file.ts';
import { HEAD_BYTES } from './transport.ts';
import type { Transport } from './transport.ts';

/** A pooled connection on which nothing came for this long is not about to be used. */
const QUIET_MS = 200;

/** Accepts Kong's connections and hands each to the transport that understands its first bytes. */
export class Listener {
  readonly #transports: readonly Transport[];
  readonly #log: Log;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(transports: readonly Transport[], log: Log) {
    this.#transports = transports;
    this.#log = log;
    this.#server = createServer((socket) => this.#accept(socket));
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

  /** Ends the connections as they become quiet, and the rest after `patience` milliseconds. */
  async endConnections(patience: number): Promise<void> {
    const end = Date.now() + patience;
    while (this.#sockets.size > 0 && Date.now() < end) {
      const before = new Map([...this.#sockets].map((socket) => [socket, socket.bytesRead]));
      await delay(QUIET_MS);
      for (const [socket, bytesRead] of before) if (socket.bytesRead === bytesRead) socket.end();
    }
    for (const socket of this.#sockets) socket.destroy();
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
