import type { Database, Statement } from './database.ts';

/*
 * What operators ask of the tables: by handle, by subject, by number. Off every request's path, so a statement may
 * read the whole table. Ends of sessions are the Backend's, which tells the nodes.
 */

/** Texts are as the table has them: UTF-8, or `\x` and hexadecimal digits (rows.ts). Moments in milliseconds. */
export interface AdminSession {
  readonly key: string;
  readonly handle: string;
  readonly family: string;
  readonly kind: 'session' | 'remember';
  /** As far as all routes agree: idle time and shorter limits are for each route to judge. */
  readonly state: 'alive' | 'expired' | 'revoked';
  readonly generation: number;
  readonly consumerId: string;
  readonly credentialId: string | undefined;
  readonly audience: string;
  readonly realm: string;
  readonly subject: string | undefined;
  readonly authenticatedAt: number;
  readonly renewedAt: number;
  readonly seenAt: number;
  /** Infinity where nothing limits the session. */
  readonly expiresAt: number;
  readonly sealed: Uint8Array;
}

/** Which sessions are meant. Ids are texts of the table. */
export type Selector =
  | { readonly kind: 'handle'; readonly handle: string }
  | { readonly kind: 'others'; readonly handle: string }
  | { readonly kind: 'family'; readonly family: string }
  | { readonly kind: 'consumer'; readonly consumerId: string }
  | { readonly kind: 'credential'; readonly consumerId: string; readonly credentialId: string }
  | { readonly kind: 'before'; readonly moment: number }
  | { readonly kind: 'all' };

/** Numbers of the tables as a whole. */
export interface Stats {
  readonly signIns: number;
  readonly remembered: number;
  readonly consumers: number;
  readonly seenLastHour: number;
  readonly seenLastDay: number;
  readonly oldest: number | undefined;
  readonly expired: number;
  readonly revoked: number;
  readonly cutoffs: number;
  readonly bytes: number;
  readonly audiences: readonly { readonly audience: string; readonly signIns: number }[];
}

const ms = (moment: string) => `floor(extract(epoch from ${moment}) * 1000)::float8`;

const REVOKED = `exists (
  select from :SCHEMA.cutoffs c
  where (c.kind, c.target) in (('all', ''), ('consumer', s.consumer_id), ('credential', s.credential_id))
    and c.ended_before >= s.authenticated_at)`;
const ALIVE = `s.expires_at > now() and not ${REVOKED}`;

const COLUMNS = `encode(s.key, 'hex') as key, s.handle, s.family,
  case s.kind when 0 then 'session' else 'remember' end as kind,
  case when s.expires_at <= now() then 'expired' when ${REVOKED} then 'revoked' else 'alive' end as state,
  s.generation, s.consumer_id as "consumerId", s.credential_id as "credentialId", s.audience, s.realm, s.subject,
  ${ms('s.authenticated_at')} as "authenticatedAt", ${ms('s.renewed_at')} as "renewedAt",
  ${ms('s.seen_at')} as "seenAt", ${ms('s.expires_at')} as "expiresAt", s.data as sealed`;

/** By the selector's kind; parameters as `valuesOf` gives them. */
const CONDITIONS: Record<Selector['kind'], string> = {
  handle: 's.handle = $1',
  others: `exists (select from :SCHEMA.sessions o where o.handle = $1
    and o.consumer_id = s.consumer_id and o.family <> s.family)`,
  family: 's.family = $1',
  consumer: 's.consumer_id = $1',
  credential: 's.consumer_id = $1 and s.credential_id = $2',
  before: 's.authenticated_at <= to_timestamp($1::float8 / 1000)',
  all: 'true',
};

const STATS = `select
    count(distinct s.family) filter (where alive)::integer as "signIns",
    count(*) filter (where alive and s.kind = 1)::integer as remembered,
    count(distinct s.consumer_id) filter (where alive)::integer as consumers,
    count(distinct s.family) filter (where alive and s.seen_at > now() - interval '1 hour')::integer as "seenLastHour",
    count(distinct s.family) filter (where alive and s.seen_at > now() - interval '1 day')::integer as "seenLastDay",
    ${ms('min(s.authenticated_at) filter (where alive)')} as oldest,
    count(*) filter (where s.expires_at <= now())::integer as expired,
    count(*) filter (where s.expires_at > now() and not alive)::integer as revoked,
    (select count(*) from :SCHEMA.cutoffs)::integer as cutoffs,
    pg_total_relation_size(':SCHEMA.sessions')::float8 as bytes
  from (select s.*, ${ALIVE} as alive from :SCHEMA.sessions s) s`;

