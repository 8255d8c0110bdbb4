import { Client } from 'pg';

/** One statement on a connection of its own. */
export async function query<Row extends object>(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {}); // a server that goes away fails the query
  await client.connect();
  try {
    return (await client.query<Row>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

/** How many connections of the plugin the server has. */
export async function connectionsOf(url: string): Promise<number> {
  const [row] = await query<{ count: number }>(
    url,
    "select count(*)::integer as count from pg_stat_activity where application_name like 'session-guard%'",
  );
  return row?.count ?? 0;
}
