import { type Socket, connect } from 'node:net';

/** What a socket call fails with: the words of ngx.socket, which Kong logs and tells apart. */
export class SocketError extends Error {
  override readonly name = 'SocketError';
}

const REASONS: { [code: string]: string } = {
  ECONNREFUSED: 'connection refused',
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  ECONNRESET: 'connection reset by peer',
  EPIPE: 'broken pipe',
};

const reasonOf = (error: NodeJS.ErrnoException): string =>
  REASONS[error.code ?? ''] ?? error.message;

const NOTHING = Buffer.alloc(0);

/** A stream socket to the plugin server, read when somebody asks, as a cosocket is. */
export class Connection {
  readonly #socket: Socket;
  readonly #unsent: Buffer[] = [];
  #received = NOTHING;
  #fault: SocketError | undefined;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#wake?.();
    });
    socket.on('end', () => this.#fail('closed'));
    socket.on('error', (error) => this.#fail(reasonOf(error)));
    socket.on('close', () => this.#fail('closed'));
  }

  static open(path: string): Promise<Connection> {
    return new Promise((resolve, reject) => {
      // A peer that has said everything may still be read from (half close).
      const socket = connect({ path, allowHalfOpen: true });
      const refuse = (error: NodeJS.ErrnoException): void =>
        reject(new SocketError(reasonOf(error)));
      socket.once('error', refuse);
      socket.once('connect', () => {
        socket.off('error', refuse);
        resolve(new Connection(socket));
      });
    });
  }

  /** False once the peer closed, or sent something nobody asked for. */
  get isQuiet(): boolean {
    return this.#fault === undefined && this.#received.length === 0;
  }

  /** Runs `gone` when an idle connection stops being usable. */
  watch(gone: () => void): void {
    this.#wake = gone;
  }

  unwatch(): void {
    this.#wake = undefined;
  }

  /**
   * Sends with the next `flush`. Kong's own sends follow one another within microseconds, and its peer finds them in one
   * read; from a process as slow as this one the peer would wake up for each.
   */
  write(bytes: Buffer): void {
    this.#unsent.push(bytes);
  }

  /** Resolves when the kernel has all that was written, which a peer that does not read delays. */
  async flush(timeoutMs: number): Promise<void> {
    if (this.#unsent.length === 0) return;
    let settle: ((error?: Error | null) => void) | undefined;
    this.#socket.write(Buffer.concat(this.#unsent.splice(0)), (error) => settle?.(error));
    if (this.#isTaken) return;
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(() => reject(new SocketError('timeout')), timeoutMs);
        settle = (error) => {
          // Of a socket that an error has destroyed Node says that the write went well.
          const fault = this.#socket.destroyed ? this.#fault : undefined;
          if (error) reject(new SocketError(reasonOf(error)));
          else if (fault) reject(fault);
          else resolve();
        };
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Whether the kernel took everything at once, as it nearly always does. */
  get #isTaken(): boolean {
    const { destroyed, errored, writableLength } = this.#socket;
    return !destroyed && errored === null && writableLength === 0;
  }

  /** What is there, unread. */
  get received(): Buffer {
    return this.#received;
  }

  /** Waits until more than `length` bytes are there and returns all of them, unread. */
  async peekBeyond(length: number, timeoutMs: number): Promise<Buffer> {
    const deadline = Date.now() + timeoutMs;
    while (this.#received.length <= length) {
      if (this.#fault !== undefined) throw this.#fault;
      await this.#arrival(deadline - Date.now());
    }
    return this.#received;
  }

  consume(length: number): void {
    // What has been read holds on to no chunk: the connection may be idle for long.
    this.#received = length === this.#received.length ? NOTHING : this.#received.subarray(length);
  }

  /** What was written goes out first, as far as the kernel takes it at once. */
  destroy(): void {
    if (this.#unsent.length > 0) this.#socket.write(Buffer.concat(this.#unsent.splice(0)));
    this.#socket.destroy();
  }

  async #arrival(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        timer = setTimeout(() => reject(new SocketError('timeout')), Math.max(0, timeoutMs));
      });
    } finally {
      clearTimeout(timer);
      this.#wake = undefined;
    }
  }

  #fail(reason: string): void {
    this.#fault ??= new SocketError(reason);
    this.#wake?.();
  }
}
