import { readdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { format, join, parse } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from 'node:test';
import { spec, type TestEvent } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findChromium } from './support/browser.ts';
import { bundle } from './support/bundle.ts';
import { startPostgres } from './support/postgres.ts';

/**
 * `npm test [-- [part of a path]… [--name pattern]]`: runs the test files, several at a time, on one Postgres, the
 * end-to-end ones over each protocol that Kong can speak with the plugin server, and closes with the counts of the
 * whole run. Exit code 1 when a test failed or nothing matched.
 */
const ROOT = fileURLToPath(new URL('.', import.meta.url));
const PROGRAMS = fileURLToPath(new URL('../dist/test', import.meta.url));
const FILE_TIMEOUT = 5 * 60_000; // milliseconds; a file that hangs is a failure, not a standstill
/** One file more than there are cores: most of them wait for a clock most of the time. */
const CONCURRENCY = Math.min(availableParallelism() + 1, 5);

const { positionals: parts, values } = parseArgs({
  allowPositionals: true,
  options: { name: { type: 'string' } },
});

const isWanted = (file: string) => parts.length === 0 || parts.some((part) => file.includes(part));

/** Paths within this folder. */
async function select(): Promise<string[]> {
  const names = await readdir(ROOT, { recursive: true });
  return names.filter((name) => name.endsWith('.test.ts') && isWanted(name)).toSorted();
}

/** Once for all, since what they share would else be read and translated by each of their processes. */
async function compile(names: readonly string[]): Promise<void> {
  await rm(PROGRAMS, { recursive: true, force: true });
  await bundle({
    entryPoints: names.map((name) => join(ROOT, name)),
    outbase: ROOT,
    outdir: PROGRAMS,
    splitting: true,
    sourcemap: true,
  });
  // What this process was started with, its children are too: they need no translator any more.
  process.execArgv.splice(0, Infinity, '--enable-source-maps');
}

const programOf = (name: string): string =>
  join(PROGRAMS, format({ ...parse(name), base: '', ext: '.js' }));

/** Without a Chromium the browser tests skip themselves (with CI=true they fail); nobody should overlook that. */
function warnOfMissingChromium(files: readonly string[]): void {
  if (findChromium() !== undefined) return;
  const skipped = files.filter((file) => file.startsWith('browser'));
  if (skipped.length === 0) return;
  const rule = '!'.repeat(78);
  console.log(`${rule}\n!! NO CHROMIUM FOUND: the browser tests do not run.`);
  console.log(`!! Install one (Debian: apt-get install chromium) or set CHROMIUM.\n${rule}\n`);
}

/**
 * Those that run a second time, over MessagePack: the first time Kong speaks its default. A real Kong has been told
 * what to speak, a PLUGIN_PROTOCOL of the caller's is the only one, and the stock server knows no other than MessagePack.
 */
function filesOverMessagePack(files: readonly string[]): string[] {
  if (process.env['KONG_ADMIN_URL'] || process.env['PLUGIN_PROTOCOL']) return [];
  return files.filter((file) => file.startsWith('e2e') && !file.includes('stock-server'));
}

/** Runs the files and adds to the counts: tests, pass, fail … */
async function runFiles(files: readonly string[], counts: Map<string, number>): Promise<void> {
  const events = run({
    files: files.map(programOf),
    concurrency: CONCURRENCY,
    timeout: FILE_TIMEOUT,
    ...(values.name !== undefined && { testNamePatterns: [values.name] }),
  });
  events.on('test:fail', ({ todo }) => {
    if (todo === undefined) process.exitCode = 1;
  });
  async function* withoutSummary(source: AsyncIterable<TestEvent>) {
    for await (const event of source) {
      // Diagnostics of tests name their file, those of the whole run do not.
      const isSummary = event.type === 'test:diagnostic' && event.data.file === undefined;
      if (isSummary) count(counts, event.data.message);
      else yield event;
    }
  }
  await pipeline(events, withoutSummary, new spec(), process.stdout, { end: false });
}

/** Adds a line of the summary, such as `pass 12`. */
function count(counts: Map<string, number>, line: string): void {
  const [name = '', number] = line.split(' ');
  counts.set(name, (counts.get(name) ?? 0) + Number(number));
}

const files = await select();
if (files.length === 0) {
  console.error(`no test file has ${parts.map((part) => `"${part}"`).join(' or ')} in its path`);
  process.exit(1);
}
warnOfMissingChromium(files);
await compile(files);
const postgres = await startPostgres();
process.env['DATABASE_URL'] = postgres.url; // the files make databases of their own on it
const again = filesOverMessagePack(files);
const counts = new Map<string, number>();
try {
  await runFiles(files, counts);
  if (again.length > 0) {
    console.log('\n──── end to end over MessagePack ────\n');
    process.env['PLUGIN_PROTOCOL'] = 'msgpack'; // which the files' processes inherit
    await runFiles(again, counts);
  }
  for (const [name, number] of counts) console.log(`# ${name} ${number}`);
} finally {
  await postgres.stop();
}
