import type { Database, Run } from './database.ts';
import { SessionError } from './errors.ts';
import { readMigrationFiles } from './migration-files.ts';

/** A step of the tables' history. A breaking one leaves tables that older code cannot work with. */
export interface Migration {
  readonly id: number;
  /** SQL with `:SCHEMA` for the quoted schema. */
  readonly sql: string;
  readonly breaking: boolean;
}

interface Applied {
  readonly id: number;
  readonly breaking: boolean;
}

/** A migration may rewrite a table, and waits for those of other nodes. Milliseconds for each statement. */
const STATEMENT_TIMEOUT = 60_000;

/** The history as this version knows it, oldest first. */
export async function readMigrations(): Promise<Migration[]> {
  const files = await readMigrationFiles();
  return files.map(({ name, sql }) => ({
    id: Number(name.slice(0, 6)),
    sql,
    breaking: sql.startsWith('--! breaking-change'),
  }));
}

/**
 * The migrations that the database lacks, oldest first. Needs no right but to read.
 * @throws SessionError ERR_SCHEMA if it has a breaking one that this version does not know
 */
export async function pendingMigrations(
  database: Database,
  migrations?: readonly Migration[],
): Promise<Migration[]> {
  const applied = await database.query<Applied>(readApplied(database.schema), []).then(
    ({ rows }) => rows,
    (error: unknown) => {
      if (isUndefinedTable(error)) return [];
      throw error;
    },
  );
  return missing(migrations ?? (await readMigrations()), applied);
}

/**
 * Brings the tables up to this version in one transaction. Nodes that start at the same time wait for one another,
 * and whoever comes later finds nothing to do. Resolves with the ids it applied.
 * @throws SessionError ERR_SCHEMA (also where the role may not change tables), ERR_STORE_UNAVAILABLE
 */
export async function migrate(
  database: Database,
  migrations?: readonly Migration[],
): Promise<number[]> {
  const all = migrations ?? (await readMigrations());
  const { schema } = database;
  try {
    return await database.transaction(`migrate ${schema}`, STATEMENT_TIMEOUT, async (run) => {
      const step = stepsOf(run);
      await prepare(step, schema);
      const pending = missing(all, await run<Applied>(readApplied(schema)));
      for (const { id, sql, breaking } of pending) {
        await step(sql.replaceAll(':SCHEMA', `"${schema}"`));
        await step(`insert into "${schema}".migrations (id, breaking) values (${id}, ${breaking})`);
      }
      // Nodes that run older code find out whether they can go on (bus.ts).
      if (pending.length > 0) await step(`select pg_notify('${schema}', 'schema')`);
      return pending.map(({ id }) => id);
    });
  } catch (error) {
    if (!isForbidden(error)) throw error;
    throw new SessionError(
      'ERR_SCHEMA',
      `the role may not create the tables in schema ${schema}: run "session-guard migrate" with one that may`,
      { cause: error },
    );
  }
}

type Step = <Row extends object>(text: string) => Promise<Row[]>;

const stepsOf =
  (run: Run): Step =>
  (text) =>
    run({ name: 'migrate', text });

async function prepare(run: Step, schema: string): Promise<void> {
  // Not `create … if not exists` alone: that asks for the right to create even where nothing is created.
  const [found] = await run<{ schema: unknown; migrations: unknown }>(
    `select to_regnamespace('"${schema}"') as schema, to_regclass('"${schema}".migrations') as migrations`,
  );
  if (found?.schema === null) await run(`create schema "${schema}"`);
  if (found?.migrations !== null) return;
  await run(`create table "${schema}".migrations (
    id integer primary key,
    applied_at timestamptz not null default now(),
    breaking boolean not null
  )`);
}

const readApplied = (schema: string) => ({
  name: 'migrations',
  text: `select id, breaking from "${schema}".migrations`,
});

function missing(known: readonly Migration[], applied: readonly Applied[]): Migration[] {
  const newest = known.at(-1)?.id ?? 0;
  const stranger = applied.find(({ id, breaking }) => breaking && id > newest);
  if (stranger) {
    throw new SessionError(
      'ERR_SCHEMA',
      `the tables were changed by a newer version (migration ${stranger.id}) in a way this one cannot work with: upgrade it`,
    );
  }
  const ids = new Set(applied.map(({ id }) => id));
  return known.filter(({ id }) => !ids.has(id));
}

const codeOf = (error: unknown): unknown =>
  error instanceof SessionError ? (error.cause as { code?: unknown } | undefined)?.code : undefined;

/** SQLSTATE undefined_table, and invalid_schema_name for a schema that does not exist. */
const isUndefinedTable = (error: unknown): boolean =>
  ['42P01', '3F000'].includes(String(codeOf(error)));

/** SQLSTATE insufficient_privilege. */
const isForbidden = (error: unknown): boolean => codeOf(error) === '42501';
