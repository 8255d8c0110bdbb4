import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cleanup } from '../e2e/support/cleanup.ts';
import { startPostgres } from '../support/postgres.ts';
import { Random } from './fuzz-random.ts';
import { ROOT, Suite } from './mutants-runner.ts';
import { type Mutant, mutantsOf } from './mutants-sites.ts';
import { type Figure, main, type Program, type Settings } from './program.ts';

/** The security core, and the tests that are nearest to each of its files: they go first. */
const CORE: Readonly<Record<string, readonly string[]>> = {
  'lib/session.ts': ['unit/session'],
  'lib/cookie.ts': ['unit/cookie'],
  'lib/keys.ts': ['unit/keys', 'unit/token'],
  'lib/token.ts': ['unit/token', 'unit/vectors'],
  'lib/presence.ts': ['unit/guard'],
  'lib/recognition.ts': ['unit/guard', 'property/recognition'],
  'lib/channel.ts': ['unit/channel', 'unit/guard'],
  'lib/guard.ts': ['unit/guard'],
  'lib/continuing.ts': ['unit/guard'],
  'lib/audiences.ts': ['unit/guard'],
};
const QUICK = [
  'unit/session',
  'unit/cookie',
  'unit/keys',
  'unit/token',
  'unit/guard',
  'unit/questions',
  'unit/logout',
];
/** For those that the quick ones let live. */
const THOROUGH = [
  'contract/guard-store',
  'contract/guard-copies',
  'contract/credentials',
  'unit/vectors',
  'property/recognition',
  'property/timeouts',
];

const PERCENT = 95;
/** Milliseconds; a changed loop may never end. Many times what the tests take: on a busy machine they only wait. */
const LIMITS = { quick: 300_000, thorough: 900_000 };

interface Survivor {
  readonly file: string;
  readonly change: string;
  /** Why no test can or should tell it from the original. */
  readonly reason: string;
}

const LIST = new URL('survivors.json', import.meta.url);

export const program: Program = {
  name: 'mutants',
  claim:
    'A test fails when a comparison, a number or a refusal of the security core is another one.',
  counts: 'changes at most',
  defaultCount: 10_000,
  parts: Object.keys(CORE),
  run: (settings) => {
    const cleanup = new Cleanup();
    return cleanup.around(async () => {
      const figures = await check(settings, cleanup);
      await cleanup.run();
      return figures;
    });
  },
};

async function check(settings: Settings, cleanup: Cleanup): Promise<Figure[]> {
  const { count, seed, only = Object.keys(CORE) } = settings;
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-mutants-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const postgres = await startPostgres();
  cleanup.defer(() => postgres.stop());
  const suites = openSuites(folder, postgres.url);
  if (!(await areGreen(suites))) throw new Error('the tests fail without any change');
  const all = await mutantsOfAll(only);
  const mutants = sample(all, count, seed);
  const whole = JSON.parse(await readFile(LIST, 'utf8')) as Survivor[];
  const list = whole.filter(({ file }) => only.includes(file));
  const survivors = await survivorsOf(mutants, suites, (mutant) => {
    const mark = list.some(isSame(mutant)) ? 'as listed' : 'NOT LISTED';
    console.log(`${mutant.file}:${mutant.line}  ${mutant.change}  ${mark}`);
  });
  const untried = all.filter((mutant) => !mutants.includes(mutant));
  return figuresOf(mutants, survivors, list, untried);
}

const isSame =
  ({ file, change }: Pick<Survivor, 'file' | 'change'>) =>
  (other: Pick<Survivor, 'file' | 'change'>): boolean =>
    file === other.file && change === other.change;

/** A sample says nothing about what is listed and was not tried. */
function figuresOf(
  mutants: readonly Mutant[],
  survivors: readonly Mutant[],
  list: readonly Survivor[],
  untried: readonly Mutant[],
): Figure[] {
  const noticed = mutants.length - survivors.length;
  const unlisted = survivors.filter((mutant) => !list.some(isSame(mutant)));
  const stale = list.filter((listed) => ![...survivors, ...untried].some(isSame(listed)));
  for (const { file, change } of stale) console.log(`${file}  ${change}  LISTED, BUT NO SURVIVOR`);
  return [
    { name: 'changes', value: mutants.length, atLeast: 1 },
    { name: 'noticed', value: noticed },
    {
      name: 'noticed',
      value: Math.floor((1000 * noticed) / mutants.length) / 10,
      unit: '%',
      atLeast: PERCENT,
    },
    { name: 'not noticed and not in survivors.json', value: unlisted.length, atMost: 0 },
    { name: 'in survivors.json and no survivor', value: stale.length, atMost: 0 },
  ];
}

interface Suites {
  readonly quick: ReadonlyMap<string, Suite>;
  readonly thorough: Suite;
}

const testFile = (name: string): string => `test/${name}.test.ts`;

function openSuites(folder: string, url: string): Suites {
  const quick = Object.entries(CORE).map(([file, nearest]): [string, Suite] => {
    const names = new Set([...nearest, ...QUICK]);
    return [file, new Suite([...names].map(testFile), join(folder, file.replaceAll('/', '-')))];
  });
  const thorough = new Suite(THOROUGH.map(testFile), join(folder, 'thorough'), {
    DATABASE_URL: url,
  });
  return { quick: new Map(quick), thorough };
}

async function areGreen({ quick, thorough }: Suites): Promise<boolean> {
  const [any] = quick.values();
  return (
    any !== undefined &&
    (await any.passes(undefined, LIMITS.quick)) &&
    (await thorough.passes(undefined, LIMITS.thorough))
  );
}

async function mutantsOfAll(files: readonly string[]): Promise<Mutant[]> {
  const texts = await Promise.all(files.map((file) => readFile(join(ROOT, file), 'utf8')));
  return files.flatMap((file, index) => mutantsOf(file, texts[index] ?? ''));
}

/** So many of them, in their order. */
function sample(mutants: readonly Mutant[], count: number, seed: number): readonly Mutant[] {
  const random = new Random(seed);
  const rest = [...mutants];
  while (rest.length > count) rest.splice(random.below(rest.length), 1);
  return rest;
}

async function survivorsOf(
  mutants: readonly Mutant[],
  suites: Suites,
  tell: (mutant: Mutant) => void,
): Promise<Mutant[]> {
  const survivors: Mutant[] = [];
  const queue = mutants.values();
  const work = async (): Promise<void> => {
    for (const mutant of queue) {
      const isAlive =
        (await suites.quick.get(mutant.file)?.passes(mutant, LIMITS.quick)) === true &&
        (await suites.thorough.passes(mutant, LIMITS.thorough));
      if (!isAlive) continue;
      survivors.push(mutant);
      tell(mutant);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return survivors;
}

await main(import.meta.url, program);
