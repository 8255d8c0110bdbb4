import type { Config, PostgresSettings } from './config.ts';
import { CookieStorage } from './cookie-storage.ts';
import { openDatabase } from './database.ts';
import type { Database } from './database.ts';
import { closeAll, openCutOffs, openServerStorage } from './server-storage.ts';
import type { Storage } from './storage.ts';
import type { DataCodec } from './token.ts';

/** The storage of one configuration. Databases are opened once for the process and shared. */
export function openStorage(config: Config, codec: (now: () => number) => DataCodec): Storage {
  const { postgres, storage, cacheTtl, lifetime } = config;
  const database = postgres && open(postgres);
  if (storage === 'cookie') {
    return new CookieStorage(database && openCutOffs({ database, cacheTtl, lifetime }));
  }
  if (database === undefined) throw new TypeError('storage kong without a database');
  return openServerStorage({ database, cacheTtl, codec: codec(() => database.now()) });
}

/** Writes what is pending and closes all connections; resolves within a few seconds whatever happens. */
export const closeStorages = (): Promise<void> => closeAll();

const open = (settings: PostgresSettings): Database => openDatabase(settings);
