import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import { KeyRing } from '../../lib/keys.ts';
import { DataCodec } from '../../lib/token.ts';

/* Rows as a gateway leaves them: keys in random order, half as many consumers as sessions, data of the real size. */

/** Rows per statement: a few seconds of work. */
const CHUNK = 100_000;

/** The key of the row with that number, as Session has it. */
export const keyOfRow = (row: number): string =>
  createHash('sha256').update(`session ${row}`).digest('base64url');

/** What the table keeps about a consumer with two groups, sealed as the product seals it. */
export function sealSpecimen(key: string): Promise<Uint8Array> {
  const ring = new KeyRing(['a secret that seals nothing but specimens'], 'session kong bench', 0);
  return new DataCodec(ring, Date.now).seal(key, {
    username: 'alice.liddell@example.com',
    customId: '8d7e2f1c-1f4b-4b7e-9a54-0a8f3f0c2b11',
    groups: ['staff', 'accounting'],
    ip: '203.0.113.27',
    userAgent:
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  });
}

const LATER = `now() + interval '12 hours' * (1 + random())`;

/**
 * Adds the rows numbered `first` to `last` through all indexes, as the product does. `expires`: SQL of the moment at
 * which row `i` expires.
 */
export async function add(
  sql: Client,
  first: number,
  last: number,
  expires = LATER,
): Promise<void> {
  const sealed = await sealSpecimen(keyOfRow(first));
  for (let from = first; from <= last; from += CHUNK) {
    await sql.query(
      `insert into session_guard.sessions (key, handle, family, kind, generation, consumer_id, credential_id, audience,
        realm, data, authenticated_at, started_at, renewed_at, seen_at, confirmed_at, expires_at)
      select sha256(convert_to('session ' || i, 'UTF8')), gen_random_uuid(), gen_random_uuid(), 0, 0,
        c.id, c.id, 'default', 'session kong session_guard', $3, now(), now(), now(), now(), now(), ${expires}
      from generate_series($1::bigint, $2::bigint) i, lateral (select md5('consumer ' || i / 2)::uuid as id) c`,
      [from, Math.min(from + CHUNK - 1, last), sealed],
    );
  }
}

/**
 * Fills an empty table with rows from 1 up: without indexes, which are built afterwards as full as random inserts
 * leave them. Ten times as fast as row by row, and the same in size.
 */
export async function fill(sql: Client, rows: number, expires = LATER): Promise<void> {
  const { rows: indexes } = await sql.query<{ drop: string; make: string }>(
    `select case when c.oid is null then format('drop index session_guard.%I', i.relname)
        else format('alter table session_guard.sessions drop constraint %I', c.conname) end as drop,
      case when c.oid is null then pg_get_indexdef(i.oid)
        else format('alter table session_guard.sessions add constraint %I %s', c.conname, pg_get_constraintdef(c.oid))
      end || ' with (fillfactor = 70)' as make
    from pg_index x join pg_class i on i.oid = x.indexrelid left join pg_constraint c on c.conindid = i.oid
    where x.indrelid = 'session_guard.sessions'::regclass`,
  );
  for (const { drop } of indexes) await sql.query(drop);
  await add(sql, 1, rows, expires);
  for (const { make } of indexes) await sql.query(make);
  await sql.query('vacuum analyze session_guard.sessions');
}
