import { SessionError } from '../errors.ts';
import { VERSION } from '../schema.ts';
import { CliError, EXIT } from './command.ts';
import type { ExitCode, Io } from './command.ts';
import { COMMANDS } from './commands.ts';
import { printable } from './format.ts';

const listed = [...COMMANDS].map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`);

const HELP = `session-guard <command> [options]

${listed.join('\n')}

  --help after a command tells its options; --version

Every command takes --json. Exit codes: 0 done, 1 failed, 2 wrong use, 3 nothing found or a check that failed.
`;

/** Runs one command line and resolves with its exit code. Errors are one line on stderr. */
export async function main(argv: readonly string[], io: Io): Promise<ExitCode> {
  const [name, ...rest] = argv;
  try {
    if (name === '--version') return print(io, `${VERSION}\n`);
    if (name === '--help' || name === 'help') return print(io, await help(rest[0]));
    const entry = name === undefined ? undefined : COMMANDS.get(name);
    if (entry === undefined)
      return fail(io, name === undefined ? 'which command? see --help' : unknown);
    const { command } = await entry.load();
    if (rest.includes('--help')) return print(io, command.help);
    return await command.run(rest, io);
  } catch (error) {
    if (error instanceof CliError) {
      return fail(io, `${name}: ${error.message}`, error.exitCode);
    }
    if (error instanceof SessionError) return fail(io, `${name}: ${error.message}`, EXIT.failed);
    // Ours, not the user's: its name and place help to mend it, its message might quote what was read.
    const { name: kind, stack = '' } = error instanceof Error ? error : new Error();
    const place = /\n\s+at (.*)/.exec(stack)?.[1] ?? 'unknown';
    return fail(io, `${name}: unexpected ${kind} at ${place}`, EXIT.failed);
  }
}

const unknown = `no such command; there are ${[...COMMANDS.keys()].join(', ')}`;

async function help(name: string | undefined): Promise<string> {
  const entry = name === undefined ? undefined : COMMANDS.get(name);
  return entry ? (await entry.load()).command.help : HELP;
}

function print(io: Io, text: string): ExitCode {
  io.stdout.write(text);
  return EXIT.done;
}

function fail(io: Io, message: string, code: ExitCode = EXIT.usage): ExitCode {
  io.stderr.write(`session-guard: ${printable(message)}\n`);
  return code;
}
