import { createInterface } from 'node:readline/promises';
import { CliError, usageError } from './command.ts';
import type { Io } from './command.ts';
import { printable } from './format.ts';

/**
 * Asks on the terminal before something is destroyed. Where nobody can answer, `--yes` has to.
 * @throws CliError (usage) without a terminal, (failed) when the answer is not yes
 */
export async function confirm(question: string, isSure: boolean, io: Io): Promise<void> {
  if (isSure) return;
  if (io.stdin.isTTY !== true) {
    throw usageError('cannot ask without a terminal: --yes goes ahead, --dry-run only counts');
  }
  const dialogue = createInterface({ input: io.stdin, output: io.stderr });
  try {
    const ended = new Promise<string>((resolve) => dialogue.once('close', () => resolve('')));
    const answer = await Promise.race([dialogue.question(`${printable(question)} [y/N] `), ended]);
    if (!/^y(es)?$/i.test(answer.trim())) throw new CliError('nothing was changed');
  } finally {
    dialogue.close();
  }
}
