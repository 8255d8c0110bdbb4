import { Client } from 'pg';
import type { ClientConfig } from 'pg';

/** Reads nothing: no URL, no file, no variable of the environment that could be wrong. */
const NOWHERE = { host: '127.0.0.1', ssl: false, sslnegotiation: 'postgres' } as ClientConfig;

type OnConnect = (error: Error | null) => void;

/**
 * A client all of whose failures reach whoever connects it. pg's own throws where it is made (the URL cannot be read,
 * or a file that it names) or where it sets out (a port that is none), and pg's pool does both in callbacks, where a
 * throw ends the process.
 */
export class Connection extends Client {
  /** Why there is no use in connecting. Never holds a part of the URL that is secret. */
  declare readonly problem: Error | undefined;

  constructor(config: ClientConfig = {}) {
    let problem: unknown;
    try {
      super(config);
    } catch (error) {
      super(NOWHERE);
      problem = error;
    }
    this.problem = problem === undefined ? portProblem(this.port) : asError(problem);
  }

  override connect(): Promise<Client>;
  override connect(callback: OnConnect): void;
  override connect(callback?: OnConnect): Promise<Client> | void {
    if (callback === undefined) {
      return new Promise((resolve, reject) => {
        this.connect((error) => (error ? reject(error) : resolve(this)));
      });
    }
    const { problem } = this;
    if (problem) process.nextTick(() => callback(problem));
    else super.connect(callback);
  }
}

const portProblem = (port: number): Error | undefined =>
  port > 0 && port < 65_536 ? undefined : new RangeError('the port must be between 1 and 65535');

const asError = (problem: unknown): Error =>
  problem instanceof Error ? problem : new Error('the connection cannot be made');
