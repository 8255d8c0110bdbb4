import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { main } from '../../../lib/cli/main.ts';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string;
  readonly env?: Record<string, string>;
  /** What somebody at a terminal answers. */
  readonly answers?: string;
  readonly isTerminal?: boolean;
}

/** Runs a command line in this process, with streams and an environment of its own. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { stdin = '', env = {}, answers, isTerminal = false } = options;
  const tty = { isTTY: isTerminal };
  const input = Object.assign(Readable.from([answers ?? stdin]), { isTTY: answers !== undefined });
  const [out, err] = [new PassThrough(), new PassThrough()];
  const collected = Promise.all([text(out), text(err)]);
  const io = {
    stdin: input,
    stdout: Object.assign(out, tty),
    stderr: Object.assign(err, tty),
    env,
  };
  const code = await main(argv, io);
  out.end();
  err.end();
  const [stdout, stderr] = await collected;
  return { code, stdout, stderr };
}
