import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Postgres } from '../../test/support/postgres.ts';
import { figure, print } from './figures.ts';
import { openBench, startServer } from './server.ts';
import type { Bench } from './server.ts';
import { sizesOf, sum } from './sizes.ts';
import { Subject } from './subject.ts';

/** Storage parameters of the table of sessions. */
export interface Candidate {
  readonly fillfactor: number;
  readonly autovacuum_vacuum_scale_factor: number;
}

/** Those of the migration stand in the middle; Postgres' own are 100 and 0.2. */
export const CANDIDATES: readonly Candidate[] = [
  { fillfactor: 100, autovacuum_vacuum_scale_factor: 0.2 },
  { fillfactor: 100, autovacuum_vacuum_scale_factor: 0.05 },
  { fillfactor: 90, autovacuum_vacuum_scale_factor: 0.05 },
  { fillfactor: 80, autovacuum_vacuum_scale_factor: 0.05 },
  { fillfactor: 70, autovacuum_vacuum_scale_factor: 0.2 },
  { fillfactor: 70, autovacuum_vacuum_scale_factor: 0.05 },
  { fillfactor: 70, autovacuum_vacuum_scale_factor: 0.01 },
];

/** A touch interval is a minute, and by default a renewal is due after 45. */
const INTERVALS = 90;
const RENEWED_EVERY = 45;
/** Sessions that end in an interval, and as many begin: they last an hour on average. */
const REPLACED_EVERY = 60;
/** As in lib/touches.ts. */
const BATCH = 500;
/** How long an interval takes at least: autovacuum looks every second then, as it does every minute in life. */
const INTERVAL = 1000;

/** Lives the same 90 minutes at sixtyfold speed under each of the settings, and prints what they cost. */
export async function compareSettings(
  candidates: readonly Candidate[],
  sessions: number,
): Promise<void> {
  const postgres = await startServer({
    autovacuum_naptime: '1s',
    log_autovacuum_min_duration: '-1',
  });
  try {
    const rows: string[][] = [];
    for (const candidate of candidates) {
      rows.push([...describe(candidate), ...(await live(postgres, candidate, sessions))]);
    }
    const title = `${figure(sessions)} sessions for ${INTERVALS} touch intervals`;
    print(title, [...SETTINGS, ...FIGURES], rows);
  } finally {
    await postgres.stop();
  }
}

const SETTINGS = ['fillfactor', 'scale factor'];
const FIGURES = [
  'touches HOT %',
  'all HOT %',
  'CPU µs per touch',
  'WAL bytes per touch',
  'table bytes per session',
  'with indexes',
  'vacuums',
];

const describe = (candidate: Candidate): string[] => [
  `${candidate.fillfactor}`,
  `${candidate.autovacuum_vacuum_scale_factor}`,
];

async function live(postgres: Postgres, candidate: Candidate, sessions: number): Promise<string[]> {
  const bench = await openBench(postgres);
  try {
    const settings = Object.entries(candidate).map(([name, value]) => `${name} = ${value}`);
    await bench.sql.query(`alter table session_guard.sessions set (${settings.join(', ')})`);
    const subject = await Subject.fill(sessions, bench);
    const living = Array.from({ length: sessions }, (_, index) => index + 1);
    let touches: Counts = { cpu: 0, wal: 0, updates: 0, hot: 0 };
    for (let interval = 0; interval < INTERVALS; interval++) {
      const startedAt = performance.now();
      const before = await counts(bench);
      for (const rows of batches(shuffled(living))) await subject.touch(rows);
      touches = plus(touches, minus(await counts(bench), before));
      await renewSome(subject, living, interval);
      await replaceSome(subject, living);
      await sleep(INTERVAL - (performance.now() - startedAt));
    }
    return await tell(bench, sessions, touches);
  } finally {
    await bench.close();
  }
}

async function renewSome(
  subject: Subject,
  living: readonly number[],
  interval: number,
): Promise<void> {
  for (const row of living) {
    if (row % RENEWED_EVERY === interval % RENEWED_EVERY) await subject.renew(row);
  }
}

/** Ends sessions anywhere in the table, and begins as many. */
async function replaceSome(subject: Subject, living: number[]): Promise<void> {
  const places = shuffled([...living.keys()]).slice(0, Math.ceil(living.length / REPLACED_EVERY));
  for (const some of batches(places)) {
    await subject.remove(some.map((place) => living[place] ?? 0));
    const begun = await subject.begin(some.length);
    for (const [index, place] of some.entries()) living[place] = begun[index] ?? 0;
  }
}

interface Counts {
  /** Nanoseconds. */
  readonly cpu: number;
  /** Bytes. */
  readonly wal: number;
  readonly updates: number;
  readonly hot: number;
}

async function counts({ sql, database, backendCpu }: Bench): Promise<Counts> {
  // A backend hands in its counts now and then only.
  await database.query({ name: 'flush', text: 'select pg_stat_force_next_flush()' }, []);
  const { rows } = await sql.query<Omit<Counts, 'cpu'>>(
    `select n_tup_upd::float8 as updates, n_tup_hot_upd::float8 as hot,
      pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as wal
    from pg_stat_user_tables where relid = 'session_guard.sessions'::regclass`,
  );
  const [found] = rows;
  if (found === undefined) throw new Error('Postgres counts nothing');
  return { ...found, cpu: await backendCpu() };
}

const combine = (one: Counts, other: Counts, sign: 1 | -1): Counts => ({
  cpu: one.cpu + sign * other.cpu,
  wal: one.wal + sign * other.wal,
  updates: one.updates + sign * other.updates,
  hot: one.hot + sign * other.hot,
});
const plus = (one: Counts, other: Counts): Counts => combine(one, other, 1);
const minus = (one: Counts, other: Counts): Counts => combine(one, other, -1);

async function tell(bench: Bench, sessions: number, touches: Counts): Promise<string[]> {
  const all = await counts(bench);
  const sizes = await sizesOf(bench.sql);
  const { rows } = await bench.sql.query<{ vacuums: number }>(
    `select autovacuum_count::integer as vacuums from pg_stat_user_tables
    where relid = 'session_guard.sessions'::regclass`,
  );
  return [
    figure((100 * touches.hot) / touches.updates),
    figure((100 * all.hot) / all.updates),
    figure(touches.cpu / 1000 / touches.updates),
    figure(touches.wal / touches.updates),
    figure(sizes.heap / sessions),
    figure(sum(sizes) / sessions),
    `${rows[0]?.vacuums ?? 0}`,
  ];
}

function* batches(values: readonly number[]): Generator<readonly number[]> {
  for (let start = 0; start < values.length; start += BATCH) {
    yield values.slice(start, start + BATCH);
  }
}

/** Fisher and Yates. */
function shuffled(values: readonly number[]): number[] {
  const result = [...values];
  for (let last = result.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    [result[last], result[other]] = [result[other] ?? 0, result[last] ?? 0];
  }
  return result;
}
