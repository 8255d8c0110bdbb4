import { AuditTable } from '../audit-table.ts';
import type { AuditRow } from '../audit-table.ts';
import { EXIT, parse, uuid, wholeNumber } from './command.ts';
import type { Command } from './command.ts';
import { DATABASE_HELP, DATABASE_OPTIONS, withTables } from './database.ts';
import { isoTime, json, painter, table } from './format.ts';

const help = `session-guard audit [--consumer <id>] [--handle <handle>] [--event <code>] [--limit <n>] [options]

What happened to sessions, the newest first: revocations of the last year, and the rest as far as
postgres.audit_retention keeps it.

  --consumer <id>         only what concerns a consumer (its UUID)
  --handle <handle>       only what concerns a session
  --event <code>          only one kind, such as session_replayed
  --limit <n>             at most this many, 1 to 10000 (50)
  --json
${DATABASE_HELP}`;

const HEAD = ['TIME', 'EVENT', 'ACTOR', 'CONSUMER', 'HANDLE', 'REASON'];

export const command: Command = {
  help,
  async run(argv, io) {
    const { values } = parse(argv, {
      ...DATABASE_OPTIONS,
      consumer: { type: 'string' },
      handle: { type: 'string' },
      event: { type: 'string' },
      limit: { type: 'string', default: '50' },
      json: { type: 'boolean', default: false },
    });
    const filter = {
      consumerId: values.consumer,
      handle: values.handle === undefined ? undefined : uuid('--handle', values.handle),
      event: values.event,
      limit: wholeNumber('limit', values.limit, [1, 10_000]),
    };
    const rows = await withTables(values, io, (_, database) =>
      new AuditTable(database).read(filter),
    );
    if (values.json) io.stdout.write(json({ entries: rows.map(toJson) }));
    else if (rows.length > 0) {
      io.stdout.write(table(HEAD, rows.map(toCells), painter(io.stdout, io.env)));
    } else io.stderr.write('nothing is kept\n');
    return EXIT.done;
  },
};

const toJson = ({ at, consumerId, ...row }: AuditRow): object => ({
  time: isoTime(at),
  ...row,
  consumer_id: consumerId,
});

const toCells = ({ at, event, actor, consumerId, handle, reason }: AuditRow): string[] => [
  isoTime(at) ?? '',
  event,
  actor,
  consumerId ?? '',
  handle ?? '',
  reason ?? '',
];
