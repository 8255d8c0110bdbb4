import { Client } from 'pg';

interface Keyed {
  readonly key: string;
}

/** The table of sessions as an observer sees and changes it behind every node's back. */
export class Table {
  readonly sql: Client;

  private constructor(sql: Client) {
    this.sql = sql;
  }

  static async open(url: string): Promise<Table> {
    const sql = new Client({ connectionString: url, options: '-c search_path=session_guard' });
    await sql.connect();
    return new Table(sql);
  }

  /** Changes a row to what it would be at another time: `change` is the SQL after `set`. */
  async alter(session: Keyed, change: string): Promise<void> {
    await this.sql.query(`update sessions set ${change} where key = $1`, [keyOf(session)]);
  }

  /** A column or expression of a row; `undefined` without the row. */
  async column<T>(session: Keyed, name: string): Promise<T | undefined> {
    const query = `select ${name} as value from sessions where key = $1`;
    const { rows } = await this.sql.query<{ value: T }>(query, [keyOf(session)]);
    return rows[0]?.value;
  }

  async remove(session: Keyed): Promise<void> {
    await this.sql.query('delete from sessions where key = $1', [keyOf(session)]);
  }

  /** How many rows there are of a family. */
  async count(family: string): Promise<number> {
    const { rows } = await this.sql.query('select from sessions where family = $1', [family]);
    return rows.length;
  }

  close(): Promise<void> {
    return this.sql.end();
  }
}

const keyOf = ({ key }: Keyed) => Buffer.from(key, 'base64url');
