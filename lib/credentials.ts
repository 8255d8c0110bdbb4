import { LRUCache } from 'lru-cache';
import type { Database, Statement } from './database.ts';
import { report } from './events.ts';
import { UUID } from './uuid.ts';

/**
 * Kong's own tables of credentials (kong/plugins/NAME/daos.lua) with what makes each of them what it is: a changed
 * password ends the sessions that began with the old one. Nothing of it leaves the database but a hash.
 */
const SECRETS = {
  'key-auth': ['keyauth_credentials', 'key', 'and (ttl is null or ttl > now())'],
  'basic-auth': ['basicauth_credentials', 'password', ''],
  jwt: ['jwt_secrets', "coalesce(secret, rsa_public_key, '')", ''],
  'hmac-auth': ['hmacauth_credentials', 'secret', ''],
  oauth2: ['oauth2_credentials', "coalesce(client_secret, '')", ''],
} as const;

const FIND: Statement = {
  name: 'session_guard_credential',
  text: Object.entries(SECRETS)
    .map(
      ([kind, [table, secret, condition]]) =>
        `select '${kind} ' || left(encode(sha256(convert_to(${secret}, 'UTF8')), 'base64'), 22) as print
           from ${table} where id = $1 ${condition}`,
    )
    .join(' union all '),
};

/** Milliseconds until the database is asked again after it did not answer. */
const RETRY = 5000;

interface Known {
  readonly print: string;
  readonly checkedAt: number;
}

/** Whether the credentials that sessions began with are still what they were, by Kong's own database. */
export class Credentials {
  readonly #database: Database;
  readonly #clock: () => number;
  readonly #known = new LRUCache<string, Known>({ max: 50_000 });
  /** When the database did not answer, by credential and print: what it said about others stands. */
  readonly #undecided = new LRUCache<string, number>({ max: 50_000 });
  readonly #running = new Map<string, Promise<string | undefined>>();

  /** `clock`: milliseconds that never go back. */
  constructor(database: Database, clock = () => performance.now()) {
    this.#database = database;
    this.#clock = clock;
  }

  /** What tells a credential from any other; `undefined` for one that Kong's tables do not have. */
  async print(id: string): Promise<string | undefined> {
    // ldap-auth's credentials have no id of Kong's.
    if (!UUID.test(id)) return undefined;
    const { rows } = await this.#database.query<{ print: string }>(FIND, [id]);
    return rows[0]?.print;
  }

  /**
   * False only if Kong's database says so now: while it does not answer the session stays. Asks once per `ttl`
   * (milliseconds; 0 = anew) and credential, however many requests there are.
   */
  async isUnchanged(id: string, print: string, ttl: number): Promise<boolean> {
    const known = this.#known.get(id);
    const now = this.#clock();
    // What is remembered may say yes; a no is asked for: this session may be younger than the memory.
    if (ttl > 0 && known?.print === print && now - known.checkedAt <= ttl) return true;
    const question = `${id} ${print}`;
    if (now - (this.#undecided.get(question) ?? -Infinity) <= RETRY) return true;
    try {
      const current = await this.#find(id);
      if (current !== undefined) this.#known.set(id, { print: current, checkedAt: now });
      return current === print;
    } catch {
      report('credential_undecided');
      this.#undecided.set(question, now);
      return true;
    }
  }

  #find(id: string): Promise<string | undefined> {
    const running = this.#running.get(id);
    if (running) return running;
    const found = this.print(id).finally(() => this.#running.delete(id));
    this.#running.set(id, found);
    return found;
  }
}
