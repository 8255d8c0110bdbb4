/*
 * All SQL of the sessions. On a request's path every statement finds its rows by primary key, except those that end
 * families, count a consumer's or list them: these have indexes of their own. Cut-offs are probed by primary key too:
 * with storage `cookie` there is one for every logout of the last 90 days and more (cutoffs.ts).
 */

import { TIME } from './database-clock.ts';

/** Milliseconds since the epoch. Cut, not rounded: a moment is never told later than it was. */
const ms = (moment: string) => `floor(extract(epoch from ${moment}) * 1000)::float8`;

const COLUMNS = `s.key, s.handle, s.family, s.kind, s.generation, s.consumer_id, s.credential_id, s.audience,
  s.realm, s.subject, s.data, ${ms('s.authenticated_at')} as authenticated_at, ${ms('s.started_at')} as started_at,
  ${ms('s.renewed_at')} as renewed_at, ${ms('s.previous_renewed_at')} as previous_renewed_at,
  ${ms('s.confirmed_at')} as confirmed_at, ${ms('s.seen_at')} as seen_at, ${ms('s.expires_at')} as expires_at,
  ${TIME} as now`;

/**
 * Said so that no index serves it. While few rows live, or few are expired, Postgres would else take the index of
 * expires_at for as good as the primary key, and would read it from end to end once there are many.
 */
const IS_CURRENT = '(s.expires_at > now()) is true';
const IS_EXPIRED = '(s.expires_at <= now()) is true';

/** A cut-off counts from its commit, whether or not the rows it ends have been deleted yet. */
const ALIVE = `${IS_CURRENT} and not exists (
  select from :SCHEMA.cutoffs c
  where (c.kind, c.target) in (('all', ''), ('consumer', s.consumer_id), ('credential', s.credential_id))
    and c.ended_before >= s.authenticated_at)`;

/** Whether a row can still open something: `idleFor` milliseconds after its last use a session cannot, 0 = always. */
const isInUse = (idleFor: string) =>
  `(s.kind = 1 or ${idleFor}::float8 = 0 or s.seen_at > now() - ${idleFor}::float8 * interval '1 ms')`;

/** The end of a lifetime given in milliseconds; 0 = none. */
const end = (since: string, lifetime: string) =>
  `case when ${lifetime}::float8 = 0 then 'infinity' else ${since} + ${lifetime}::float8 * interval '1 ms' end`;
const expiry = (renewedAt: string, startedAt: string, rolling: string, absolute: string) =>
  `least(${end(renewedAt, rolling)}, ${end(startedAt, absolute)})`;

const INSERT = `insert into :SCHEMA.sessions as s (key, handle, family, kind, generation, consumer_id, credential_id,
    audience, realm, subject, data, authenticated_at, started_at, renewed_at, seen_at, expires_at)`;

/** Inserts a row for every element of the arrays $1 to $12. */
const insertWhere = (condition: string) => `${INSERT}
  select n.key, n.handle, n.family, n.kind, 0, n.consumer_id, n.credential_id, n.audience, n.realm, n.subject, n.data,
    now(), now(), now(), now(), ${expiry('now()', 'now()', 'n.rolling', 'n.absolute')}
  from unnest($1::bytea[], $2::uuid[], $3::uuid[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::bytea[], $11::float8[], $12::float8[]) as n (key, handle, family, kind, consumer_id,
    credential_id, audience, realm, subject, data, rolling, absolute)
  where ${condition}
  returning ${COLUMNS}`;

/** How many rows or families one statement removes at most. */
export const BATCH = 1000;

/**
 * Rows are locked in the order of their keys wherever a statement has several, and none is deleted before all are
 * locked, since others would wait for a row that is half gone: no deadlocks.
 */
const DOOMED = 's.key = any(array(select key from doomed))';

const removeWhere = (condition: string) => `
  with doomed as (select s.key from :SCHEMA.sessions s where ${condition} order by s.key limit ${BATCH} for update)
  delete from :SCHEMA.sessions s where ${DOOMED} returning s.key`;

/**
 * Ends the families that a query selects and tells every node. `told` has one row: the families that `ended`, and
 * `again` those of which a remember row went (Store.end). `notice` is what the notices begin with.
 */
const ending = (
  families: string,
  channel: string,
  notice: string,
) => `ended as materialized (${families}),
  doomed as (
    select s.key from :SCHEMA.sessions s where s.family in (select family from ended) order by s.key for update
  ), gone as (
    delete from :SCHEMA.sessions s where ${DOOMED} returning s.family, s.kind
  ), told as (
    select coalesce(array_agg(e.family), '{}') as ended, count(pg_notify(${channel}, ${notice} || e.family)) as notices,
      (select coalesce(array_agg(g.family), '{}') from gone g where g.kind = 1) as again
    from ended e
  )`;

