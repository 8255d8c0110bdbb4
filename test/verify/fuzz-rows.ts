import type { Client } from 'pg';

interface Rows {
  readonly count: number;
  /** No transaction with this number or a later one had written when it was read. */
  readonly transaction: string;
}

export async function rowsOf(sql: Client, schema: string): Promise<Rows> {
  const { rows } = await sql.query<Rows>(
    `select count(*)::integer as count, pg_current_xact_id()::text as transaction from ${schema}.sessions`,
  );
  return rows[0] ?? { count: 0, transaction: '0' };
}

/** Rows that were inserted, updated or deleted. */
export async function changesSince(
  sql: Client,
  schema: string,
  { count, transaction }: Rows,
): Promise<number> {
  const query = `select count(*)::integer as count from ${schema}.sessions where xmin::text::bigint >= $1`;
  const { rows } = await sql.query<{ count: number }>(query, [transaction]);
  return (rows[0]?.count ?? 0) + Math.max(0, count - (await rowsOf(sql, schema)).count);
}
