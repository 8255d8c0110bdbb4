import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** What a verification found. Each figure says what was counted and what it must be. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit?: string;
  /** The bound the figure is held to; without one it is only told. */
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface Settings {
  /** How much is tried; what it counts is the program's to say. */
  readonly count: number;
  /** Two runs with one seed try the same. */
  readonly seed: number;
  /** Those of the program's parts that are tried; absent = all of them. */
  readonly only?: readonly string[];
}

/** A promise of the product as a program: it tries to break it and prints how far it got. */
export interface Program {
  /** As in `npm run verify:<name>`. */
  readonly name: string;
  /** The promise, in one line. */
  readonly claim: string;
  /** What `count` counts. */
  readonly counts: string;
  /** `count` of the whole verification; the test command runs the same program with a smaller one. */
  readonly defaultCount: number;
  /** What `--only` may name, where a part can be tried without the others. */
  readonly parts?: readonly string[];
  run(settings: Settings): Promise<readonly Figure[]>;
}

export const isHeld = ({ value, atMost = Infinity, atLeast = -Infinity }: Figure): boolean =>
  value <= atMost && value >= atLeast;

/**
 * Runs a program from the command line, `[--count N] [--seed N] [--only PART]…`, if `moduleUrl` is what node was started
 * with. The exit code is 1 when a figure misses its bound.
 */
export async function main(moduleUrl: string, program: Program): Promise<void> {
  if (process.argv[1] !== fileURLToPath(moduleUrl)) return;
  const settings = parseSettings(process.argv.slice(2), program);
  const start = performance.now();
  const figures = await program.run(settings);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const { count, seed, only = [] } = settings;
  const parts = only.map((part) => ` --only ${part}`).join('');
  console.log(`\n${program.claim}`);
  for (const figure of figures) console.log(`  ${describe(figure)}`);
  console.log(
    `  npm run verify:${program.name} -- --count ${count} --seed ${seed}${parts}  (${count} ${program.counts}, ${seconds} s)`,
  );
  if (!figures.every(isHeld)) process.exitCode = 1;
}

function parseSettings(args: string[], { defaultCount, parts = [] }: Program): Settings {
  const { values } = parseArgs({
    args,
    options: {
      count: { type: 'string' },
      seed: { type: 'string' },
      only: { type: 'string', multiple: true },
    },
  });
  const { only } = values;
  if (only && !only.every((part) => parts.includes(part))) {
    throw new TypeError(`--only takes a part: ${parts.join(', ') || 'this program has none'}`);
  }
  return {
    count: wholeNumber('--count', values.count, defaultCount),
    seed: wholeNumber('--seed', values.seed, randomInt(2 ** 31)),
    ...(only && { only }),
  };
}

function wholeNumber(option: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new TypeError(`${option} must be a whole number from 1 up`);
  }
  return value;
}

/** A line that says what was found and, where it is held to something, whether it held. */
export function describe(figure: Figure): string {
  const { name, value, unit = '', atMost, atLeast } = figure;
  const bounds = [
    ...(atLeast === undefined ? [] : [`at least ${atLeast}`]),
    ...(atMost === undefined ? [] : [`at most ${atMost}`]),
  ];
  const verdict = bounds.length === 0 ? '' : isHeld(figure) ? ' held' : ' MISSED';
  const target = bounds.length === 0 ? '' : ` (${bounds.join(', ')})`;
  return `${name}: ${value}${unit === '' ? '' : ` ${unit}`}${target}${verdict}`;
}