const isBeforeCutoff = (kind: string, target: string) =>
  `s.authenticated_at <= (select ended_before from :SCHEMA.cutoffs where kind = '${kind}' and target = ${target})`;

export const SQL = {
  load: `select ${COLUMNS} from :SCHEMA.sessions s where s.key = $1 and ${ALIVE}`,

  create: `${insertWhere('true')}, '{}'::uuid[] as ended, '{}'::uuid[] as again`,

  create_replacing: `with ${ending('select unnest($13::uuid[]) as family', '$14', '$15')},
  created as (${insertWhere('true')})
  select * from told left join created on true`,

  // To be called by one at a time for one consumer (Store.create). Who is idle goes first, then who was never there,
  // then who was away longest.
  create_limited: `with families as materialized (
    select s.family, bool_or(s.generation > 0 or s.confirmed_at is not null) as was_presented,
      max(s.seen_at) as seen_at, bool_or(${isInUse('$18')}) as is_in_use
    from :SCHEMA.sessions s
    where s.consumer_id = ($5::text[])[1] and s.audience = ($7::text[])[1] and s.realm = any($8::text[])
      and s.family <> all($13::uuid[]) and ${ALIVE}
    group by s.family
  ), verdict as materialized (
    select $17::boolean and count(*) filter (where was_presented and is_in_use) >= $16::integer as is_refused from families
  ), surplus as (
    select family from families where not (select is_refused from verdict)
    order by is_in_use desc, was_presented desc, seen_at desc, family offset $16::integer - 1 limit ${BATCH}
  ), ${ending('select unnest($13::uuid[]) as family union select family from surplus', '$14', '$15')},
  created as (${insertWhere('not (select is_refused from verdict)')})
  select * from told left join created on true`,

  // Losers of a race wait for the row's lock, find the generation raised and get the row as it now is. Never an
  // upsert: a deleted row stays deleted.
  renew: `update :SCHEMA.sessions s set
    generation = case when s.generation = $2 then s.generation + 1 else s.generation end,
    previous_renewed_at = case when s.generation = $2 then s.renewed_at else s.previous_renewed_at end,
    renewed_at = case when s.generation = $2 then now() else s.renewed_at end,
    confirmed_at = case when s.generation = $2 then null else s.confirmed_at end,
    seen_at = greatest(s.seen_at, now()),
    data = case when s.generation = $2 then $5 else s.data end,
    expires_at = greatest(s.expires_at,
      ${expiry('case when s.generation = $2 then now() else s.renewed_at end', 's.started_at', '$3', '$4')})
  where s.key = $1 and ${ALIVE}
  returning ${COLUMNS}, s.renewed_at = now() as raised`,

  // The lock holds off whoever would end the family, and neither renewals nor others who restore. No row = the
  // family has ended; a row without a key = somebody else's row that this snapshot does not show yet, or an expired
  // one that was in the way until now.
  restore: `with remembered as materialized (
    select s.family, s.consumer_id, s.credential_id, s.authenticated_at from :SCHEMA.sessions s
    where s.key = $1 and s.kind = 1 and ${ALIVE} for key share of s
  ), expired as (
    select s.key from :SCHEMA.sessions s where s.key = $2 and ${IS_EXPIRED} for update skip locked
  ), gone as (
    delete from :SCHEMA.sessions s using expired e where s.key = e.key
  ), restored as (
    ${INSERT}
    select $2, $3, r.family, 0, 0, r.consumer_id, r.credential_id, $4, $5, $6, $7, r.authenticated_at, now(), now(),
      now(), ${expiry('now()', 'now()', '$8', '$9')}
    from remembered r
    on conflict (key) do nothing
    returning ${COLUMNS}
  ), found as (
    select * from restored
    union all select ${COLUMNS} from :SCHEMA.sessions s where s.key = $2 and ${IS_CURRENT}
  )
  select found.* from remembered left join found on true`,

  // Of one family. For an array Postgres would rather make a plan each time, which takes longer than the work.
  end: `with ${ending('select $1::uuid as family', '$2', '$3')} select * from told`,

  end_several: `with ${ending('select unnest($1::uuid[]) as family', '$2', '$3')} select * from told`,

  end_handle: `with ${ending(
    `select s.family from :SCHEMA.sessions s
    where s.handle = $1 and s.consumer_id = $4 and s.audience = $5 and s.realm = any($6::text[])`,
    '$2',
    '$3',
  )} select * from told`,

  end_others: `with ${ending(
    `select s.family from :SCHEMA.sessions s
    where s.consumer_id = $4 and s.audience = $5 and s.realm = any($6::text[]) and s.family is distinct from $1::uuid
      and ${ALIVE}
    group by s.family limit ${BATCH}`,
    '$2',
    '$3',
  )} select * from told`,

  // Everything is only ever raised, nothing is put ahead of now, and an expired row stays expired. A browser that
  // presents a new session has got the remember cookie of the same response too.
  touch: `with given as (
    select t.key, least(to_timestamp(t.seen_at / 1000), now()) as seen_at, t.generation,
      least(to_timestamp(t.confirmed_at / 1000), now()) as confirmed_at, t.rolling, t.absolute
    from unnest($1::bytea[], $2::float8[], $3::integer[], $4::float8[], $5::float8[], $6::float8[])
      as t (key, seen_at, generation, confirmed_at, rolling, absolute)
  ), beside as (
    select r.key, r.generation, min(g.confirmed_at) as confirmed_at
    from given g
    join :SCHEMA.sessions s on s.key = g.key and s.generation = g.generation and s.confirmed_at is null and s.kind = 0
    join :SCHEMA.sessions r on r.family = s.family and r.kind = 1 and r.confirmed_at is null
    where g.generation is not null
    group by r.key
  ), locked as (
    select s.key from :SCHEMA.sessions s
    where s.key in (select key from given union all select key from beside) and ${IS_CURRENT}
    order by s.key for no key update
  )
  update :SCHEMA.sessions s set
    seen_at = greatest(s.seen_at, g.seen_at),
    confirmed_at = coalesce(s.confirmed_at, case when s.generation = g.generation then g.confirmed_at end,
      case when s.generation = b.generation then b.confirmed_at end),
    expires_at = greatest(s.expires_at, ${expiry('s.renewed_at', 's.started_at', 'g.rolling', 'g.absolute')})
  from locked l left join given g on g.key = l.key left join beside b on b.key = l.key
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

  remove_consumer: removeWhere(`s.consumer_id = $1 and ${isBeforeCutoff('consumer', '$1')}`),

  remove_credential: removeWhere(
    `s.consumer_id = $1 and s.credential_id = $2 and ${isBeforeCutoff('credential', '$2')}`,
  ),

  remove_all: removeWhere(`s.key > $1 and ${isBeforeCutoff('all', "''")}`),

  cutoffs: `select ${ms('max(c.ended_before)')} as ended_before,
    ${TIME} as now
  from :SCHEMA.cutoffs c
  where (c.kind, c.target) in (('family', $1), ('consumer', $2), ('credential', $3), ('consumer', $4), ('all', ''))`,

  // Of each family the session that was used last, else its remember row.
  list: `select * from (
    select distinct on (s.family) ${COLUMNS} from :SCHEMA.sessions s
    where s.consumer_id = $1 and s.audience = $2 and s.realm = any($3::text[]) and ${ALIVE} and ${isInUse('$4')}
    order by s.family, s.kind, s.seen_at desc, s.key
  ) l order by l.seen_at desc, l.key limit 200`,

  count_consumer: `select count(distinct s.family)::integer as sessions from :SCHEMA.sessions s
  where s.consumer_id = $1 and ${ALIVE}`,

  count_all: `select count(distinct s.family)::integer as sessions from :SCHEMA.sessions s where ${ALIVE}`,

  // One node at a time, for as long as the statement runs. Rows that somebody holds wait for the next turn. In order:
  // else Postgres reads the table from its beginning when much has expired, past all that earlier statements deleted.
  prune: `with turn as materialized (select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as is_ours),
  expired as (
    select s.ctid from :SCHEMA.sessions s where (select is_ours from turn) and s.expires_at <= now()
    order by s.expires_at limit $2 for update skip locked
  ), gone as (
    delete from :SCHEMA.sessions s where s.ctid = any(array(select ctid from expired)) returning 1
  ), past as (
    delete from :SCHEMA.cutoffs c where c.ctid = any(array(
      select c.ctid from :SCHEMA.cutoffs c where (select is_ours from turn) and c.expires_at <= now()
      order by c.expires_at limit $2)) and c.expires_at <= now() returning 1
  )
  select (select count(*) from gone)::integer as sessions, (select count(*) from past)::integer as cutoffs`,
} as const;
