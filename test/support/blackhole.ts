import { createServer, connect } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

/**
 * A TCP proxy on loopback that can be a bad network: slow, silent (bytes vanish, connections stay open) or broken.
 */
export class Blackhole {
  #target: { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #silent = new WeakSet<Socket>();
  readonly #clients = new Set<Socket>();
  #isSilent = false;
  #delay = 0;

  private constructor(target: { host: string; port: number }) {
    this.#target = target;
    this.#server = createServer((socket) => this.#join(socket));
  }

  /** In front of the server that a `postgres://` URL names. */
  static async open(url: string): Promise<Blackhole> {
    const proxy = new Blackhole(addressOf(url));
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** The URL with this proxy in the place of the server. */
  through(url: string): string {
    const result = new URL(url);
    result.hostname = '127.0.0.1';
    result.port = String((this.#server.address() as AddressInfo).port);
    return result.href;
  }

  /** From now on connections lead to another server, as after a fail-over; the old ones are cut. */
  retarget(url: string): void {
    this.#target = addressOf(url);
    this.reset();
  }

  /** Connections that neither their clients nor the server has ended. */
  get clients(): number {
    return this.#clients.size;
  }

  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** From now on no byte passes in either direction, on old and new connections. */
  swallow(): void {
    this.#isSilent = true;
  }

  /** The same for the connections there are; new ones work, as after a fail-over. */
  swallowOld(): void {
    for (const socket of this.#sockets) this.#silent.add(socket);
  }

  /** Ends `swallow`. What it swallowed is lost, so the connections it hit are cut. */
  heal(): void {
    if (this.#isSilent) this.reset();
    this.#isSilent = false;
  }

  /** Holds every byte back for so many milliseconds in each direction. */
  delay(milliseconds: number): void {
    this.#delay = milliseconds;
  }

  /** Cuts all connections with a TCP reset. */
  reset(): void {
    for (const socket of this.#sockets) {
      // libuv refuses to reset a socket that is shutting down, and node then keeps it for ever, past its own exit.
      if (socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.reset();
    await closed;
  }

  #join(client: Socket): void {
    this.#clients.add(client);
    const forget = () => this.#clients.delete(client);
    client.on('end', forget).on('close', forget);
    const server = connect(this.#target);
    server.on('end', forget);
    this.#pipe(client, server);
    this.#pipe(server, client);
  }

  #pipe(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (bytes) => {
      if (this.#isSilent || this.#silent.has(from)) return;
      if (this.#delay === 0) to.write(bytes);
      else setTimeout(() => to.writable && to.write(bytes), this.#delay);
    });
    from.on('error', () => {}); // 'close' follows
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}

function addressOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port || 5432) };
}
