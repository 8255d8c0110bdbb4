import { readdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from 'node:test';
import { spec, type TestEvent } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findChromium } from './support/browser.ts';
import { startPostgres } from './support/postgres.ts';

/**
 * `npm test [-- [part of a path]… [--name pattern]]`: runs the test files, several at a time, on one Postgres, and
 * closes with the counts of the whole run. Exit code 1 when a test failed or nothing matched.
 */
const ROOT = fileURLToPath(new URL('.', import.meta.url));
const FILE_TIMEOUT = 5 * 60_000; // milliseconds; a file that hangs is a failure, not a standstill

const { positionals: parts, values } = parseArgs({
  allowPositionals: true,
  options: { name: { type: 'string' } },
});

const isWanted = (file: string) => parts.length === 0 || parts.some((part) => file.includes(part));

async function select(): Promise<string[]> {
  const names = await readdir(ROOT, { recursive: true });
  const files = names.filter((name) => name.endsWith('.test.ts') && isWanted(name));
  return files.toSorted().map((name) => join(ROOT, name));
}

/** Without a Chromium the browser tests skip themselves (with CI=true they fail); nobody should overlook that. */
function warnOfMissingChromium(files: readonly string[]): void {
  if (findChromium() !== undefined) return;
  const skipped = files.filter((file) => relative(ROOT, file).startsWith('browser'));
  if (skipped.length === 0) return;
  const rule = '!'.repeat(78);
  console.log(`${rule}\n!! NO CHROMIUM FOUND: the browser tests do not run.`);
  console.log(`!! Install one (Debian: apt-get install chromium) or set CHROMIUM.\n${rule}\n`);
}

/** Runs the files and resolves with the lines of the summary: `tests N`, `pass N`, `fail N` … */
async function runFiles(files: string[]): Promise<string[]> {
  const summary: string[] = [];
  const events = run({
    files,
    concurrency: Math.min(availableParallelism(), 4),
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
      if (isSummary) summary.push(event.data.message);
      else yield event;
    }
  }
  await pipeline(events, withoutSummary, new spec(), process.stdout, { end: false });
  return summary;
}

const files = await select();
if (files.length === 0) {
  console.error(`no test file has ${parts.map((part) => `"${part}"`).join(' or ')} in its path`);
  process.exit(1);
}
warnOfMissingChromium(files);
const postgres = await startPostgres();
process.env['DATABASE_URL'] = postgres.url; // the files make databases of their own on it
try {
  for (const line of await runFiles(files)) console.log(`# ${line}`);
} finally {
  await postgres.stop();
}