const AUDIENCES = `select s.audience, count(distinct s.family)::integer as "signIns"
  from :SCHEMA.sessions s where ${ALIVE} group by s.audience order by 2 desc, 1 limit 100`;

function valuesOf(selector: Selector): unknown[] {
  switch (selector.kind) {
    case 'handle':
    case 'others':
      return [selector.handle];
    case 'family':
      return [selector.family];
    case 'consumer':
      return [selector.consumerId];
    case 'credential':
      return [selector.consumerId, selector.credentialId];
    case 'before':
      return [selector.moment];
    case 'all':
      return [];
  }
}

/** Every method rejects as Database.query does. */
export class AdminStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** A session or remember row, dead ones included as long as they have not been pruned. */
  async find(handle: string): Promise<AdminSession | undefined> {
    const sql = `select ${COLUMNS} from :SCHEMA.sessions s where ${CONDITIONS.handle}`;
    return (await this.#sessions('find', sql, [handle]))[0];
  }

  /** The living ones, the newest sign-in first. `subjects`: any of these. */
  list(filter: {
    readonly consumerId?: string | undefined;
    readonly subjects?: readonly string[] | undefined;
    readonly limit: number;
  }): Promise<AdminSession[]> {
    const sql = `select ${COLUMNS} from :SCHEMA.sessions s
      where ${ALIVE} and ($1::text is null or s.consumer_id = $1) and ($2::text[] is null or s.subject = any($2))
      order by s.authenticated_at desc, s.key limit $3`;
    const { consumerId = null, subjects = null, limit } = filter;
    return this.#sessions('list', sql, [consumerId, subjects, limit]);
  }

  /** How many living sign-ins a selector means. */
  async count(selector: Selector): Promise<number> {
    const sql = `select count(distinct s.family)::integer as count from :SCHEMA.sessions s
      where ${CONDITIONS[selector.kind]} and ${ALIVE}`;
    const name = `count_${selector.kind}`;
    const rows = await this.#ask<{ count: number }>(name, sql, valuesOf(selector));
    return rows[0]?.count ?? 0;
  }

  /** The families of the living sign-ins that a selector means. */
  async families(selector: Selector): Promise<string[]> {
    const sql = `select distinct s.family from :SCHEMA.sessions s
      where ${CONDITIONS[selector.kind]} and ${ALIVE}`;
    const name = `families_${selector.kind}`;
    const rows = await this.#ask<{ family: string }>(name, sql, valuesOf(selector));
    return rows.map(({ family }) => family);
  }

  /** Rows that `prune` would delete. */
  async countExpired(): Promise<number> {
    const sql =
      'select count(*)::integer as count from :SCHEMA.sessions s where s.expires_at <= now()';
    return (await this.#ask<{ count: number }>('expired', sql, []))[0]?.count ?? 0;
  }

  async stats(): Promise<Stats> {
    type Row = Omit<Stats, 'audiences' | 'oldest'> & { oldest: number | null };
    const [row] = await this.#ask<Row>('stats', STATS, []);
    if (row === undefined) throw new TypeError('aggregates returned no row');
    const audiences = await this.#ask<Stats['audiences'][number]>('audiences', AUDIENCES, []);
    return { ...row, oldest: row.oldest ?? undefined, audiences };
  }

  async #sessions(name: string, sql: string, values: readonly unknown[]): Promise<AdminSession[]> {
    const rows = await this.#ask<
      AdminSession & { credentialId: string | null; subject: string | null }
    >(name, sql, values);
    return rows.map((row) => ({
      ...row,
      key: Buffer.from(row.key, 'hex').toString('base64url'),
      credentialId: row.credentialId ?? undefined,
      subject: row.subject ?? undefined,
    }));
  }

  async #ask<Row extends object>(
    name: string,
    sql: string,
    values: readonly unknown[],
  ): Promise<Row[]> {
    const text = sql.replaceAll(':SCHEMA', `"${this.#database.schema}"`);
    const statement: Statement = { name: `admin_${name}`, text };
    return (await this.#database.query<Row>(statement, values)).rows;
  }
}
