import { ms, refuse } from './parse.ts';
import type { Parsed } from './parse.ts';
import type { POSTGRES_FIELDS } from './postgres-fields.ts';

/** Where sessions are kept, and how. Durations in milliseconds. */
export interface PostgresSettings {
  readonly url: string | undefined;
  readonly listenUrl: string | undefined;
  readonly host: string | undefined;
  readonly port: number;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: string | undefined;
  readonly schema: string;
  readonly ssl: boolean;
  readonly sslVerify: boolean;
  readonly sslCa: string | undefined;
  readonly poolSize: number;
  readonly connectTimeout: number;
  readonly statementTimeout: number;
  readonly prepared: boolean;
  readonly migrate: boolean;
  readonly auditRetention: number;
}

/** @throws SessionError ERR_CONFIG naming the field */
export function toPostgres(values: Parsed<typeof POSTGRES_FIELDS>): PostgresSettings {
  if (values.url === undefined && values.host === undefined) {
    refuse('postgres', 'at least one of these fields must be non-empty: url, host');
  }
  if (values.host !== undefined && values.user === undefined) {
    refuse('postgres.user', 'required with postgres.host');
  }
  return {
    url: values.url,
    listenUrl: values.listen_url,
    host: values.host,
    port: values.port,
    user: values.user,
    password: values.password,
    database: values.database,
    schema: values.schema,
    ssl: values.ssl,
    sslVerify: values.ssl_verify,
    sslCa: values.ssl_ca,
    poolSize: values.pool_size,
    connectTimeout: ms(values.connect_timeout),
    statementTimeout: ms(values.statement_timeout),
    prepared: values.prepared,
    migrate: values.migrate,
    auditRetention: ms(values.audit_retention),
  };
}
