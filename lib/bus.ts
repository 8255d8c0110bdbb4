import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { Connection } from './connection.ts';
import { TIME } from './database-clock.ts';
import type { Database } from './database.ts';
import { decodeNotice } from './notice.ts';
import type { Notice } from './notice.ts';
import { isDoneWithin } from './patience.ts';

/** For the log: what happened, without values of sessions. */
export type LogLine = (event: string, fields: Readonly<Record<string, unknown>>) => void;

export interface BusOptions {
  readonly onNotice: (notice: Notice) => void;
  /** Notices may have been missed. Called before `isHealthy` turns true, the first time too. */
  readonly onListening: () => void;
  readonly log: LogLine;
  /** How long a proof that we hear everything is good for, in milliseconds. Default 5000. */
  readonly heartbeat?: number | undefined;
  /** How long such a proof may take, in milliseconds. Default 3000. */
  readonly heartbeatTimeout?: number | undefined;
  /** The first and the longest pause before another attempt, in milliseconds. Default 200 and 10,000. */
  readonly retry?: readonly [first: number, longest: number] | undefined;
  /** Milliseconds that never go back. Default performance.now. */
  readonly clock?: (() => number) | undefined;
}

/** Beats come this much earlier than the last one expires, so that the trust in the cache does not flicker. */
const BEAT = 0.6;
const STOP_TIMEOUT = 1000;

/**
 * What other nodes have revoked, over LISTEN on a connection of its own. A NOTIFY is a hint that makes revocation
 * fast; correctness rests on the cache's time to live, and on `isHealthy`: while nobody can prove that notices still
 * arrive, the cache is not trusted.
 */
export class Bus {
  readonly #database: Database;
  readonly #options: BusOptions;
  readonly #heartbeat: number;
  readonly #clock: () => number;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #break: ((reason: Error) => void) | undefined;
  #provenAt = -Infinity;
  #isLost = false;
  /** How often the listener has come back after a loss. */
  reconnects = 0;
  /** Milliseconds that the last proof took: no notice takes longer. */
  lag = 0;

  constructor(database: Database, options: BusOptions) {
    this.#database = database;
    this.#options = options;
    this.#heartbeat = options.heartbeat ?? 5000;
    this.#clock = options.clock ?? (() => performance.now());
  }

  /** True for one heartbeat after the last proof that this node hears everything. */
  get isHealthy(): boolean {
    return this.#clock() - this.#provenAt <= this.#heartbeat;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#break?.(new Error('stopped'));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const [first, longest] = this.#options.retry ?? [200, 10_000];
    for (let attempt = 0; !signal.aborted; attempt++) {
      const client = new Connection({
        ...this.#database.listener,
        query_timeout: this.#options.heartbeatTimeout ?? 3000,
      });
      const broken = new Promise<never>((_, reject) => {
        client.on('error', reject);
        client.on('end', () => reject(new Error('the connection ended')));
        this.#break = reject;
      });
      broken.catch(() => {}); // also awaited below, but perhaps not yet when it rejects
      try {
        await Promise.race([this.#listen(client), broken]);
        attempt = 0;
        await Promise.race([this.#keepListening(client), broken]);
      } catch (error) {
        this.#lose(error);
      }
      await close(client);
      const pause = Math.min(longest, first * 2 ** Math.min(attempt, 16));
      await this.#pause(pause * (0.5 + Math.random() / 2));
    }
  }

  async #listen(client: Client): Promise<void> {
    client.on('notification', ({ payload = '' }) => this.#options.onNotice(decodeNotice(payload)));
    await client.connect();
    // A process that has nothing else to do may end.
    (client as Client & { unref(): void }).unref();
    await client.query(`listen "${this.#database.schema}"`);
    const provenAt = await this.#prove(client);
    this.#options.onListening();
    this.#provenAt = provenAt;
    if (this.#isLost) this.reconnects += 1;
    this.#isLost = false;
    this.#options.log('bus_listening', {});
  }

  async #keepListening(client: Client): Promise<never> {
    for (;;) {
      await this.#pause(this.#heartbeat * BEAT);
      this.#provenAt = await this.#prove(client);
    }
  }

  /**
   * Asks in the session that listens, so that the answer comes behind every notice committed before the question:
   * TCP's keepalive would notice a silent network only after minutes. Resolves with the moment of the question.
   */
  async #prove(client: Client): Promise<number> {
    const askedAt = this.#clock();
    const sentAt = Date.now();
    const { rows } = await client.query<{ channel: string; now: number }>(
      `select channel, ${TIME} as now from pg_listening_channels() as channel`,
    );
    this.#database.clock.sample(sentAt, Date.now(), rows[0]?.now ?? NaN);
    if (!rows.some(({ channel }) => channel === this.#database.schema)) {
      throw new Error(
        'LISTEN does not last: behind a pooler, give the listener a direct listen_url',
      );
    }
    this.lag = this.#clock() - askedAt;
    return askedAt;
  }

  #lose(error: unknown): void {
    this.#provenAt = -Infinity;
    if (this.#isLost || this.#stop.signal.aborted) return; // said once, not at every attempt
    this.#isLost = true;
    this.#options.log('bus_lost', { reason: error instanceof Error ? error.message : 'unknown' });
  }

  async #pause(milliseconds: number): Promise<void> {
    const { signal } = this.#stop;
    await sleep(milliseconds, undefined, { ref: false, signal }).catch(() => {});
  }
}

/** pg waits for the server's goodbye, on a connection that works; a silent one it cuts. */
async function close(client: Client): Promise<void> {
  (client as Client & { ref(): void }).ref();
  await isDoneWithin(STOP_TIMEOUT, client.end());
}
