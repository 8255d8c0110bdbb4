import type { EntityCheck, FieldTable } from './field.ts';
import { IDENTIFIER, POSTGRES_URL } from './patterns.ts';

/** Seconds. With more a request would end before its wait does, and the log would not say what it waited for. */
const PATIENCE = [0.05, 4] as const;

/** The fields of the record `postgres`. */
export const POSTGRES_FIELDS = {
  url: {
    type: 'string',
    pattern: POSTGRES_URL,
    referenceable: true,
    description: 'Connection URL. Takes the place of host, port, user, password and database.',
  },
  listen_url: {
    type: 'string',
    pattern: POSTGRES_URL,
    referenceable: true,
    description:
      'Direct connection URL for LISTEN, where `url` leads through a pooler in transaction mode.',
  },
  host: { type: 'string', description: 'Host name or address of the server.' },
  port: {
    type: 'integer',
    default: 5432,
    between: [1, 65_535],
    description: 'Port of the server.',
  },
  user: { type: 'string', description: 'Role to connect as; required with `host`.' },
  password: {
    type: 'string',
    referenceable: true,
    description: 'Password of the role.',
  },
  database: { type: 'string', description: 'Name of the database.' },
  schema: {
    type: 'string',
    default: 'session_guard',
    maxLength: 63,
    pattern: IDENTIFIER,
    description: 'Schema that holds the tables; created by the migrations if it does not exist.',
  },
  ssl: { type: 'boolean', default: false, description: 'Encrypt the connection with TLS.' },
  ssl_verify: {
    type: 'boolean',
    default: true,
    description: "Verify the server's certificate and host name (with `ssl`).",
  },
  ssl_ca: {
    type: 'string',
    referenceable: true,
    description: 'PEM certificate of a private authority that signed the certificate.',
  },
  pool_size: {
    type: 'integer',
    default: 10,
    between: [1, 200],
    description:
      'Connections per node, shared by all routes whose record `postgres` says the same; each other has its own.',
  },
  connect_timeout: {
    type: 'number',
    default: 2,
    between: PATIENCE,
    description: 'Seconds to wait for a connection, then 503; a request is answered after 5.',
  },
  statement_timeout: {
    type: 'number',
    default: 2,
    between: PATIENCE,
    description:
      'Seconds to wait for the answer to a statement, then 503; a request is answered after 5.',
  },
  prepared: {
    type: 'boolean',
    default: true,
    description: 'Use named prepared statements; switch off behind PgBouncer in transaction mode.',
  },
  audit_retention: {
    type: 'number',
    default: 0,
    between: [0, 315_360_000],
    description:
      'Seconds that sign-ins, ends, renewals and replays stay in the table `audit`; 0 = none. Revocations: a year.',
  },
  migrate: {
    type: 'boolean',
    default: true,
    description: 'Create and upgrade the tables at start; otherwise run `session-guard migrate`.',
  },
} as const satisfies FieldTable;

/** Kong's processes have no user of their own in their environment, by which Postgres would know one. */
export const POSTGRES_CHECKS: readonly EntityCheck[] = [
  { at_least_one_of: ['url', 'host'] },
  {
    conditional: {
      if_field: 'host',
      if_match: { ne: null },
      then_field: 'user',
      then_match: { ne: null },
      then_err: 'host needs a user',
    },
  },
];
