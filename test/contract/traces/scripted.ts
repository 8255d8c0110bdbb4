import { decode, encode } from '@msgpack/msgpack';
import { rename, rm } from 'node:fs/promises';
import { type Server, type Socket, createServer } from 'node:net';

/** One request of Kong, and how to answer it. */
export interface Call {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
  readonly socket: Socket;
  reply(result: unknown): void;
  fail(error: unknown): void;
}

/** A plugin server that answers as a test says. */
export class ScriptedServer {
  readonly calls: Call[] = [];
  /** Answers events; StartInstance and CloseInstance have their own. */
  onEvent: (call: Call) => void = (call) => call.reply({ Data: 'ret', EventId: 1 });
  onStart: (call: Call) => void = (call) => call.reply({ Name: 'probe', Id: this.#started++ });
  #started = 0;
  readonly #server: Server;
  readonly #path: string;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string) {
    this.#path = path;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async listen(path: string): Promise<ScriptedServer> {
    const server = new ScriptedServer(path);
    await new Promise<void>((resolve) => server.#server.listen(path, resolve));
    return server;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  methods(): string[] {
    return this.calls.map(({ method }) => method.replace('plugin.', ''));
  }

  /** As a killed process does: connections closed, the socket's path left behind. */
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

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes) => {
      const [, id, method, list] = decode(bytes) as [number, number, string, unknown[]];
      const write = (error: unknown, result: unknown): void => {
        socket.write(encode([1, id, error, result]));
      };
      const call: Call = {
        id,
        method,
        argument: list[0],
        socket,
        reply: (result) => write(null, result),
        fail: (error) => write(error, null),
      };
      this.calls.push(call);
      if (method === 'plugin.StartInstance') this.onStart(call);
      else if (method === 'plugin.CloseInstance') call.reply({});
      else this.onEvent(call);
    });
  }
}
