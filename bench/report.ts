import { type Figure, describe } from '../test/verify/program.ts';
import type { Measurement } from './cell.ts';
import { SCENARIOS, STORAGES, TITLES } from './plan.ts';
import type { PeerName, Scenario, StorageName } from './plan.ts';
import type { Row } from './run.ts';
import { median, medianRatio } from './statistics.ts';

/** A quantity of a row, a value for each round; `undefined` where it was not measured. */
type Quantity = (measurement: Measurement) => number | undefined;

const COLUMNS: readonly (readonly [title: string, text: (row: Row) => string])[] = [
  ['peer', ({ cell }) => TITLES[cell.peer]],
  ['req/s', (row) => shown(row, ({ rps }) => rps, 0)],
  ['p50 ms', (row) => shown(row, ({ p50 }) => p50 / 1000, 1)],
  ['p99 ms', (row) => shown(row, ({ p99 }) => p99 / 1000, 1)],
  ['gateway µs', (row) => shown(row, ({ gateway }) => gateway, 0)],
  ['server µs', (row) => shown(row, ({ server }) => server, 0)],
  ['calls', ({ talk }) => (talk === undefined ? '' : String(talk.calls))],
  ['trips', ({ talk }) => (talk === undefined ? '' : String(talk.roundTrips))],
  ['SQL', (row) => shown(row, ({ statements }) => statements, 2)],
  ['decrypt', (row) => shown(row, ({ decryptions }) => decryptions, 2)],
];

function valuesOf(row: Row | undefined, quantity: Quantity): number[] | undefined {
  const values = row?.rounds.map(quantity).filter((value) => value !== undefined) ?? [];
  return values.length === 0 ? undefined : values;
}

function shown(row: Row, quantity: Quantity, digits: number): string {
  const values = valuesOf(row, quantity);
  return values === undefined ? '' : median(values).toFixed(digits);
}

/** The medians as Markdown, a table for each scenario and storage, and what the promises ask for. */
export function report(rows: readonly Row[]): string {
  const tables = SCENARIOS.flatMap((scenario) =>
    STORAGES.flatMap((storage) => {
      const own = rows.filter(({ cell }) => cell.scenario === scenario && cell.storage === storage);
      if (own.length === 0) return [];
      return [`\n### ${scenario}, storage ${storage}\n`, ...table(own)];
    }),
  );
  const figures = figuresOf(rows).map((figure) => `- ${describe(figure)}`);
  return [...tables, '\n### Ratios and bounds\n', ...figures, ...caveats(rows)].join('\n');
}

/** Fewer requests in a round say more about the machine and the compiler than about the peer. */
const FEW = 500;

function caveats(rows: readonly Row[]): string[] {
  const few = rows.filter(({ rounds }) => rounds.some(({ requests }) => requests < FEW));
  return [
    ...theft(rows),
    ...(few.length === 0
      ? []
      : [
          `\n${few.length} of ${rows.length} cells had rounds of less than ${FEW} requests: the machine is too busy.`,
        ]),
  ];
}

/** Of a virtual machine: two processes on two CPUs suffer more from it than one does. */
function theft(rows: readonly Row[]): string[] {
  const shares = rows.flatMap(({ rounds }) => rounds.map(({ stolen }) => 100 * stolen));
  const [middle, worst] = [median(shares), Math.max(...shares)];
  if (worst < 1) return [];
  return [
    `\nThe machine's host gave ${middle.toFixed(0)} % of the CPU time to others in the middle round, ${worst.toFixed(0)} % in the worst.`,
  ];
}

