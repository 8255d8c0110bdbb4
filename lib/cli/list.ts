import { createHash } from 'node:crypto';
import type { AdminSession } from '../admin-store.ts';
import { EXIT, parse, wholeNumber } from './command.ts';
import type { Command } from './command.ts';
import { DATABASE_HELP, DATABASE_OPTIONS, withTables } from './database.ts';
import { isoTime, json, painter, table } from './format.ts';
import { readSecrets, SECRET_HELP, SECRET_OPTIONS } from './input.ts';
import { toJson } from './listing.ts';
import { personReader } from './person.ts';
import type { Person } from './person.ts';

const help = `session-guard list [--consumer <id>] [--subject <name>] [--limit <n>] [options]

The living sessions in the table, the newest sign-in first. With the secret it also shows user names and where the
sign-in came from. Exit code 3: there is none.

  --consumer <id>         only those of a consumer (its UUID)
  --subject <name>        only those with a subject (store_metadata), plain or hashed (hash_subject)
  --limit <n>             at most this many, 1 to 10000 (50)
  --json
${SECRET_HELP}${DATABASE_HELP}`;

export const command: Command = {
  help,
  async run(argv, io) {
    const { values } = parse(argv, {
      ...DATABASE_OPTIONS,
      ...SECRET_OPTIONS,
      consumer: { type: 'string' },
      subject: { type: 'string' },
      limit: { type: 'string', default: '50' },
      json: { type: 'boolean', default: false },
    });
    const limit = wholeNumber('limit', values.limit, [1, 10_000]);
    const read = personReader(await readSecrets(values, io));
    const subjects = values.subject === undefined ? undefined : spellings(values.subject);
    const found = await withTables(values, io, (store) =>
      store.list({ consumerId: values.consumer, subjects, limit: limit + 1 }),
    );
    const hasMore = found.length > limit;
    const sessions = found.slice(0, limit);
    const people = await Promise.all(sessions.map(read));
    if (values.json) {
      const shown = sessions.map((session, index) => toJson(session, people[index] ?? {}));
      io.stdout.write(json({ sessions: shown, has_more: hasMore }));
    } else if (sessions.length > 0) {
      io.stdout.write(asTable(sessions, people, painter(io.stdout, io.env)));
      if (hasMore) io.stderr.write(`there are more: --limit\n`);
    } else io.stderr.write('no living sessions\n');
    return sessions.length === 0 ? EXIT.nothing : EXIT.done;
  },
};

/** As `store_metadata` has a subject, and as `hash_subject` has it: the first half of its SHA-256. */
const spellings = (subject: string): string[] => [
  subject,
  createHash('sha256').update(subject).digest().subarray(0, 16).toString('base64url'),
];

function asTable(
  sessions: readonly AdminSession[],
  people: readonly Person[],
  paint: ReturnType<typeof painter>,
): string {
  const optional = [
    ['SUBJECT', sessions.map(({ subject }) => subject)],
    ['USER', people.map(({ username }) => username)],
    ['IP', people.map(({ ip }) => ip)],
  ] as const;
  const extra = optional.filter(([, cells]) => cells.some((cell) => cell !== undefined));
  const head = ['HANDLE', 'CONSUMER', 'AUDIENCE', 'KIND', 'SIGNED IN', 'LAST SEEN', 'EXPIRES'];
  const rows = sessions.map((session, index) => [
    session.handle,
    session.consumerId,
    session.audience,
    session.kind,
    isoTime(session.authenticatedAt) ?? '',
    isoTime(session.seenAt) ?? '',
    isoTime(session.expiresAt) ?? 'never',
    ...extra.map(([, cells]) => cells[index] ?? ''),
  ]);
  return table([...head, ...extra.map(([title]) => title)], rows, paint);
}
