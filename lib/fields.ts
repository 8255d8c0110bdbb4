/**
 * The one table of configuration fields. Kong's schema (schema.ts), the parser (config.ts) and the README's
 * table come from it. Names and defaults are those of Kong's bundled `session` plugin where it has the field.
 */

/** A constraint on a string, once as a Lua pattern for Kong and once as a regular expression for us. */
export interface Pattern {
  readonly lua: string;
  readonly js: RegExp;
  readonly err: string;
}

interface Common {
  readonly description: string;
  readonly required?: true;
}

export interface StringField extends Common {
  readonly type: 'string';
  readonly default?: string;
  readonly oneOf?: readonly string[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: Pattern;
  /** A vault reference may stand for the value; Kong resolves it before we see it. */
  readonly referenceable?: true;
}

export interface NumberField extends Common {
  readonly type: 'number' | 'integer';
  readonly default?: number;
  readonly between: readonly [number, number];
}

export interface BooleanField extends Common {
  readonly type: 'boolean';
  readonly default: boolean;
}

export interface SetField extends Common {
  readonly type: 'set';
  readonly default?: readonly string[];
  readonly oneOf: readonly string[];
}

export interface RecordField extends Common {
  readonly type: 'record';
  readonly fields: FieldTable;
  readonly checks: readonly EntityCheck[];
}

export type Field = StringField | NumberField | BooleanField | SetField | RecordField;
export type FieldTable = { readonly [name: string]: Field };

/** A rule over several fields of a record, in Kong's own words (entity_checks). */
export type EntityCheck =
  | { readonly at_least_one_of: readonly string[] }
  | {
      readonly conditional: {
        readonly if_field: string;
        readonly if_match: object;
        readonly then_field: string;
        readonly then_match: object;
        readonly then_err?: string;
      };
    };

/** 100 years: no timeout needs more, and every moment it leads to can be written as a date. */
const LONGEST = 3_153_600_000;
const seconds = (value: number, description: string) =>
  ({ type: 'number', default: value, between: [0, LONGEST], description }) as const;

/** RFC 9110 5.6.2 token, which is what RFC 6265 4.1.1 allows as the name of a cookie. */
const TOKEN: Pattern = {
  lua: "^[%w!#%$%%&'%*%+%-%.%^_`|~]+$",
  js: /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/,
  err: "must consist of letters, digits and !#$%&'*+-.^_`|~",
};

const PATH: Pattern = {
  lua: '^/[%w!#%$%%&\'%(%)%*%+,%-%./:<=>%?@%[%]%^_`{|}~"\\]*$',
  js: /^\/[A-Za-z0-9!#$%&'()*+,\-./:<=>?@[\]^_`{|}~"\\]*$/,
  err: 'must begin with / and have no semicolon, space or control character',
};

const DOMAIN: Pattern = {
  lua: '^%.?[%w][%w%-%.]*$',
  js: /^\.?[A-Za-z0-9][A-Za-z0-9\-.]*$/,
  err: 'must be a host name such as example.com or .example.com, without scheme, port or path',
};

const WORD: Pattern = {
  lua: '^[%w%p]+$',
  js: /^[\x21-\x7e]+$/,
  err: 'must consist of printable ASCII characters without spaces',
};

const IDENTIFIER: Pattern = {
  lua: '^[a-z_][a-z0-9_]*$',
  js: /^[a-z_][a-z0-9_]*$/,
  err: 'must be a lower-case SQL identifier such as session_guard',
};

const POSTGRES_URL: Pattern = {
  lua: '^postgresq?l?://',
  js: /^postgres(ql)?:\/\//,
  err: 'must begin with postgres:// or postgresql://',
};

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
  user: { type: 'string', description: 'Role to connect as.' },
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
    description: 'Connections per node, shared by all routes with the same database.',
  },
  connect_timeout: {
    type: 'number',
    default: 2,
    between: [0.05, 60],
    description: 'Seconds to wait for a connection, then 503.',
  },
  statement_timeout: {
    type: 'number',
    default: 2,
    between: [0.05, 60],
    description: 'Seconds to wait for the answer to a statement, then 503.',
  },
  prepared: {
    type: 'boolean',
    default: true,
    description: 'Use named prepared statements; switch off behind PgBouncer in transaction mode.',
  },
  migrate: {
    type: 'boolean',
    default: true,
    description: 'Create and upgrade the tables at start; otherwise run `session-guard migrate`.',
  },
} as const satisfies FieldTable;

