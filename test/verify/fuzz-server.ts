import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const SERVER = fileURLToPath(new URL('../../dist/lib/server/main.js', import.meta.url));

/** Runs inside the server's process before it: counts its statements and tells what memory it holds. */
const WITNESS = `data:text/javascript,${encodeURIComponent(`
  import { subscribe } from 'node:diagnostics_channel';
  const statements = {};
  subscribe('session-guard.query', ({ name }) => {
    statements[name] = (statements[name] ?? 0) + 1;
  });
  process.on('message', () => {
    globalThis.gc();
    process.send({ statements, rss: process.memoryUsage.rss() });
  });
  process.channel.unref();
`)}`;

export interface Testimony {
  /** How many statements were sent to the database, by name. */
  readonly statements: Readonly<Record<string, number>>;
  /** Octets, after a collection of garbage. */
  readonly rss: number;
}

/** Log lines that no cookie may cause. */
const TROUBLE =
  /"(uncaught-exception|unhandled-rejection|request-failed|garbage|refused|unknown-event|handler_failed|store_unavailable)"/;

/** The built session-guard-server as a process of its own, without environment, as Kong starts it. */
export class WatchedServer {
  readonly socket: string;
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #troubles = 0;
  #unfinished = '';

  private constructor(socket: string) {
    this.socket = socket;
    this.#child = spawn(
      process.execPath,
      ['--expose-gc', '--import', WITNESS, SERVER, '--socket', socket, '--log-level', 'debug'],
      { env: {}, cwd: '/', stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
    );
    this.#closed = once(this.#child, 'close');
    this.#child.stderr?.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  static async start(socket: string): Promise<WatchedServer> {
    const server = new WatchedServer(socket);
    for (let tries = 0; !existsSync(socket); tries++) {
      if (!server.isRunning || tries > 1000) throw new Error('the server does not listen');
      await sleep(20);
    }
    return server;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Log lines about a defect so far. */
  get troubles(): number {
    return this.#troubles;
  }

  async testimony(): Promise<Testimony> {
    const answer = once(this.#child, 'message');
    this.#child.send('tell');
    return ((await answer) as [Testimony])[0];
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#closed;
  }

  #read(chunk: Buffer): void {
    const lines = (this.#unfinished + chunk.toString()).split('\n');
    this.#unfinished = lines.pop() ?? '';
    this.#troubles += lines.filter((line) => TROUBLE.test(line)).length;
  }
}
