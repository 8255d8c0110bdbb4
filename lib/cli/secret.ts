import { randomBytes } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { secretProblem } from '../secret.ts';
import { EXIT, parse, usageError, wholeNumber } from './command.ts';
import type { Command, ExitCode, Io } from './command.ts';
import { json, painter, record } from './format.ts';
import { readSecrets, readText, SECRET_HELP, SECRET_OPTIONS, withoutNewline } from './input.ts';

const help = `session-guard secret generate [--bytes <n>] [--json]
session-guard secret check [--secret-file <path>] [--json]

generate prints random octets from the operating system as base64.

  --bytes <n>             how many octets, 32 to 1024 (32)

check says whether session-guard takes a secret: from --secret-file, else the environment's
SESSION_GUARD_SECRET, else standard input. It never prints it. Exit code 3: it would be refused.

${SECRET_HELP}`;

export const command: Command = {
  help,
  async run([verb, ...argv], io) {
    if (verb === 'generate') return generate(argv, io);
    if (verb === 'check') return check(argv, io);
    throw usageError('generate or check?');
  },
};

async function generate(argv: readonly string[], io: Io): Promise<ExitCode> {
  const { values } = parse(argv, {
    bytes: { type: 'string', default: '32' },
    json: { type: 'boolean' },
  });
  const bytes = wholeNumber('bytes', values.bytes, [32, 1024]);
  const secret = randomBytes(bytes).toString('base64');
  io.stdout.write(values.json ? json({ secret, bytes }) : `${secret}\n`);
  return EXIT.done;
}

async function check(argv: readonly string[], io: Io): Promise<ExitCode> {
  const { values } = parse(argv, { ...SECRET_OPTIONS, json: { type: 'boolean' } });
  if ((values['secret-file']?.length ?? 0) > 1) throw usageError('--secret-file: one at a time');
  const [given] = await readSecrets(values, io);
  const secret = given ?? withoutNewline(await readText('-', io, 'standard input'));
  const problem = secretProblem(secret);
  const characters = Array.from(secret);
  const report = {
    accepted: problem === undefined,
    length: characters.length,
    distinct_characters: new Set(characters).size,
    estimated_bits: estimateBits(secret),
    ...(problem !== undefined && { problem: `the secret ${problem}` }),
  };
  const entries = Object.entries(report).map(
    ([name, value]) => [name.replaceAll('_', ' '), String(value)] as const,
  );
  io.stdout.write(values.json ? json(report) : record(entries, painter(io.stdout, io.env)));
  return problem === undefined ? EXIT.done : EXIT.nothing;
}

/**
 * An upper bound of what guessing the secret costs, in bits: its length times the Shannon entropy of its characters,
 * or what is left after compression, whichever is less. A sentence that is known has none, and nothing can tell.
 */
export function estimateBits(secret: string): number {
  const characters = Array.from(secret);
  const counts = new Map<string, number>();
  for (const character of characters) counts.set(character, (counts.get(character) ?? 0) + 1);
  const shannon = [...counts.values()].reduce(
    (bits, count) => bits - count * Math.log2(count / characters.length),
    0,
  );
  const compressed = deflateRawSync(secret, { level: 9 }).length * 8;
  return Math.round(Math.min(shannon, compressed));
}