export const FIELDS = {
  secret: {
    type: 'string',
    required: true,
    minLength: 32,
    referenceable: true,
    description:
      'Root of all keys: at least 32 characters, the same on every node. Make one with `openssl rand -base64 32`.',
  },
  storage: {
    type: 'string',
    default: 'cookie',
    oneOf: ['cookie', 'kong', 'postgres'],
    description:
      'Where sessions live: sealed in the `cookie`, or a row in Postgres (`kong`; `postgres` means the same).',
  },
  audience: {
    type: 'string',
    default: 'default',
    maxLength: 128,
    pattern: WORD,
    description: 'Name of the application: a session is good for its own audience only.',
  },
  idling_timeout: seconds(900, 'Seconds without a request after which a session ends; 0 = never.'),
  rolling_timeout: seconds(
    3600,
    'Seconds after which a cookie ends unless it was renewed; 0 = never.',
  ),
  absolute_timeout: seconds(
    86_400,
    'Seconds after the sign-in at which a session ends whatever happens; 0 = never.',
  ),
  stale_ttl: {
    type: 'number',
    default: 10,
    between: [0, 3600],
    description:
      'Seconds that the cookie before a renewal stays good once the new one has been presented.',
  },
  cookie_name: {
    type: 'string',
    default: 'session',
    maxLength: 128,
    pattern: TOKEN,
    description: 'Name of the cookie. The prefixes `__Host-` and `__Secure-` are enforced.',
  },
  cookie_path: {
    type: 'string',
    default: '/',
    maxLength: 1024,
    pattern: PATH,
    description: 'Path attribute of the cookie.',
  },
  cookie_domain: {
    type: 'string',
    maxLength: 253,
    pattern: DOMAIN,
    description: 'Domain attribute of the cookie; unset = only the host that set it.',
  },
  cookie_same_site: {
    type: 'string',
    default: 'Strict',
    oneOf: ['Strict', 'Lax', 'None', 'Default'],
    description:
      'SameSite attribute; `None` forces Secure, `Default` leaves the choice to the browser.',
  },
  cookie_http_only: {
    type: 'boolean',
    default: true,
    description: 'Keep the cookie from scripts (HttpOnly attribute).',
  },
  cookie_secure: {
    type: 'boolean',
    default: true,
    description: 'Have the browser send the cookie over HTTPS only (Secure attribute).',
  },
  logout_methods: {
    type: 'set',
    default: ['POST', 'DELETE'],
    oneOf: ['GET', 'POST', 'DELETE'],
    description: 'Request methods that can sign out.',
  },
  logout_query_arg: {
    type: 'string',
    default: 'session_logout',
    maxLength: 256,
    description: 'Query argument whose presence signs out, whatever its value.',
  },
  logout_post_arg: {
    type: 'string',
    default: 'session_logout',
    maxLength: 256,
    description: 'Body field whose presence signs out (form, multipart or JSON; not JSON `false`).',
  },
  read_body_for_logout: {
    type: 'boolean',
    default: false,
    description: 'Look for `logout_post_arg` in bodies of up to 8 kB.',
  },
  unauthenticated: {
    type: 'string',
    default: 'continue',
    oneOf: ['continue', 'deny'],
    description:
      'What happens to a request of nobody: `continue` to the other plugins, or `deny` with 401.',
  },
  revoke_on_replay: {
    type: 'boolean',
    default: true,
    description:
      'End a session when a cookie that was replaced long ago comes back (storage `kong`).',
  },
  touch_interval: {
    type: 'number',
    between: [0.1, 3600],
    description:
      'Seconds between two writes of the last use; default: a quarter of `idling_timeout`, at most 60.',
  },
  cache_ttl: {
    type: 'number',
    default: 5,
    between: [0, 60],
    description:
      'Seconds that a node relies on a session it has read, should a notification be lost; at most `stale_ttl`.',
  },
  consumer_ttl: {
    type: 'number',
    default: 30,
    between: [1, 3600],
    description: 'Seconds after which Kong is asked again whether the consumer still exists.',
  },
  postgres: {
    type: 'record',
    fields: POSTGRES_FIELDS,
    checks: [{ at_least_one_of: ['url', 'host'] }],
    description:
      'Database of the sessions. Needed for storage `kong`; with storage `cookie` it makes logout final.',
  },
} as const satisfies FieldTable;

const prefixed = (prefix: string) => ({ match: prefix });
const HOST_PREFIX = prefixed('^__[Hh][Oo][Ss][Tt]%-');
const SECURE_PREFIX = prefixed('^__[Ss][Ee][Cc][Uu][Rr][Ee]%-');

/** Rules over several fields (RFC 6265bis 4.1.3 for the prefixes). config.ts checks the same once more. */
export const CHECKS: readonly EntityCheck[] = [
  {
    conditional: {
      if_field: 'storage',
      if_match: { one_of: ['kong', 'postgres'] },
      // A field of the record that is filled in with the record: a condition on a record itself makes Kong 3.9.1
      // answer 500 (kong/db/schema/init.lua loses the record's fields on the way).
      then_field: 'postgres.schema',
      then_match: { ne: null },
      then_err: 'storage kong needs the record postgres, with a url or a host',
    },
  },
  {
    conditional: {
      if_field: 'cookie_name',
      if_match: HOST_PREFIX,
      then_field: 'cookie_path',
      then_match: { eq: '/' },
    },
  },
  {
    conditional: {
      if_field: 'cookie_name',
      if_match: HOST_PREFIX,
      then_field: 'cookie_domain',
      then_match: { len_eq: 0 },
      then_err: 'a __Host- cookie must not have a cookie_domain',
    },
  },
  ...[HOST_PREFIX, SECURE_PREFIX].map((match) => ({
    conditional: {
      if_field: 'cookie_name',
      if_match: match,
      then_field: 'cookie_secure',
      then_match: { eq: true },
    },
  })),
];
