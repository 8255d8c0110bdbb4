import { openAudit } from './audit.ts';
import { openBackend } from './backend.ts';
import type { Config } from './config.ts';
import { CookieStorage } from './cookie-storage.ts';
import { Credentials } from './credentials.ts';
import { openDatabase } from './database.ts';
import type { Database } from './database.ts';
import type { PostgresSettings } from './postgres-settings.ts';
import { closeAll, openCutOffs, openServerStorage } from './server-storage.ts';
import type { Storage } from './storage.ts';
import type { DataCodec } from './token.ts';

/** A storage, and how to say that its configuration is not used any more. */
export interface Opened {
  readonly storage: Storage;
  readonly release: () => void;
}

/** The storage of one configuration. Databases are opened once for the process and shared. */
export function openStorage(config: Config, codec: (now: () => number) => DataCodec): Opened {
  const database = config.postgres && open(config.postgres);
  const storage = storageOf(config, database, codec);
  return { storage, release: database ? openBackend(database).use() : () => {} };
}

function storageOf(
  config: Config,
  database: Database | undefined,
  codec: (now: () => number) => DataCodec,
): Storage {
  const { postgres, storage, cacheTtl, realm, lifetime, remember } = config;
  if (postgres && database && postgres.auditRetention > 0) {
    openAudit(openBackend(database), config.place, postgres.auditRetention);
  }
  if (storage === 'cookie') {
    const lifetimes = [lifetime, ...(remember ? [remember.lifetime] : [])];
    return new CookieStorage(
      database && openCutOffs({ database, cacheTtl, realm, lifetimes }),
      undefined,
      config.place,
    );
  }
  if (database === undefined) throw new TypeError('storage kong without a database');
  return openServerStorage({
    database,
    cacheTtl,
    codec: codec(() => database.now()),
    at: config.place,
  });
}

/** Kong's own database, to read from. One for the process and URL. */
export function openCredentials({ kongDatabaseUrl: url }: Config): Credentials | undefined {
  if (url === undefined) return undefined;
  const known = kongs.get(url);
  if (known) return known;
  const options = { url, poolSize: 2, migrate: false };
  const credentials = new Credentials(openDatabase(options, 'kong_database_url'));
  kongs.set(url, credentials);
  return credentials;
}

const kongs = new Map<string, Credentials>();

/** Writes what is pending and closes all connections; resolves within a few seconds whatever happens. */
export const closeStorages = (): Promise<void> => closeAll();

const open = (settings: PostgresSettings): Database => openDatabase(settings);
