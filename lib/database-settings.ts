import type { ClientConfig } from 'pg';
import { Connection } from './connection.ts';
import { refuse } from './parse.ts';

/** Where the sessions are and how long one may wait for them. Times in milliseconds. */
export interface DatabaseOptions {
  /** `postgres://…`; what it says about the connection wins over the single fields. */
  readonly url?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly database?: string | undefined;
  /** Lower case letters, digits and `_`. Default `session_guard`. */
  readonly schema?: string | undefined;
  /** Encrypt the connection. Default false, unless the URL asks for it. */
  readonly ssl?: boolean | undefined;
  /** With `ssl`: refuse a certificate that no known authority vouches for. Default true. */
  readonly sslVerify?: boolean | undefined;
  /** PEM of a private authority. */
  readonly sslCa?: string | undefined;
  /** Connections at most, besides the one that listens. Default 10. */
  readonly poolSize?: number | undefined;
  /** Default 2000. */
  readonly connectTimeout?: number | undefined;
  /** Default 2000. */
  readonly statementTimeout?: number | undefined;
  /**
   * False behind a pooler in transaction mode (PgBouncer): no named statements and no settings that belong
   * to a session. The server then knows no statement timeout; ours ends the connection instead.
   */
  readonly prepared?: boolean | undefined;
  /** Create and upgrade the tables before the first statement. Default true; otherwise they are only checked. */
  readonly migrate?: boolean | undefined;
  /** A way around the pooler, since LISTEN needs a connection of its own. Default: `url`. */
  readonly listenUrl?: string | undefined;
}

export type Settings = ReturnType<typeof settingsOf>;

/**
 * The options with what is absent filled in. `urlField` is what messages call `url`.
 * @throws SessionError ERR_CONFIG naming the field
 */
export function settingsOf(options: DatabaseOptions, urlField = 'postgres.url') {
  const { schema = 'session_guard', url, listenUrl } = options;
  // Quoted everywhere all the same: a name from a configuration never becomes SQL (CVE-2019-15658).
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    refuse('postgres.schema', 'must match ^[a-z_][a-z0-9_]{0,62}$');
  }
  const connection = connectionOf(options);
  checkUrl(urlField, url);
  check(url === undefined ? 'postgres' : urlField, connection);
  checkUrl('postgres.listen_url', listenUrl);
  const listener = {
    ...connection,
    ...(listenUrl !== undefined && { connectionString: listenUrl }),
  };
  check('postgres.listen_url', listener);
  return {
    connection,
    listener,
    schema,
    poolSize: options.poolSize ?? 10,
    connectTimeout: options.connectTimeout ?? 2000,
    statementTimeout: options.statementTimeout ?? 2000,
    prepared: options.prepared ?? true,
    migrate: options.migrate ?? true,
  };
}

function connectionOf(options: DatabaseOptions): ClientConfig {
  const { url, host, port, user, password, database, sslVerify = true, sslCa } = options;
  return {
    ...(url === undefined
      ? withoutAbsent({ host, port, user, password, database })
      : { connectionString: url }),
    ...(options.ssl && { ssl: { rejectUnauthorized: sslVerify, ...(sslCa && { ca: sslCa }) } }),
  };
}

/** An explicit `undefined` would keep pg from looking at PGHOST and its like. */
const withoutAbsent = (fields: Record<string, unknown>): ClientConfig =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

function checkUrl(field: string, url: string | undefined): void {
  // Not in the message and not as a cause: a URL carries a password.
  if (url !== undefined && !/^(postgres|postgresql|socket):/.test(url)) refuse(field, NO_URL);
}

const NO_URL = 'must be a URL like postgres://user@host/database';
const ENCODE = 'with what is special in its user and password percent-encoded (@ as %40, % as %25)';

/** By pg's own reading. A file that is not there may come later: that is for whoever connects. */
function check(field: string, connection: ClientConfig): void {
  const { problem } = new Connection(connection);
  if (problem === undefined || 'syscall' in problem) return;
  const isUnreadable = problem instanceof URIError || problem instanceof TypeError;
  refuse(field, isUnreadable ? `${NO_URL}, ${ENCODE}` : problem.message);
}
