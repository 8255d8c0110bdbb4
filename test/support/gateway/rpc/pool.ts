import { Connection } from './connection.ts';

/** lua_socket_pool_size of Kong 3.9 and the default lua_socket_keepalive_timeout (kong/templates/kong_defaults.lua). */
const SIZE = 256;
const IDLE_MS = 60_000;

/** A worker's keepalive pool: the connection that was used last is taken first. */
export class ConnectionPool {
  readonly #path: string;
  readonly #idleMs: number;
  readonly #idle: { connection: Connection; timer: NodeJS.Timeout }[] = [];
  readonly #busy = new Set<Connection>();

  constructor(path: string, idleMs = IDLE_MS) {
    this.#path = path;
    this.#idleMs = idleMs;
  }

  async acquire(): Promise<Connection> {
    const pooled = this.#idle.pop();
    if (pooled !== undefined) {
      clearTimeout(pooled.timer);
      pooled.connection.unwatch();
    }
    const connection = pooled?.connection ?? (await Connection.open(this.#path));
    this.#busy.add(connection);
    return connection;
  }

  /** Puts a connection back, unless the peer has closed it or has more to say. */
  release(connection: Connection): void {
    this.#busy.delete(connection);
    if (!connection.isQuiet) return connection.destroy();
    const timer = setTimeout(() => this.#evict(connection), this.#idleMs);
    this.#idle.push({ connection, timer });
    connection.watch(() => this.#evict(connection));
    const [oldest] = this.#idle;
    if (this.#idle.length > SIZE && oldest !== undefined) this.#evict(oldest.connection);
  }

  discard(connection: Connection): void {
    this.#busy.delete(connection);
    connection.destroy();
  }

  close(): void {
    for (const { connection, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      connection.destroy();
    }
    for (const connection of this.#busy) connection.destroy();
  }

  #evict(connection: Connection): void {
    const at = this.#idle.findIndex((entry) => entry.connection === connection);
    if (at !== -1) clearTimeout(this.#idle.splice(at, 1)[0]?.timer);
    connection.destroy();
  }
}
