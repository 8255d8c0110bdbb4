import { once } from 'node:events';
import { connect } from 'node:net';

/** What a plugin server has done since it started. */
export interface Counts {
  /** By name of the statement. */
  readonly statements: Readonly<Record<string, number>>;
  readonly decryptions: number;
}

/** Milliseconds that the event loop was late. */
export interface Delay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Asks the probe in a plugin server (fixtures/probe.ts) that listens on `path`. */
export class Probe {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async counts(): Promise<Counts> {
    return (await this.#ask('counts')) as Counts;
  }

  /** Since the last call, or the first since the process started. */
  async delay(): Promise<Delay> {
    return (await this.#ask('delay')) as Delay;
  }

  /** What is reachable, in bytes, after a collection: for a server that was started with --expose-gc. */
  async memory(): Promise<{ readonly held: number }> {
    return (await this.#ask('memory')) as { held: number };
  }

  async #ask(question: string): Promise<unknown> {
    const socket = connect(this.#path);
    try {
      await once(socket, 'connect');
      socket.write(`${question}\n`);
      let text = '';
      for await (const chunk of socket) {
        text += String(chunk);
        if (text.endsWith('\n')) break;
      }
      return JSON.parse(text) as unknown;
    } finally {
      socket.destroy();
    }
  }
}

export const total = ({ statements }: Counts): number =>
  Object.values(statements).reduce((sum, count) => sum + count, 0);
