import { randomBytes, randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { openChannels } from '../lib/channel.ts';
import type { Channel } from '../lib/channel.ts';
import { parseConfig } from '../lib/config.ts';
import type { Config } from '../lib/config.ts';
import { openBackend } from '../lib/backend.ts';
import { openDatabase } from '../lib/database.ts';
import { entryOf } from '../lib/entry.ts';
import { KeyRing } from '../lib/keys.ts';
import { keyOf } from '../lib/presented.ts';
import type { Session } from '../lib/session.ts';
import { Store } from '../lib/store.ts';
import { DataCodec } from '../lib/token.ts';
import type { StorageName } from './plan.ts';

/** Rows in one statement. */
const BATCH = 200;
/** No request waits for these statements, and the machine may have much else to do. */
const PATIENCE = { connectTimeout: 30_000, statementTimeout: 30_000 };

/** Whose the sessions are. */
export interface Owner {
  readonly consumerId: string;
  readonly credentialId: string;
  readonly username: string;
}

export interface Minting {
  readonly storage: StorageName;
  readonly count: number;
  /** Sessions that are renewed when they are used next. */
  readonly due?: boolean;
}

type Configs = Readonly<Record<StorageName, object>>;

interface Made {
  readonly id: string;
  readonly session: Session;
}

/**
 * Makes sessions that no plugin server has seen yet, as if another node had begun them: rows and cookies under the
 * configurations that the routes have.
 */
export class Mint {
  readonly #configs: Readonly<Record<StorageName, Config>>;
  readonly #owner: Owner;
  readonly #sql: Client;
  readonly #store: Store;
  readonly #now: () => number;
  readonly #ready: () => Promise<void>;
  readonly #close: () => Promise<void>;

  private constructor(url: string, configs: Configs, owner: Owner) {
    const database = openDatabase({ url, ...PATIENCE });
    const backend = openBackend(database);
    this.#configs = { kong: parseConfig(configs.kong), cookie: parseConfig(configs.cookie) };
    this.#owner = owner;
    this.#sql = new Client({ connectionString: url });
    this.#store = new Store(database);
    this.#now = () => database.now();
    this.#ready = () => backend.readiness.ready();
    this.#close = () => backend.close();
  }

  /** Creates the tables too. */
  static async open(url: string, configs: Configs, owner: Owner): Promise<Mint> {
    const mint = new Mint(url, configs, owner);
    await mint.#ready();
    await mint.#sql.connect();
    return mint;
  }

  /** Cookie headers, each of a session of its own. */
  async mint({ storage, count, due = false }: Minting): Promise<string[]> {
    const config = this.#configs[storage];
    const made = Array.from({ length: count }, () => this.#make(config, due));
    if (storage === 'kong') await this.#insert(config, made, due);
    const { session: channel } = openChannels(config);
    return Promise.all(made.map((one) => this.#seal(config, channel, one)));
  }

  async close(): Promise<void> {
    await this.#sql.end();
    await this.#close();
  }

  #make({ audience, realm, timeouts }: Config, due: boolean): Made {
    const id = randomBytes(32).toString('base64url');
    const { consumerId, credentialId, username } = this.#owner;
    const now = this.#now();
    const beganAt = due ? now - renewalAge(timeouts) : now;
    const session: Session = {
      key: keyOf(id),
      handle: randomUUID(),
      family: randomUUID(),
      kind: 'session',
      generation: 0,
      consumerId,
      credentialId,
      audience,
      realm,
      subject: undefined,
      data: { username, ip: '127.0.0.1', userAgent: 'bench' },
      authenticatedAt: beganAt,
      startedAt: beganAt,
      renewedAt: beganAt,
      previousRenewedAt: undefined,
      confirmedAt: undefined,
      seenAt: now,
    };
    return { id, session };
  }

  async #insert(config: Config, made: readonly Made[], due: boolean): Promise<void> {
    const codec = new DataCodec(new KeyRing(config.secrets, config.realm, 0), this.#now);
    for (let at = 0; at < made.length; at += BATCH) {
      const rows = await Promise.all(
        made.slice(at, at + BATCH).map(async ({ session: { data, ...session } }) => ({
          session,
          sealed: await codec.seal(session.key, data),
          lifetime: config.lifetime,
        })),
      );
      await this.#store.create(rows, []);
      if (due)
        await this.#backdate(
          rows.map(({ session }) => session.key),
          config,
        );
    }
  }

  /** The store writes its own moments. */
  async #backdate(keys: readonly string[], config: Config): Promise<void> {
    const schema = config.postgres?.schema ?? '';
    await this.#sql.query(
      `update "${schema}".sessions set renewed_at = now() - $2 * interval '1 ms' where key = any($1)`,
      [keys.map((key) => Buffer.from(key, 'base64url')), renewalAge(config.timeouts)],
    );
  }

  async #seal(config: Config, channel: Channel, { id, session }: Made): Promise<string> {
    const value = await channel.codec.seal([entryOf(config, id, session)], this.#now());
    return `${config.cookie.name}=${value}`;
  }
}

/** Milliseconds after which a session is renewed, and a little. */
const renewalAge = ({ rolling, renew }: Config['timeouts']): number => rolling - renew + 60_000;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/**
 * Cookie headers that look like this one and do not open: `count` of them, each with another character of the sealed
 * part replaced. Behind the middle of a token there is nothing but ciphertext.
 */
export function tampered(cookie: string, count: number): string[] {
  const start = Math.floor(cookie.length * 0.6);
  const width = Math.floor(cookie.length * 0.2);
  return Array.from({ length: count }, (_, index) => {
    const at = start + (index % width);
    const old = ALPHABET.indexOf(cookie[at] ?? '');
    const replacement = ALPHABET[(old + 1 + Math.floor(index / width)) % ALPHABET.length] ?? '';
    return cookie.slice(0, at) + replacement + cookie.slice(at + 1);
  });
}
