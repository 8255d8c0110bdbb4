import { createReadStream } from 'node:fs';
import { CliError, usageError } from './command.ts';
import type { Io } from './command.ts';

/** Beyond any configuration; whoever pipes a disk into this is told so. */
const MAX_BYTES = 64 * 1024 * 1024;

type Input = Pick<Io, 'stdin' | 'stderr'>;

/** The text of a file, or of standard input for `-`. */
export async function readText(path: string, io: Input, what: string): Promise<string> {
  if (path === '-' && io.stdin.isTTY) io.stderr.write(`reading ${what}; Ctrl-D ends it\n`);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of path === '-' ? io.stdin : createReadStream(path)) {
      const bytes = Buffer.from(chunk as Uint8Array | string);
      size += bytes.length;
      if (size > MAX_BYTES) throw new CliError(`${what} is larger than 64 MiB`);
      chunks.push(bytes);
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new CliError(`${what} cannot be read: ${code}`);
  }
  return Buffer.concat(chunks).toString();
}

const VARIABLE = 'SESSION_GUARD_SECRET';

/** Options of every command that can open what is sealed. */
export const SECRET_OPTIONS = {
  'secret-file': { type: 'string', multiple: true },
} as const;

export const SECRET_HELP = `  --secret-file <path>    file with the secret, - for standard input; may be given again for
                          secret_fallbacks (default: the environment's ${VARIABLE})
`;

/** The secrets that were given, the main one first; none is no error. */
export async function readSecrets(
  { 'secret-file': files }: { readonly 'secret-file'?: string[] | undefined },
  io: Input & Pick<Io, 'env'>,
): Promise<string[]> {
  if (files === undefined) {
    const given = io.env[VARIABLE];
    return given ? [given] : [];
  }
  const secrets: string[] = [];
  for (const file of files) {
    const secret = withoutNewline(await readText(file, io, '--secret-file'));
    if (secret === '') throw usageError('--secret-file is empty: it should hold the secret');
    secrets.push(secret);
  }
  return secrets;
}

/** The one line break that editors and `openssl rand` leave at the end. */
export const withoutNewline = (text: string): string => text.replace(/\r?\n$/, '');

/** The secrets of a command that cannot do without. */
export async function requireSecrets(
  options: { readonly 'secret-file'?: string[] | undefined },
  io: Input & Pick<Io, 'env'>,
): Promise<[string, ...string[]]> {
  const [first, ...rest] = await readSecrets(options, io);
  if (first === undefined) throw usageError(`needs the secret: --secret-file or ${VARIABLE}`);
  return [first, ...rest];
}
