import { migrate, pendingMigrations } from '../migrate.ts';
import type { Migration } from '../migrate.ts';
import { EXIT, parse } from './command.ts';
import type { Command } from './command.ts';
import { DATABASE_HELP, DATABASE_OPTIONS, withDatabase } from './database.ts';
import { json, plural } from './format.ts';

const help = `session-guard migrate [--plan] [options]

Creates the tables or brings them up to this version, in one transaction. Nodes that run meanwhile go on; running it
twice does no harm.

  --plan                  only print what would be run, as SQL
  --json
${DATABASE_HELP}`;

export const command: Command = {
  help,
  async run(argv, io) {
    const { values } = parse(argv, {
      ...DATABASE_OPTIONS,
      plan: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    const { schema } = values;
    if (values.plan) {
      const pending = await withDatabase(values, io, (database) => pendingMigrations(database));
      const steps = pending.map((migration) => ({ ...migration, sql: sqlOf(migration, schema) }));
      io.stdout.write(values.json ? json({ schema, pending: steps }) : plan(steps, schema));
      return EXIT.done;
    }
    const applied = await withDatabase(values, io, (database) => migrate(database));
    const done =
      applied.length === 0
        ? `schema ${schema} is up to date\n`
        : `schema ${schema}: ${plural(applied.length, 'migration')} applied (${applied.join(', ')})\n`;
    io.stdout.write(values.json ? json({ schema, applied }) : done);
    return EXIT.done;
  },
};

const sqlOf = ({ sql }: Migration, schema: string): string =>
  sql.replaceAll(':SCHEMA', `"${schema}"`);

function plan(steps: readonly Migration[], schema: string): string {
  if (steps.length === 0) return `-- schema ${schema} is up to date\n`;
  return steps
    .map(({ id, sql, breaking }) => {
      const warning = breaking ? ', which versions before it cannot work with' : '';
      return `-- migration ${id} of schema ${schema}${warning}\n${sql.trimEnd()}\n`;
    })
    .join('\n');
}
