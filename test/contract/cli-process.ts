import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const CLI = fileURLToPath(new URL('../../lib/cli.ts', import.meta.url));

/** `session-guard` as a process of its own, with nothing in its environment but `env`. */
export async function cli(
  argv: readonly string[],
  { stdin = '', env = {} }: { stdin?: string; env?: Record<string, string> } = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, ['--import', 'tsx', CLI, ...argv], {
    env: { PATH: process.env['PATH'], ...env },
    timeout: 60_000,
  });
  child.stdin.on('error', () => {}); // it may end without having read everything
  child.stdin.end(stdin);
  const [stdout, stderr] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code: child.exitCode, stdout, stderr };
}
