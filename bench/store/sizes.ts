import type { Client } from 'pg';

/** Bytes of a table and of its indexes. */
export interface Sizes {
  readonly heap: number;
  /** By the name of the index. */
  readonly indexes: Readonly<Record<string, number>>;
}

export async function sizesOf(sql: Client): Promise<Sizes> {
  const { rows } = await sql.query<{ name: string; bytes: number }>(
    `select c.relname as name, pg_relation_size(c.oid)::float8 as bytes
    from pg_class c left join pg_index i on i.indexrelid = c.oid
    where coalesce(i.indrelid, c.oid) = 'session_guard.sessions'::regclass order by c.relname`,
  );
  const indexes = Object.fromEntries(
    rows.filter(({ name }) => name !== 'sessions').map(({ name, bytes }) => [name, bytes]),
  );
  return { heap: rows.find(({ name }) => name === 'sessions')?.bytes ?? NaN, indexes };
}

export const sum = (sizes: Sizes): number =>
  Object.values(sizes.indexes).reduce((total, bytes) => total + bytes, sizes.heap);
