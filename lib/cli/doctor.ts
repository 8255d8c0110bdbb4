import { secretProblem } from '../secret.ts';
import { CliError, EXIT, parse, usageError } from './command.ts';
import type { Command, Io } from './command.ts';
import { DATABASE_HELP, DATABASE_OPTIONS, hasDatabase, withDatabase } from './database.ts';
import { examineDatabase } from './doctor/database.ts';
import { error, ok } from './doctor/diagnosis.ts';
import type { Diagnosis } from './doctor/diagnosis.ts';
import { readGateway } from './doctor/gateway.ts';
import { lint } from './doctor/lint.ts';
import { json, painter, plural, printable } from './format.ts';
import type { Paint } from './format.ts';
import { readSecrets, SECRET_HELP, SECRET_OPTIONS } from './input.ts';

const help = `session-guard doctor [--admin-url <url>] [options]

Examines what it is told of: the database (tables, rights, clock, LISTEN), the secret, and over Kong's Admin API the
routes and plugins. Changes nothing. Exit code 3: it found an error; warnings alone are 0.

  --admin-url <url>       Kong's Admin API, such as http://localhost:8001 (default: KONG_ADMIN_URL); with RBAC
                          its token is in KONG_ADMIN_TOKEN
  --json
${SECRET_HELP}${DATABASE_HELP}`;

const OPTIONS = {
  ...DATABASE_OPTIONS,
  ...SECRET_OPTIONS,
  'admin-url': { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

type Values = ReturnType<typeof parse<typeof OPTIONS>>['values'];

export const command: Command = {
  help,
  async run(argv, io) {
    const { values } = parse(argv, OPTIONS);
    const diagnoses = [
      ...(await secrets(values, io)),
      ...(await database(values, io)),
      ...(await gateway(values, io)),
    ];
    if (diagnoses.length === 0) {
      throw usageError('needs something to examine: a database, --admin-url or the secret');
    }
    const count = (level: Diagnosis['level']) =>
      diagnoses.filter((diagnosis) => diagnosis.level === level).length;
    const summary = { errors: count('error'), warnings: count('warning') };
    io.stdout.write(
      values.json
        ? json({ ...summary, diagnoses })
        : asText(diagnoses, painter(io.stdout, io.env)) +
            `${plural(summary.errors, 'error')}, ${plural(summary.warnings, 'warning')}\n`,
    );
    return summary.errors > 0 ? EXIT.nothing : EXIT.done;
  },
};

async function secrets(values: Values, io: Io): Promise<Diagnosis[]> {
  return (await readSecrets(values, io)).map((secret, index) => {
    const place = index === 0 ? 'secret' : `secret_fallbacks[${index}]`;
    const problem = secretProblem(secret);
    return problem === undefined
      ? ok('secret', place, 'is one that session-guard takes')
      : error('secret_weak', place, problem, 'session-guard secret generate');
  });
}

/** What does not answer is a finding here, not a failure of the command. */
async function database(values: Values, io: Io): Promise<Diagnosis[]> {
  if (!hasDatabase(values, io.env)) return [];
  return withDatabase(values, io, examineDatabase).catch((cause: unknown) => {
    if (!(cause instanceof CliError) || cause.exitCode === EXIT.usage) throw cause;
    const remedy = 'mend the URL, the network or the server';
    return [error('database_unreachable', 'database', cause.message, remedy)];
  });
}

async function gateway(values: Values, io: Io): Promise<Diagnosis[]> {
  const url = values['admin-url'] ?? io.env['KONG_ADMIN_URL'];
  if (!url) return [];
  try {
    return await lint(await readGateway(url, io.env['KONG_ADMIN_TOKEN']));
  } catch (cause) {
    if (!(cause instanceof CliError) || cause.exitCode === EXIT.usage) throw cause;
    const remedy = 'mend --admin-url, or KONG_ADMIN_TOKEN where it asks for one';
    return [error('admin_unreachable', 'gateway', cause.message, remedy)];
  }
}

const COLOURS = { ok: 'green', warning: 'yellow', error: 'red' } as const;

const asText = (diagnoses: readonly Diagnosis[], paint: Paint): string =>
  diagnoses
    .map(({ level, place, message, remedy }) => {
      const line = `${paint(COLOURS[level], level.padEnd(7))}  ${printable(`${place}: ${message}`)}\n`;
      return remedy === undefined ? line : `${line}         ${printable(remedy)}\n`;
    })
    .join('');