function table(rows: readonly Row[]): string[] {
  const lines = [
    COLUMNS.map(([title]) => title),
    COLUMNS.map(() => ''),
    ...rows.map((row) => COLUMNS.map(([, text]) => text(row))),
  ];
  const widths = COLUMNS.map((_, index) =>
    Math.max(...lines.map((line) => line[index]?.length ?? 0)),
  );
  return lines.map((line, number) => {
    const cells = line.map((text, index) => {
      const width = widths[index] ?? 0;
      if (number === 1) return index === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`;
      return index === 0 ? text.padEnd(width) : text.padStart(width);
    });
    return `| ${cells.join(' | ')} |`;
  });
}

type Of = readonly [peer: PeerName, scenario: Scenario, storage?: StorageName];

/** Ratios, and the bounds of what must hold; those whose cells were measured. */
export function figuresOf(rows: readonly Row[]): Figure[] {
  const find = ([peer, scenario, storage = 'kong']: Of): Row | undefined =>
    rows.find(
      ({ cell }) => cell.peer === peer && cell.scenario === scenario && cell.storage === storage,
    );
  const one = (name: string, of: Of, quantity: Quantity, bounds: Partial<Figure> = {}) => {
    const values = valuesOf(find(of), quantity);
    return values === undefined ? [] : [{ name, value: round(median(values)), ...bounds }];
  };
  const ratio = (
    name: string,
    of: Of,
    to: Of,
    quantity: Quantity,
    bounds: Partial<Figure> = {},
  ) => {
    const [values, bases] = [valuesOf(find(of), quantity), valuesOf(find(to), quantity)];
    if (values === undefined || bases === undefined) return [];
    return [{ name, value: round(medianRatio(values, bases)), ...bounds }];
  };
  const trips = find(['protobuf', 'valid'])?.talk?.roundTrips;
  return [
    ...one('valid, ProtoBuf: server CPU µs', ['protobuf', 'valid'], server, { atMost: 100 }),
    ...(trips === undefined
      ? []
      : [{ name: 'valid, ProtoBuf: round trips', value: trips, atMost: 2 }]),
    ...one('valid, ProtoBuf: SQL statements', ['protobuf', 'valid'], statements, { atMost: 0.05 }),
    ...one('valid, ProtoBuf: decryptions', ['protobuf', 'valid'], decryptions, { atMost: 0.05 }),
    ...one('cold, ProtoBuf: SQL statements', ['protobuf', 'cold'], statements, { atMost: 1.05 }),
    ...ratio(
      'valid: server CPU, stock / ProtoBuf',
      ['stock', 'valid'],
      ['protobuf', 'valid'],
      server,
      {
        atLeast: 2.5,
      },
    ),
    ...ratio(
      'valid: server CPU, MessagePack / ProtoBuf',
      ['msgpack', 'valid'],
      ['protobuf', 'valid'],
      server,
    ),
    ...ratio(
      'valid: server CPU, naive / ProtoBuf',
      ['naive', 'valid'],
      ['protobuf', 'valid'],
      server,
    ),
    ...ratio(
      'valid: server CPU, ProtoBuf / no call',
      ['protobuf', 'valid'],
      ['noop', 'valid'],
      server,
    ),
    ...ratio(
      'valid: gateway CPU, ProtoBuf / no call',
      ['protobuf', 'valid'],
      ['noop', 'valid'],
      gateway,
    ),
    ...ratio('valid: req/s, ProtoBuf / stock', ['protobuf', 'valid'], ['stock', 'valid'], rps),
    ...ratio('valid: req/s, ProtoBuf / naive', ['protobuf', 'valid'], ['naive', 'valid'], rps),
    ...ratio(
      'ProtoBuf: server CPU, invalid / cold',
      ['protobuf', 'invalid'],
      ['protobuf', 'cold'],
      server,
      {
        atMost: 1,
      },
    ),
    ...STORAGES.flatMap((storage) => againstBundled(storage, ratio)),
  ];
}

type Ratio = (
  name: string,
  of: Of,
  to: Of,
  quantity: Quantity,
  bounds?: Partial<Figure>,
) => Figure[];

/** A real Kong: a verified session against the bundled plugin with the same kind of storage. */
function againstBundled(storage: StorageName, ratio: Ratio): Figure[] {
  const compare = (name: string, quantity: Quantity, bounds: Partial<Figure>): Figure[] =>
    ratio(
      `valid, ${storage}: ${name}, session-guard / bundled`,
      ['guard', 'valid', storage],
      ['bundled', 'valid', storage],
      quantity,
      bounds,
    );
  return [
    ...compare('worker CPU', gateway, { atMost: 1.05 }),
    ...compare('worker + server CPU', (one) => one.gateway + (one.server ?? 0), { atMost: 1.4 }),
    ...compare('req/s', rps, { atLeast: 1 }),
    ...compare('p99', ({ p99 }) => p99, { atMost: 1 }),
  ];
}

const rps: Quantity = (one) => one.rps;
const gateway: Quantity = (one) => one.gateway;
const server: Quantity = (one) => one.server;
const statements: Quantity = (one) => one.statements;
const decryptions: Quantity = (one) => one.decryptions;

const round = (value: number): number => Number(value.toPrecision(3));
