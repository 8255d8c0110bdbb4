import { figure, median, print } from './figures.ts';
import { medians, OPERATIONS, sample } from './operations.ts';
import type { Operation, Sample } from './operations.ts';
import { openBench, startServer } from './server.ts';
import { sizesOf, sum } from './sizes.ts';
import type { Sizes } from './sizes.ts';
import { Subject, WORKING_SET } from './subject.ts';

/** Measures the same operations on tables of several sizes in one server, in turns, and prints what differs. */
export async function compareSizes(sizes: readonly number[], rounds: number): Promise<void> {
  const postgres = await startServer();
  const subjects: Subject[] = [];
  try {
    for (const rows of sizes) {
      const startedAt = performance.now();
      subjects.push(await Subject.fill(rows, await openBench(postgres)));
      const seconds = figure((performance.now() - startedAt) / 1000);
      console.log(`filled ${figure(rows)} rows in ${seconds} s`);
    }
    printSizes(
      await Promise.all(
        subjects.map(async ({ rows, bench }) => ({ rows, sizes: await sizesOf(bench.sql) })),
      ),
    );
    for (const subject of subjects) await subject.warmUp();
    printSamples(subjects, await takeTurns(subjects, rounds), rounds);
  } finally {
    for (const { bench } of subjects) await bench.close();
    await postgres.stop();
  }
}

type Turns = ReadonlyMap<Operation, readonly (readonly Sample[])[]>;

/** For each operation the rounds, and for each round a sample of every subject. Who is first changes. */
async function takeTurns(subjects: readonly Subject[], rounds: number): Promise<Turns> {
  const turns = new Map<Operation, Sample[][]>(OPERATIONS.map((operation) => [operation, []]));
  for (let round = -1; round < rounds; round++) {
    for (const [operation, taken] of turns) {
      const samples: Sample[] = [];
      for (let turn = 0; turn < subjects.length; turn++) {
        const index = (turn + round + subjects.length) % subjects.length;
        const subject = subjects[index];
        if (subject) samples[index] = await sample(operation, subject);
      }
      if (round >= 0) taken.push(samples); // the one before the first prepares statements and plans
    }
  }
  return turns;
}

function printSizes(tables: readonly { rows: number; sizes: Sizes }[]): void {
  const names = Object.keys(tables[0]?.sizes.indexes ?? {});
  print(
    'Bytes per session',
    ['rows', 'table', ...names, 'all'],
    tables.map(({ rows, sizes }) => [
      figure(rows),
      figure(sizes.heap / rows),
      ...names.map((name) => figure((sizes.indexes[name] ?? NaN) / rows)),
      figure(sum(sizes) / rows),
    ]),
  );
}

const HEAD = ['operation', 'rows', 'p50 µs', 'p99 µs', 'node CPU µs', 'Postgres CPU µs'];
const RATIOS = ['WAL bytes', 'p50 ratio', 'CPU ratio'];

/** Ratios to the first table: medians of those within each round, so that a slow moment of the machine is in both. */
function printSamples(subjects: readonly Subject[], turns: Turns, rounds: number): void {
  const rows = [...turns].flatMap(([{ name }, taken]) =>
    subjects.map((subject, index) => {
      const own = taken.flatMap((samples) => samples[index] ?? []);
      const { p50, p99, node, backend, wal } = medians(own);
      const ratio = (of: (one: Sample) => number) =>
        median(own.map((one, round) => of(one) / of(taken[round]?.[0] ?? one))).toFixed(2);
      return [
        name,
        figure(subject.rows),
        ...[p50, p99, node, backend, wal].map(figure),
        ratio((one) => one.p50),
        ratio((one) => one.node + one.backend),
      ];
    }),
  );
  const title = `Per session, one connection, medians of ${rounds} rounds; working set ${figure(WORKING_SET)} sessions`;
  print(title, [...HEAD, ...RATIOS], rows);
}
