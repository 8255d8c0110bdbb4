import { execFile } from 'node:child_process';
import { access, constants, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Requests without a pause over a fixed number of connections, the cookies in turn. */
export interface Load {
  readonly url: string;
  /** Name of the route's host. */
  readonly host: string;
  /** Cookie headers; '' = none. */
  readonly cookies: readonly string[];
  /** Of key-auth, to sign in with every request. */
  readonly key?: string;
  /** Whole seconds. */
  readonly seconds: number;
  readonly connections: number;
}

/** Times in microseconds. */
export interface LoadResult {
  readonly requests: number;
  readonly elapsed: number;
  readonly p50: number;
  readonly p99: number;
}

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** What a generator may take beyond its own duration. */
const GRACE_MS = 20_000;

/** @throws Error where any request failed or was answered with anything but success. */
export async function generate(load: Load): Promise<LoadResult> {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-load-'));
  try {
    const file = join(folder, 'cookies');
    await writeFile(file, load.cookies.map((cookie) => `${cookie}\n`).join(''));
    const [command, args] =
      (await generator()) === 'wrk' ? wrk(load, file) : autocannon(load, file);
    const timeout = load.seconds * 1000 + GRACE_MS;
    const { stdout } = await promisify(execFile)(command, args, { timeout });
    return parseResult(stdout);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The last line of a generator's output, which is JSON. */
export function parseResult(output: string): LoadResult {
  const line = output.split('\n').findLast((text) => text.startsWith('{'));
  if (line === undefined) throw new Error(`the load generator told nothing: ${output}`);
  const { failed, ...result } = JSON.parse(line) as LoadResult & { failed: number };
  if (failed > 0) throw new Error(`${failed} of ${result.requests} requests failed`);
  if (result.requests === 0) throw new Error('no request was answered');
  return result;
}

type Command = [command: string, args: string[]];

/** One thread: it is far from busy, and the ring of cookies is then one for all connections. */
function wrk({ url, host, key, seconds, connections }: Load, file: string): Command {
  const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s'];
  const script = ['-s', path('wrk.lua'), url, '--', file, host];
  return ['wrk', [...options, ...script, ...(key === undefined ? [] : [key])]];
}

function autocannon({ url, host, key, seconds, connections }: Load, file: string): Command {
  const numbers = [seconds, connections].map(String);
  const args = [url, ...numbers, file, host, ...(key === undefined ? [] : [key])];
  return [process.execPath, ['--import', 'tsx', path('autocannon.ts'), ...args]];
}

let found: Promise<'wrk' | 'autocannon'> | undefined;

/** wrk where it is installed: it takes less of the CPU that the others need. */
export function generator(): Promise<'wrk' | 'autocannon'> {
  found ??= isOnPath('wrk').then((isThere) => (isThere ? 'wrk' : 'autocannon'));
  return found;
}

async function isOnPath(name: string): Promise<boolean> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const isThere = await access(join(folder, name), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return true;
  }
  return false;
}
