import { cp, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MIGRATIONS = 'dist/lib/migrations';

/** Programs of the plugin server that know more of the tables' history, or less of it, than this version does. */
export interface Releases {
  /** Without this version's last migration. */
  readonly older: string;
  readonly present: string;
  /** With one more, which leaves the tables usable for this version. */
  readonly newer: string;
  /** With another one, which says that it does not. */
  readonly breaking: string;
  /** The last migration that this version knows. */
  readonly last: number;
  close(): Promise<void>;
}

/** What a release is free to do without a mark: new columns that nobody has to fill in, new indexes, new tables. */
const HARMLESS = `
alter table :SCHEMA.sessions add column device text;
create index sessions_device on :SCHEMA.sessions (device) where device is not null;
create table :SCHEMA.devices (id text primary key);
`;
const BREAKING = '--! breaking-change\ncomment on table :SCHEMA.sessions is $$not what it was$$;\n';

/** The built server with other migrations beside it: no older code is needed, since the tables are what is shared. */
export async function buildReleases(): Promise<Releases> {
  const files = (await readdir(join(ROOT, MIGRATIONS))).toSorted();
  const last = Number(files.at(-1)?.slice(0, 6));
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-releases-'));
  const build = async (name: string, change: (migrations: string) => Promise<void>) => {
    const path = join(folder, name);
    await cp(join(ROOT, 'dist'), join(path, 'dist'), { recursive: true });
    await cp(join(ROOT, 'package.json'), join(path, 'package.json'));
    await symlink(join(ROOT, 'node_modules'), join(path, 'node_modules'));
    await change(join(path, MIGRATIONS));
    return join(path, 'dist/lib/server/main.js');
  };
  const addTo = (migrations: string, offset: number, sql: string) => {
    const id = String(last + offset).padStart(6, '0');
    return writeFile(join(migrations, `${id}_later.sql`), sql);
  };
  return {
    older: await build('older', (migrations) => rm(join(migrations, files.at(-1)!))),
    present: await build('present', () => Promise.resolve()),
    newer: await build('newer', (migrations) => addTo(migrations, 1, HARMLESS)),
    breaking: await build('breaking', async (migrations) => {
      await addTo(migrations, 1, HARMLESS);
      await addTo(migrations, 2, BREAKING);
    }),
    last,
    close: () => rm(folder, { recursive: true, force: true }),
  };
}
