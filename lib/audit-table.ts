import type { Database, Statement } from './database.ts';
import { encodeText } from './rows.ts';

/** Who did it: the user of the session, an operator, or session-guard by itself. */
export type Actor = 'user' | 'operator' | 'session-guard';

/** One row. Ids of consumers and names as byte strings (pdk.ts). */
export interface AuditEntry {
  /** Milliseconds since the epoch, on the database's clock. */
  readonly at: number;
  readonly event: string;
  readonly actor: Actor;
  readonly handle?: string | undefined;
  readonly family?: string | undefined;
  readonly consumerId?: string | undefined;
  readonly audience?: string | undefined;
  readonly route?: string | undefined;
  readonly reason?: string | undefined;
}

/** A row as it is read: texts as the table has them, `null` where nothing is known. */
export interface AuditRow {
  readonly at: number;
  readonly event: string;
  readonly actor: Actor;
  readonly handle: string | null;
  readonly family: string | null;
  readonly consumerId: string | null;
  readonly audience: string | null;
  readonly route: string | null;
  readonly reason: string | null;
}

export interface AuditFilter {
  readonly consumerId?: string | undefined;
  readonly handle?: string | undefined;
  readonly event?: string | undefined;
  readonly limit: number;
}

const INSERT = `insert into :SCHEMA.audit
    (happened_at, event, actor, handle, family, consumer_id, audience, route, reason)
  select to_timestamp(n.at / 1000), n.event, n.actor, n.handle, n.family, n.consumer_id, n.audience, n.route, n.reason
  from unnest($1::float8[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[])
    as n (at, event, actor, handle, family, consumer_id, audience, route, reason)`;

/** Of nodes that delete at the same time each takes what the other has not. What operators did is kept by itself. */
const prune = (whose: 'actor <>' | 'actor =') => `with old as (
    select id from :SCHEMA.audit
    where happened_at < now() - $1::float8 * interval '1 ms' and ${whose} 'operator'
    limit $2 for update skip locked
  )
  delete from :SCHEMA.audit a using old where a.id = old.id returning 1`;

const READ = `select floor(extract(epoch from happened_at) * 1000)::float8 as at, event, actor, handle, family,
    consumer_id as "consumerId", audience, route, reason
  from :SCHEMA.audit
  where ($1::text is null or consumer_id = $1) and ($2::uuid is null or handle = $2) and ($3::text is null or event = $3)
  order by happened_at desc, id desc limit $4`;

/** The table `audit`. Every method rejects as Database.query does. */
export class AuditTable {
  readonly #database: Database;
  readonly #statements: Record<'insert' | 'prune' | 'pruneRevocations' | 'read', Statement>;

  constructor(database: Database) {
    this.#database = database;
    const statement = (name: string, sql: string): Statement => ({
      name: `audit_${name}`,
      text: sql.replaceAll(':SCHEMA', `"${database.schema}"`),
    });
    this.#statements = {
      insert: statement('insert', INSERT),
      prune: statement('prune', prune('actor <>')),
      pruneRevocations: statement('prune_revocations', prune('actor =')),
      read: statement('read', READ),
    };
  }

  async insert(entries: readonly AuditEntry[]): Promise<void> {
    await this.#database.query(this.#statements.insert, [
      entries.map(({ at }) => at),
      entries.map(({ event }) => event),
      entries.map(({ actor }) => actor),
      entries.map(({ handle }) => handle ?? null),
      entries.map(({ family }) => family ?? null),
      entries.map(({ consumerId }) => text(consumerId)),
      entries.map(({ audience }) => text(audience)),
      entries.map(({ route }) => text(route)),
      entries.map(({ reason }) => reason ?? null),
    ]);
  }

  /** Deletes up to `limit` rows of requests older than so many milliseconds, and resolves with their number. */
  async prune(retention: number, limit: number): Promise<number> {
    return (await this.#database.query(this.#statements.prune, [retention, limit])).rows.length;
  }

  /** The same with what operators did. */
  async pruneRevocations(retention: number, limit: number): Promise<number> {
    const { rows } = await this.#database.query(this.#statements.pruneRevocations, [
      retention,
      limit,
    ]);
    return rows.length;
  }

  /** The newest first. */
  async read({ consumerId, handle, event, limit }: AuditFilter): Promise<AuditRow[]> {
    const values = [consumerId ?? null, handle ?? null, event ?? null, limit];
    return (await this.#database.query<AuditRow>(this.#statements.read, values)).rows;
  }
}

const text = (value: string | undefined): string | null =>
  value === undefined ? null : encodeText(value);
