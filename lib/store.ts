import type { Answer, Database, Statement } from './database.ts';
import { encodeNotice } from './notice.ts';
import type { Revocable, Revocation } from './notice.ts';
import { encodeText, kindNumber, sessionOf } from './rows.ts';
import type { SessionRow, StoredSession } from './rows.ts';
import type { Lifetime, NewSession } from './storage.ts';

/*
 * All SQL of the sessions. On a request's path every statement finds its rows by primary key, except the one of a
 * logout, which deletes a family by an index of its own: the remember row has another key, and a logout must be one
 * statement. Cut-offs are a few rows, probed by primary key.
 */

/** Milliseconds since the epoch. Cut, not rounded: a moment is never told later than it was. */
const ms = (moment: string) => `floor(extract(epoch from ${moment}) * 1000)::float8`;

const COLUMNS = `s.key, s.handle, s.family, s.kind, s.generation, s.consumer_id, s.credential_id, s.audience,
  s.realm, s.subject, s.data, ${ms('s.authenticated_at')} as authenticated_at, ${ms('s.renewed_at')} as renewed_at,
  ${ms('s.previous_renewed_at')} as previous_renewed_at, ${ms('s.confirmed_at')} as confirmed_at,
  ${ms('s.seen_at')} as seen_at, ${ms('s.expires_at')} as expires_at,
  (extract(epoch from clock_timestamp()) * 1000)::float8 as now`;

/** A cut-off counts from its commit, whether or not the rows it ends have been deleted yet. */
const ALIVE = `s.expires_at > now() and not exists (
  select from :SCHEMA.cutoffs c
  where (c.kind, c.target) in (('all', ''), ('consumer', s.consumer_id), ('credential', s.credential_id))
    and c.ended_before >= s.authenticated_at)`;

/** The end of a lifetime given in milliseconds; 0 = none. */
const end = (since: string, lifetime: string) =>
  `case when ${lifetime}::float8 = 0 then 'infinity' else ${since} + ${lifetime}::float8 * interval '1 ms' end`;
const expiry = (renewedAt: string, authenticatedAt: string, rolling: string, absolute: string) =>
  `least(${end(renewedAt, rolling)}, ${end(authenticatedAt, absolute)})`;

/** Rows are locked in the order of their keys wherever a statement has several: no deadlocks. */
const removeWhere = (condition: string) => `
  with doomed as (select s.key from :SCHEMA.sessions s where ${condition} order by s.key limit 1000 for update)
  delete from :SCHEMA.sessions s using doomed d where s.key = d.key`;

const isBeforeCutoff = (kind: string, target: string) =>
  `s.authenticated_at <= (select ended_before from :SCHEMA.cutoffs where kind = '${kind}' and target = ${target})`;

const INSERT = `
  insert into :SCHEMA.sessions as s (key, handle, family, kind, generation, consumer_id, credential_id, audience,
    realm, subject, data, authenticated_at, renewed_at, seen_at, expires_at)
  values ($1, $2, $3, $4, 0, $5, $6, $7, $8, $9, $10, now(), now(), now(),
    ${expiry('now()', 'now()', '$11', '$12')})
  returning ${COLUMNS}`;

