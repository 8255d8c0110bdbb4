import { rename, rm } from 'node:fs/promises';
import { type Server, type Socket, createServer } from 'node:net';

/** A listener on a unix socket that can be closed with its connections, or die as a killed process does. */
export class UnixServer {
  readonly #path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string, serve: (socket: Socket) => void) {
    this.#path = path;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      socket.on('end', () => socket.end());
      serve(socket);
    });
  }

  static async listen(path: string, serve: (socket: Socket) => void): Promise<UnixServer> {
    const listener = new UnixServer(path, serve);
    await new Promise<void>((resolve) => listener.#server.listen(path, resolve));
    return listener;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Leaves the socket's path behind, so that connecting is refused. */
  async die(): Promise<void> {
    await rename(this.#path, `${this.#path}.kept`);
    await this.close();
    await rename(`${this.#path}.kept`, this.#path);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    await rm(this.#path, { force: true });
  }
}
