import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';

/** What the wire does to one message between Kong and the plugin server. */
export type WireFault = 'cut' | 'silence';
export const WIRE_FAULTS: readonly WireFault[] = ['cut', 'silence'];

/**
 * Stands on a unix socket between Kong and the plugin server. Counts what passes, in both directions, and breaks the
 * one piece it is told to.
 */
export class Wire {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #silent = new Set<Socket>();
  #passed = 0;
  #plan: { readonly at: number; readonly fault: WireFault } | undefined;

  private constructor(target: string) {
    this.#server = createServer((kong) => {
      const plugin = connect(target);
      this.#pipe(kong, plugin);
      this.#pipe(plugin, kong);
    });
  }

  static async open(path: string, target: string): Promise<Wire> {
    const wire = new Wire(target);
    await new Promise<void>((resolve) => wire.#server.listen(path, resolve));
    return wire;
  }

  /** Counts from now on; the piece with this index meets the fault. Connections that are silent end. */
  watch(at = Infinity, fault: WireFault = 'cut'): void {
    for (const socket of this.#silent) socket.destroy();
    this.#passed = 0;
    this.#plan = { at, fault };
  }

  get passed(): number {
    return this.#passed;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #pipe(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on('data', (bytes) => {
      const isHit = this.#passed++ === this.#plan?.at;
      if (isHit && this.#plan?.fault === 'cut') {
        from.destroy();
        return;
      }
      if (isHit) this.#silent.add(from);
      if (!this.#silent.has(from)) to.write(bytes);
    });
    from.on('error', () => {}); // 'close' follows
    from.on('close', () => {
      this.#sockets.delete(from);
      this.#silent.delete(from);
      to.destroy();
    });
  }
}