const SQL = {
  load: `select ${COLUMNS} from :SCHEMA.sessions s where s.key = $1 and ${ALIVE}`,

  create: INSERT,

  replace: `with ended as (${removeWhere('s.family = $13')}), created as (${INSERT})
  select created.*, pg_notify($14, $15) from created`,

  // Losers of a race wait for the row's lock, find the generation raised and get the row as it now is. Never an
  // upsert: a deleted row stays deleted.
  renew: `update :SCHEMA.sessions s set
    generation = case when s.generation = $2 then s.generation + 1 else s.generation end,
    previous_renewed_at = case when s.generation = $2 then s.renewed_at else s.previous_renewed_at end,
    renewed_at = case when s.generation = $2 then now() else s.renewed_at end,
    confirmed_at = case when s.generation = $2 then null else s.confirmed_at end,
    seen_at = greatest(s.seen_at, now()),
    expires_at = greatest(s.expires_at,
      ${expiry('case when s.generation = $2 then now() else s.renewed_at end', 's.authenticated_at', '$3', '$4')})
  where s.key = $1 and ${ALIVE}
  returning ${COLUMNS}`,

  end: `with ended as (${removeWhere('s.family = $1')}) select pg_notify($2, $3)`,

  // Everything is only ever raised, nothing is put ahead of now, and an expired row stays expired.
  touch: `with touched as (
    select * from unnest($1::bytea[], $2::float8[], $3::integer[], $4::float8[], $5::float8[], $6::float8[])
      as t (key, seen_at, generation, confirmed_at, rolling, absolute)
  ), locked as (
    select s.key from :SCHEMA.sessions s join touched t on t.key = s.key
    where s.expires_at > now() order by s.key for no key update of s
  )
  update :SCHEMA.sessions s set
    seen_at = greatest(s.seen_at, least(to_timestamp(t.seen_at / 1000), now())),
    confirmed_at = case when s.confirmed_at is null and s.generation = t.generation
      then least(to_timestamp(t.confirmed_at / 1000), now()) else s.confirmed_at end,
    expires_at = greatest(s.expires_at, ${expiry('s.renewed_at', 's.authenticated_at', 't.rolling', 't.absolute')})
  from locked l join touched t on t.key = l.key
  where s.key = l.key`,

  cut: `with cut as (
    insert into :SCHEMA.cutoffs as c (kind, target, ended_before, expires_at)
    values ($1, $2, case when $1 = 'family' then 'infinity'
      else least(coalesce(to_timestamp($3::float8 / 1000), now()), now()) end, to_timestamp($4::float8 / 1000))
    on conflict (kind, target) do update set
      ended_before = greatest(c.ended_before, excluded.ended_before),
      expires_at = greatest(c.expires_at, excluded.expires_at)
    returning ${ms('c.ended_before')} as ended_before
  )
  select ended_before, pg_notify($5, case when octet_length($2) > 1000 then 'reload'
    else $1 || ' ' || ended_before || ' ' || $2 end) from cut`,

  remove_consumer: `${removeWhere(`s.consumer_id = $1 and ${isBeforeCutoff('consumer', '$1')}`)} returning s.key`,

  remove_credential: `${removeWhere(
    `s.consumer_id = $1 and s.credential_id = $2 and ${isBeforeCutoff('credential', '$2')}`,
  )} returning s.key`,

  remove_all: `${removeWhere(`s.key > $1 and ${isBeforeCutoff('all', "''")}`)} returning s.key`,

  cutoffs: `select ${ms('max(c.ended_before)')} as ended_before,
    (extract(epoch from clock_timestamp()) * 1000)::float8 as now
  from :SCHEMA.cutoffs c
  where (c.kind, c.target) in (('family', $1), ('consumer', $2), ('credential', $3), ('all', ''))`,

  list: `select ${COLUMNS} from :SCHEMA.sessions s where s.consumer_id = $1 and ${ALIVE}
  order by s.authenticated_at desc, s.key limit 1000`,

  count_consumer: `select count(distinct s.family)::integer as sessions from :SCHEMA.sessions s
  where s.consumer_id = $1 and ${ALIVE}`,

  count_all: `select count(distinct s.family)::integer as sessions from :SCHEMA.sessions s where ${ALIVE}`,

  // One node at a time, for as long as the statement runs. Rows that somebody holds wait for the next turn.
  prune: `with turn as materialized (select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as is_ours),
  expired as (
    select s.key from :SCHEMA.sessions s where (select is_ours from turn) and s.expires_at <= now()
    limit $2 for update skip locked
  ), gone as (
    delete from :SCHEMA.sessions s using expired e where s.key = e.key returning 1
  ), past as (
    delete from :SCHEMA.cutoffs c where (select is_ours from turn) and c.expires_at <= now() returning 1
  )
  select (select count(*) from gone)::integer as sessions, (select count(*) from past)::integer as cutoffs`,
} as const;

/** What a use of a session leaves to be written. Moments in milliseconds on the database's clock. */
export interface Touch {
  readonly key: string;
  readonly seenAt: number;
  /** The generation that was first presented at `confirmedAt`, if one was. */
  readonly confirmed: { readonly generation: number; readonly at: number } | undefined;
  readonly lifetime: Lifetime;
}

const BATCH = 1000; // as in removeWhere
const bytesOf = (key: string) => Buffer.from(key, 'base64url');

/** The tables' operations, one statement each. Every method rejects as Database.query does. */
export class Store {
  readonly #database: Database;
  readonly #statements: Readonly<Record<keyof typeof SQL, Statement>>;

