import { parseArgs } from 'node:util';
import type { ParseArgsConfig } from 'node:util';
import { UUID } from '../uuid.ts';

/** What a command talks to: the process's own streams, or those of a test. */
export interface Io {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The exit codes of every command. */
export const EXIT = { done: 0, failed: 1, usage: 2, nothing: 3 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface Command {
  /** Everything that `--help` prints. */
  readonly help: string;
  /** `argv` without the command's name. Rejects with a CliError for what a user can mend. */
  run(argv: readonly string[], io: Io): Promise<ExitCode>;
}

/** What went wrong in one line that names the option or the field and the way out, and never a secret. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}

export const usageError = (message: string): CliError => new CliError(message, EXIT.usage);

type Options = NonNullable<ParseArgsConfig['options']>;
type Result<T extends Options> = ReturnType<
  typeof parseArgs<{ options: T; allowPositionals: true; strict: true }>
>;

/**
 * The options and up to `positionals` other words of a command line.
 * @throws CliError (usage). A word that is out of place is not repeated: it may be a secret.
 */
export function parse<T extends Options>(
  argv: readonly string[],
  options: T,
  positionals = 0,
): Result<T> {
  let result: Result<T>;
  try {
    result = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    const [line = 'cannot be understood'] = (error instanceof Error ? error.message : '').split(
      /\n|\. /,
    );
    throw usageError(`${line}; see --help`);
  }
  if (result.positionals.length > positionals) {
    throw usageError(
      positionals === 0
        ? 'takes options only, no other words; see --help'
        : `takes at most ${positionals === 1 ? 'one word' : `${positionals} words`} besides its options; see --help`,
    );
  }
  return result;
}

/** `--name` as a whole number between two bounds. */
export function wholeNumber(
  name: string,
  value: string,
  [low, high]: readonly [number, number],
): number {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : NaN;
  if (!(number >= low && number <= high)) {
    throw usageError(`--${name} must be a whole number from ${low} to ${high}`);
  }
  return number;
}

/** A UUID, as handles and families are. */
export function uuid(name: string, value: string): string {
  const lower = value.toLowerCase();
  if (!UUID.test(lower)) throw usageError(`${name} must be a UUID such as list shows`);
  return lower;
}
