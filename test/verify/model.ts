import fc from 'fast-check';
import { startPostgres } from '../support/postgres.ts';
import type { Turn } from './model-sessions.ts';
import { Play } from './model-play.ts';
import type { Command } from './model-play.ts';
import { World } from './model-world.ts';
import type { Figure, Program, Settings } from './program.ts';
import { main } from './program.ts';

export const program: Program = {
  name: 'model',
  claim: 'Whatever people, thieves, operators and time do, two nodes do what a small model says.',
  counts:
    'sequences of up to 30 commands, on the real code and a real Postgres with its clock in our hands',
  defaultCount: 5000,
  run,
};

const MINUTE = 60_000;
/** Shorter and longer than the grace of a predecessor; before and after a renewal is due; too long. */
const TIMES = [
  4000,
  12_000,
  12_000,
  10 * MINUTE,
  37 * MINUTE,
  37 * MINUTE,
  37 * MINUTE,
  55 * MINUTE,
];

const browser = fc.nat({ max: 1 });
const node = fc.nat({ max: 1 });
const person = fc.nat({ max: 1 });
const isLost = fc.oneof(
  { weight: 3, arbitrary: fc.constant(false) },
  { weight: 1, arbitrary: fc.constant(true) },
);
const name = <N extends Command['name']>(value: N) => fc.constant(value);

const COMMAND: fc.Arbitrary<Command> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ name: name('sign-in'), browser, person, node, isLost }) },
  { weight: 14, arbitrary: fc.record({ name: name('use'), browser, node, isLost }) },
  {
    weight: 8,
    arbitrary: fc.record({ name: name('pass-time'), milliseconds: fc.constantFrom(...TIMES) }),
  },
  { weight: 3, arbitrary: fc.record({ name: name('steal'), from: browser, to: browser }) },
  { weight: 1, arbitrary: fc.record({ name: name('log-out'), browser, node, isLost }) },
  { weight: 1, arbitrary: fc.record({ name: name('revoke'), person, node }) },
  { weight: 1, arbitrary: fc.record({ name: name('restart'), node }) },
);

/** Rare by chance: a thief comes with a copy when the owner has a newer cookie in use. */
const THEFT: readonly Command[] = [
  { name: 'steal', from: 0, to: 1 },
  { name: 'pass-time', milliseconds: 37 * MINUTE },
  { name: 'use', browser: 0, node: 0, isLost: false },
  { name: 'use', browser: 0, node: 1, isLost: false },
  { name: 'pass-time', milliseconds: 12_000 },
  { name: 'use', browser: 1, node: 0, isLost: false },
];

const SEQUENCE: fc.Arbitrary<readonly Command[]> = fc
  .array(
    fc.oneof(
      { weight: 50, arbitrary: COMMAND.map((command) => [command]) },
      { weight: 1, arbitrary: fc.constant(THEFT) },
    ),
    { minLength: 10, maxLength: 30, size: 'max' },
  )
  .map((parts) => parts.flat());

interface Tally {
  readonly turns: Map<Turn, number>;
  sequences: number;
  commands: number;
}

/** Clusters at work beside one another: most of the time goes into waiting for Postgres. */
const CLUSTERS = 4;

async function run({ count, seed }: Settings): Promise<Figure[]> {
  const postgres = await startPostgres();
  const tally: Tally = { turns: new Map(), sequences: 0, commands: 0 };
  try {
    const each = Math.ceil(count / CLUSTERS);
    const clusters = Array.from({ length: CLUSTERS }, async (_, index) =>
      compare(await postgres.newDatabase(), { count: each, seed: seed + index }, tally),
    );
    const results = await Promise.allSettled(clusters);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  } finally {
    await postgres.stop();
  }
  return [
    { name: 'sequences that agree with the model', value: tally.sequences, atLeast: count },
    { name: 'commands in them', value: tally.commands },
    ...TURNS.map(([turn, what]) => ({
      name: what,
      value: tally.turns.get(turn) ?? 0,
      atLeast: 1,
    })),
  ];
}

/** Rejects with the shortest sequence found on which nodes and model disagree. */
async function compare(url: string, { count, seed }: Settings, tally: Tally): Promise<void> {
  const { turns } = tally;
  const world = await World.open(url);
  const property = fc.asyncProperty(SEQUENCE, async (sequence) => {
    await world.clear();
    const play = new Play(world, (turn) => turns.set(turn, (turns.get(turn) ?? 0) + 1));
    await play.perform({ name: 'sign-in', browser: 0, person: 0, node: 0, isLost: false });
    for (const command of sequence) await play.perform(command);
    await play.compareCounts();
    tally.sequences += 1;
    tally.commands += sequence.length;
  });
  try {
    await fc.assert(property, { numRuns: count, seed });
  } finally {
    await world.close();
  }
}

/** What has to happen, or the sequences would prove little. */
const TURNS: readonly (readonly [Turn, string])[] = [
  ['renewed', 'renewals'],
  ['previous', 'uses of a predecessor'],
  ['replayed', 'sessions ended for a replay'],
  ['idling', 'uses after the idle limit'],
  ['rolling', 'uses after the rolling limit'],
  ['absolute', 'uses after the absolute limit'],
];

await main(import.meta.url, program);