  constructor(database: Database) {
    this.#database = database;
    this.#statements = Object.fromEntries(
      Object.entries(SQL).map(([name, sql]) => {
        return [name, { name, text: sql.replaceAll(':SCHEMA', `"${database.schema}"`) }];
      }),
    ) as Record<keyof typeof SQL, Statement>;
  }

  async load(key: string, onSent?: () => void): Promise<StoredSession | undefined> {
    return this.#session(await this.#ask('load', [bytesOf(key)], onSent));
  }

  /** Stores a session and ends the family it replaces. */
  async create(
    session: Omit<NewSession, 'data'>,
    sealed: Uint8Array,
    lifetime: Lifetime,
    replaces: string | undefined,
  ): Promise<StoredSession> {
    const values = [
      bytesOf(session.key),
      session.handle,
      session.family,
      kindNumber(session.kind),
      encodeText(session.consumerId),
      session.credentialId === undefined ? null : encodeText(session.credentialId),
      encodeText(session.audience),
      encodeText(session.realm),
      session.subject === undefined ? null : encodeText(session.subject),
      sealed,
      lifetime.rolling,
      lifetime.absolute,
    ];
    const answer =
      replaces === undefined
        ? await this.#ask<SessionRow>('create', values)
        : await this.#ask<SessionRow>('replace', [
            ...values,
            replaces,
            this.#database.schema,
            notice(replaces),
          ]);
    const created = this.#session(answer);
    if (created === undefined) throw new TypeError('insert returned no row');
    return created;
  }

  async renew(
    key: string,
    generation: number,
    lifetime: Lifetime,
  ): Promise<StoredSession | undefined> {
    const values = [bytesOf(key), generation, lifetime.rolling, lifetime.absolute];
    return this.#session(await this.#ask('renew', values));
  }

  async end(family: string): Promise<void> {
    await this.#ask('end', [family, this.#database.schema, notice(family)]);
  }

  async touch(touches: readonly Touch[]): Promise<void> {
    await this.#ask('touch', [
      touches.map(({ key }) => bytesOf(key)),
      touches.map(({ seenAt }) => seenAt),
      touches.map(({ confirmed }) => confirmed?.generation ?? null),
      touches.map(({ confirmed }) => confirmed?.at ?? null),
      touches.map(({ lifetime }) => lifetime.rolling),
      touches.map(({ lifetime }) => lifetime.absolute),
    ]);
  }

  /**
   * Ends what was authenticated at `before` or earlier (default and latest: now) and tells every node. `until`: when
   * nothing it could end lives any more. Resolves with the moment that counts.
   */
  async cut(
    kind: Revocation['kind'],
    target: string,
    until: number,
    before?: number,
  ): Promise<number> {
    const values = [kind, encodeText(target), before ?? null, until, this.#database.schema];
    const { rows } = await this.#ask<{ ended_before: number }>('cut', values);
    return rows[0]?.ended_before ?? Infinity;
  }

  /** Deletes what `cut` has ended, a batch at a time: tidiness, since a cut-off counts without it. */
  async removeConsumer(consumerId: string): Promise<void> {
    await this.#removeAll('remove_consumer', () => [encodeText(consumerId)]);
  }

  async removeCredential(consumerId: string, credentialId: string): Promise<void> {
    const values = [encodeText(consumerId), encodeText(credentialId)];
    await this.#removeAll('remove_credential', () => values);
  }

  async removeEverything(): Promise<void> {
    await this.#removeAll('remove_all', (last) => [last]);
  }

  /**
   * The moment (milliseconds) at which or before which the session must have been authenticated to be dead; -Infinity
   * if nothing is cut off.
   */
  async endedBefore(session: Revocable, onSent: () => void): Promise<number> {
    const { family, consumerId, credentialId } = session;
    const values = [family, encodeText(consumerId), encodeText(credentialId ?? '')];
    const answer = await this.#ask<{ ended_before: number | null; now: number }>(
      'cutoffs',
      values,
      onSent,
    );
    this.#sampleClock(answer);
    return answer.rows[0]?.ended_before ?? -Infinity;
  }

  /** The newest first, at most 1000. */
  async list(consumerId: string): Promise<StoredSession[]> {
    const { rows } = await this.#ask<SessionRow>('list', [encodeText(consumerId)]);
    return rows.map(sessionOf);
  }

  /** How many sign-ins are alive, of one consumer or of all. */
  async count(consumerId?: string): Promise<number> {
    type Count = { sessions: number };
    const { rows } =
      consumerId === undefined
        ? await this.#ask<Count>('count_all', [])
        : await this.#ask<Count>('count_consumer', [encodeText(consumerId)]);
    return rows[0]?.sessions ?? 0;
  }

  /** Deletes up to `limit` expired sessions and the cut-offs that are past, unless another node is at it. */
  async prune(limit: number): Promise<{ sessions: number; cutoffs: number }> {
    const values = [`prune ${this.#database.schema}`, limit];
    const { rows } = await this.#ask<{ sessions: number; cutoffs: number }>('prune', values);
    return rows[0] ?? { sessions: 0, cutoffs: 0 };
  }

  #ask<R extends object>(
    name: keyof typeof SQL,
    values: readonly unknown[],
    onSent?: () => void,
  ): Promise<Answer<R>> {
    return this.#database.query<R>(this.#statements[name], values, onSent);
  }

  async #removeAll(name: keyof typeof SQL, values: (last: Buffer) => unknown[]): Promise<void> {
    for (let last: Buffer = Buffer.alloc(0), size = BATCH; size === BATCH;) {
      const { rows } = await this.#ask<{ key: Buffer }>(name, values(last));
      size = rows.length;
      last = rows.reduce((max, { key }) => (Buffer.compare(key, max) > 0 ? key : max), last);
    }
  }

  #session(answer: Answer<SessionRow>): StoredSession | undefined {
    this.#sampleClock(answer);
    const row = answer.rows[0];
    return row && sessionOf(row);
  }

  #sampleClock({ rows, sentAt, receivedAt }: Answer<{ now: number }>): void {
    if (rows[0]) this.#database.clock.sample(sentAt, receivedAt, rows[0].now);
  }
}

const notice = (family: string) =>
  encodeNotice({ kind: 'family', target: family, before: Infinity });
