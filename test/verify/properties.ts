import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Figure, main, type Program, type Settings } from './program.ts';

const TESTS = fileURLToPath(new URL('..', import.meta.url));
const MOST_OUTPUT = 64 * 1024 * 1024; // bytes

export const program: Program = {
  name: 'properties',
  claim: 'The properties hold for other cases than those that every test run tries.',
  counts: 'test runs with a seed each',
  defaultCount: 30,
  run,
};

async function run({ count, seed }: Settings): Promise<Figure[]> {
  const files = await filesWithProperties();
  let failed = 0;
  for (let each = seed; each < seed + count; each += 1) {
    if (!(await hold(files, each))) failed += 1;
  }
  return [
    { name: 'files with properties', value: files.length, atLeast: 1 },
    { name: 'seeds with which one does not hold', value: failed, atMost: 0 },
  ];
}

/** Test files that take their cases from the seed. */
async function filesWithProperties(): Promise<string[]> {
  const names = await readdir(TESTS, { recursive: true });
  const files = names.filter((name) => name.endsWith('.test.ts'));
  const texts = await Promise.all(files.map((name) => readFile(join(TESTS, name), 'utf8')));
  return files.filter((_, index) => texts[index]?.includes('support/runs.ts'));
}

/** Whether all of them pass; prints what the test run says when they do not. */
async function hold(files: readonly string[], seed: number): Promise<boolean> {
  const env = { ...process.env, PROPERTY_SEED: String(seed) };
  const args = ['--import', 'tsx', join(TESTS, 'run.ts'), ...files];
  try {
    await promisify(execFile)(process.execPath, args, { env, maxBuffer: MOST_OUTPUT });
    return true;
  } catch (error) {
    console.log(
      `PROPERTY_SEED=${seed}:\n${(error as { stdout?: string }).stdout ?? String(error)}`,
    );
    return false;
  }
}

await main(import.meta.url, program);
