import type { AdminSession } from '../admin-store.ts';
import { CliError, EXIT, parse, usageError, uuid } from './command.ts';
import type { Command } from './command.ts';
import { DATABASE_HELP, DATABASE_OPTIONS, withTables } from './database.ts';
import { isoTime, json, painter, record } from './format.ts';
import { readSecrets, SECRET_HELP, SECRET_OPTIONS } from './input.ts';
import { toJson } from './listing.ts';
import { personReader } from './person.ts';
import type { Person } from './person.ts';

const help = `session-guard show <handle> [options]

One session of the table, also a dead one that has not been pruned. With the secret it also shows who signed in from
where. Exit code 3: there is no such session.

  --json
${SECRET_HELP}${DATABASE_HELP}`;

export const command: Command = {
  help,
  async run(argv, io) {
    const { values, positionals } = parse(
      argv,
      { ...DATABASE_OPTIONS, ...SECRET_OPTIONS, json: { type: 'boolean', default: false } },
      1,
    );
    const [word] = positionals;
    if (word === undefined) throw usageError('which session? give its handle, as list shows it');
    const handle = uuid('the handle', word);
    const read = personReader(await readSecrets(values, io));
    const session = await withTables(values, io, (store) => store.find(handle));
    if (session === undefined) throw new CliError('no session has this handle', EXIT.nothing);
    const person = await read(session);
    io.stdout.write(
      values.json
        ? json(toJson(session, person))
        : record(lines(session, person), painter(io.stdout, io.env)),
    );
    return EXIT.done;
  },
};

const lines = (session: AdminSession, person: Person): [string, string][] => {
  const groups = person.groups?.join(', ');
  const entries: [string, string | undefined][] = [
    ['handle', session.handle],
    ['state', session.state],
    ['kind', session.kind],
    ['consumer', session.consumerId],
    ['credential', session.credentialId],
    ['user name', person.username],
    ['custom id', person.custom_id],
    ['groups', groups],
    ['subject', session.subject],
    ['audience', session.audience],
    ['realm', session.realm],
    ['signed in', isoTime(session.authenticatedAt)],
    ['from', person.ip],
    ['with', person.user_agent],
    ['renewed', `${isoTime(session.renewedAt) ?? ''} (generation ${session.generation})`],
    ['last seen', isoTime(session.seenAt)],
    ['expires', isoTime(session.expiresAt) ?? 'never'],
    ['family', session.family],
  ];
  return entries.filter((entry): entry is [string, string] => entry[1] !== undefined);
};
