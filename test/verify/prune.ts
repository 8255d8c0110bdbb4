import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { quantile } from '../../bench/store/figures.ts';
import { fill, keyOfRow, sealSpecimen } from '../../bench/store/rows.ts';
import { openDatabase } from '../../lib/database.ts';
import type { QueryEvent } from '../../lib/database.ts';
import { migrate } from '../../lib/migrate.ts';
import { prune } from '../../lib/prune.ts';
import { Store } from '../../lib/store.ts';
import { startPostgres } from '../support/postgres.ts';
import { main } from './program.ts';
import type { Figure, Program } from './program.ts';

const LIFETIME = { rolling: 3600_000, absolute: 86_400_000 };
/** Renewals under way at a time, and the pause before the next. Milliseconds. */
const RENEWERS = 4;
const PAUSE = 5;
/** For how long renewals are watched without pruning, before it and after it. */
const QUIET = 5000;

export const program: Program = {
  name: 'prune',
  claim: 'Expired sessions go in short statements, and who renews meanwhile hardly notices.',
  counts: 'expired sessions among as many living ones',
  defaultCount: 300_000,
  async run({ count }) {
    const postgres = await startPostgres({ own: true });
    try {
      return await measure(await postgres.newDatabase(), count);
    } finally {
      await postgres.stop();
    }
  },
};

async function measure(url: string, count: number): Promise<Figure[]> {
  const database = openDatabase({ url, connectTimeout: 10_000, statementTimeout: 10_000 });
  const sql = new Client({ connectionString: url });
  try {
    await migrate(database);
    await sql.connect();
    const even = "i % 2 = 0 then now() - interval '1 second' else now() + interval '1 hour'";
    await fill(sql, 2 * count, `case when ${even} end`);
    const store = new Store(database);
    const renewals = new Renewals(store, 2 * count, await sealSpecimen(keyOfRow(1)));
    renewals.start();
    await sleep(QUIET);
    const before = renewals.take();
    const pruned = await watch(() => pruneAll(store));
    const meanwhile = renewals.take();
    await sleep(QUIET);
    await renewals.stop();
    const left = await sql.query('select from session_guard.sessions where expires_at <= now()');
    return [
      { name: 'pruned', value: pruned.sessions, atLeast: count, atMost: count },
      { name: 'expired and still there', value: left.rows.length, atMost: 0 },
      { name: 'living sessions that were not renewed', value: renewals.lost, atMost: 0 },
      { name: 'statements', value: pruned.statements.length },
      ...timesOf(pruned, [...before, ...renewals.take()], meanwhile),
    ];
  } finally {
    await sql.end();
    await database.close();
  }
}

interface Pruned {
  readonly sessions: number;
  readonly milliseconds: number;
  /** How long each statement took. Milliseconds. */
  readonly statements: readonly number[];
}

function timesOf(
  { milliseconds, statements }: Pruned,
  quiet: readonly number[],
  meanwhile: readonly number[],
): Figure[] {
  const [alone, beside] = [quantile(quiet, 0.99), quantile(meanwhile, 0.99)];
  return [
    { name: 'all of them', value: rounded(milliseconds / 1000), unit: 's', atMost: 5 },
    { name: 'longest statement', value: rounded(Math.max(...statements)), unit: 'ms', atMost: 200 },
    { name: 'p99 of a renewal, alone', value: rounded(alone), unit: 'ms' },
    { name: 'p99 of a renewal, meanwhile', value: rounded(beside), unit: 'ms' },
    { name: 'p99 meanwhile', value: rounded(beside / alone), unit: 'times that alone', atMost: 2 },
  ];
}

const rounded = (value: number): number => Math.round(value * 100) / 100;

/** As a node does turn by turn, without the pauses between its turns. */
async function pruneAll(store: Store): Promise<number> {
  let total = 0;
  for (let sessions = 1; sessions > 0; total += sessions) sessions = await prune(store);
  return total;
}

async function watch(work: () => Promise<number>): Promise<Pruned> {
  const statements: number[] = [];
  const note = (message: unknown): void => {
    const { name, milliseconds } = message as QueryEvent;
    if (name === 'prune') statements.push(milliseconds);
  };
  subscribe('session-guard.query', note);
  const startedAt = performance.now();
  try {
    const sessions = await work();
    return { sessions, milliseconds: performance.now() - startedAt, statements };
  } finally {
    unsubscribe('session-guard.query', note);
  }
}

/** Renews living sessions (the odd rows), one after the other, several at a time. */
class Renewals {
  lost = 0;
  readonly #store: Store;
  readonly #rows: number;
  readonly #sealed: Uint8Array;
  readonly #generations = new Map<number, number>();
  #latencies: number[] = [];
  #next = 1;
  #isStopped = false;
  #running: Promise<void>[] = [];

  constructor(store: Store, rows: number, sealed: Uint8Array) {
    this.#store = store;
    this.#rows = rows;
    this.#sealed = sealed;
  }

  start(): void {
    this.#running = Array.from({ length: RENEWERS }, () => this.#run());
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#running);
  }

  /** What renewals took since the last call, in milliseconds. */
  take(): number[] {
    return this.#latencies.splice(0);
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      // A stride that has no factor in common with the rows: each one's turn comes, far apart in the table.
      this.#next = (this.#next + 2 * 7919) % this.#rows;
      await this.#renew(this.#next);
      await sleep(PAUSE);
    }
  }

  async #renew(row: number): Promise<void> {
    const generation = this.#generations.get(row) ?? 0;
    const startedAt = performance.now();
    const renewed = await this.#store.renew(keyOfRow(row), generation, this.#sealed, LIFETIME);
    this.#latencies.push(performance.now() - startedAt);
    if (renewed?.session.generation === generation + 1) this.#generations.set(row, generation + 1);
    else this.lost++;
  }
}

await main(import.meta.url, program);
