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

/** The plugin's connections to this database, by the process ids of the server's ends. */
export async function connectionsOf(url: string): Promise<number[]> {
  const rows = await query<{ pid: number }>(
    url,
    `select pid from pg_stat_activity
    where datname = current_database() and application_name like 'session-guard%'`,
  );
  return rows.map(({ pid }) => pid);
}
