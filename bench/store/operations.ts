import { median, quantile } from './figures.ts';
import type { Subject } from './subject.ts';

/** What is measured: one statement of the product, `times` in a row. */
export interface Operation {
  readonly name: string;
  readonly times: number;
  /** How many sessions one statement means; figures are told for one of them. */
  readonly sessions: number;
  prepare?(subject: Subject): Promise<void>;
  run(subject: Subject): Promise<void>;
}

const TOUCHES = 100;
const PRUNED = 1000;
const several = (next: () => number) => Array.from({ length: TOUCHES }, next);

/** Warm: sessions of the working set. Cold: any of the table, most of them not asked for in a long time. */
export const OPERATIONS: readonly Operation[] = [
  { name: 'lookup', times: 500, sessions: 1, run: (subject) => subject.lookUp(subject.warm()) },
  {
    name: 'lookup, cold',
    times: 500,
    sessions: 1,
    run: (subject) => subject.lookUp(subject.cold()),
  },
  { name: 'renewal', times: 250, sessions: 1, run: (subject) => subject.renew(subject.warm()) },
  {
    name: 'renewal, cold',
    times: 250,
    sessions: 1,
    run: (subject) => subject.renew(subject.cold()),
  },
  { name: 'login', times: 250, sessions: 1, run: (subject) => subject.logIn() },
  { name: 'logout', times: 250, sessions: 1, run: (subject) => subject.logOut() },
  {
    name: `touch of ${TOUCHES}`,
    times: 10,
    sessions: TOUCHES,
    run: (subject) => subject.touch(several(() => subject.warm())),
  },
  {
    name: `touch of ${TOUCHES}, cold`,
    times: 10,
    sessions: TOUCHES,
    run: (subject) => subject.touch(several(() => subject.cold())),
  },
  {
    name: `prune of ${PRUNED}`,
    times: 1,
    sessions: PRUNED,
    prepare: (subject) => subject.expire(PRUNED),
    run: (subject) => subject.prune(PRUNED),
  },
];

/** For one session. Times in microseconds. */
export interface Sample {
  readonly p50: number;
  readonly p99: number;
  /** Of this process: what a plugin server spends. */
  readonly node: number;
  /** Of the connection's backend. */
  readonly backend: number;
  /** Bytes of write-ahead log, those of vacuum included. */
  readonly wal: number;
}

export async function sample(operation: Operation, subject: Subject): Promise<Sample> {
  const { times, sessions } = operation;
  const { bench } = subject;
  await operation.prepare?.(subject);
  const walBefore = await writtenWal(subject);
  const backendBefore = await bench.backendCpu();
  const nodeBefore = process.cpuUsage();
  const latencies: number[] = [];
  for (let time = 0; time < times; time++) {
    const startedAt = performance.now();
    await operation.run(subject);
    latencies.push((performance.now() - startedAt) * 1000);
  }
  const { user, system } = process.cpuUsage(nodeBefore);
  const backend = ((await bench.backendCpu()) - backendBefore) / 1000;
  const all = times * sessions;
  return {
    p50: quantile(latencies, 0.5) / sessions,
    p99: quantile(latencies, 0.99) / sessions,
    node: (user + system) / all,
    backend: backend / all,
    wal: ((await writtenWal(subject)) - walBefore) / all,
  };
}

async function writtenWal({ bench }: Subject): Promise<number> {
  const { rows } = await bench.sql.query<{ bytes: number }>(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as bytes`,
  );
  return rows[0]?.bytes ?? NaN;
}

/** Field by field the median of several samples. */
export const medians = (samples: readonly Sample[]): Sample => ({
  p50: median(samples.map(({ p50 }) => p50)),
  p99: median(samples.map(({ p99 }) => p99)),
  node: median(samples.map(({ node }) => node)),
  backend: median(samples.map(({ backend }) => backend)),
  wal: median(samples.map(({ wal }) => wal)),
});
