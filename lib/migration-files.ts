import { readFile, readdir } from 'node:fs/promises';

export interface MigrationFile {
  /** `000001_sessions.sql` */
  readonly name: string;
  readonly sql: string;
}

const DIRECTORY = new URL('migrations/', import.meta.url);

/**
 * The SQL files beside this one, oldest first. The single-file executable has no files beside it: there this module
 * is replaced by one that holds what this function returned when it was built (scripts/bundle.ts).
 */
export async function readMigrationFiles(): Promise<MigrationFile[]> {
  const names = (await readdir(DIRECTORY)).filter((name) => /^\d{6}_.*\.sql$/.test(name));
  return Promise.all(
    names
      .toSorted()
      .map(async (name) => ({ name, sql: await readFile(new URL(name, DIRECTORY), 'utf8') })),
  );
}
